#include <string.h>

#include "obs/log.h"
#include "obs/metric.h"
#include "store/entries_int.h"

#define SCATTERED_ENTRIES 4096 /* then it is tried again whether there are larger gaps */

/* ---- transactions ---- */

static int
noted(struct entries *e, int rc)
{
	entries_suspect(e, rc);
	return rc;
}

int
entries_begin(struct entries *e, MDB_txn **txn)
{
	/* What is damaged is not written either; MDB_PANIC is LMDB's own word for that. */
	if (atomic_load(&e->is_damaged))
		return MDB_PANIC;
	return noted(e, mdb_txn_begin(e->env.mdb, NULL, 0, txn));
}

uint64_t
entries_pages(struct entries *e, MDB_txn *txn)
{
	/* 0 and 1 are LMDB's own: the list of free pages and the table of tables. */
	const MDB_dbi all[] = {0, 1, e->env.dbi[DBI_HEAD], e->env.dbi[DBI_CHUNK],
	    e->env.dbi[DBI_AGE], e->env.dbi[DBI_EXPIRY]};
	uint64_t pages = 2; /* the meta pages */
	MDB_stat st;

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (mdb_stat(txn, all[i], &st) == 0)
			pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
	return pages;
}

uint64_t
entries_count(struct entries *e, MDB_txn *txn)
{
	MDB_stat st;

	return mdb_stat(txn, e->env.dbi[DBI_HEAD], &st) == 0 ? st.ms_entries : 0;
}

static void
change_index(struct entries *e, const struct slice *s)
{
	for (unsigned i = 0; i < s->n_changes; i++) {
		const struct index_change *c = &s->changes[i];

		if (c->is_there)
			index_put(&e->index, c->hash, c->generation);
		else
			index_drop(&e->index, c->hash, c->generation);
	}
}

int
entries_commit(struct entries *e, struct slice *s)
{
	uint64_t pages = entries_pages(e, s->txn), count = entries_count(e, s->txn);
	int rc = noted(e, mdb_txn_commit(s->txn));

	if (rc != 0)
		return rc;
	env_cover(&e->env);
	index_fit(&e->index, count);
	atomic_fetch_add(&e->commits, 1);
	change_index(e, s);
	atomic_store(&e->pages, pages);
	atomic_store(&e->entries, count);
	metric_set(M_CACHE_BYTES, pages * e->page_size);
	metric_set(M_CACHE_ENTRIES, count);
	return 0;
}

/* ---- one entry ---- */

static int
put_age(struct entries *e, MDB_txn *txn, const struct entry_head *h)
{
	const struct entry_age age = {
	    .key = h->key, .expires_ms = h->meta.expires_ms, .chunks = entry_chunks(h)};
	uint8_t bytes[ENTRY_EXPIRY_KEY_SIZE];
	MDB_val key = val_of(&h->generation, sizeof(h->generation)),
		value = val_of(&age, sizeof(age)), expiry = val_of(bytes, sizeof(bytes)),
		nothing = val_of(bytes, 0);
	int rc = mdb_put(txn, e->env.dbi[DBI_AGE], &key, &value, MDB_APPEND);

	entry_expiry_key(age.expires_ms, h->generation, bytes);
	if (rc == 0)
		rc = mdb_put(txn, e->env.dbi[DBI_EXPIRY], &expiry, &nothing, 0);
	if (age.expires_ms < e->expires_next)
		e->expires_next = age.expires_ms;
	return rc;
}

static int
put_chunk(
    struct entries *e, MDB_txn *txn, const struct op *op, const struct entry_head *h, uint32_t i)
{
	uint8_t bytes[ENTRY_CHUNK_KEY_SIZE];
	struct span chunk = entry_chunk_of(&op->new, h, i);
	MDB_val key = val_of(bytes, sizeof(bytes)), value = {.mv_size = chunk.n + sizeof(uint64_t)};
	int rc;

	entry_chunk_key(h->generation, i, bytes);
	rc = mdb_put(txn, e->env.dbi[DBI_CHUNK], &key, &value, MDB_RESERVE | MDB_APPEND);
	if (rc == 0)
		entry_chunk_encode(h->generation, i, chunk, value.mv_data);
	return rc;
}

/* What was there under the key goes in the same transaction, so that no moment lacks both. */
static int
put_head(struct entries *e, struct slice *s, const struct op *op, const struct entry_head *h)
{
	MDB_val key = val_of(&h->generation, sizeof(h->generation)),
		value = {.mv_size = entry_value_size(h)};
	int rc = entries_erase_key(e, s, &h->key);

	if (rc == 0)
		rc = mdb_put(s->txn, e->env.dbi[DBI_HEAD], &key, &value, MDB_RESERVE | MDB_APPEND);
	if (rc != 0)
		return rc;
	entry_encode(&op->new, h, value.mv_data);
	slice_note(s, &h->key, h->generation, true);
	return 0;
}

