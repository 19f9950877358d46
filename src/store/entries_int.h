/*
 * entries_int: the parts of the cache on disk.
 *
 *   entries.c        open, close, figures
 *   entries_ops.c    what the loop hands over (ops, the pending table)
 *   entries_read.c   the loop's look-ups
 *   entries_writer.c the writer's thread: takes ops
 *   entries_write.c  its transactions
 *   entries_erase.c  the writer's thread: one entry and all that belongs to it
 *   entries_evict.c  the writer's thread: room, expiry, purge
 *   entries_mend.c   the writer's thread: compact; a damaged file is replaced
 *   entries_learn.c  what the index of a killed server may lack
 *   entries_guard.c  a crash is remembered
 *
 * Invariants of an op, which the lock guards
 *   1. it stands in `pending` exactly while it is the newest of its key and not yet committed
 *   2. refs counts the writer (until it is committed) and every struct entry served from it
 *   3. it is removed from `pending` after the commit is counted in `commits`: who does not find
 *      it there and then
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
#include "store/file_int.h"
#include "store/index_int.h"
#include "store/slab_int.h"

#define ENTRIES_PENDING_MAX (UINT64_C(32) << 20)
#define ENTRIES_GATHER_BYTES (UINT64_C(640) << 10)
#define ENTRIES_SIZE_MIN (UINT64_C(1) << 20)
#define ENTRIES_OVERHEAD (UINT64_C(64) << 10) /* of max_size: lock file, format, directory */
#define ENTRIES_INDEX_PART 25                 /* of max_size: the index may have this part of it */
#define ENTRIES_FORMAT 5

enum entries_dbi { DBI_HEAD, DBI_CHUNK, DBI_AGE, DBI_EXPIRY, ENTRIES_DBIS };

enum op_kind { OP_PUT, OP_REMOVE, OP_PURGE, OP_COMPACT };

/* What somebody waits for. */
struct request {
	struct span gateway, provider, model; /* OP_PURGE */
	uint64_t count;                       /* entries removed, bytes given back */
	enum err err;
	bool is_done;
};

struct op {
	struct map_node node;
	struct op *next;
	enum op_kind kind;
	unsigned refs;
	_Atomic bool is_pending; /* set with the lock held */
	struct slab *slab;       /* where it lies; NULL: malloc's */
	uint64_t cost;           /* counted against ENTRIES_PENDING_MAX */
	struct entry_new new;    /* OP_PUT: spans into bytes; OP_REMOVE: only the key */
	struct request *request; /* OP_PURGE, OP_COMPACT */
	char *body, *preimage;   /* the memory of those in new, if it was taken over */
	char bytes[];
};

/* How many of the pending keys have a hash like this: where there is none the loop need not take the lock
 * to look. */
#define PENDING_HASHES 4096

struct entries {
	struct env env;
	struct index index; /* key -> generation; a hint: the head says whose it is */
	uint64_t max_size;
	unsigned page_size;
	/* Eviction keeps the pages in use below the one, and the entries below the other: what the index has room for. */
	uint64_t page_limit, count_limit;
	char dir[4096];

	/* the loop's; reader_lock, because the writer may take the environment away between two
	 * turns */
	pthread_mutex_t reader_lock;
	MDB_txn *reader; /* NULL before the first */
	bool is_reading;
	uint64_t reader_stamp; /* `commits` when it was renewed */
	uint64_t turn;         /* counts them: a view into another one's pages is stale */

	/* both threads'; the lock guards what is not atomic */
	pthread_mutex_t lock;
	pthread_cond_t has_work, has_purged;
	struct map pending;
	_Atomic uint16_t pending_like[PENDING_HASHES];
	struct slabs slabs; /* the loop takes of them */
	struct op *first, **last;
	bool has_left; /* the loop's: there is no writer any more */
	struct op *
	    spent; /* to be freed by the loop, whose memory they are, or by the writer before it sleeps */
	bool is_stopping, is_asleep, is_gathering, is_urgent, is_suspected;
	_Atomic bool is_damaged; /* nothing is read or written until there is a new file */
	_Atomic uint64_t pending_ops, pending_bytes;
	_Atomic uint64_t commits, entries, pages;
	_Atomic uint64_t *visited; /* one bit a hash of a key; SIEVE's */
	uint64_t visited_mask;     /* bits - 1 */

