#include <stdlib.h>
#include <string.h>

#include "obs/metric.h"
#include "store/entries_int.h"

#define MEMORY_PIECE                                                                               \
	(64 * 1024) /* whoever writes it to a slow client copies what the kernel does not take */
#define CHECKED_BYTES (UINT32_C(1) << 20) /* 0.1 ms */

struct entry {
	struct entries *owner;
	struct op *op;          /* served from memory; NULL: from the disk */
	struct entry_head head; /* of the disk: generation and layout */
	struct entry_meta meta;
	struct span headers;
	/* Of the disk, if it is in the head: a view as long as the owner's turn is this one. */
	struct span body;
	uint64_t turn;
	uint32_t checked; /* in that turn: chunks before this one are known to be whole */
	char bytes[];
};

/* The read transaction of this turn. is_fresh: it must see every commit that is counted. */
static bool
begin_reading(struct entries *e, bool is_fresh)
{
	uint64_t commits = atomic_load(&e->commits);
	int rc;

	if (e->is_reading && is_fresh && e->reader_stamp != commits)
		entries_turn_end(e);
	if (e->is_reading)
		return !atomic_load(&e->is_damaged);
	(void)pthread_mutex_lock(&e->reader_lock);
	if (atomic_load(&e->is_damaged))
		rc = MDB_PANIC; /* there may be no file at this moment */
	else if (e->reader == NULL)
		rc = mdb_txn_begin(e->env.mdb, NULL, MDB_RDONLY, &e->reader);
	else
		rc = mdb_txn_renew(e->reader);
	e->is_reading = rc == 0;
	(void)pthread_mutex_unlock(&e->reader_lock);
	e->reader_stamp = commits;
	e->turn++;
	return e->is_reading;
}

void
entries_turn_end(struct entries *e)
{
	if (!e->is_reading)
		return;
	(void)pthread_mutex_lock(&e->reader_lock);
	mdb_txn_reset(e->reader);
	e->is_reading = false;
	(void)pthread_mutex_unlock(&e->reader_lock);
}

/* An entry of the future was stored before the clock was set back: its end would come as much too
 * late. */
static bool
is_in_time(const struct entry_meta *m, int64_t now_ms)
{
	return m->stored_ms <= now_ms && now_ms < m->expires_ms;
}

/* ---- served from memory ---- */

/* Sets *is_known when a pending op has the say about this key, whatever it says. */
static struct op *
pin_pending(struct entries *e, const struct entry_key *k, bool *is_known)
{
	struct op *op;

	*is_known = false;
	if (atomic_load_explicit(pending_like(e, k), memory_order_acquire) == 0)
		return NULL;
	(void)pthread_mutex_lock(&e->lock);
	op = op_find(e, k);
	*is_known = op != NULL;
	if (op != NULL && op->kind == OP_PUT)
		op->refs++;
	else
		op = NULL;
	(void)pthread_mutex_unlock(&e->lock);
	return op;
}

static void
unpin(struct entries *e, struct op *op)
{
	(void)pthread_mutex_lock(&e->lock);
	op = op_unref(e, op);
	if (op != NULL)
		op->next = NULL;
	(void)pthread_mutex_unlock(&e->lock);
	op_free(e, op);
}

static struct entry *
entry_of_op(struct entries *e, struct op *op)
{
	struct entry *en = malloc(sizeof(*en));

	if (en == NULL)
		return NULL;
	*en =
	    (struct entry){.owner = e, .op = op, .meta = op->new.meta, .headers = op->new.headers};
	return en;
}

static struct entry *
find_pending(struct entries *e, struct op *op, struct span preimage, int64_t now_ms)
{
	struct entry *en = NULL;

	if (is_in_time(&op->new.meta, now_ms) && span_eq(op->new.preimage, preimage))
		en = entry_of_op(e, op);
	if (en == NULL)
		unpin(e, op);
	return en;
}

/* ---- served from the disk ---- */

