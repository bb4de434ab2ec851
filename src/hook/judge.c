#include "config.h"

#include <string.h>

#include "hook/hook.h"

#define SECOND INT64_C(1000000)
#define PAUSE_MOST (3600 * SECOND) /* however long a Retry-After asks for */

/* After the first attempt, the second, and the third. */
static const int64_t pauses[JOBQ_DELIVERY_ATTEMPTS - 1] = {1 * SECOND, 5 * SECOND, 15 * SECOND};

static int64_t pause_after(unsigned attempts, int64_t retry_after)
{
	int64_t pause = pauses[attempts - 1];
	int64_t asked = retry_after > PAUSE_MOST / SECOND ? PAUSE_MOST : retry_after * SECOND;

	return asked > pause ? asked : pause;
}

void hook_judge(const struct hook_answer *answer, unsigned attempts, int64_t now,
		struct jobq_outcome *out)
{
	*out = (struct jobq_outcome){
		.webhook = answer->webhook,
		.event = answer->event,
		.verdict = JOBQ_OUTCOME_FAILED,
		.attempts = attempts,
		.at = now,
		.payload_size = answer->payload_size,
	};
	memcpy(out->message, answer->message, sizeof(out->message));
	if (answer->status >= 200 && answer->status <= 299) {
		out->verdict = JOBQ_OUTCOME_DELIVERED;
	} else if (answer->status == 410) {
		out->verdict = JOBQ_OUTCOME_GONE;
	} else if (attempts > 0 && attempts < JOBQ_DELIVERY_ATTEMPTS) {
		out->verdict = JOBQ_OUTCOME_RETRY;
		out->due = now + pause_after(attempts, answer->retry_after);
	}
}

void hook_judge_text(char into[JOBQ_DELIVERY_MESSAGE], const char *text)
{
	size_t at = 0;

	for (; *text != '\0' && at + 1 < JOBQ_DELIVERY_MESSAGE; text++)
		into[at++] = *text >= ' ' && *text <= '~' ? *text : '?';
	into[at] = '\0';
}