	/* the writer's */
	pthread_t thread;
	uint64_t next_generation;
	bool is_learnt;           /* the index has all that is stored */
	uint64_t learn_next;      /* generation to go on from, if not */
	uint64_t scattered_until; /* generation from which on entries are compact again */
	uint64_t building;        /* generation whose chunks are being written; 0: none */
	uint64_t hand;            /* where eviction goes on... */
	uint64_t lap_end;         /* ...and turns back */
	int64_t expires_next;     /* nothing expires before; INT64_MAX: nothing is there */
	uint64_t expired_ms;      /* when that was looked after last: monotonic */
};

static inline uint64_t
entry_key_hash(const struct entry_key *k)
{
	uint64_t h;

	memcpy(&h, k->b, sizeof(h));
	return h;
}
static inline _Atomic uint16_t *
pending_like(struct entries *e, const struct entry_key *k)
{
	return &e->pending_like[entry_key_hash(k) % PENDING_HASHES];
}

/* entries_ops.c; with the lock held */
struct op *op_find(const struct entries *e, const struct entry_key *k); /* pending, or NULL */
void op_hide(struct entries *e, struct op *op);                         /* no longer pending */
/* The last reference gives op, to be freed without the lock; else NULL. */
struct op *op_unref(struct entries *e, struct op *op);
void op_free(struct entries *e, struct op *op);    /* without the lock; NULL is fine */
void ops_free(struct entries *e, struct op *list); /* linked by next; NULL is fine */
struct op *ops_spent(struct entries *e);           /* takes them */

/* entries_writer.c */
void *entries_writer(void *arg);

/* entries.c */
bool visited_test_and_clear(struct entries *e, const struct entry_key *k);
void visited_set(struct entries *e, const struct entry_key *k);
MUST_CHECK enum err entries_open_store(struct entries *e, bool was_clean, const struct fault *f);
void entries_wipe(const char *dir);

/* entries_write.c */
#define GROUP_OPS 256
#define GROUP_BYTES (UINT64_C(1) << 20) /* a transaction, about */
struct slice;
/* There were not as many pages next to each other as a value takes: for a while all values are of
 * one page. False: they are already. */
bool entries_scatter(struct entries *e);
/* All in one transaction, or none of them. */
MUST_CHECK int entries_write_together(struct entries *e, struct op *const *ops, size_t n);
/* In as many as it takes; once more after eviction when there is no room, else it is counted as
 * failed. */
void entries_write_alone(struct entries *e, struct op *op);
MUST_CHECK int entries_begin(struct entries *e, MDB_txn **txn);
/* Commits, and publishes the figures and what the index has to know. The transaction is over in any case. */
MUST_CHECK int entries_commit(struct entries *e, struct slice *s);
/* As this transaction sees them: pages in use, entries. */
uint64_t entries_pages(struct entries *e, MDB_txn *txn);
uint64_t entries_count(struct entries *e, MDB_txn *txn);
/* Writes an entry that is in its head alone once more, under the next generation: `value` as read, of the size. */
MUST_CHECK int entries_rewrite(
    struct entries *e, struct slice *s, const struct entry_view *v, struct span value);

/* entries_erase.c */
/* Rows and pages given back in one transaction (feasibility.md 4: 500 rows, 0.3 ms). LMDB keeps the
 * numbers of those pages in one value, which is to fit into a page: more, and it can happen that
 * nothing can be removed any more, because there are no two free pages next to each other. */
