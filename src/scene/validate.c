#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "scene/scene.h"

/*
 * What loads and then does not work. Errors are what makes Godot give up when
 * the scene is instanced; warnings are what it drops, ignores or prints.
 */

#define MANY_NODES 1000
#define SHOWN_MOST 200 /* bytes of a name in a message */
#define FINDINGS_MAX 1000 /* of each sort; a wrecked scene has one per node */

static void add(struct scene_reader *reader, struct jobq_scene_texts *texts, const char *text)
{
	if (texts->count < FINDINGS_MAX)
		scene_arena_add_text(reader->arena, texts, text);
	else if (texts->count == FINDINGS_MAX)
		scene_arena_add_text(reader->arena, texts, "there are more");
}

#define ADD(texts, ...)                                                                            \
	do {                                                                                       \
		if ((texts)->count <= FINDINGS_MAX)                                                \
			add(reader, texts, scene_arena_print(reader->arena, __VA_ARGS__));         \
	} while (0)

/* ---- nodes by their place ------------------------------------------------- */

/* A text within the input or a copy; not ended by a NUL. */
struct text {
	const char *at;
	size_t len;
};

static struct text text_at(const struct scene_reader *reader, uint32_t at, uint32_t len, bool copied)
{
	return (struct text){copied ? reader->copies.items[at] : reader->lexer.data + at, len};
}

static struct text name_of(const struct scene_reader *reader, const struct scene_node *node)
{
	return text_at(reader, node->name_at, node->name_len, node->name_copied);
}

/* The parent's path without `./` and `:sub`; of the root it is ".". */
static struct text dir_of(const struct scene_reader *reader, const struct scene_node *node)
{
	struct text path = text_at(reader, node->parent_at, node->parent_len, node->parent_copied);

	while (path.len >= 2 && path.at[0] == '.' && path.at[1] == '/') {
		path.at += 2;
		path.len -= 2;
	}
	const char *sub = memchr(path.at, ':', path.len);
	if (sub != NULL)
		path.len = (size_t)(sub - path.at);
	while (path.len > 1 && path.at[path.len - 1] == '/')
		path.len--;
	return path.len == 0 ? (struct text){".", 1} : path;
}

static bool is_root(struct text path)
{
	return path.len == 1 && path.at[0] == '.';
}

/* Splits the path of a node, relative to the root, into its parent's and its name. */
static void split(struct text path, struct text *dir, struct text *name)
{
	size_t cut = path.len;

	while (cut > 0 && path.at[cut - 1] != '/')
		cut--;
	*name = (struct text){path.at + cut, path.len - cut};
	*dir = cut <= 1 ? (struct text){".", 1} : (struct text){path.at, cut - 1};
}

/* Open addressing; a quarter more places than nodes, or more. */
struct index {
	struct place {
		uint32_t hash, node; /* node: its number + 1; 0: free */
	} *places;
	size_t mask;
};