/* Damaged pages are noted: nothing is read from them any more. */
static int
get(struct entries *e, enum entries_dbi dbi, MDB_val *key, MDB_val *value)
{
	int rc = mdb_get(e->reader, e->env.dbi[dbi], key, value);

	entries_suspect(e, rc);
	return rc;
}

static int
get_chunk(struct entries *e, uint64_t generation, uint32_t i, MDB_val *value)
{
	uint8_t bytes[ENTRY_CHUNK_KEY_SIZE];
	MDB_val key = val_of(bytes, sizeof(bytes));

	entry_chunk_key(generation, i, bytes);
	return get(e, DBI_CHUNK, &key, value);
}

/* Compares the bytes themselves: no checksum needed, a flipped bit is a difference. */
static bool
is_same_preimage(struct entries *e, const struct entry_view *v, struct span wanted)
{
	uint32_t chunks = entry_preimage_chunks(&v->head);

	if (v->head.preimage_size != wanted.n)
		return false;
	if (v->head.has_preimage)
		return span_eq(v->preimage, wanted);
	for (uint32_t i = 0; i < chunks; i++) {
		MDB_val value;
		struct span part = span_head(wanted, v->head.chunk);

		wanted = span_skip(wanted, v->head.chunk);
		if (get_chunk(e, v->head.generation, i, &value) != 0 ||
		    !span_eq(span_skip(span_of_val(value), sizeof(uint64_t)), part))
			return false;
	}
	return true;
}

/* Damage is better found now, while it can still be a miss. Of a very large body only the
 * beginning is looked at: the loop has others to serve. */
static bool
is_body_whole(struct entries *e, const struct entry_head *h, uint32_t *checked)
{
	uint32_t i = entry_preimage_chunks(h), end = entry_chunks(h);

	*checked = 0;
	if (h->has_body)
		return true;
	if (end - i > CHECKED_BYTES / h->chunk)
		end = i + CHECKED_BYTES / h->chunk;
	*checked = end;
	for (; i < end; i++) {
		MDB_val value;
		struct span bytes;

		if (get_chunk(e, h->generation, i, &value) != 0 ||
		    !entry_chunk_decode(h->generation, i, span_of_val(value), &bytes))
			return false;
	}
	return true;
}

static struct entry *
entry_of_view(struct entries *e, const struct entry_view *v, uint32_t checked)
{
	struct entry *en = malloc(sizeof(*en) + v->headers.n);

	if (en == NULL)
		return NULL;
	*en = (struct entry){.owner = e,
	    .head = v->head,
	    .meta = v->head.meta,
	    .body = v->body,
	    .turn = e->turn,
	    .checked = checked};
	if (v->headers.n > 0)
		memcpy(en->bytes, v->headers.p, v->headers.n);
	en->headers = span_of(en->bytes, v->headers.n);
	return en;
}

static bool
get_view(struct entries *e, uint64_t generation, struct entry_view *v, bool *is_there)
{
	MDB_val key = val_of(&generation, sizeof(generation)), value;

	*is_there = get(e, DBI_HEAD, &key, &value) == 0;
	return *is_there && entry_decode(span_of_val(value), v) && v->head.generation == generation;
}

static struct entry *
find_stored(struct entries *e, const struct entry_key *k, struct span preimage, int64_t now_ms)
{
	/* Before the transaction, which so is no older. */
	uint64_t generation = index_find(&e->index, entry_key_hash(k));
	struct entry_view v;
	uint32_t checked;
	bool is_there;

	if (generation == 0 || !begin_reading(e, true))
		return NULL;
	if (!get_view(e, generation, &v, &is_there)) {
		if (is_there)
			entries_remove(e, k);
		return NULL;
	}
	if (memcmp(&v.head.key, k, sizeof(*k)) != 0)
		return NULL;
	if (!is_in_time(&v.head.meta, now_ms)) {
		metric_add(M_CACHE_EVICTED, 1);
		entries_remove(e, k);
		return NULL;
	}
	if (!is_same_preimage(e, &v, preimage))
		return NULL;
	if (!is_body_whole(e, &v.head, &checked)) {
		entries_remove(e, k);
		return NULL;
	}
	visited_set(e, k);
	return entry_of_view(e, &v, checked);
}

