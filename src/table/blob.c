#include "config.h"

#include <string.h>

#include "table/table.h"

/*
 * Size classes: each about a quarter larger than the one before, and as large
 * as an equal share of a span allows. Objects begin at multiples of 16.
 */
static uint32_t class_sizes[CLASSES_MAX];
static uint8_t class_by_size[SPAN_BYTES / 16 + 1]; /* by length / 16, rounded up */
static size_t class_count;

__attribute__((constructor)) static void make_classes(void)
{
	uint32_t size = 64, from = 0;

	for (;;) {
		size = (uint32_t)(SPAN_BYTES / (SPAN_BYTES / size)) & ~UINT32_C(15);
		class_sizes[class_count] = size;
		for (uint32_t i = from; i <= size / 16; i++)
			class_by_size[i] = (uint8_t)class_count;
		from = size / 16 + 1;
		class_count++;
		if (size == SPAN_BYTES)
			return;
		size += size / 4 < 16 ? 16 : size / 4 & ~UINT32_C(15);
		if (size > SPAN_BYTES)
			size = SPAN_BYTES;
	}
}

size_t blob_class_count(void)
{
	return class_count;
}

size_t blob_class_size(size_t class)
{
	return class_sizes[class];
}

size_t blob_class_of(size_t len)
{
	return class_by_size[(len + 15) / 16];
}

static uint32_t objects_of(size_t class)
{
	return (uint32_t)(SPAN_BYTES / class_sizes[class]);
}

static ref_t make_ref(const struct jobq_table *table, uint32_t span, size_t object_at, size_t len)
{
	uint64_t offset = (uint64_t)(span_data(table, span) - (char *)table->header) + object_at;
	return offset / 16 << 32 | len;
}

/* The span and the place in it that a ref names; false when it names none. */
static bool locate(const struct jobq_table *table, ref_t ref, uint32_t *span, size_t *at)
{
	uint64_t data_at = (uint64_t)(table->data - (char *)table->header);
	uint64_t offset = ref_offset(ref);

	if (ref_len(ref) == 0 || ref_len(ref) > BLOB_MAX || offset < data_at + SPAN_BYTES ||
	    offset >= table->size)
		return false;
	*span = (uint32_t)((offset - data_at) / SPAN_BYTES);
	*at = (offset - data_at) % SPAN_BYTES;
	if (ref_len(ref) > SPAN_BYTES)
		return *at == 0;
	size_t size = class_sizes[blob_class_of(ref_len(ref))];
	return *at % size == 0 && *at + size <= SPAN_BYTES;
}

static void class_push(struct jobq_table *table, uint32_t n)
{
	struct span *span = &table->spans[n];
	uint32_t *head = &table->header->class_head[span->class];

	span->prev = 0;
	span->next = *head;
	if (*head != 0 && *head < table->span_count)
		table->spans[*head].prev = n;
	*head = n;
}

static void class_remove(struct jobq_table *table, uint32_t n)
{
	struct span *span = &table->spans[n];
	uint32_t next = span->next, prev = span->prev;

	if (prev == 0)
		table->header->class_head[span->class] = next;
	else if (prev < table->span_count)
		table->spans[prev].next = next;
	if (next != 0 && next < table->span_count)
		table->spans[next].prev = prev;
	span->next = span->prev = 0;
}

static ref_t take_object(struct jobq_table *table, size_t len, bool reserve)
{
	size_t class = blob_class_of(len);
	uint32_t n = table->header->class_head[class];

	if (n == 0 || n >= table->span_count) {
		n = span_take(table, SPAN_SLAB, reserve);
		if (n == 0)
			return 0;
		table->spans[n].class = (uint16_t)class;
		class_push(table, n);
	}

	struct span *span = &table->spans[n];
	size_t word = 0;
	while (word + 1 < JOBQ_LENGTH(span->bitmap) && span->bitmap[word] == UINT64_MAX)
		word++;
	unsigned bit = (unsigned)__builtin_ctzll(~span->bitmap[word]);
	span->bitmap[word] |= UINT64_C(1) << bit;
	span->used++;
	if (span->used == objects_of(class))
		class_remove(table, n);
	return make_ref(table, n, (word * 64 + bit) * class_sizes[class], len);
}

/* A chain of whole spans, or nothing. */
static ref_t take_chain(struct jobq_table *table, size_t len, bool reserve)
{
	uint32_t count = (uint32_t)((len + SPAN_BYTES - 1) / SPAN_BYTES), first = 0;
	uint32_t left = table->header->free_count;

	if (left < count || (!reserve && left - count < table->header->reserve))
		return 0;
	while (count-- > 0) {
		uint32_t n = span_take(table, SPAN_PIECE, true);
		if (n == 0)
			return 0;
		table->spans[n].next = first;
		first = n;
	}
	return make_ref(table, first, 0, len);
}

ref_t blob_take(struct jobq_table *table, size_t len, bool reserve)
{
	if (len > BLOB_MAX)
		return 0;
	return len <= SPAN_BYTES ? take_object(table, len, reserve)
				 : take_chain(table, len, reserve);
}

static void give_object(struct jobq_table *table, uint32_t n, size_t at)
{
	struct span *span = &table->spans[n];
	size_t object = at / class_sizes[span->class];
	uint64_t bit = UINT64_C(1) << object % 64;

	if ((span->bitmap[object / 64] & bit) == 0)
		return;
	bool was_full = span->used == objects_of(span->class);
	span->bitmap[object / 64] &= ~bit;
	span->used--;
	if (span->used == 0) {
		if (!was_full)
			class_remove(table, n);
		span_give(table, n);
	} else if (was_full) {
		class_push(table, n);
	}
}

