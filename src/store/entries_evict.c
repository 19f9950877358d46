#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "obs/metric.h"
#include "store/entries_int.h"

/*
 * Who goes, when there is no room: what has expired, in the order of expiry, wherever it lies; then
 * what was least recently used, approximately (CLOCK). `age` is the dial, oldest first. The hand
 * walks it; an entry that was read since the hand last passed loses its mark and stays, another
 * goes. A lap ends before the newest half of what was there when it began: so nobody is judged
 * before he had time to be read, however fast the hand passes over what is. What is read a few
 * times while the cache's fill is exchanged once stays, and what is read no more goes within two
 * laps. A hit writes nothing but one bit in memory; a restart loses those bits and the hand's
 * place.
 *
 * Entries lie in the order they came, several small ones to a page, and a page is free when all of
 * them are gone: so a small one that stays is written once more, behind the newest, and does not
 * keep the pages of its neighbours.
 */
#define SLICE_ENTRIES 64
#define SLICE_EXAMINED 4096 /* looked at in one transaction */

/* rc: 0 or MDB_NOTFOUND, else nothing of the slice is kept. Returns 0 when it is. */
static int
finish_evicting(struct entries *e, struct slice *s, int rc)
{
	if (rc != 0 && rc != MDB_NOTFOUND) {
		mdb_txn_abort(s->txn);
		entries_suspect(e, rc);
		return rc;
	}
	rc = entries_commit(e, s);
	if (rc == 0)
		metric_add(M_CACHE_EVICTED, s->removed);
	return rc;
}

/* ---- expiry ---- */

/* Removes the entry of an expiry row, or the row alone when it belongs to nothing. */
static int
expire_one(struct entries *e, struct slice *s, int64_t expires_ms, uint64_t generation)
{
	struct age_row row;
	MDB_cursor *c;
	int rc = mdb_cursor_open(s->txn, e->env.dbi[DBI_AGE], &c);

	if (rc != 0)
		return rc;
	rc = age_row_at(c, generation, &row);
	mdb_cursor_close(c);
	if (rc == MDB_NOTFOUND || (rc == 0 && row.generation != generation))
		return entries_delete_expiry(e, s->txn, expires_ms, generation);
	return rc != 0 ? rc : age_row_remove(e, s, &row, age_row_is_live(e, s->txn, &row));
}

/* The first at or after `from`. */
static int
next_expiry(MDB_cursor *c, const uint8_t from[ENTRY_EXPIRY_KEY_SIZE], int64_t *expires_ms,
    uint64_t *generation)
{
	MDB_val key = val_of(from, ENTRY_EXPIRY_KEY_SIZE), value;
	int rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);

	if (rc != 0)
		return rc;
	if (key.mv_size != ENTRY_EXPIRY_KEY_SIZE)
		return MDB_CORRUPTED;
	entry_expiry_read(key.mv_data, expires_ms, generation);
	return 0;
}

static bool
is_enough(struct entries *e, const struct slice *s, uint64_t target)
{
	return s->removed >= SLICE_ENTRIES || s->leftover != 0 || !slice_has_room(s) ||
	    (entries_pages(e, s->txn) <= target && entries_count(e, s->txn) <= e->count_limit);
}

/* 0: the slice is full or the target reached, MDB_NOTFOUND: nothing (more) has expired. */
static int
expire_slice(struct entries *e, struct slice *s, uint64_t target)
{
	int64_t now_ms = clock_wall_ms(), at = INT64_MAX;
	uint8_t from[ENTRY_EXPIRY_KEY_SIZE] = {0};
	uint64_t generation;
	MDB_cursor *c;
	int rc = mdb_cursor_open(s->txn, e->env.dbi[DBI_EXPIRY], &c);

	if (rc != 0)
		return rc;
	while (rc == 0 && !is_enough(e, s, target)) {
		rc = next_expiry(c, from, &at, &generation);
		if (rc == 0 && now_ms < at)
			rc = MDB_NOTFOUND;
		if (rc == 0 && generation == e->building)
			entry_expiry_key(at, generation + 1, from);
		else if (rc == 0)
			rc = expire_one(e, s, at, generation);
	}
	mdb_cursor_close(c);
	if (rc == MDB_NOTFOUND)
		e->expires_next = at > now_ms ? at : INT64_MAX;
	return rc;
}

bool
entries_expire(struct entries *e)
{
	struct slice s = {.budget = SLICE_BUDGET};
	int rc;

	if (entries_begin(e, &s.txn) != 0)
		return false;
	rc = expire_slice(e, &s, 0);
	return finish_evicting(e, &s, rc) == 0 && rc == 0;
}

/* ---- eviction ---- */

static uint64_t
next_lap_end(struct entries *e)
{
	uint64_t newest = atomic_load(&e->entries) / 2;

	return e->next_generation > newest ? e->next_generation - newest : 0;
}

/* The row under the hand. */
static int
row_to_judge(struct entries *e, MDB_cursor *c, struct age_row *row)
{
	int rc = age_row_at(c, e->hand, row);

	if (rc != MDB_NOTFOUND && (rc != 0 || row->generation < e->lap_end))
		return rc;
	e->hand = 0;
	e->lap_end = next_lap_end(e);
	return age_row_at(c, 0, row);
}

