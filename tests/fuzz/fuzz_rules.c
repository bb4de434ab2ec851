/* Request bodies: whatever comes is accepted or refused with a code and valid UTF-8. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "jobq/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *items[] = {"res://**"};
	static const struct jobq_list allowed = {items, 1}, denied = {NULL, 0};
	struct jobq_submission out;
	struct jobq_refusal why = {0};
	json_t *parsed;

	if (jobq_job_rules((const char *)data, size, &allowed, &denied, &out, &why)) {
		/* What was accepted is JSON that a worker can read back. */
		parsed = json_loadb(out.parameters, out.parameters_len, JSON_ALLOW_NUL, NULL);
		if (!json_is_object(parsed))
			abort();
	} else {
		/* What is refused has a code and a sentence that can be sent as JSON. */
		parsed = json_pack("{s:s, s:s}", "error", why.error, "pointer", why.pointer);
		if (why.code == NULL || why.error[0] == '\0' || parsed == NULL)
			abort();
	}
	json_decref(parsed);
	jobq_submission_free(&out);
	return 0;
}
