/*
 * scene, between the files of the room. The reader is pure: bytes in, facts
 * out, memory from an arena. Grammar: what the text loaders of Godot 3 and 4
 * accept, not what they write; comments below say where that differs.
 */
#ifndef JOBQ_SCENE_SCENE_H
#define JOBQ_SCENE_SCENE_H

#include <string.h>

#include "jobq/base.h"
#include "jobq/scene.h"

/* ---- arena: memory that is given back all at once --------------------------- */

struct scene_arena {
	struct scene_chunk *chunks; /* of small pieces, the one in use first */
	struct scene_large *large;  /* pieces of more than 2 KiB, each by itself */
	bool failed;		    /* an allocation did not succeed; sticky */
};

/* Zeroed memory, 8-byte aligned; NULL and `failed` when there is none. */
void *scene_arena_get(struct scene_arena *arena, size_t bytes);
/* Gives a piece of this size back at once, if it is large; a small one stays. */
void scene_arena_drop(void *memory, size_t bytes);
/* A copy with a NUL behind it. */
char *scene_arena_copy(struct scene_arena *arena, const char *text, size_t len);
char *scene_arena_print(struct scene_arena *arena, const char *fmt, ...) JOBQ_PRINTF(2, 3);
/*
 * Room for one more element behind `count` ones, not zeroed: the array itself, or
 * one of twice the size each time that count is a power of two from 8 on. A large
 * array is moved as realloc() does. NULL when out of memory.
 */
void *scene_arena_grow(struct scene_arena *arena, void *array, size_t count, size_t element);
void scene_arena_add_text(struct scene_arena *arena, struct jobq_scene_texts *texts,
			  const char *text);
/* Gives everything back, but keeps a chunk for what comes next. */
void scene_arena_clear(struct scene_arena *arena);
void scene_arena_free(struct scene_arena *arena);
/* Asks for huge pages for a large piece of memory, whatever it came from. */
void scene_arena_huge(void *memory, size_t bytes);

/* ---- map: texts to numbers, in an arena -------------------------------------- */

/* Somewhere in somebody's memory; not ended by a NUL. */
struct scene_text {
	const char *at;
	size_t len;
};

/* A name, within a directory or by itself. */
struct scene_key {
	struct scene_text dir, name;
};

static inline struct scene_key scene_key_of(const char *name)
{
	return (struct scene_key){.name = {name, strlen(name)}};
}

/* Holds no keys: a number leads to its own. */
struct scene_map {
	struct scene_key (*key_of)(const void *owner, uint32_t number);
	const void *owner;
	struct scene_map_slot *slots;
	size_t count, room;
};

/* Where the key's number is, borrowed until the next addition, or NULL. */
uint32_t *scene_map_find(const struct scene_map *map, const struct scene_key *key);
/* The same; an absent key is added with the number `fresh`. NULL: out of memory. */
uint32_t *scene_map_add(struct scene_map *map, struct scene_arena *arena,
			const struct scene_key *key, uint32_t fresh);
/* Makes room for so many numbers at once. False: out of memory. */
bool scene_map_reserve(struct scene_map *map, struct scene_arena *arena, size_t count);

/* ---- lexer ------------------------------------------------------------------- */

enum scene_token_kind {
	SCENE_TOKEN_END, /* also a NUL where a token is due */
	SCENE_TOKEN_ERROR,
	SCENE_TOKEN_STRING,
	SCENE_TOKEN_NAME_STRING, /* &"..." or @"...", Godot 4 */
	SCENE_TOKEN_NUMBER,
	SCENE_TOKEN_WORD,
	SCENE_TOKEN_COLOUR,
	SCENE_TOKEN_MARK, /* one of { } [ ] ( ) : , . = */
};

struct scene_token {
	enum scene_token_kind kind;
	char mark;
	bool escaped;     /* a string that has a backslash in it */
	bool godot3;      /* whose file it is: says how bytes become text */
	const char *text; /* in the input; of a string what is between the quotes */
	size_t len;
};

struct scene_lexer {
	const char *data; /* borrowed; need not end with a NUL */
	size_t len, pos;
	bool godot3;
	const char *error; /* a static sentence about the token at error_at */
	size_t error_at;
};

/* Reads the next token; SCENE_TOKEN_ERROR sets lexer->error. */
void scene_lexer_next(struct scene_lexer *lexer, struct scene_token *token);
/*
 * Passes as many plain numbers with a comma behind each as there are, which is what
 * most of a large scene consists of; returns how many. What follows is for
 * scene_lexer_next().
 */