struct entry *
entry_find(struct entries *e, const struct entry_key *k, struct span preimage, int64_t now_ms)
{
	bool is_known;
	struct op *op = pin_pending(e, k, &is_known);

	if (op != NULL)
		return find_pending(e, op, preimage, now_ms);
	return is_known ? NULL : find_stored(e, k, preimage, now_ms);
}

/* ---- a found entry ---- */

const struct entry_meta *
entry_meta(const struct entry *en)
{
	return &en->meta;
}

struct span
entry_headers(const struct entry *en)
{
	return en->headers;
}

/* The same version, wherever eviction has moved it. */
static bool
has_moved(struct entry *en, struct entry_view *v, bool *is_there)
{
	struct entries *e = en->owner;
	uint64_t generation = index_find(&e->index, entry_key_hash(&en->head.key));

	if (!begin_reading(e, true) || !get_view(e, generation, v, is_there))
		return false;
	*is_there = memcmp(&v->head.key, &en->head.key, sizeof(v->head.key)) == 0 &&
	    memcmp(&v->head.meta, &en->meta, sizeof(en->meta)) == 0;
	en->head.generation = generation;
	return *is_there;
}

/* Looks it up once more, in a later turn. */
static enum err
inline_body(struct entry *en)
{
	struct entry_view v;
	bool is_there;

	if (!get_view(en->owner, en->head.generation, &v, &is_there) &&
	    (is_there || !has_moved(en, &v, &is_there)))
		return is_there ? E_CORRUPT : E_EOF;
	en->body = v.body;
	en->turn = en->owner->turn;
	return E_OK;
}

/* What entry_find has looked at need not be added up again in the same turn: it is the same snapshot. */
static bool
decode_chunk(const struct entry *en, uint32_t i, struct span value, struct span *bytes)
{
	if (en->turn != en->owner->turn || i >= en->checked)
		return entry_chunk_decode(en->head.generation, i, value, bytes);
	*bytes = span_skip(value, sizeof(uint64_t));
	return true;
}

static enum err
chunk_at(struct entry *en, uint64_t offset, struct span *piece)
{
	const uint32_t size = en->head.chunk;
	uint32_t i = entry_preimage_chunks(&en->head) + (uint32_t)(offset / size);
	uint64_t left = en->meta.body_size - offset / size * size;
	MDB_val value;
	struct span bytes;
	int rc = get_chunk(en->owner, en->head.generation, i, &value);

	if (rc != 0)
		return env_err(rc);
	if (!decode_chunk(en, i, span_of_val(value), &bytes) ||
	    bytes.n != (left < size ? left : size)) {
		entries_remove(en->owner, &en->head.key);
		return E_CORRUPT;
	}
	*piece = span_skip(bytes, offset % size);
	return E_OK;
}

enum err
entry_body(struct entry *en, uint64_t offset, struct span *piece)
{
	enum err e;

	if (offset >= en->meta.body_size)
		return E_EOF;
	if (en->op != NULL) {
		*piece = span_head(span_skip(en->op->new.body, offset), MEMORY_PIECE);
		return E_OK;
	}
	/* Any snapshot will do: the generation says whether it still has this version. */
	if (!begin_reading(en->owner, false))
		return E_IO;
	if (!en->head.has_body)
		return chunk_at(en, offset, piece);
	e = en->turn == en->owner->turn ? E_OK : inline_body(en);
	if (e == E_OK)
		*piece = span_skip(en->body, offset);
	return e;
}

void
entry_release(struct entry *en)
{
	if (en == NULL)
		return;
	if (en->op != NULL)
		unpin(en->owner, en->op);
	free(en);
}
