/*
 * entries_int: the parts of the cache on disk.
 *
 *   entries.c        open, close, what the loop hands over (ops, the pending table)
 *   entries_read.c   the loop's look-ups
 *   entries_write.c  the writer's thread: ops into transactions
 *   entries_evict.c  the writer's thread: room, age, purge
 *
 * Invariants of an op, which the lock guards
 *   1. it stands in `pending` exactly while it is the newest of its key and not yet committed
 *   2. refs counts the writer (until it is committed) and every struct entry served from it
 *   3. it is removed from `pending` after the commit is counted in `commits`: who does not find it there and then
 *      renews an older read transaction finds it on the disk
 */
#ifndef STORE_ENTRIES_INT_H
#define STORE_ENTRIES_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "store/entries.h"
#include "store/entry_codec_int.h"
#include "store/env_int.h"

#define ENTRIES_PENDING_MAX (UINT64_C(64) << 20)
#define ENTRIES_SIZE_MIN (UINT64_C(1) << 20)
#define ENTRIES_OVERHEAD (UINT64_C(64) << 10) /* of max_size: lock file, format, directory */
#define ENTRIES_FORMAT 2

enum entries_dbi { DBI_HEAD, DBI_CHUNK, DBI_AGE, ENTRIES_DBIS };

enum op_kind { OP_PUT, OP_REMOVE, OP_PURGE };

struct purge {
	struct span gateway, provider, model;
	uint64_t removed;
	bool is_done;
};

struct op {
	struct map_node node;
	struct op *next;
	enum op_kind kind;
	unsigned refs;
	bool is_pending;
	uint64_t cost;        /* counted against ENTRIES_PENDING_MAX */
	struct entry_new new; /* OP_PUT: spans into bytes; OP_REMOVE: only the key */
	struct purge *purge;
	char bytes[];
};

struct entries {
	struct env env;
	uint64_t max_size;
	uint64_t page_limit; /* eviction keeps the pages in use below it */
	char dir[4096];

	/* the loop's */
	MDB_txn *reader; /* NULL before the first */
	bool is_reading;
	uint64_t reader_stamp; /* `commits` when it was renewed */
	uint64_t turn;         /* counts them: a view into another one's pages is stale */

	/* both threads'; the lock guards what is not atomic */
	pthread_mutex_t lock;
	pthread_cond_t has_work, has_purged;
	struct map pending;
	struct op *first, **last;
	bool is_stopping, is_asleep;
	_Atomic uint64_t pending_ops, pending_bytes;
	_Atomic uint64_t commits, entries, pages;
	_Atomic uint64_t *visited; /* one bit a hash of a key; SIEVE's */
	uint64_t visited_mask;     /* bits - 1 */

	/* the writer's */
	pthread_t thread;
	uint64_t next_generation;
	uint64_t building; /* generation whose chunks are being written; 0: none */
	uint64_t hand;     /* where eviction goes on */
	bool is_damaged;   /* said once */
};

static inline uint64_t
entry_key_hash(const struct entry_key *k)
{
	uint64_t h;

	memcpy(&h, k->b, sizeof(h));
	return h;
}

/* entries.c; ops with the lock held */
struct op *op_find(const struct entries *e, const struct entry_key *k); /* the pending one, or NULL */
void op_hide(struct entries *e, struct op *op);                         /* no longer pending */
struct op *op_unref(struct entries *e, struct op *op); /* the last: op, to be freed without the lock; else NULL */
bool visited_test_and_clear(struct entries *e, const struct entry_key *k);
void visited_set(struct entries *e, const struct entry_key *k);

/* entries_write.c */
void *entries_writer(void *arg);
MUST_CHECK int entries_begin(struct entries *e, MDB_txn **txn);
/* Commits and publishes the figures. The transaction is over in any case. */
MUST_CHECK int entries_commit(struct entries *e, MDB_txn *txn);
/* Pages in use, as this transaction sees them. */
uint64_t entries_pages(struct entries *e, MDB_txn *txn);

/* entries_evict.c */
/* What is to be deleted in one transaction, so that none is long. */
struct slice {
	MDB_txn *txn;
	unsigned budget;  /* rows that may still be deleted */
	unsigned removed; /* entries */
	uint64_t leftover; /* a generation that the budget did not suffice for; 0: none */
};
/* Deletes the chunks of a generation and then its age row. When the budget does not suffice the age row stays, and
 * it becomes the slice's leftover: the rest goes in another slice. */
MUST_CHECK int entries_erase(struct entries *e, struct slice *s, uint64_t generation);
/* The head of that key and what belongs to it. 0 also when there is none. */
MUST_CHECK int entries_erase_key(struct entries *e, struct slice *s, const struct entry_key *k);
/* A generation whose head is not there, in as many transactions as it takes. */
void entries_bury(struct entries *e, uint64_t generation);
/* Buries it unless it has a head: what a killed server was just writing. */
void entries_bury_unfinished(struct entries *e, uint64_t generation);
/* Evicts until `pages` more fit. */
void entries_make_room(struct entries *e, uint64_t pages);
/* Evicts one slice's worth, up to 64 entries, until no more than `target` pages are in use. False: nothing to evict, or it
 * failed. */
bool entries_evict(struct entries *e, uint64_t target);
void entries_run_purge(struct entries *e, struct purge *p);

#endif
