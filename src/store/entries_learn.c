#include "store/entries_int.h"

#define ROWS_A_SLICE 2048 /* some 0.5 ms */

/* MDB_NOTFOUND behind the last row. */
static int
learn_slice(struct entries *e, MDB_txn *txn)
{
	struct age_row row;
	MDB_cursor *c;
	int rc = mdb_cursor_open(txn, e->env.dbi[DBI_AGE], &c);

	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < ROWS_A_SLICE; i++) {
		rc = age_row_at(c, e->learn_next, &row);
		if (rc != 0)
			break;
		index_put(&e->index, entry_key_hash(&row.age.key), row.generation);
		e->learn_next = row.generation + 1;
	}
	mdb_cursor_close(c);
	return rc;
}

bool
entries_learn(struct entries *e)
{
	MDB_txn *txn;
	int rc;

	if (e->is_learnt || atomic_load(&e->is_damaged) ||
	    mdb_txn_begin(e->env.mdb, NULL, MDB_RDONLY, &txn) != 0)
		return false;
	rc = learn_slice(e, txn);
	mdb_txn_abort(txn);
	e->is_learnt = rc == MDB_NOTFOUND;
	if (!e->is_learnt)
		entries_suspect(e, rc);
	return rc == 0;
}