static uint64_t mix(uint64_t hash, struct text text)
{
	uint64_t word;

	for (; text.len >= sizeof(word); text.at += sizeof(word), text.len -= sizeof(word)) {
		memcpy(&word, text.at, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	word = text.len + 1;
	for (size_t i = 0; i < text.len; i++)
		word = word << 8 | (unsigned char)text.at[i];
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static bool same(struct text a, struct text b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* The place of a node, or the free one that is its own. */
static struct place *locate(const struct scene_reader *reader, const struct index *index,
			    struct text dir, struct text name, uint32_t *hash)
{
	*hash = (uint32_t)mix(mix(0, dir), name);
	for (size_t at = *hash & index->mask;; at = (at + 1) & index->mask) {
		struct place *place = &index->places[at];
		if (place->node == 0)
			return place;
		const struct scene_node *node = &reader->nodes[place->node - 1];
		if (place->hash == *hash && same(name_of(reader, node), name) &&
		    same(dir_of(reader, node), dir))
			return place;
	}
}

static const struct scene_node *find(const struct scene_reader *reader, const struct index *index,
				     struct text path)
{
	struct text dir, name;
	uint32_t hash;

	split(path, &dir, &name);
	const struct place *place = locate(reader, index, dir, name, &hash);
	return place->node == 0 ? NULL : &reader->nodes[place->node - 1];
}

/* ---- what is wrong with them ------------------------------------------------ */

/* Whether a node at the path may come from a scene that is instanced here. */
static bool within_instance(const struct scene_reader *reader, const struct index *index,
			    struct text path)
{
	if (reader->nodes[0].instanced)
		return true;
	while (path.len > 0) {
		const struct scene_node *node = find(reader, index, path);
		if (node != NULL)
			return node->instanced || !node->typed;
		while (path.len > 0 && path.at[path.len - 1] != '/')
			path.len--;
		if (path.len > 0)
			path.len--;
	}
	return false;
}

/* How much of a text to show: not all of a very long one, and no half of a character. */
static int shown(struct text text)
{
	size_t len = text.len < SHOWN_MOST ? text.len : SHOWN_MOST;

	while (len > 0 && len < text.len && ((unsigned char)text.at[len] & 0xc0) == 0x80)
		len--;
	return (int)len;
}

#define SHOW(text) shown(text), (text).at /* for %.*s */

static void check_instance(struct scene_reader *reader, struct scene_reading *out,
			   const struct scene_node *node)
{
	struct text name = name_of(reader, node);

	if (node->no_scene)
		ADD(&out->errors, "line %u: node %.*s is to be an instance of what is no scene",
		    node->line, SHOW(name));
}

static void check_child(struct scene_reader *reader, struct scene_reading *out,
			const struct index *index, size_t number)
{
	const struct scene_node *node = &reader->nodes[number];
	struct text name = name_of(reader, node);
	uint32_t hash;

	check_instance(reader, out, node);
	if (!node->has_parent) {
		ADD(&out->errors, "line %u: node %.*s has no parent, but the scene has a root already",
		    node->line, SHOW(name));
		return;
	}
	struct text dir = dir_of(reader, node);
	bool under_root = is_root(dir);
	bool inside = reader->nodes[0].instanced;
	if (!under_root && !inside) {
		const struct scene_node *parent = find(reader, index, dir);
		inside = parent != NULL ? parent->instanced || !parent->typed
					: within_instance(reader, index, dir);
		if (parent == NULL && !inside) {
			ADD(&out->warnings,
			    "line %u: the parent %.*s of node %.*s is not there; the node is dropped",
			    node->line, SHOW(dir), SHOW(name));
			return;
		}
	}
	if (!node->typed && !node->instanced && !inside)
		ADD(&out->warnings,
		    "line %u: node %.*s has neither a type nor an instance and is ignored",
		    node->line, SHOW(name));
	struct place *place = locate(reader, index, dir, name, &hash);
	if (place->node == 0)
		*place = (struct place){hash, (uint32_t)number + 1};
	else
		ADD(&out->warnings,
		    "line %u: node %.*s has the same name and parent as the one on line %u",
		    node->line, SHOW(name), reader->nodes[place->node - 1].line);
}

static void check_nodes(struct scene_reader *reader, struct scene_reading *out)
{
	const struct scene_node *root = &reader->nodes[0];
	struct text name = name_of(reader, root);
	struct index index = {.mask = 15};

	if (root->has_parent)
		ADD(&out->errors, "line %u: the root node %.*s has a parent", root->line, SHOW(name));
	if (root->has_owner) /* which is looked for before there is a node to begin at */
		ADD(&out->errors, "line %u: the root node %.*s has an owner", root->line, SHOW(name));
	check_instance(reader, out, root);
	if (!root->typed && !root->instanced)
		ADD(&out->errors, "line %u: the root node %.*s has neither a type nor a base scene",
		    root->line, SHOW(name));
	/* Godot 4 puts another node in its place. */
	else if (!root->instanced && reader->engine == SCENE_ENGINE_3 &&
		 !scene_class_exists(out->facts.root_type, reader->engine))
		ADD(&out->errors, "line %u: the root node %.*s is a %s, which Godot 3 does not have",
		    root->line, SHOW(name), out->facts.root_type);
	if (reader->node_count > MANY_NODES)
		ADD(&out->warnings, "the scene has %zu nodes; more than %d are slow to instance",
		    reader->node_count, MANY_NODES);
	while (index.mask < reader->node_count * 5 / 4)
		index.mask = index.mask * 2 + 1;
	index.places = calloc(index.mask + 1, sizeof(index.places[0]));
	if (index.places == NULL)
		reader->arena->failed = true;
	else
		scene_arena_huge(index.places, (index.mask + 1) * sizeof(index.places[0]));
	for (size_t i = 1; i < reader->node_count && !reader->arena->failed; i++)
		check_child(reader, out, &index, i);
	free(index.places);
}

/* The number that an id begins with; -1: none. */
static long number_of(const char *id)
{
	return id[0] >= '0' && id[0] <= '9' ? strtol(id, NULL, 10) : -1;
}

static void check_resources(struct scene_reader *reader, struct scene_reading *out)
{
	bool sorted = true;

	for (size_t i = 0; i < reader->ext_count; i++) {
		const struct scene_ext *ext = &reader->exts[i];
		const char *path = ext->dependency.path;
		size_t len = strlen(path);
		if (!ext->used)
			ADD(&out->warnings, "line %u: ext_resource %s (%s) is not used",
			    ext->dependency.line, ext->id, path);
		if (memchr(path, ' ', len) != NULL)
			ADD(&out->warnings, "line %u: the path \"%s\" has a blank in it",
			    ext->dependency.line, path);
		if (i > 0 && sorted && number_of(ext->id) < number_of(reader->exts[i - 1].id)) {
			sorted = false; /* to be said once */
			ADD(&out->warnings, "line %u: ext_resource %s stands behind %s: the ids do "
			    "not rise", ext->dependency.line, ext->id, reader->exts[i - 1].id);
		}
	}
	for (size_t i = 0; i < reader->sub_count; i++) {
		const struct scene_sub *sub = &reader->subs[i];
		if (!sub->used)
			ADD(&out->warnings, "line %u: sub_resource %s (%s) is not used", sub->line,
			    sub->id, sub->type);
	}
	uint64_t steps = reader->ext_count + reader->sub_count + 1;
	if (reader->load_steps >= 0 && (uint64_t)reader->load_steps != steps)
		ADD(&out->warnings, "load_steps is %lld, but should be %llu",
		    (long long)reader->load_steps, (unsigned long long)steps);
}

void scene_validate(struct scene_reader *reader, struct scene_reading *out)
{
	uint32_t line, column;

	if (reader->stray > 0) {
		scene_lexer_place(&reader->lexer, reader->stray, &line, &column);
		ADD(&out->warnings,
		    "line %u: text without `=` stands before this bracket, which so starts no tag",
		    line);
	}
	check_resources(reader, out);
	if (reader->node_count > 0)
		check_nodes(reader, out);
}
