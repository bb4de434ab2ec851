/* store, inside: what the files about the store in memory share. */
#ifndef JOBQ_STORE_MEM_H
#define JOBQ_STORE_MEM_H

#include "store/store_ops.h"

/* A job and its texts in one allocation. */
struct kept {
	struct jobq_entry entry;
	char bytes[];
};

/* Rows by rising id. */
struct rows {
	struct kept **items;
	size_t count;
};

/* An event; it owns its data. */
struct mem_event {
	struct jobq_event event;
	size_t refs; /* deliveries of it */
};

struct mem_delivery {
	uint64_t webhook, event;
	uint64_t done; /* 0 while it waits; later ends have higher numbers */
	int64_t due;
	struct jobq_delivery end;
};

/* Webhooks and events by rising number; a delivery's place says nothing. */
struct mem_hooks {
	struct jobq_webhook *webhooks;
	struct mem_event *events;
	struct mem_delivery *deliveries;
	size_t webhook_count, event_count, delivery_count;
	uint64_t next_webhook, next_event, next_done;
	uint64_t position;
	uint32_t generation;
	enum jobq_queue_state queue;
};

struct mem_store {
	struct jobq_store base;
	struct rows committed, draft; /* a transaction works on the draft */
	struct mem_hooks hooks, draft_hooks;
	struct jobq_store_meta meta, draft_meta;
	bool open; /* a transaction is */
};

void store_mem_init_hooks(struct mem_hooks *hooks);
/* `to` holds nothing before, and after a failure. */
int store_mem_copy_hooks(struct mem_hooks *to, const struct mem_hooks *from);
void store_mem_drop_hooks(struct mem_hooks *hooks);

#endif
