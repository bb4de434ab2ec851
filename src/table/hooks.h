/*
 * table, inside: what lies in the segment for webhooks, between the change ring
 * and the directory.
 *
 * Messages to the store's writer lie in a ring of bytes, at their position
 * modulo its size. `head` and `tail` are truths, each moved by one atomic store,
 * last: a poster killed before has posted nothing, a writer killed before has
 * it all to do again, from where the store says that it was.
 *
 * The lists are the writer's copies of what is in the store. One that is killed
 * while it changes them leaves `changing` set; then nothing is shown until the next one has
 * filled them anew.
 */
#ifndef JOBQ_TABLE_ROOM_HOOKS_H
#define JOBQ_TABLE_ROOM_HOOKS_H

#include "jobq/table_hooks.h"
#include "table/table.h"

#define MESSAGE_RING ((uint64_t)1 << 20) /* bytes */
#define MESSAGE_RESERVE ((uint64_t)1 << 18) /* of these, for outcomes and commands */
#define VERDICTS 512

/* Begins a message; never split, as all lengths are multiples of 8. */
struct message_head {
	uint32_t len; /* of all of it, this included */
	uint32_t kind; /* enum jobq_message_kind, or: */
#define MESSAGE_TAKEN UINT32_C(16) /* a command that the writer has at hand */
};

struct webhook_entry {
	struct jobq_webhook webhook; /* id 0: none */
	uint64_t ended; /* the last delivery is at (ended - 1) % 100 ... */
	uint32_t kept;	/* ... and so many are there */
	struct jobq_delivery history[JOBQ_WEBHOOK_HISTORY];
};

/* Everything under the lock, but the words that say otherwise. */
struct hooks {
	/* Written by whoever posts, and by the writer. Also read without the lock. */
	_Atomic uint64_t head, tail;
	_Atomic uint32_t handled;  /* changes with tail, and with verdicts; futex */
	_Atomic uint32_t sleepers; /* on `handled`; no lock. A killed one stays counted */
	/* Written by the writer; read without the lock. */
	_Atomic uint32_t wanted; /* JOBQ_EVENT_BIT of all that enabled webhooks want */
	_Atomic uint32_t added;	 /* futex of hook */
	_Atomic uint32_t changed;
	_Atomic uint32_t shown; /* the lists are what the store has */
	_Atomic uint64_t waiting; /* deliveries that the store has, for who looks after it */

	uint32_t changing;
	uint32_t verdict_count; /* given so far; wraps */
	struct jobq_command_verdict verdicts[VERDICTS];
	struct webhook_entry webhooks[JOBQ_WEBHOOKS_MAX];
	char ring[MESSAGE_RING];
};

/* ---- webhooks.c ---- */
/* For table_rebuild(): a list that was being changed is shown no more. */
void hooks_rebuild(struct jobq_table *table);

/* ---- messages.c ---- */
/* For jobq_table_check(), with the lock: NULL, or what is wrong with the ring. */
const char *messages_wrong(struct jobq_table *table);

#endif
