/* A store in memory: the contract in its simplest form, for tests. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_mem.h"

static struct mem_store *mem(struct jobq_store *store)
{
	return (struct mem_store *)store;
}

static struct jobq_text take(char **at, const struct jobq_text *text)
{
	struct jobq_text copy = {*at, text->len};

	if (text->len > 0)
		memcpy(*at, text->data, text->len);
	*at += text->len;
	return copy;
}

static struct kept *keep(const struct jobq_entry *entry)
{
	size_t len = entry->owner.len + entry->key.len + entry->labels.len +
		     entry->parameters.len + entry->error.len + entry->log.len + entry->result.len;
	struct kept *kept = malloc(sizeof(*kept) + len);

	if (kept == NULL)
		return NULL;
	char *at = kept->bytes;
	kept->entry = *entry;
	kept->entry.owner = take(&at, &entry->owner);
	kept->entry.key = take(&at, &entry->key);
	kept->entry.labels = take(&at, &entry->labels);
	kept->entry.log = take(&at, &entry->log);
	kept->entry.parameters = take(&at, &entry->parameters);
	kept->entry.error = take(&at, &entry->error);
	kept->entry.result = take(&at, &entry->result);
	return kept;
}

static void drop(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free(rows->items[i]);
	free(rows->items);
	*rows = (struct rows){0};
}

static int copy(struct rows *to, const struct rows *from)
{
	to->items = calloc(from->count + 1, sizeof(to->items[0]));
	if (to->items == NULL)
		return -ENOMEM;
	for (to->count = 0; to->count < from->count; to->count++) {
		to->items[to->count] = keep(&from->items[to->count]->entry);
		if (to->items[to->count] == NULL) {
			drop(to);
			return -ENOMEM;
		}
	}
	return 0;
}

/* The place of the first row whose id is not below `id`. */
static size_t place_of(const struct rows *rows, uint64_t id)
{
	size_t at = 0;

	while (at < rows->count && rows->items[at]->entry.id < id)
		at++;
	return at;
}

static void cut_out(struct rows *rows, size_t at)
{
	free(rows->items[at]);
	rows->count--;
	memmove(&rows->items[at], &rows->items[at + 1], (rows->count - at) * sizeof(rows->items[0]));
}

static int mem_open(const char *place, enum jobq_store_mode mode, enum jobq_durability durability,
		    struct jobq_store **out, struct jobq_buf *why)
{
	struct mem_store *store = calloc(1, sizeof(*store));

	(void)place;
	(void)mode;
	(void)durability;
	(void)why;
	if (store == NULL)
		return -ENOMEM;
	store_mem_init_hooks(&store->hooks);
	store->meta = (struct jobq_store_meta){.store_id = (uintptr_t)store, .next_id = 1};
	*out = &store->base;
	return 0;
}

static void mem_rollback(struct jobq_store *base)
{
	drop(&mem(base)->draft);
	store_mem_drop_hooks(&mem(base)->draft_hooks);
	mem(base)->open = false;
}

static void mem_close(struct jobq_store *base)
{
	mem_rollback(base);
	drop(&mem(base)->committed);
	store_mem_drop_hooks(&mem(base)->hooks);
	free(base);
}

static bool mem_current(struct jobq_store *base)
{
	(void)base;
	return true;
}

static int mem_begin(struct jobq_store *base)
{
	struct mem_store *store = mem(base);
	int rc = store->open ? -EBUSY : copy(&store->draft, &store->committed);

	if (rc < 0)
		return rc;
	rc = store_mem_copy_hooks(&store->draft_hooks, &store->hooks);
	if (rc < 0) {
		drop(&store->draft);
		return rc;
	}
	store->draft_meta = store->meta;
	store->open = true;
	return 0;
}

static int mem_commit(struct jobq_store *base, bool synced)
{
	struct mem_store *store = mem(base);

	(void)synced;
	drop(&store->committed);
	store->committed = store->draft;
	store_mem_drop_hooks(&store->hooks);
	store->hooks = store->draft_hooks;
	store->draft_hooks = (struct mem_hooks){0};
	store->meta = store->draft_meta;
	store->draft = (struct rows){0};
	store->open = false;
	return 0;
}

static int mem_put(struct jobq_store *base, const struct jobq_entry *entry)
{
	struct rows *rows = &mem(base)->draft;
	size_t at = place_of(rows, entry->id);
	struct kept *kept = keep(entry);

	if (kept == NULL)
		return -ENOMEM;
	if (at < rows->count && rows->items[at]->entry.id == entry->id) {
		free(rows->items[at]);
		rows->items[at] = kept;
		return 0;
	}
	struct kept **items = reallocarray(rows->items, rows->count + 1, sizeof(items[0]));
	if (items == NULL) {
		free(kept);
		return -ENOMEM;
	}
	rows->items = items;
	memmove(&items[at + 1], &items[at], (rows->count - at) * sizeof(items[0]));
	items[at] = kept;
	rows->count++;
	return 0;
}

static int mem_remove(struct jobq_store *base, uint64_t id)
{
	struct rows *rows = &mem(base)->draft;
	size_t at = place_of(rows, id);

	if (at < rows->count && rows->items[at]->entry.id == id)
		cut_out(rows, at);
	return 0;
}

static int mem_expire(struct jobq_store *base, int64_t limit, size_t most, size_t *removed)
{
	struct rows *rows = &mem(base)->draft;

	for (*removed = 0; *removed < most; (*removed)++) {
		size_t oldest = rows->count;
		for (size_t i = 0; i < rows->count; i++) {
			int64_t completed = rows->items[i]->entry.completed;
			if (completed > 0 && completed < limit &&
			    (oldest == rows->count ||
			     completed < rows->items[oldest]->entry.completed))
				oldest = i;
		}
		if (oldest == rows->count)
			break;
		cut_out(rows, oldest);
	}
	return 0;
}

static int mem_set_meta(struct jobq_store *base, const struct jobq_store_meta *meta)
{
	mem(base)->draft_meta.seq = meta->seq;
	mem(base)->draft_meta.next_id = meta->next_id;
	return 0;
}

static int mem_meta(struct jobq_store *base, struct jobq_store_meta *out)
{
	*out = mem(base)->meta;
	return 0;
}

static int mem_each(struct jobq_store *base, uint64_t after, jobq_store_visit visit, void *arg)
{
	struct rows *rows = &mem(base)->committed;
	int rc = 0;

	for (size_t i = 0; i < rows->count && rc == 0; i++)
		if (rows->items[i]->entry.id > after)
			rc = visit(arg, &rows->items[i]->entry);
	return rc;
}

static int mem_backup(struct jobq_store *base, const char *path)
{
	(void)base;
	(void)path;
	return -EOPNOTSUPP;
}

static const char *mem_error(const struct jobq_store *base)
{
	(void)base;
	return "out of memory";
}

const struct store_ops store_mem_ops = {
	.prefix = "memory:",
	.open = mem_open,
	.close = mem_close,
	.current = mem_current,
	.begin = mem_begin,
	.commit = mem_commit,
	.rollback = mem_rollback,
	.put = mem_put,
	.remove = mem_remove,
	.expire = mem_expire,
	.set_meta = mem_set_meta,
	.meta = mem_meta,
	.each = mem_each,
	.backup = mem_backup,
	.error = mem_error,
	.hooks = &store_mem_hook_ops,
};
