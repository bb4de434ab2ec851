/*
 * tree-sitter with the grammar tree-sitter-godot-resource, as a shared object:
 * what tests/scene/differential.py compares verdicts with and tests/bench/run
 * compares speed with. grammar.py builds it together with the grammar's parser.c.
 *
 * The grammar's own scanner takes no &"..." and ends "\\" at the wrong quote, so
 * that it rejects one real scene in six; the one below differs in that only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The grammar's header first: behind the library's it leaves out its types. */
#include <tree_sitter/parser.h>
#include <tree_sitter/api.h>

struct peer_verdict {
	uint32_t broken; /* 1 when there is an ERROR or MISSING node */
	uint32_t line;   /* of the first one, from 1 */
	uint32_t nodes, exts, subs, connections;
};

/* Declared here, as the grammar brings no header. */
const TSLanguage *tree_sitter_godot_resource(void);
void *tree_sitter_godot_resource_external_scanner_create(void);
void tree_sitter_godot_resource_external_scanner_destroy(void *payload);
unsigned tree_sitter_godot_resource_external_scanner_serialize(void *payload, char *buffer);
void tree_sitter_godot_resource_external_scanner_deserialize(void *payload, const char *buffer,
							     unsigned length);
bool tree_sitter_godot_resource_external_scanner_scan(void *payload, TSLexer *lexer,
						      const bool *valid);
void *peer_new(void);
void peer_free(void *parser);
int peer_parse(void *parser, const char *data, uint32_t len);
void peer_judge(void *parser, const char *data, uint32_t len, struct peer_verdict *out);

/* ---- the scanner: strings ------------------------------------------------------ */

void *tree_sitter_godot_resource_external_scanner_create(void)
{
	return NULL;
}

void tree_sitter_godot_resource_external_scanner_destroy(void *payload)
{
	(void)payload;
}

unsigned tree_sitter_godot_resource_external_scanner_serialize(void *payload, char *buffer)
{
	(void)payload;
	(void)buffer;
	return 0;
}

void tree_sitter_godot_resource_external_scanner_deserialize(void *payload, const char *buffer,
							     unsigned length)
{
	(void)payload;
	(void)buffer;
	(void)length;
}

bool tree_sitter_godot_resource_external_scanner_scan(void *payload, TSLexer *lexer,
						      const bool *valid)
{
	(void)payload;
	if (!valid[0])
		return false;
	while (lexer->lookahead == ' ' || (lexer->lookahead >= '\t' && lexer->lookahead <= '\r'))
		lexer->advance(lexer, true);
	if (lexer->lookahead == '&' || lexer->lookahead == '@')
		lexer->advance(lexer, false);
	if (lexer->lookahead != '"')
		return false;
	lexer->advance(lexer, false);
	while (lexer->lookahead != 0 && lexer->lookahead != '"') {
		if (lexer->lookahead == '\\')
			lexer->advance(lexer, false);
		lexer->advance(lexer, false);
	}
	if (lexer->lookahead != '"')
		return false;
	lexer->advance(lexer, false);
	lexer->result_symbol = 0;
	return true;
}

/* ---- what is called from outside ------------------------------------------------- */

/* NULL when the library does not take the grammar's version. */
void *peer_new(void)
{
	TSParser *parser = ts_parser_new();

	if (parser != NULL && !ts_parser_set_language(parser, tree_sitter_godot_resource())) {
		ts_parser_delete(parser);
		return NULL;
	}
	return parser;
}

void peer_free(void *parser)
{
	ts_parser_delete(parser);
}

/* Builds the tree and drops it. Returns whether it has errors. */
int peer_parse(void *parser, const char *data, uint32_t len)
{
	TSTree *tree = ts_parser_parse_string(parser, NULL, data, len);
	int broken = ts_node_has_error(ts_tree_root_node(tree));

	ts_tree_delete(tree);
	return broken;
}

/* The line of the innermost first node with an error in it. */
static uint32_t first_error(TSNode node)
{
	for (uint32_t i = 0; i < ts_node_child_count(node); i++) {
		TSNode child = ts_node_child(node, i);
		if (ts_node_is_missing(child) || strcmp(ts_node_type(child), "ERROR") == 0)
			return ts_node_start_point(child).row + 1;
		if (ts_node_has_error(child))
			return first_error(child);
	}
	return ts_node_start_point(node).row + 1;
}

/* Counts a child of the root, if it is a section of a name that we know. */
static void count(TSNode section, const char *data, struct peer_verdict *out)
{
	static const char *const names[] = {"node", "ext_resource", "sub_resource", "connection"};
	uint32_t *const counts[] = {&out->nodes, &out->exts, &out->subs, &out->connections};
	TSNode name = ts_node_named_child(section, 0);

	if (strcmp(ts_node_type(section), "section") != 0 || ts_node_is_null(name))
		return;
	uint32_t start = ts_node_start_byte(name), len = ts_node_end_byte(name) - start;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == len && memcmp(names[i], data + start, len) == 0)
			++*counts[i];
	}
}

void peer_judge(void *parser, const char *data, uint32_t len, struct peer_verdict *out)
{
	TSTree *tree = ts_parser_parse_string(parser, NULL, data, len);
	TSNode root = ts_tree_root_node(tree);
	TSTreeCursor cursor = ts_tree_cursor_new(root);

	*out = (struct peer_verdict){.broken = ts_node_has_error(root)};
	if (out->broken)
		out->line = first_error(root);
	for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
	     more = ts_tree_cursor_goto_next_sibling(&cursor))
		count(ts_tree_cursor_current_node(&cursor), data, out);
	ts_tree_cursor_delete(&cursor);
	ts_tree_delete(tree);
}