unsigned scene_lexer_numbers(struct scene_lexer *lexer);
/* Where a byte is, both from 1; the column in bytes. */
void scene_lexer_place(const struct scene_lexer *lexer, size_t at, uint32_t *line,
		       uint32_t *column);
/* A token's text: escapes resolved, what is not UTF-8 replaced by U+FFFD. */
char *scene_lexer_text(const struct scene_token *token, struct scene_arena *arena);

/* ---- values ------------------------------------------------------------------ */

enum scene_value_kind {
	SCENE_VALUE_ABSENT,
	SCENE_VALUE_NULL,
	SCENE_VALUE_BOOL,
	SCENE_VALUE_NUMBER,
	SCENE_VALUE_STRING,
	SCENE_VALUE_PATH, /* NodePath("...") */
	SCENE_VALUE_EXT,
	SCENE_VALUE_SUB,
	SCENE_VALUE_OTHER,
};

struct scene_value {
	enum scene_value_kind kind;
	bool scene; /* it is a resource that can be a scene */
	struct scene_token token; /* the text of those that have one, else how they are written */
};

/* ---- reader ------------------------------------------------------------------ */

enum scene_engine { SCENE_ENGINE_BY_FORMAT, SCENE_ENGINE_3, SCENE_ENGINE_4 };

enum scene_field {
	SCENE_FIELD_FORMAT, SCENE_FIELD_FROM, SCENE_FIELD_ID, SCENE_FIELD_INSTANCE,
	SCENE_FIELD_LOAD_STEPS, SCENE_FIELD_METHOD, SCENE_FIELD_NAME, SCENE_FIELD_OWNER,
	SCENE_FIELD_PARENT, SCENE_FIELD_PATH, SCENE_FIELD_PLACEHOLDER, SCENE_FIELD_SIGNAL,
	SCENE_FIELD_TO, SCENE_FIELD_TYPE, SCENE_FIELD_UID, SCENE_FIELDS
};

struct scene_tag {
	size_t at; /* of its bracket */
	struct scene_token name;
	bool compound; /* has parts behind a dot or colon: none that we know */
	struct scene_value fields[SCENE_FIELDS];
};

/*
 * A text that the reader keeps: where it stands in the input, or which of
 * reader->copies it is. Small, as a file may have a million of the structs below,
 * and memory is to stay below twice the file.
 */
struct scene_span {
	uint32_t at;
	uint32_t len : 30;
	uint32_t copied : 1;
	uint32_t used : 1; /* of an id: something refers to it */
};

struct scene_sub {
	struct scene_span id, type;
	uint32_t line;
};

struct scene_node {
	struct scene_span name, parent;
	uint32_t line;
	bool has_parent : 1;
	bool has_owner : 1;
	bool typed : 1;     /* its type is not empty */
	bool instanced : 1; /* instance= or instance_placeholder= */
	bool no_scene : 1;  /* instance= is something that cannot */
};

struct scene_reader {
	struct scene_lexer lexer;
	struct scene_arena *arena;   /* of what is left behind */
	struct scene_arena scratch;  /* of the rest */
	const char *error; /* NULL while all is well */
	size_t error_at;
	enum scene_engine engine;
	struct scene_tag tag; /* the last one read */
	struct scene_span *exts; /* their ids */
	struct jobq_scene_dependency *dependencies; /* what these need; in `arena` */
	size_t ext_count;
	struct scene_map ext_ids;
	struct scene_sub *subs;
	size_t sub_count;
	struct scene_map sub_ids;
	bool collect; /* keep nodes and stray text for validation */
	struct scene_node *nodes;
	size_t node_count;
	struct jobq_scene_texts copies; /* of texts that are not plain in the input */
	struct jobq_scene_dependency *inlined; /* Resource("...") */
	size_t inlined_count;
	const struct scene_constructor *last; /* the constructor met last: often the next, too */
	const char *unknown; /* the first class that is not known, or NULL */
	size_t unknown_at;
	int64_t load_steps; /* -1 when the header has none */
	size_t stray;       /* where text without `=` stands before a bracket, else 0 */
	char property[64];  /* the name before the last `=`, cut to fit */
	size_t property_len;
	size_t counted_at; /* up to where lines are counted */
	uint32_t counted;
	unsigned char stack[JOBQ_SCENE_DEPTH_MAX];
};

