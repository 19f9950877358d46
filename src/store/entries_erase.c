#include <string.h>

#include "store/entries_int.h"

/* ---- removing ---- */

int
entries_delete_expiry(struct entries *e, MDB_txn *txn, int64_t expires_ms, uint64_t generation)
{
	uint8_t bytes[ENTRY_EXPIRY_KEY_SIZE];
	MDB_val key = val_of(bytes, sizeof(bytes));
	int rc;

	entry_expiry_key(expires_ms, generation, bytes);
	rc = mdb_del(txn, e->env.dbi[DBI_EXPIRY], &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
delete_age(struct entries *e, struct slice *s, uint64_t generation)
{
	MDB_val key = val_of(&generation, sizeof(generation)), value;
	struct entry_age age;
	int rc = mdb_get(s->txn, e->env.dbi[DBI_AGE], &key, &value);

	s->budget--;
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc == 0 && value.mv_size != sizeof(age))
		return MDB_CORRUPTED;
	if (rc != 0)
		return rc;
	memcpy(&age, value.mv_data, sizeof(age));
	rc = entries_delete_expiry(e, s->txn, age.expires_ms, generation);
	return rc != 0 ? rc : mdb_del(s->txn, e->env.dbi[DBI_AGE], &key, NULL);
}

static int
pages_of(const struct entries *e, const MDB_val *value)
{
	return (int)(value->mv_size / e->page_size) + 1;
}

static int
delete_first_chunk(struct entries *e, struct slice *s, MDB_cursor *c, uint64_t generation)
{
	uint8_t from[ENTRY_CHUNK_KEY_SIZE];
	MDB_val key = val_of(from, sizeof(from)), value;
	int rc;

	entry_chunk_key(generation, 0, from);
	rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
	if (rc != 0)
		return rc;
	if (key.mv_size != ENTRY_CHUNK_KEY_SIZE ||
	    entry_chunk_generation(key.mv_data) != generation)
		return MDB_NOTFOUND;
	s->budget -= pages_of(e, &value);
	return mdb_cursor_del(c, 0);
}

int
entries_erase(struct entries *e, struct slice *s, uint64_t generation)
{
	MDB_cursor *c;
	int rc = mdb_cursor_open(s->txn, e->env.dbi[DBI_CHUNK], &c);

	if (rc != 0)
		return rc;
	while (rc == 0 && s->budget > 1)
		rc = delete_first_chunk(e, s, c, generation);
	mdb_cursor_close(c);
	if (rc == MDB_NOTFOUND)
		return delete_age(e, s, generation);
	if (rc == 0)
		s->leftover = generation;
	return rc;
}

/* The leaf, which is copied, and those besides it that a value of more than half a page has. */
static int
head_pages(const struct entries *e, const MDB_val *value)
{
	return value->mv_size < e->page_size / 2 ? 1 : 1 + pages_of(e, value);
}

/* A damaged one too: nothing of it is looked at. */
static int
erase_head(struct entries *e, struct slice *s, uint64_t generation)
{
	MDB_val key = val_of(&generation, sizeof(generation)), value;
	int rc = mdb_get(s->txn, e->env.dbi[DBI_HEAD], &key, &value);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return rc;
	s->head_pages += head_pages(e, &value);
	rc = mdb_del(s->txn, e->env.dbi[DBI_HEAD], &key, NULL);
	if (rc == 0)
		rc = entries_erase(e, s, generation);
	s->removed += rc == 0;
	return rc;
}

static int
erase_of_key(struct entries *e, struct slice *s, const struct entry_key *k, uint64_t generation)
{
	int rc = erase_head(e, s, generation);

	if (rc == 0)
		slice_note(s, k, generation, false);
	return rc;
}

int
entries_erase_key(struct entries *e, struct slice *s, const struct entry_key *k)
{
	uint64_t generation = index_find(&e->index, entry_key_hash(k));

	return generation == 0 ? 0 : erase_of_key(e, s, k, generation);
}

void
entries_bury(struct entries *e, uint64_t generation)
{
	struct slice s;

	do {
		s = (struct slice){.budget = SLICE_BUDGET};
		if (entries_begin(e, &s.txn) != 0)
			return;
		if (entries_erase(e, &s, generation) != 0) {
			mdb_txn_abort(s.txn);
			return;
		}
		if (entries_commit(e, &s) != 0)
			return;
	} while (s.leftover != 0);
}

/* ---- the rows of `age` ---- */

int
age_row_at(MDB_cursor *c, uint64_t from, struct age_row *out)
{
	MDB_val key = val_of(&from, sizeof(from)), value;
	int rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);

	if (rc != 0)
		return rc;
	if (key.mv_size != sizeof(out->generation) || value.mv_size != sizeof(out->age))
		return MDB_CORRUPTED;
	memcpy(&out->generation, key.mv_data, sizeof(out->generation));
	memcpy(&out->age, value.mv_data, sizeof(out->age));
	return 0;
}

int
age_row_remove(struct entries *e, struct slice *s, const struct age_row *row, bool is_live)
{
	return is_live ? erase_of_key(e, s, &row->age.key, row->generation)
		       : entries_erase(e, s, row->generation);
}

bool
age_row_is_live(struct entries *e, MDB_txn *txn, const struct age_row *row)
{
	MDB_val key = val_of(&row->generation, sizeof(row->generation)), value;

	return mdb_get(txn, e->env.dbi[DBI_HEAD], &key, &value) == 0;
}

void
entries_bury_unfinished(struct entries *e, uint64_t generation)
{
	struct age_row row;
	MDB_cursor *c;
	MDB_txn *txn;
	bool is_dead = true;

	if (mdb_txn_begin(e->env.mdb, NULL, MDB_RDONLY, &txn) != 0)
		return;
	if (mdb_cursor_open(txn, e->env.dbi[DBI_AGE], &c) == 0) {
		if (age_row_at(c, generation, &row) == 0 && row.generation == generation)
			is_dead = !age_row_is_live(e, txn, &row);
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	if (is_dead)
		entries_bury(e, generation);
}