/* Of one that was read: it stays where it is when it has its pages for itself. */
static int
move_on(struct entries *e, struct slice *s, const struct age_row *row)
{
	MDB_val key = val_of(&row->generation, sizeof(row->generation)), value;
	struct entry_view v;
	char *copy;
	int rc = mdb_get(s->txn, e->env.dbi[DBI_HEAD], &key, &value);

	if (rc != 0 || value.mv_size >= e->page_size / 2 || row->age.chunks > 0)
		return rc;
	copy = malloc(value.mv_size);
	if (copy == NULL)
		return 0;
	memcpy(copy, value.mv_data, value.mv_size);
	rc = age_row_remove(e, s, row, true);
	if (rc == 0 && entry_decode(span_of(copy, value.mv_size), &v)) {
		rc = entries_rewrite(e, s, &v, span_of(copy, value.mv_size));
		s->removed--;
	}
	free(copy);
	return rc;
}

static int
evict_step(struct entries *e, MDB_cursor *c, struct slice *s)
{
	struct age_row row;
	bool live;
	int rc = row_to_judge(e, c, &row);

	if (rc != 0)
		return rc;
	e->hand = row.generation + 1;
	if (row.generation == e->building)
		return 0;
	live = age_row_is_live(e, s->txn, &row);
	if (live && visited_test_and_clear(e, &row.age.key))
		return s->can_move ? move_on(e, s, &row) : 0;
	rc = age_row_remove(e, s, &row, live);
	if (s->leftover == row.generation)
		e->hand = row.generation; /* a large one: its age row is still there */
	return rc;
}

static int
evict_slice(struct entries *e, struct slice *s, uint64_t target)
{
	MDB_cursor *c;
	int rc = expire_slice(e, s, target);

	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_open(s->txn, e->env.dbi[DBI_AGE], &c);
	else
		return rc;
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < SLICE_EXAMINED && rc == 0 && !is_enough(e, s, target); i++)
		rc = evict_step(e, c, s);
	mdb_cursor_close(c);
	return rc;
}

/* What became of one slice. */
static int
try_to_evict(struct entries *e, uint64_t target, bool can_move)
{
	struct slice s = {.budget = SLICE_BUDGET, .can_move = can_move};
	int rc = entries_begin(e, &s.txn), committed;

	if (rc != 0)
		return rc;
	rc = evict_slice(e, &s, target);
	committed = finish_evicting(e, &s, rc);
	return committed != 0 ? committed : rc;
}

bool
entries_evict(struct entries *e, uint64_t target)
{
	int rc = try_to_evict(e, target, true);

	if (env_err(rc) == E_FULL) {
		entries_await_reader(e);
		rc = try_to_evict(e, target, false);
	}
	return rc == 0; /* MDB_NOTFOUND: empty */
}

void
entries_make_room(struct entries *e, uint64_t pages)
{
	uint64_t target = e->page_limit > pages ? e->page_limit - pages : 0;

	while ((atomic_load(&e->pages) > target || atomic_load(&e->entries) > e->count_limit) &&
	    entries_evict(e, target))
		continue;
}

/* ---- purge ---- */

static bool
is_match(struct span wanted, struct span have)
{
	return wanted.n == 0 || span_eq(wanted, have);
}

/* A damaged entry matches everything: it cannot say what it is. */
static bool
is_purged(struct entries *e, MDB_txn *txn, const struct age_row *row, const struct request *rq)
{
	MDB_val key = val_of(&row->generation, sizeof(row->generation)), value;
	struct entry_view v;

	if (mdb_get(txn, e->env.dbi[DBI_HEAD], &key, &value) != 0)
		return true;
	if (!entry_decode(span_of_val(value), &v))
		return true;
	return is_match(rq->gateway, v.gateway) && is_match(rq->provider, v.provider) &&
	    is_match(rq->model, v.model);
}

/* From *at on; MDB_NOTFOUND when the rows below `end` are all done. */
static int
purge_slice(
    struct entries *e, struct slice *s, const struct request *rq, uint64_t *at, uint64_t end)
{
	struct age_row row;
	MDB_cursor *c;
	int rc = mdb_cursor_open(s->txn, e->env.dbi[DBI_AGE], &c);

	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < SLICE_EXAMINED && rc == 0 && slice_has_room(s); i++) {
		rc = age_row_at(c, *at, &row);
		if (rc == 0 && row.generation >= end)
			rc = MDB_NOTFOUND;
		if (rc != 0)
			break;
		if (is_purged(e, s->txn, &row, rq))
			rc = age_row_remove(e, s, &row, age_row_is_live(e, s->txn, &row));
		if (s->leftover == 0)
			*at = row.generation + 1;
	}
	mdb_cursor_close(c);
	return rc;
}

void
entries_run_purge(struct entries *e, struct request *rq)
{
	uint64_t at = 0, end = e->next_generation;
	int rc = 0;

	while (rc == 0) {
		struct slice s = {.budget = SLICE_BUDGET};

		if (entries_begin(e, &s.txn) != 0)
			return;
		rc = purge_slice(e, &s, rq, &at, end);
		if (rc != 0 && rc != MDB_NOTFOUND) {
			mdb_txn_abort(s.txn);
			entries_suspect(e, rc);
			return;
		}
		if (entries_commit(e, &s) != 0)
			return;
		rq->count += s.removed;
	}
}
