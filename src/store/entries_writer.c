#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "obs/metric.h"
#include "store/entries_int.h"

#define TREE_PAGES 32 /* copied on the way to the leaves of all tables */
/* Dirty ones of a transaction are memory that stays with LMDB; and with as many replaced the list of what it gives back fits into
 * a page (entries_int.h: SLICE_BUDGET). */
#define GROUP_PAGES 440
#define FINISHED_AT_ONCE 32
#define CHUNKY (16 * ENTRY_CHUNK)
#define GATHER_MS 10
#define EXPIRE_MS 10000   /* what has expired is removed this often */
#define WAIT_MAX_MS 60000 /* the wall clock may be set meanwhile */

/* Pages that an op may take; to be on the safe side, every value half empty, but for chunks, which
 * are full. */
static uint64_t
pages_for(const struct entries *e, const struct op *op)
{
	uint64_t spare = op->cost < CHUNKY ? op->cost / 2 : CHUNKY + op->cost / 16;

	return op->kind == OP_PUT ? (op->cost + spare) / e->page_size + 2 : 1;
}

/* With the lock held. Those that nobody has any more, linked by next. */
static struct op *
let_go(struct entries *e, struct op *const *ops, size_t n)
{
	struct op *over = NULL;

	for (size_t i = 0; i < n; i++) {
		struct op *op = ops[i];

		op_hide(e, op);
		if (op->request != NULL) {
			op->request->is_done = true;
			(void)pthread_cond_broadcast(&e->has_purged);
		}
		op = op_unref(e, op);
		if (op != NULL) {
			op->next = over;
			over = op;
		}
	}
	return over;
}

/* What malloc gave lies on the loop's heap: freed here, it would make the loop wait for malloc's lock, whose holder waits for
 * a processor. A large body is mapped memory, and a small op lies in a slab: these go here. */
static void
leave_to_loop(struct entries *e, struct op *op)
{
	free(op->body);
	free(op->preimage);
	op->body = op->preimage = NULL;
	(void)pthread_mutex_lock(&e->lock);
	op->next = e->spent;
	e->spent = op;
	(void)pthread_mutex_unlock(&e->lock);
}

static void
finish_some(struct entries *e, struct op *const *ops, size_t n)
{
	struct op *over, *next;

	(void)pthread_mutex_lock(&e->lock);
	over = let_go(e, ops, n);
	(void)pthread_mutex_unlock(&e->lock);
	for (; over != NULL; over = next) {
		next = over->next;
		if (over->slab == NULL)
			leave_to_loop(e, over);
		else
			op_free(e, over);
	}
}

/* The lock is the loop's too: not for each one, and not for all at once. */
static void
finish(struct entries *e, struct op *const *ops, size_t n)
{
	for (size_t i = 0; i < n; i += FINISHED_AT_ONCE)
		finish_some(e, ops + i, n - i < FINISHED_AT_ONCE ? n - i : FINISHED_AT_ONCE);
}

/* Seen too late, it is only written in vain. */
static bool
is_superseded(const struct op *op)
{
	return op->request == NULL && !atomic_load_explicit(&op->is_pending, memory_order_relaxed);
}

static bool
write_together(struct entries *e, struct op **ops, size_t n)
{
	int rc = entries_write_together(e, ops, n);

	if (env_err(rc) == E_FULL) {
		entries_await_reader(e);
		rc = entries_write_together(e, ops, n);
	}
	if (env_err(rc) == E_FULL && entries_scatter(e))
		rc = entries_write_together(e, ops, n);
	return rc == 0;
}

static void
write_group(struct entries *e, struct op **ops, size_t n, uint64_t pages)
{
	size_t stored = 0;

	entries_make_room(e, pages + TREE_PAGES);
	if (write_together(e, ops, n)) {
		for (size_t i = 0; i < n; i++)
			stored += ops[i]->kind == OP_PUT;
		metric_add(M_CACHE_STORED, stored);
	} else {
		for (size_t i = 0; i < n; i++)
			entries_write_alone(e, ops[i]);
	}
	finish(e, ops, n);
}

/* Takes small ops off the list as long as they fit into one transaction. */
static size_t
gather(struct entries *e, struct op **list, struct op **ops, uint64_t *pages)
{
	uint64_t bytes = 0;
	size_t n = 0;

	*pages = 0;
	while (*list != NULL && n < GROUP_OPS) {
		struct op *op = *list;

		bytes += op->cost;
		if (op->request != NULL || bytes > GROUP_BYTES || *pages > GROUP_PAGES ||
		    *pages > e->page_limit / 8)
			break;
		*list = op->next;
		if (is_superseded(op)) {
			finish(e, &op, 1);
			continue;
		}
		*pages += pages_for(e, op);
		ops[n++] = op;
	}
	return n;
}

static void
run_large(struct entries *e, struct op *op)
{
	if (op->kind == OP_PURGE)
		entries_run_purge(e, op->request);
	else if (op->kind == OP_COMPACT)
		entries_run_compact(e, op->request);
	else if (!is_superseded(op)) {
		entries_make_room(e, pages_for(e, op) + TREE_PAGES);
		entries_write_alone(e, op);
	}
	finish(e, &op, 1);
}

