#include "config.h"

#include <string.h>

#include "scene/scene.h"

/*
 * What loads and then does not work. Errors are what makes Godot give up when
 * the scene is instanced; warnings are what it drops, ignores or prints.
 */

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

/* A parent's path without `./` and `:sub`; of the root it is ".". */
static void plain(const char *path, const char **start, size_t *len)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	*start = *path == '\0' ? "." : path;
	*len = strcspn(*start, ":");
	while (*len > 1 && (*start)[*len - 1] == '/')
		--*len;
}

/* The key of the node at a path relative to the root, "." being the root. */
static struct scene_key key_of(const char *path, size_t len)
{
	size_t cut = len;

	while (cut > 0 && path[cut - 1] != '/')
		cut--;
	if (cut <= 1)
		return (struct scene_key){.dir = ".", .dir_len = 1, .name = path + cut,
					  .name_len = len - cut};
	return (struct scene_key){.dir = path, .dir_len = cut - 1, .name = path + cut,
				  .name_len = len - cut};
}

/* Whether a node at the path may come from a scene that is instanced here. */
static bool within_instance(const struct scene_reader *reader, const struct scene_map *map,
			    const char *path, size_t len)
{
	if (reader->nodes[0].instanced)
		return true;
	while (len > 0) {
		struct scene_key key = key_of(path, len);
		const uint32_t *index = scene_map_find(map, &key);
		if (index != NULL)
			return reader->nodes[*index].instanced || reader->nodes[*index].type[0] == '\0';
		while (len > 0 && path[len - 1] != '/')
			len--;
		if (len > 0)
			len--;
	}
	return false;
}

static void check_child(struct scene_reader *reader, struct scene_reading *out,
			struct scene_map *map, size_t index)
{
	const struct scene_node *node = &reader->nodes[index];
	const char *dir;
	size_t dir_len;

	if (node->parent == NULL) {
		ADD(&out->errors, "line %u: node %s has no parent, but the scene has a root already",
		    node->line, node->name);
		return;
	}
	plain(node->parent, &dir, &dir_len);
	bool under_root = dir_len == 1 && dir[0] == '.';
	bool inside = within_instance(reader, map, dir, under_root ? 0 : dir_len);
	if (!under_root && !inside) {
		struct scene_key parent = key_of(dir, dir_len);
		if (scene_map_find(map, &parent) == NULL) {
			ADD(&out->warnings,
			    "line %u: the parent %s of node %s is not there; the node is dropped",
			    node->line, node->parent, node->name);
			return;
		}
	}
	if (node->type[0] == '\0' && !node->instanced && !inside)
		ADD(&out->warnings,
		    "line %u: node %s has neither a type nor an instance and is ignored",
		    node->line, node->name);
	struct scene_key key = {.dir = dir, .dir_len = dir_len, .name = node->name,
				.name_len = strlen(node->name)};
	const uint32_t *first = scene_map_add(map, reader->arena, &key, (uint32_t)index);
	if (first != NULL && *first != index)
		ADD(&out->warnings, "line %u: node %s has the same name and parent as the one on line %u",
		    node->line, node->name, reader->nodes[*first].line);
}

static void check_nodes(struct scene_reader *reader, struct scene_reading *out)
{
	struct scene_map map = {0};
	const struct scene_node *root = &reader->nodes[0];

	if (root->parent != NULL)
		ADD(&out->errors, "line %u: the root node %s has a parent", root->line, root->name);
	if (root->type[0] == '\0' && !root->base)
		ADD(&out->errors, "line %u: the root node %s has neither a type nor a base scene",
		    root->line, root->name);
	for (size_t i = 1; i < reader->node_count && !reader->arena->failed; i++)
		check_child(reader, out, &map, i);
}

static void check_resources(struct scene_reader *reader, struct scene_reading *out)
{
	for (size_t i = 0; i < reader->ext_count; i++) {
		const struct scene_ext *ext = &reader->exts[i];
		const char *path = ext->dependency.path;
		size_t len = strlen(path);
		if (!ext->used)
			ADD(&out->warnings, "line %u: ext_resource %s (%s) is not used",
			    ext->dependency.line, ext->id, path);
		if (len > 0 && (path[0] == ' ' || path[len - 1] == ' '))
			ADD(&out->warnings, "line %u: the path \"%s\" begins or ends with a blank",
			    ext->dependency.line, path);
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