int
entries_rewrite(struct entries *e, struct slice *s, const struct entry_view *v, struct span value)
{
	struct entry_head h = v->head;
	MDB_val key = val_of(&h.generation, sizeof(h.generation)), to = {.mv_size = value.n};
	int rc;

	h.generation = e->next_generation++;
	rc = put_age(e, s->txn, &h);
	if (rc == 0)
		rc = mdb_put(s->txn, e->env.dbi[DBI_HEAD], &key, &to, MDB_RESERVE | MDB_APPEND);
	if (rc != 0)
		return rc;
	memcpy(to.mv_data, value.p, value.n);
	memcpy(to.mv_data, &h, sizeof(h));
	entry_seal(to.mv_data, value.n);
	slice_note(s, &h.key, h.generation, true);
	return 0;
}

/* Chunks [from, to); the age row before the first, the head after the last. */
static int
put_part(struct entries *e, struct slice *s, const struct op *op, const struct entry_head *h,
    uint32_t from, uint32_t to)
{
	int rc = from == 0 ? put_age(e, s->txn, h) : 0;

	for (uint32_t i = from; i < to && rc == 0; i++)
		rc = put_chunk(e, s->txn, op, h, i);
	if (rc == 0 && to == entry_chunks(h))
		rc = put_head(e, s, op, h);
	return rc;
}

static bool
is_scattering(const struct entries *e)
{
	return e->next_generation < e->scattered_until;
}

bool
entries_scatter(struct entries *e)
{
	if (is_scattering(e))
		return false;
	e->scattered_until = e->next_generation + SCATTERED_ENTRIES;
	return true;
}

static void
plan(struct entries *e, const struct op *op, struct entry_head *h)
{
	uint64_t generation = e->next_generation++;

	if (generation >= e->scattered_until ||
	    !entry_plan(&op->new, generation, ENTRY_SCATTERED, h))
		CHK(entry_plan(&op->new, generation, ENTRY_COMPACT, h));
}

/* Commits if rc is 0. An older version that was too large for this slice is buried now; were
 * there several, eviction finds the others. */
static int
finish_slice(struct entries *e, struct slice *s, int rc)
{
	if (rc != 0) {
		mdb_txn_abort(s->txn);
		return noted(e, rc);
	}
	rc = entries_commit(e, s);
	if (rc == 0 && s->leftover != 0)
		entries_bury(e, s->leftover);
	return rc;
}

/* ---- many small ones in one transaction ---- */

static int
apply(struct entries *e, struct slice *s, const struct op *op)
{
	struct entry_head h;

	if (op->kind == OP_REMOVE)
		return entries_erase_key(e, s, &op->new.key);
	plan(e, op, &h);
	return put_part(e, s, op, &h, 0, entry_chunks(&h));
}

int
entries_write_together(struct entries *e, struct op *const *ops, size_t n)
{
	struct slice s = {.budget = SLICE_BUDGET + 2 * (int)n};
	int rc = entries_begin(e, &s.txn);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = apply(e, &s, ops[i]);
	return finish_slice(e, &s, rc);
}

/* ---- one at a time ---- */

/* After MDB_MAP_FULL: room was made for what is written, not for all that LMDB copies. */
static bool
make_more_room(struct entries *e, int rc)
{
	uint64_t pages = atomic_load(&e->pages);

	return env_err(rc) == E_FULL && entries_evict(e, pages - pages / 16);
}

static uint32_t
group_chunks(const struct entry_head *h)
{
	return (uint32_t)GROUP_BYTES / h->chunk;
}

static int
write_part(struct entries *e, const struct op *op, const struct entry_head *h, uint32_t from)
{
	struct slice s = {.budget = SLICE_BUDGET};
	uint32_t chunks = entry_chunks(h), group = group_chunks(h),
		 to = chunks - from > group ? from + group : chunks;
	int rc = entries_begin(e, &s.txn);

	if (rc != 0)
		return rc;
	return finish_slice(e, &s, put_part(e, &s, op, h, from, to));
}

/* In slices: not to be seen before the head is there, which comes last. */
static int
write_slices(struct entries *e, const struct op *op)
{
	const bool is_last_try = is_scattering(e);
	struct entry_head h;
	uint32_t from = 0;
	int rc;

	plan(e, op, &h);
	e->building = h.generation;
	do {
		rc = write_part(e, op, &h, from);
		if (env_err(rc) == E_FULL) {
			entries_await_reader(e);
			rc = write_part(e, op, &h, from);
		}
		if (is_last_try && make_more_room(e, rc))
			rc = write_part(e, op, &h, from);
		from += group_chunks(&h);
	} while (rc == 0 && from < entry_chunks(&h));
	e->building = 0;
	if (rc != 0 && from > group_chunks(&h))
		entries_bury(e, h.generation);
	return rc;
}

static int
write_put(struct entries *e, const struct op *op)
{
	int rc = write_slices(e, op);

	if (env_err(rc) == E_FULL && entries_scatter(e))
		rc = write_slices(e, op);
	return rc;
}

static int
write_remove(struct entries *e, struct op *op)
{
	int rc = entries_write_together(e, &op, 1);

	if (make_more_room(e, rc))
		rc = entries_write_together(e, &op, 1);
	return rc;
}

void
entries_write_alone(struct entries *e, struct op *op)
{
	int rc = op->kind == OP_REMOVE ? write_remove(e, op) : write_put(e, op);

	if (rc == 0) {
		metric_add(M_CACHE_STORED, op->kind == OP_PUT);
		return;
	}
	metric_add(M_CACHE_FAILED, 1);
	log_line(LOG_DEBUG, "cache: an entry was not written: %s", mdb_strerror(rc));
}