/* What the reader leaves behind. */
struct scene_reading {
	struct jobq_scene_facts facts;
	const char *error; /* NULL, or a sentence */
	uint32_t line, column;
	const char *unknown; /* a class, of Godot 4, that only an extension or a newer one can have */
	uint32_t unknown_line, unknown_column;
	struct jobq_scene_texts errors, warnings; /* with `validate` */
};

/*
 * Reads a whole scene or resource. Returns 0 or -ENOMEM; out->error says
 * what is wrong with the text. Everything lives in `arena`.
 */
int scene_read(struct scene_arena *arena, const char *data, size_t len, enum scene_engine engine,
	       bool validate, struct scene_reading *out);

/*
 * Reads a .import or .remap file: the one dependency in the facts is the file
 * that takes the place of the one it stands beside; none with
 * importer="keep". Returns as scene_read().
 */
int scene_read_import(struct scene_arena *arena, const char *data, size_t len,
		      struct scene_reading *out);

/* Whether project.godot is of Godot 3 or 4; BY_FORMAT when it does not say. */
enum scene_engine scene_read_engine(struct scene_arena *arena, const char *data, size_t len);
/* N when project.godot was last saved by Godot 4.N, else 0. */
unsigned scene_read_minor(const char *data, size_t len);

/* Sets the reader's error, if there is none yet. Returns false. */
bool scene_fail(struct scene_reader *reader, size_t at, const char *text);
/* Fails at a token where `wanted` should be; with its own error if it is one. */
bool scene_unfit(struct scene_reader *reader, const struct scene_token *token, const char *wanted);
/* Reads one token, which must be this mark. */
bool scene_expect(struct scene_reader *reader, char mark);
/* Inline, so that a literal's length is known when it is compiled. */
static inline bool scene_is_word(const struct scene_token *token, const char *word)
{
	return token->kind == SCENE_TOKEN_WORD && strlen(word) == token->len &&
	       memcmp(token->text, word, token->len) == 0;
}
static inline bool scene_is_mark(const struct scene_token *token, char mark)
{
	return token->kind == SCENE_TOKEN_MARK && token->mark == mark;
}
static inline struct scene_text scene_text_of(const struct scene_reader *reader,
					      struct scene_span span)
{
	return (struct scene_text){
		span.copied ? reader->copies.items[span.at] : reader->lexer.data + span.at, span.len};
}
/* Where a token is in the input. */
size_t scene_place(const struct scene_reader *reader, const struct scene_token *token);
/* A value as a whole number: of text the digits in it, of true 1, of other things 0. */
int64_t scene_value_number(const struct scene_value *value);
/* Reads one value. False: reader->error is set. */
bool scene_value_read(struct scene_reader *reader, struct scene_value *value);

#define SCENE_CLASSES_MINOR 7 /* the last Godot 4.N whose resources are all known */
/*
 * Whether the engine can make an object of the class: a resource, or anything with
 * `any`. One of Godot 4 that is not known may be an extension's: the first of these
 * is noted in the reader. False: reader->error is set.
 */
bool scene_class_check(struct scene_reader *reader, struct scene_text name, size_t at, bool any);
/* Whether the class is known; of Godot 3 that is all of them, of Godot 4 few but resources. */
bool scene_class_exists(const char *name, enum scene_engine engine);

enum scene_step { SCENE_STEP_FAILED, SCENE_STEP_END, SCENE_STEP_TAG, SCENE_STEP_PROPERTY };
/*
 * Looks for `name = value` or a tag, as Godot does in the body of a section:
 * bytes up to 32 are skipped, not separators; a `[` starts a tag only when no
 * name has begun. At a tag the position is on its bracket.
 */
enum scene_step scene_body_next(struct scene_reader *reader, struct scene_value *value);
/* Reads a whole tag into reader->tag, or finds the end of the file. */
enum scene_step scene_tag_next(struct scene_reader *reader);
static inline bool scene_tag_is(const struct scene_tag *tag, const char *name)
{
	return !tag->compound && tag->name.len == strlen(name) &&
	       memcmp(tag->name.text, name, tag->name.len) == 0;
}
const char *scene_field_name(enum scene_field field);
/* The line of a place not before the last one asked for. */
uint32_t scene_line(struct scene_reader *reader, size_t at);

