/*
 * job/paths: which scene paths a client may name (pure; any thread).
 *
 * A scene path is `res://` and a relative path that ends in `.tscn`. Whether a
 * well-formed path may be used is decided by two lists of patterns from the
 * configuration: it must be matched by the whitelist and not be matched by
 * the blacklist.
 */
#ifndef JOBQ_PATHS_H
#define JOBQ_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#define JOBQ_PATH_MAX 256 /* bytes of a scene path, `res://` included */

/* A list of patterns, in the order of the configuration file. */
struct jobq_list {
	char **items;
	size_t count;
};

/*
 * Whether `len` bytes at `path` are a well-formed scene path. Returns NULL, or
 * a static sentence that says what is wrong with it.
 */
const char *jobq_paths_malformed(const char *path, size_t len);

/*
 * The same for any file under the project root that a scene may name
 * (`res://` + relative path; no rule about the ending, up to 1024 bytes).
 */
const char *jobq_paths_malformed_file(const char *path, size_t len);

/*
 * Whether one pattern matches a well-formed path. A pattern is an exact path,
 * a directory ending in `/` (everything below it), or a glob: `*` any bytes
 * within a segment, `**` any bytes across segments; no other byte is special.
 */
bool jobq_paths_match(const char *pattern, const char *path);

/* Whether any pattern of the list matches. */
bool jobq_paths_match_any(const struct jobq_list *list, const char *path);

#endif
