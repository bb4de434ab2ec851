/*
 * store, inside: what a backend is. A backend is one file with a store_ops and
 * a line in store.c; tests/unit/store/test_contract.c says what it must do.
 */
#ifndef JOBQ_STORE_OPS_H
#define JOBQ_STORE_OPS_H

#include "jobq/store.h"

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
};

/* What every backend's handle begins with. */
struct jobq_store {
	const struct store_ops *ops;
};

extern const struct store_ops store_mem_ops, store_sqlite_ops;

/* Of all that an entry holds: tells whether it is still as it was written. */
uint64_t store_sum(const struct jobq_entry *entry);
uint64_t store_meta_sum(const struct jobq_store_meta *meta);

#endif