void blob_give(struct jobq_table *table, ref_t ref)
{
	uint32_t n;
	size_t at;

	if (!locate(table, ref, &n, &at))
		return;
	if (ref_len(ref) <= SPAN_BYTES) {
		if (table->spans[n].kind == SPAN_SLAB &&
		    table->spans[n].class == blob_class_of(ref_len(ref)))
			give_object(table, n, at);
		return;
	}
	while (n != 0 && n < table->span_count && table->spans[n].kind == SPAN_PIECE) {
		uint32_t next = table->spans[n].next;
		span_give(table, n);
		n = next;
	}
}

/*
 * The copies are made of relaxed atomic accesses: a reader without the lock
 * may look at memory that is being given to somebody else. What it gets then
 * it throws away, when it sees that the record has changed.
 */
static void load_bytes(char *to, const char *from, size_t len)
{
	while (len > 0 && (uintptr_t)from % 8 != 0) {
		*to++ = __atomic_load_n(from++, __ATOMIC_RELAXED);
		len--;
	}
	for (; len >= 8; len -= 8, from += 8, to += 8) {
		uint64_t word = __atomic_load_n((const uint64_t *)(const void *)from,
						__ATOMIC_RELAXED);
		memcpy(to, &word, 8);
	}
	while (len-- > 0)
		*to++ = __atomic_load_n(from++, __ATOMIC_RELAXED);
}

static void store_bytes(char *to, const char *from, size_t len)
{
	while (len > 0 && (uintptr_t)to % 8 != 0) {
		__atomic_store_n(to++, *from++, __ATOMIC_RELAXED);
		len--;
	}
	for (; len >= 8; len -= 8, from += 8, to += 8) {
		uint64_t word;
		memcpy(&word, from, 8);
		__atomic_store_n((uint64_t *)(void *)to, word, __ATOMIC_RELAXED);
	}
	while (len-- > 0)
		__atomic_store_n(to++, *from++, __ATOMIC_RELAXED);
}

void shm_zero(void *at, size_t len)
{
	uint64_t *word = at;

	for (size_t i = 0; i < len / 8; i++)
		__atomic_store_n(&word[i], 0, __ATOMIC_RELAXED);
}

/* Walks the pieces of [at, at + len) of a blob: one for a small one. */
static bool copy(const struct jobq_table *table, ref_t ref, size_t at, char *bytes,
		 const char *from, size_t len)
{
	uint32_t n;
	size_t begin;

	if (len == 0)
		return true;
	if (!locate(table, ref, &n, &begin) || at > ref_len(ref) || len > ref_len(ref) - at)
		return false;
	for (; at >= SPAN_BYTES; at -= SPAN_BYTES)
		if ((n = table->spans[n].next) == 0 || n >= table->span_count)
			return false;
	for (size_t done = 0;;) {
		size_t part = SPAN_BYTES - at < len - done ? SPAN_BYTES - at : len - done;
		char *place = span_data(table, n) + begin + at;
		if (from != NULL)
			store_bytes(place, from + done, part);
		else
			load_bytes(bytes + done, place, part);
		done += part;
		if (done == len)
			return true;
		at = 0;
		if ((n = table->spans[n].next) == 0 || n >= table->span_count)
			return false;
	}
}

void blob_write(struct jobq_table *table, ref_t ref, size_t at, const char *bytes, size_t len)
{
	copy(table, ref, at, NULL, bytes, len);
}

bool blob_read(const struct jobq_table *table, ref_t ref, size_t at, char *bytes, size_t len)
{
	return copy(table, ref, at, bytes, NULL, len);
}

static bool mark_chain(struct jobq_table *table, uint32_t n, size_t len)
{
	uint32_t count = (uint32_t)((len + SPAN_BYTES - 1) / SPAN_BYTES), walk = n;

	for (uint32_t i = 0; i < count; i++) {
		if (walk == 0 || walk >= table->header->watermark ||
		    table->spans[walk].kind != SPAN_FREE)
			return false;
		walk = table->spans[walk].next;
	}
	for (uint32_t i = 0; i < count; i++, n = table->spans[n].next)
		table->spans[n].kind = SPAN_PIECE;
	return true;
}

bool blob_mark(struct jobq_table *table, ref_t ref)
{
	uint32_t n;
	size_t at;

	if (!locate(table, ref, &n, &at) || n >= table->header->watermark)
		return false;
	if (ref_len(ref) > SPAN_BYTES)
		return mark_chain(table, n, ref_len(ref));

	struct span *span = &table->spans[n];
	size_t class = blob_class_of(ref_len(ref));
	if (span->kind == SPAN_FREE) {
		span->kind = SPAN_SLAB;
		span->class = (uint16_t)class;
		span->used = 0;
		memset(span->bitmap, 0, sizeof(span->bitmap));
	}
	size_t object = at / class_sizes[class];
	uint64_t bit = UINT64_C(1) << object % 64;
	if (span->kind != SPAN_SLAB || span->class != class || (span->bitmap[object / 64] & bit) != 0)
		return false;
	span->bitmap[object / 64] |= bit;
	span->used++;
	return true;
}

void blob_relist(struct jobq_table *table)
{
	for (uint32_t n = table->header->watermark; n-- > 1;) {
		struct span *span = &table->spans[n];
		if (span->kind == SPAN_FREE) {
			span_give(table, n);
		} else if (span->kind == SPAN_SLAB) {
			span->next = span->prev = 0;
			if (span->used < objects_of(span->class))
				class_push(table, n);
		}
	}
}
