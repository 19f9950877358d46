#include <stdlib.h>
#include <string.h>

#include "obs/metric.h"
#include "store/entries_int.h"

#define TREE_PAGES 24 /* copied on the way to the leaves of all tables */

/* Pages that an op may take; to be on the safe side, every value half empty. */
static uint64_t
pages_for(const struct entries *e, const struct op *op)
{
	return op->kind == OP_PUT ? op->cost * 3 / 2 / e->env.page_size + 2 : 1;
}

static void
finish(struct entries *e, struct op *op)
{
	(void)pthread_mutex_lock(&e->lock);
	op_hide(e, op);
	if (op->purge != NULL) {
		op->purge->is_done = true;
		(void)pthread_cond_broadcast(&e->has_purged);
	}
	op = op_unref(e, op);
	(void)pthread_mutex_unlock(&e->lock);
	free(op);
}

static bool
is_superseded(struct entries *e, const struct op *op)
{
	bool is_old;

	(void)pthread_mutex_lock(&e->lock);
	is_old = op->kind != OP_PURGE && !op->is_pending;
	(void)pthread_mutex_unlock(&e->lock);
	return is_old;
}

static void
write_group(struct entries *e, struct op **ops, size_t n, uint64_t pages)
{
	size_t stored = 0;

	entries_make_room(e, pages + TREE_PAGES);
	if (entries_write_together(e, ops, n) == 0) {
		for (size_t i = 0; i < n; i++)
			stored += ops[i]->kind == OP_PUT;
		metric_add(M_CACHE_STORED, stored);
	} else {
		for (size_t i = 0; i < n; i++)
			entries_write_alone(e, ops[i]);
	}
	for (size_t i = 0; i < n; i++)
		finish(e, ops[i]);
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
		if (op->kind == OP_PURGE || bytes > (uint64_t)GROUP_CHUNKS * ENTRY_CHUNK ||
		    *pages > e->page_limit / 8)
			break;
		*list = op->next;
		if (is_superseded(e, op)) {
			finish(e, op);
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
		entries_run_purge(e, op->purge);
	else if (!is_superseded(e, op)) {
		entries_make_room(e, pages_for(e, op) + TREE_PAGES);
		entries_write_alone(e, op);
	}
	finish(e, op);
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

/* Waits; NULL when all is done and the store closes. */
static struct op *
take_ops(struct entries *e)
{
	struct op *list;

	(void)pthread_mutex_lock(&e->lock);
	e->is_asleep = true;
	while (e->first == NULL && !e->is_stopping)
		(void)pthread_cond_wait(&e->has_work, &e->lock);
	e->is_asleep = false;
	list = e->first;
	e->first = NULL;
	e->last = &e->first;
	(void)pthread_mutex_unlock(&e->lock);
	return list;
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
	struct slice s = {.budget = SLICE_DELETES};
	MDB_val key;
	bool has_chunks = false;

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
	if (entries_commit(e, s.txn) == 0 && has_chunks)
		entries_bury_unfinished(e, last);
}

void *
entries_writer(void *arg)
{
	struct entries *e = arg;
	struct op *list;

	start(e);
	while ((list = take_ops(e)) != NULL)
		run_ops(e, list);
	return NULL;
}