#define SLICE_BUDGET 300
#define SLICE_HEAD_PAGES 128
#define SLICE_CHANGES (2 * GROUP_OPS)
/* What is to be deleted in one transaction, so that none is long. */
struct slice {
	MDB_txn *txn;
	int budget;        /* what may still be deleted of chunks and ages */
	int head_pages;    /* given back for heads */
	unsigned removed;  /* entries */
	uint64_t leftover; /* a generation that the budget did not suffice for; 0: none */
	bool can_move;     /* eviction: what stays may be written anew */
	unsigned n_changes;
	struct index_change { /* of the index, when it is committed */
		uint64_t hash, generation;
		bool is_there;
	} changes[SLICE_CHANGES];
};
static inline void
slice_note(struct slice *s, const struct entry_key *k, uint64_t generation, bool is_there)
{
	CHK(s->n_changes < SLICE_CHANGES);
	s->changes[s->n_changes++] = (struct index_change){
	    .hash = entry_key_hash(k), .generation = generation, .is_there = is_there};
}
static inline bool
slice_has_room(const struct slice *s)
{
	return s->budget > 1 && s->head_pages < SLICE_HEAD_PAGES;
}
/* Deletes the chunks of a generation and then its age row. When the budget does not suffice the
 * age row stays, and it becomes the slice's leftover: the rest goes in another slice. */
MUST_CHECK int entries_erase(struct entries *e, struct slice *s, uint64_t generation);
/* What the index has under that key: the head and what belongs to it. 0 also when there is none. */
MUST_CHECK int entries_erase_key(struct entries *e, struct slice *s, const struct entry_key *k);
/* A generation whose head is not there, in as many transactions as it takes. */
void entries_bury(struct entries *e, uint64_t generation);
/* Buries it unless it has a head: what a killed server was just writing. */
void entries_bury_unfinished(struct entries *e, uint64_t generation);
int entries_delete_expiry(struct entries *e, MDB_txn *txn, int64_t expires_ms, uint64_t generation);

struct age_row {
	uint64_t generation;
	struct entry_age age;
};
/* The first at or after from. */
MUST_CHECK int age_row_at(MDB_cursor *c, uint64_t from, struct age_row *out);
bool age_row_is_live(struct entries *e, MDB_txn *txn, const struct age_row *row);
/* Removes its entry, or what is left of one. */
MUST_CHECK int age_row_remove(
    struct entries *e, struct slice *s, const struct age_row *row, bool is_live);

/* entries_evict.c */
/* Evicts until `pages` more fit. */
void entries_make_room(struct entries *e, uint64_t pages);
/* Evicts one slice's worth, up to 64 entries, until no more than `target` pages are in use.
 * False: nothing to evict, or it failed. */
bool entries_evict(struct entries *e, uint64_t target);
void entries_run_purge(struct entries *e, struct request *rq);
/* Removes one slice's worth of what has expired, and notes what will next. True: there is more. */
bool entries_expire(struct entries *e);

/* entries_mend.c */
/* The pages must be found damaged by whoever reads or writes them: from now on they are not
 * trusted, and the writer is woken to make a new file. Any thread. */
void entries_suspect(struct entries *e, int rc);
void entries_renew(struct entries *e); /* after entries_suspect; may fail, then it stays so */
/* What was freed since the loop's turn began can only be taken when it has ended: waits for that,
 * not for ever. After MDB_MAP_FULL. */
void entries_await_reader(struct entries *e);
void entries_run_compact(struct entries *e, struct request *rq);

/* entries_learn.c */
/* The writer's, between two transactions: puts a part of what is stored into the index, if need be. True: there is more. */
bool entries_learn(struct entries *e);

/* entries_guard.c */
/* LMDB checks little of its pages: damaged ones can end the process in it. Between these two a crash
 * of the server takes the mark of its format from the cache, so that the next start empties it and
 * does not meet the same pages again. One cache in a process; kill -9 is no crash. */
void entries_guard_start(const struct entries *e);
void entries_guard_stop(void);

#endif
