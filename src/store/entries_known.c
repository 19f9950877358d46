#include <stdlib.h>
#include <string.h>

#include "store/entries_int.h"

#define KNOWN_MIN (UINT64_C(1) << 10) /* words */
#define KNOWN_MAX (UINT64_C(1) << 20)
#define BYTES_A_WORD (UINT64_C(64) << 10) /* of the cache: 256 KB for one of 2 GB */
#define ROWS_A_SLICE 2048                 /* some 0.5 ms */

void
known_init(struct entries *e)
{
	uint64_t words = KNOWN_MIN;

	while (words < e->max_size / BYTES_A_WORD && words < KNOWN_MAX)
		words *= 2;
	e->known.words = xcalloc(words, sizeof(*e->known.words));
	e->known.mask = words - 1;
}

void
known_fini(struct entries *e)
{
	free(e->known.words);
}

/* Both bits are of one word: one line of the processor's cache. They come from the half of the key that `visited` and
 * `pending` do not use. */
static uint64_t
bits_of(const struct entry_key *k, uint64_t *word)
{
	uint64_t h;

	memcpy(&h, k->b + sizeof(h), sizeof(h));
	*word = h >> 12;
	return UINT64_C(1) << (h & 63) | UINT64_C(1) << (h >> 6 & 63);
}

void
known_add(struct entries *e, const struct entry_key *k)
{
	uint64_t i, bits = bits_of(k, &i);

	atomic_fetch_or_explicit(&e->known.words[i & e->known.mask], bits, memory_order_relaxed);
	atomic_fetch_add_explicit(&e->known.added, 1, memory_order_relaxed);
}

/* Asked again behind the look at the bits: they may have been cleared between. */
static bool
is_whole(const struct entries *e)
{
	return atomic_load_explicit(&e->known.is_whole, memory_order_acquire);
}

bool
known_is_absent(const struct entries *e, const struct entry_key *k)
{
	uint64_t i, bits = bits_of(k, &i), word;

	/* Who has left does not see what his successor puts there. */
	if (e->has_left || !is_whole(e))
		return false;
	word = atomic_load_explicit(&e->known.words[i & e->known.mask], memory_order_acquire);
	return (word & bits) != bits && is_whole(e);
}

/* What is no longer there keeps its bits. With that many more than entries it is time to begin anew. */
static bool
is_worn(const struct entries *e)
{
	uint64_t added = atomic_load_explicit(&e->known.added, memory_order_relaxed);

	return added > (e->known.mask + 1) * 8 && added > 2 * atomic_load(&e->entries);
}

static void
forget(struct entries *e)
{
	atomic_store(&e->known.is_whole, false);
	atomic_store(&e->known.added, 0);
	for (uint64_t i = 0; i <= e->known.mask; i++)
		atomic_store_explicit(&e->known.words[i], 0, memory_order_release);
	e->known.next = 0;
}

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
		rc = age_row_at(c, e->known.next, &row);
		if (rc != 0)
			break;
		known_add(e, &row.age.key);
		e->known.next = row.generation + 1;
	}
	mdb_cursor_close(c);
	return rc;
}

/* What was handed over while bits were cleared, and is not yet among the rows. */
static void
finish_learning(struct entries *e)
{
	(void)pthread_mutex_lock(&e->lock);
	for (const struct op *op = e->first; op != NULL; op = op->next)
		if (op->kind == OP_PUT)
			known_add(e, &op->new.key);
	atomic_store_explicit(&e->known.is_whole, true, memory_order_release);
	(void)pthread_mutex_unlock(&e->lock);
}

bool
known_learn(struct entries *e)
{
	MDB_txn *txn;
	int rc;

	if (is_whole(e) && !is_worn(e))
		return false;
	if (is_whole(e))
		forget(e);
	rc = atomic_load(&e->is_damaged) ? MDB_PANIC
					 : mdb_txn_begin(e->env.mdb, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return false;
	rc = learn_slice(e, txn);
	mdb_txn_abort(txn);
	if (rc == MDB_NOTFOUND)
		finish_learning(e);
	else
		entries_suspect(e, rc);
	return rc == 0;
}