static void
run_ops(struct entries *e, struct op *list)
{
	struct op *ops[GROUP_OPS], *next;
	uint64_t pages;
	size_t n;

	while (list != NULL) {
		n = gather(e, &list, ops, &pages);
		if (n > 0)
			write_group(e, ops, n, pages);
		else if (list != NULL) {
			next = list->next;
			run_large(e, list);
			list = next;
		}
	}
}

/* ---- waiting ---- */

/* Not base/clock's time: the kernel compares it with its own. */
static struct timespec
in_ms(int ms)
{
	struct timespec t;

	CHK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

/* Until there is an op or damage, or a time has passed; -1: never. */
static void
wait_for_any(struct entries *e, int timeout_ms)
{
	struct timespec until = in_ms(timeout_ms < 0 ? 0 : timeout_ms);
	int rc = timeout_ms == 0 ? ETIMEDOUT : 0;

	e->is_asleep = true;
	while (e->first == NULL && !e->is_stopping && !e->is_suspected && rc != ETIMEDOUT)
		rc = timeout_ms < 0 ? pthread_cond_wait(&e->has_work, &e->lock)
				    : pthread_cond_timedwait(&e->has_work, &e->lock, &until);
	e->is_asleep = e->is_suspected = false;
}

/* A commit costs about as much for one as for many: so the first waits a little for others. */
static void
wait_for_more(struct entries *e)
{
	struct timespec until = in_ms(GATHER_MS);
	int rc = 0;

	e->is_gathering = true;
	while (!e->is_urgent && !e->is_stopping && rc != ETIMEDOUT &&
	    atomic_load(&e->pending_bytes) < ENTRIES_GATHER_BYTES)
		rc = pthread_cond_timedwait(&e->has_work, &e->lock, &until);
	e->is_gathering = e->is_urgent = false;
}

/* With the lock held, which is given up for it. */
static void
free_spent(struct entries *e)
{
	struct op *spent = ops_spent(e);

	(void)pthread_mutex_unlock(&e->lock);
	ops_free(e, spent);
	(void)pthread_mutex_lock(&e->lock);
}

/* False: all is done and the store closes. */
static bool
take_ops(struct entries *e, int timeout_ms, struct op **list)
{
	bool goes_on;

	(void)pthread_mutex_lock(&e->lock);
	if (e->first == NULL)
		free_spent(e);
	wait_for_any(e, timeout_ms);
	if (e->first != NULL)
		wait_for_more(e);
	*list = e->first;
	e->first = NULL;
	e->last = &e->first;
	goes_on = *list != NULL || !e->is_stopping;
	(void)pthread_mutex_unlock(&e->lock);
	return goes_on;
}

/* ---- what nobody asks for ---- */

/* Removes what has expired, a slice at a time. Returns when to come again. */
static int
expire_if_due(struct entries *e, bool *is_behind)
{
	uint64_t now = clock_mono_ns() / 1000000;
	int64_t left = e->expires_next - clock_wall_ms();

	if (*is_behind || (left <= 0 && now - e->expired_ms >= EXPIRE_MS)) {
		*is_behind = entries_expire(e);
		e->expired_ms = now;
		left = e->expires_next - clock_wall_ms();
	}
	if (*is_behind)
		return 0;
	if (e->expires_next == INT64_MAX)
		return -1;
	if (left < EXPIRE_MS)
		return EXPIRE_MS;
	return left < WAIT_MAX_MS ? (int)left : WAIT_MAX_MS;
}

static int
last_key(struct entries *e, MDB_txn *txn, enum entries_dbi dbi, MDB_val *key)
{
	MDB_cursor *c;
	MDB_val value;
	int rc = mdb_cursor_open(txn, e->env.dbi[dbi], &c);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(c, key, &value, MDB_LAST);
	mdb_cursor_close(c);
	return rc;
}

/* Goes on behind the newest generation; what a killed server was just writing is removed. */
static void
start(struct entries *e)
{
	uint64_t last = 0;
	struct slice s = {.budget = SLICE_BUDGET};
	MDB_val key;
	bool has_chunks = false;

	e->expired_ms = clock_mono_ns() / 1000000;
	if (entries_begin(e, &s.txn) != 0)
		return;
	if (last_key(e, s.txn, DBI_AGE, &key) == 0 && key.mv_size == sizeof(last))
		memcpy(&last, key.mv_data, sizeof(last));
	if (last_key(e, s.txn, DBI_CHUNK, &key) == 0 && key.mv_size == ENTRY_CHUNK_KEY_SIZE) {
		uint64_t newest = entry_chunk_generation(key.mv_data);

		has_chunks = newest == last;
		last = newest > last ? newest : last;
	}
	e->next_generation = last + 1;
	e->is_learnt = e->index.was_whole;
	if (last == 0)
		index_clear(&e->index); /* there may be that of a cache that was emptied */
	if (entries_commit(e, &s) == 0 && has_chunks)
		entries_bury_unfinished(e, last);
}

void *
entries_writer(void *arg)
{
	struct entries *e = arg;
	struct op *list;
	bool is_behind = false;
	int wait_ms = EXPIRE_MS;

	start(e);
	while (take_ops(e, entries_learn(e) ? 0 : wait_ms, &list)) {
		run_ops(e, list);
		if (atomic_load(&e->is_damaged))
			entries_renew(e);
		wait_ms = atomic_load(&e->is_damaged) ? EXPIRE_MS : expire_if_due(e, &is_behind);
	}
	return NULL;
}
