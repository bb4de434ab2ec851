#include "config.h"

#include <limits.h>
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

/* The parent's path without `./` and `:sub`; of the root it is ".". */
static struct scene_text dir_of(const struct scene_reader *reader, const struct scene_node *node)
{
	struct scene_text path = scene_text_of(reader, node->parent);

	while (path.len >= 2 && path.at[0] == '.' && path.at[1] == '/') {
		path.at += 2;
		path.len -= 2;
	}
	const char *sub = memchr(path.at, ':', path.len);
	if (sub != NULL)
		path.len = (size_t)(sub - path.at);
	while (path.len > 1 && path.at[path.len - 1] == '/')
		path.len--;
	return path.len == 0 ? (struct scene_text){".", 1} : path;
}

static bool is_root(struct scene_text path)
{
	return path.len == 1 && path.at[0] == '.';
}

/* Splits the path of a node, relative to the root, into its parent's and its name. */
static void split(struct scene_text path, struct scene_text *dir, struct scene_text *name)
{
	size_t cut = path.len;

	while (cut > 0 && path.at[cut - 1] != '/')
		cut--;
	*name = (struct scene_text){path.at + cut, path.len - cut};
	*dir = cut <= 1 ? (struct scene_text){".", 1} : (struct scene_text){path.at, cut - 1};
}

static struct scene_key key_of_node(const void *reader, uint32_t number)
{
	const struct scene_reader *of = reader;
	const struct scene_node *node = &of->nodes[number];

	return (struct scene_key){dir_of(of, node), scene_text_of(of, node->name)};
}

static const struct scene_node *find(const struct scene_reader *reader, const struct scene_map *places,
				     struct scene_text path)
{
	struct scene_key key;

	split(path, &key.dir, &key.name);
	const uint32_t *number = scene_map_find(places, &key);
	return number == NULL ? NULL : &reader->nodes[*number];
}

/* ---- what is wrong with them ------------------------------------------------ */

/* Whether a node at the path may come from a scene that is instanced here. */
static bool within_instance(const struct scene_reader *reader, const struct scene_map *places,
			    struct scene_text path)
{
	if (reader->nodes[0].instanced)
		return true;
	while (path.len > 0) {
		const struct scene_node *node = find(reader, places, path);
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
static int shown(struct scene_text text)
{
	size_t len = text.len < SHOWN_MOST ? text.len : SHOWN_MOST;

	while (len > 0 && len < text.len && ((unsigned char)text.at[len] & 0xc0) == 0x80)
		len--;
	return (int)len;
}

/* For %.*s. */
#define SHOW(text) shown(text), (text).at
#define WHOLE(text) (int)(text).len, (text).at

static void check_instance(struct scene_reader *reader, struct scene_reading *out,
			   const struct scene_node *node)
{
	struct scene_text name = scene_text_of(reader, node->name);

	if (node->no_scene)
		ADD(&out->errors, "line %u: node %.*s is to be an instance of what is no scene",
		    node->line, SHOW(name));
}

static void check_child(struct scene_reader *reader, struct scene_reading *out,
			struct scene_map *places, uint32_t number)
{
	const struct scene_node *node = &reader->nodes[number];
	struct scene_text name = scene_text_of(reader, node->name);

	check_instance(reader, out, node);
	if (!node->has_parent) {
		ADD(&out->errors, "line %u: node %.*s has no parent, but the scene has a root already",
		    node->line, SHOW(name));
		return;
	}
	struct scene_text dir = dir_of(reader, node);
	bool under_root = is_root(dir);
	bool inside = reader->nodes[0].instanced;
	if (!under_root && !inside) {
		const struct scene_node *parent = find(reader, places, dir);
		inside = parent != NULL ? parent->instanced || !parent->typed
					: within_instance(reader, places, dir);
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
	struct scene_key key = {dir, name};
	const uint32_t *first = scene_map_add(places, &reader->scratch, &key, number);
	if (first != NULL && *first != number)
		ADD(&out->warnings,
		    "line %u: node %.*s has the same name and parent as the one on line %u",
		    node->line, SHOW(name), reader->nodes[*first].line);
}

static void check_nodes(struct scene_reader *reader, struct scene_reading *out)
{
	const struct scene_node *root = &reader->nodes[0];
	struct scene_text name = scene_text_of(reader, root->name);
	struct scene_map places = {.key_of = key_of_node, .owner = reader};

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
	if (!scene_map_reserve(&places, &reader->scratch, reader->node_count))
		return;
	for (uint32_t i = 1; i < reader->node_count; i++)
		check_child(reader, out, &places, i);
}

/* The number that an id begins with; -1: none. */
static long number_of(struct scene_text id)
{
	long number = -1;

	for (size_t i = 0; i < id.len && id.at[i] >= '0' && id.at[i] <= '9'; i++) {
		if (__builtin_mul_overflow(i == 0 ? 0 : number, 10, &number) ||
		    __builtin_add_overflow(number, id.at[i] - '0', &number))
			return LONG_MAX;
	}
	return number;
}

static void check_resources(struct scene_reader *reader, struct scene_reading *out)
{
	bool sorted = true;
	struct scene_text before = {0};

	for (size_t i = 0; i < reader->ext_count; i++) {
		const struct jobq_scene_dependency *dependency = &reader->dependencies[i];
		const char *path = dependency->path;
		struct scene_text id = scene_text_of(reader, reader->exts[i]);
		if (!reader->exts[i].used)
			ADD(&out->warnings, "line %u: ext_resource %.*s (%s) is not used",
			    dependency->line, WHOLE(id), path);
		if (strchr(path, ' ') != NULL)
			ADD(&out->warnings, "line %u: the path \"%s\" has a blank in it",
			    dependency->line, path);
		if (i > 0 && sorted && number_of(id) < number_of(before)) {
			sorted = false; /* to be said once */
			ADD(&out->warnings, "line %u: ext_resource %.*s stands behind %.*s: the "
			    "ids do not rise", dependency->line, WHOLE(id), WHOLE(before));
		}
		before = id;
	}
	for (size_t i = 0; i < reader->sub_count; i++) {
		const struct scene_sub *sub = &reader->subs[i];
		struct scene_text id = scene_text_of(reader, sub->id);
		struct scene_text type = scene_text_of(reader, sub->type);
		if (!sub->id.used)
			ADD(&out->warnings, "line %u: sub_resource %.*s (%.*s) is not used",
			    sub->line, WHOLE(id), WHOLE(type));
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
