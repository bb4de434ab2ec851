/*
 * scene: Godot's text scenes and what they need. Bytes in, facts out.
 *
 * What is checked is what Godot's ResourceLoader.load() checks: the text
 * itself, the classes of its resources, and that every ext_resource can be loaded,
 * transitively. Classes of nodes matter only when it is validated.
 *
 * Nothing here logs, exits or keeps state outside the structs below. One
 * project, one load and one cache handle belong to one thread at a time.
 */
#ifndef JOBQ_SCENE_H
#define JOBQ_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobq/paths.h"

/* The limits; beyond them is an error that says so. */
#define JOBQ_SCENE_FILE_MAX (256u << 20)  /* bytes of one text file */
#define JOBQ_SCENE_STRING_MAX (64u << 20) /* bytes of one string, as written */
#define JOBQ_SCENE_NODES_MAX 2000000u     /* node tags of one file */
#define JOBQ_SCENE_FILES_MAX 100000u      /* files that one scene needs, itself included */
#define JOBQ_SCENE_DEPTH_MAX 10000u       /* values in each other */

/* ---- the project ------------------------------------------------------------ */

/*
 * The root directory, held open. Every file is opened beneath it: no symbolic
 * link, no `..`, no other mount is followed (openat2(2), or a walk segment by
 * segment where the kernel or a seccomp filter refuses that call).
 */
struct jobq_scene_project;

/*
 * Opens `root`, an ordinary path. Files matched by `blacklist` (borrowed for
 * the life of the project; may be NULL) are never opened. Returns 0 or a
 * negative errno; *out is closed with jobq_scene_project_close().
 */
int jobq_scene_project_open(struct jobq_scene_project **out, const char *root,
			    const struct jobq_list *blacklist);
void jobq_scene_project_close(struct jobq_scene_project *project);

/* The root: an O_PATH descriptor, borrowed. */
int jobq_scene_project_root(const struct jobq_scene_project *project);

/* ---- facts ------------------------------------------------------------------ */

enum jobq_scene_kind { JOBQ_SCENE_SCENE, JOBQ_SCENE_RESOURCE, JOBQ_SCENE_IMPORT };

/* One file that another names. */
struct jobq_scene_dependency {
	const char *path; /* as written in the file, decoded; always UTF-8 */
	const char *uid;  /* uid://..., which counts before the path when it is known; or NULL */
	const char *type; /* the ext_resource's type; NULL for a Resource("...") within a value */
	uint32_t line;
};

/* What one text file says, borrowed from whatever gave it. Texts are UTF-8. */
struct jobq_scene_facts {
	enum jobq_scene_kind kind;
	int64_t format;        /* -1 when the header has none */
	uint64_t node_count;   /* [node] tags of this one file */
	const char *uid;       /* NULL when the header has none */
	const char *root_type; /* NULL without a root; "" for an inherited one */
	const char *root_name; /* NULL without a root */
	struct jobq_scene_dependency *dependencies; /* in the order of the file */
	size_t dependency_count;
};

/* What says that a file is still the one that was read. */
struct jobq_scene_stamp {
	uint64_t bytes;
	int64_t modified; /* nanoseconds since 1970 */
	uint64_t inode;
};

/* ---- the cache -------------------------------------------------------------- */

/*
 * Facts of files by res:// path, in memory shared by several processes. An
 * entry counts only for the file's stamp. When room is short, the entries
 * used longest ago go. A process that died inside the cache leaves it
 * empty; bytes that make no sense empty it too: it is only a cache.
 */
struct jobq_scene_cache;

struct jobq_scene_cache_stats {
	uint64_t entries;
	uint64_t bytes; /* taken by entries */
	uint64_t room;  /* for entries, in all */
	uint64_t hits, misses, evictions;
	uint64_t resets; /* times it was emptied after a death or damage */
};

/*
 * Makes an empty cache of `size` bytes at `region`, once, by the process that
 * created the memory (shared, 16-byte aligned). Returns 0; -ENOSPC when
 * `size` is under 64 KiB; or what the mutex could not do.
 */
