#include "config.h"

#include <string.h>

#include "table/table.h"

char *span_data(const struct jobq_table *table, uint32_t span)
{
	return table->data + (size_t)span * SPAN_BYTES;
}

uint32_t span_take(struct jobq_table *table, enum span_kind kind, bool reserve)
{
	struct header *header = table->header;
	uint32_t n = header->free_head;

	if (n == 0 || n >= table->span_count || (!reserve && header->free_count <= header->reserve))
		return 0;
	struct span *span = &table->spans[n];
	header->free_head = span->next;
	header->free_count--;
	memset(span->bitmap, 0, sizeof(span->bitmap));
	span->next = 0;
	span->prev = 0;
	span->used = 0;
	span->class = 0;
	span->kind = kind;
	return n;
}

void span_give(struct jobq_table *table, uint32_t n)
{
	struct span *span = &table->spans[n];

	span->kind = SPAN_FREE;
	span->next = table->header->free_head;
	table->header->free_head = n;
	table->header->free_count++;
}
