/*
 * store, inside: what a backend is. A backend is one file with a store_ops and
 * a line in store.c; tests/unit/store/test_contract.c says what it must do.
 */
#ifndef JOBQ_STORE_OPS_H
#define JOBQ_STORE_OPS_H

#include "jobq/store.h"
#include "jobq/store_hooks.h"

/* The members do what the functions of the same name in jobq/store_hooks.h say. */
struct store_hook_ops {
	int (*put_webhook)(struct jobq_store *store, struct jobq_webhook *webhook);
	int (*remove_webhook)(struct jobq_store *store, uint64_t id);
	int (*each_webhook)(struct jobq_store *store, jobq_store_visit_webhook visit, void *arg);
	int (*add_event)(struct jobq_store *store, struct jobq_event *event,
			 const uint64_t *webhooks, size_t count);
	int (*event)(struct jobq_store *store, uint64_t seq, struct jobq_event *event,
		     struct jobq_buf *bytes);
	int (*each_pending)(struct jobq_store *store, uint64_t webhook, uint64_t after, size_t most,
			    jobq_store_visit_pending visit, void *arg);
	int (*count_pending)(struct jobq_store *store, uint64_t webhook, uint64_t *count);
	int (*settle)(struct jobq_store *store, const struct jobq_outcome *outcome,
		      enum jobq_event_kind *kind);
	int (*redeliver)(struct jobq_store *store, uint64_t webhook, uint64_t event);
	int (*each_delivery)(struct jobq_store *store, uint64_t webhook,
			     jobq_store_visit_delivery visit, void *arg);
	int (*set_messages)(struct jobq_store *store, uint32_t generation, uint64_t position);
	int (*messages)(struct jobq_store *store, uint32_t *generation, uint64_t *position);
	int (*set_queue)(struct jobq_store *store, enum jobq_queue_state state);
	int (*queue)(struct jobq_store *store, enum jobq_queue_state *state);
	int (*status)(struct jobq_store *store, uint64_t id, enum jobq_job_status *status,
		      uint32_t *attempt, unsigned *progress);
};

/* The members do what the functions of the same name in jobq/store.h say. */
struct store_ops {
	const char *prefix; /* of places that are this backend's; "" takes all */
	int (*open)(const char *place, enum jobq_store_mode mode, enum jobq_durability durability,
		    struct jobq_store **out, struct jobq_buf *why);
	void (*close)(struct jobq_store *store);
	bool (*current)(struct jobq_store *store);
	int (*begin)(struct jobq_store *store);
	int (*commit)(struct jobq_store *store, bool synced);
	void (*rollback)(struct jobq_store *store);
	int (*put)(struct jobq_store *store, const struct jobq_entry *entry);
	int (*remove)(struct jobq_store *store, uint64_t id);
	int (*expire)(struct jobq_store *store, int64_t limit, size_t most, size_t *removed);
	int (*set_meta)(struct jobq_store *store, const struct jobq_store_meta *meta);
	int (*meta)(struct jobq_store *store, struct jobq_store_meta *out);
	int (*each)(struct jobq_store *store, uint64_t after, jobq_store_visit visit, void *arg);
	int (*backup)(struct jobq_store *store, const char *path);
	const char *(*error)(const struct jobq_store *store);
	const struct store_hook_ops *hooks;
};

/* What every backend's handle begins with. */
struct jobq_store {
	const struct store_ops *ops;
};

extern const struct store_ops store_mem_ops, store_sqlite_ops;
extern const struct store_hook_ops store_mem_hook_ops, store_sqlite_hook_ops;

/* One step of a sum: a bijection of `sum` for every word, so that no flip is lost. */
uint64_t store_mix(uint64_t sum, uint64_t word);
uint64_t store_mix_text(uint64_t sum, const struct jobq_text *text);

/* Of all that an entry holds: tells whether it is still as it was written. */
uint64_t store_sum(const struct jobq_entry *entry);
uint64_t store_meta_sum(const struct jobq_store_meta *meta);
uint64_t store_webhook_sum(const struct jobq_webhook *webhook);
uint64_t store_event_sum(const struct jobq_event *event);
uint64_t store_messages_sum(uint32_t generation, uint64_t position);

/* What a webhook's `events` stand for. False: it is no array of names and patterns. */
bool store_webhook_kinds(const char *events, uint32_t *kinds);

#endif