int jobq_scene_cache_init(void *region, size_t size);

/*
 * A handle on a cache that was made. NULL with errno EINVAL when `region` holds
 * none of this version and size, or ENOMEM. The region must outlive it.
 */
struct jobq_scene_cache *jobq_scene_cache_attach(void *region, size_t size);
void jobq_scene_cache_detach(struct jobq_scene_cache *cache);

/* Whether the file's entry is there and fresh. Not counted as a use. */
bool jobq_scene_cache_holds(struct jobq_scene_cache *cache, const char *path,
			    const struct jobq_scene_stamp *stamp);
/* Whether there was an entry to remove. */
bool jobq_scene_cache_remove(struct jobq_scene_cache *cache, const char *path);
void jobq_scene_cache_stats(struct jobq_scene_cache *cache, struct jobq_scene_cache_stats *stats);

/* ---- loading ---------------------------------------------------------------- */

/* A file that was touched. */
struct jobq_scene_file {
	const char *path;
	uint64_t bytes;
};

/* A file that could not be had. */
struct jobq_scene_missing {
	const char *path;
	const char *needed_by;
	const char *why;
};

struct jobq_scene_texts {
	const char **items;
	size_t count;
};

/* What is known of a scene after one of the calls below. */
struct jobq_scene_load {
	const char *error; /* NULL when the scene loads; else a sentence for its author */
	int reason;        /* negative errno when the scene file itself could not be read */
	struct jobq_scene_stamp stamp;
	struct jobq_scene_facts *facts; /* NULL when the file could not be read; as far as it was read on errors */
	bool cached;   /* its facts came from the cache */
	bool reloaded; /* the cache had it, but the file has changed since */
	struct jobq_scene_file *files; /* everything touched, the scene first */
	size_t file_count;
	uint64_t bytes; /* of these files */
	struct jobq_scene_missing *missing;
	size_t missing_count;
	struct jobq_scene_texts kept;     /* paths this load put into the cache */
	/*
	 * With JOBQ_SCENE_VALIDATE. Without errors the scene is valid; among them is why
	 * it does not load, each missing file by itself.
	 */
	struct jobq_scene_texts errors;
	struct jobq_scene_texts warnings; /* the same */
	void *memory;                     /* owns all of the above */
};

enum jobq_scene_how {
	JOBQ_SCENE_VALIDATE = 1, /* look for what Godot would stumble over later, too */
	JOBQ_SCENE_PRELOAD = 2,  /* bring the pages of every file into the page cache */
	JOBQ_SCENE_ANY = 4,      /* any resource will do, not only a scene */
};

/*
 * Loads the scene at `path` (well-formed, see jobq_paths_malformed()) with all it needs.
 * What was parsed is kept in `cache` (may be NULL) when the scene loads; with
 * JOBQ_SCENE_VALIDATE the cache must be NULL. `how` is a set of
 * enum jobq_scene_how. Returns 0 or -ENOMEM; that the scene is
 * broken is load->error. The caller frees `load` either way.
 */
int jobq_scene_load(struct jobq_scene_project *project, struct jobq_scene_cache *cache,
		    const char *path, unsigned how, struct jobq_scene_load *load);

/*
 * Reads the one file only, or takes its facts from the cache, which is not
 * changed. Fills error, reason, stamp, facts, cached.
 */
int jobq_scene_look(struct jobq_scene_project *project, struct jobq_scene_cache *cache,
		    const char *path, struct jobq_scene_load *load);

/* Fills only the stamp. Returns 0 or a negative errno. */
int jobq_scene_stat(struct jobq_scene_project *project, const char *path,
		    struct jobq_scene_stamp *stamp);

void jobq_scene_load_free(struct jobq_scene_load *load);

/* A sentence for a negative errno that came from opening or reading a file. */
const char *jobq_scene_reason(int error);

#endif