/* Adds to out's errors and warnings what the reader's nodes and ids give cause for. */
void scene_validate(struct scene_reader *reader, struct scene_reading *out);

/* ---- project ----------------------------------------------------------------- */

struct jobq_scene_project {
	int root;
	uint64_t device;
	bool walk; /* openat2(2) is not to be had */
	enum scene_engine engine;
	unsigned minor; /* of Godot 4, as config/features says; 0: it does not */
	const struct jobq_list *blacklist;
	struct scene_uids *uids; /* NULL: not asked for yet */
};

/*
 * Opens a regular file for reading, never waiting. `path` is any text; what is
 * no well-formed res:// path gives -EINVAL. Returns a descriptor or a negative
 * errno: -EPERM blacklisted, -ELOOP or -EXDEV a link or another
 * mount, -EISDIR, -ENODEV no regular file.
 */
int scene_project_file(struct jobq_scene_project *project, const char *path,
		       struct jobq_scene_stamp *stamp);
/*
 * Reads an open file whole; *data is malloc'd. -EFBIG over JOBQ_SCENE_FILE_MAX,
 * -ESTALE when it changes meanwhile.
 */
int scene_project_read(int fd, const struct jobq_scene_stamp *stamp, char **data);
/* Asks the kernel for the file's pages, in bites it will accept. */
void scene_project_preload(int fd, uint64_t bytes);

/*
 * The res:// path meant by `text` in a file of directory `dir` (with its
 * slash): `//`, `.` and `..` resolved as Godot does. NULL and *why when it
 * is under no res:// root.
 */
char *scene_project_path(struct scene_arena *arena, const char *dir, const char *text,
			 const char **why);

/* The file that is read in place of `path`: its .remap, its .import, or `path` itself. */
struct scene_stand_in {
	const char *path, *file;
};

/* Those of one load: what has been looked for once is known, as it is needed often. */
struct scene_stand_ins {
	struct jobq_scene_project *project;
	struct scene_arena *arena; /* of all that follows */
	struct scene_stand_in *items;
	size_t count;
	struct scene_map paths; /* to numbers of items */
};

void scene_stand_in_start(struct scene_stand_ins *stand_ins, struct jobq_scene_project *project,
			  struct scene_arena *arena);
/*
 * What stands in for a path, borrowed until the next call; `scratch` is for what is
 * no longer needed then. NULL when out of memory, and with *error when a sidecar is
 * there that may not be read, which is looked for again.
 */
const struct scene_stand_in *scene_stand_in_find(struct scene_stand_ins *stand_ins,
						 struct scene_arena *scratch, const char *path,
						 int *error);

/*
 * The res:// path that `uid` stands for, borrowed until the next call, or NULL.
 * `fresh`: look first whether the cache file is still the one that was read.
 * `thorough`: when it is not in there, look through the project's files.
 */
const char *scene_uid_path(struct jobq_scene_project *project, const char *uid, bool fresh,
			   bool thorough);
/* Whether a file of the project declares a GDExtension, which brings classes. */
bool scene_uid_extended(struct jobq_scene_project *project);
/* Gives back what the project knows of uids. */
void scene_uid_forget(struct jobq_scene_project *project);

/* ---- kinds of files, by their names ------------------------------------------- */

/* Whether it says what is read in place of the file that it stands beside. */
bool scene_kind_sidecar(const char *path);
/* Whether it is text that scene_read() or scene_read_import() reads. */
bool scene_kind_text(const char *path);
/* Whether a loader that is asked for the type takes the file. */
bool scene_kind_fits(enum scene_engine engine, const char *path, const char *type);
/* Whether Godot knows the file only by what the editor makes of it. */
bool scene_kind_raw(const char *path);

/* ---- cache ------------------------------------------------------------------- */

enum scene_cache_found { SCENE_CACHE_MISS, SCENE_CACHE_STALE, SCENE_CACHE_HIT };

/* Copies the facts out into `arena` on a hit. */
enum scene_cache_found scene_cache_get(struct jobq_scene_cache *cache, const char *path,
				       const struct jobq_scene_stamp *stamp,
				       struct scene_arena *arena, struct jobq_scene_facts *facts);
/* True when the entry is new; false when a fresh one was there or it does not fit. */
bool scene_cache_put(struct jobq_scene_cache *cache, const char *path,
		     const struct jobq_scene_stamp *stamp, const struct jobq_scene_facts *facts);

#endif
