#include <string.h>

#include "store/checksum_int.h"
#include "store/segment_int.h"

#define PIECE_KEY_SIZE (ID_BYTES + 3)
#define BLOCK_KEY_SIZE 9
#define BLOCK_MARK 0xff /* behind all ids of this age, so that blocks come in order */
/* Of payloads in one transaction: LMDB keeps them on the heap until it commits. */
#define DIRTY_MAX (UINT64_C(1) << 20)

_Static_assert(sizeof(struct piece_head) == 16, "no padding: the bytes go to disk");
_Static_assert(
    PAYLOAD_SMALL * 2 <= PAYLOAD_BLOCK && RECORD_PAYLOADS == 2, "what is small of a record fits");

/* ---- payloads by themselves ---- */

struct payload_writer {
	struct packer *packer;
	const struct env *env;
	MDB_txn *txn; /* NULL: none open */
	uint64_t dirty;
};

struct piece_key {
	const struct id *id;
	int which;
	uint32_t number;
};

static void
encode_key(const struct piece_key *k, uint8_t out[PIECE_KEY_SIZE])
{
	memcpy(out, k->id->b, ID_BYTES);
	out[ID_BYTES] = (uint8_t)k->which;
	out[ID_BYTES + 1] = (uint8_t)(k->number >> 8);
	out[ID_BYTES + 2] = (uint8_t)k->number;
}

static uint64_t
seed_of(const struct piece_key *k)
{
	return segment_id_seed(k->id) ^ (uint64_t)k->which << 32 ^ k->number;
}

static int
flush(struct payload_writer *w)
{
	int rc = w->txn == NULL ? 0 : mdb_txn_commit(w->txn);

	w->txn = NULL;
	w->dirty = 0;
	if (rc == 0)
		env_cover(w->env);
	return rc;
}

static int
put_packed(struct payload_writer *w, MDB_val key, struct span packed)
{
	MDB_val value = val_of(packed.p, packed.n);
	int rc;

	if (w->txn == NULL) {
		rc = mdb_txn_begin(w->env->mdb, NULL, 0, &w->txn);
		if (rc != 0)
			return rc;
	}
	rc = segment_put(w->txn, w->env->dbi[0], &key, &value, 0);
	w->dirty += packed.n;
	return rc != 0 || w->dirty < DIRTY_MAX ? rc : flush(w);
}

static int
put_piece(struct payload_writer *w, const struct piece_key *k, struct span raw)
{
	uint8_t key[PIECE_KEY_SIZE];

	encode_key(k, key);
	return put_packed(w, val_of(key, sizeof(key)), packer_pack(w->packer, seed_of(k), raw));
}

static int
put_large(struct payload_writer *w, const struct queue_frame *f, enum record_payload which)
{
	struct piece_key k = {.id = &f->id, .which = (int)which};
	struct span rest = queue_payload(f, which);
	int rc = 0;

	if (layout_is_small(f, (int)which))
		return 0;
	for (; rest.n > 0 && rc == 0; k.number++) {
		rc = put_piece(w, &k, span_head(rest, PAYLOAD_PIECE));
		rest = span_skip(rest, PAYLOAD_PIECE);
	}
	return rc;
}

/* ---- blocks ---- */

bool
layout_is_small(const struct queue_frame *f, int which)
{
	return f->payload_size[which] > 0 && f->payload_size[which] <= PAYLOAD_SMALL;
}

bool
layout_add(struct layout *l, const struct queue_frame *f, struct row_place *out)
{
	uint64_t n = 0;

	for (int i = 0; i < RECORD_PAYLOADS; i++)
		n += layout_is_small(f, i) ? f->payload_size[i] : 0;
	if (n == 0)
		return false;
	if (l->used == 0 || l->used + n > PAYLOAD_BLOCK)
		*l = (struct layout){.block = f->pos};
	*out = (struct row_place){.block = l->block, .from = l->used};
	l->used += n;
	return true;
}

static void
block_key(uint64_t block, uint8_t out[BLOCK_KEY_SIZE])
{
	out[0] = BLOCK_MARK;
	for (int i = 1; i < BLOCK_KEY_SIZE; i++)
		out[i] = (uint8_t)(block >> (64 - 8 * i));
}

static uint64_t
block_seed(uint64_t block)
{
	return checksum(BLOCK_MARK, &block, sizeof(block));
}

static int
put_block(struct payload_writer *w, uint64_t block)
{
	uint8_t key[BLOCK_KEY_SIZE];

	if (w->packer->gathered == 0)
		return 0;
	block_key(block, key);
	return put_packed(
	    w, val_of(key, sizeof(key)), packer_pack_gathered(w->packer, block_seed(block)));
}

static void
gather(struct packer *p, const struct queue_frame *f)
{
	for (int i = 0; i < RECORD_PAYLOADS; i++)
		if (layout_is_small(f, i))
			packer_gather(p, queue_payload(f, (enum record_payload)i));
}

/* What is small of all of them. */
static int
put_blocks(struct payload_writer *w, const struct queue_frame *const *frames, size_t n)
{
	struct layout layout = {.used = 0};
	struct row_place place;
	int rc = 0;

	w->packer->gathered = 0; /* a commit that failed may have left something */
	for (size_t i = 0; i < n && rc == 0; i++) {
		uint64_t block = layout.block;

		if (!layout_add(&layout, frames[i], &place))
			continue;
		if (place.from == 0)
			rc = put_block(w, block);
		gather(w->packer, frames[i]);
	}
	return rc == 0 ? put_block(w, layout.block) : rc;
}

/* ---- a commit ---- */

static bool
has_payloads(const struct queue_frame *const *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (frames[i]->payload_size[0] + frames[i]->payload_size[1] > 0)
			return true;
	return false;
}

static int
commit_payloads(struct segments *s, struct segment *g, struct packer *packer,
    const struct queue_frame *const *frames, size_t n)
{
	struct payload_writer w = {.packer = packer};
	int rc;

	if (!has_payloads(frames, n))
		return 0;
	rc = segment_add_payloads(s, g);
	w.env = &g->file[PART_PAYLOADS].env;
	if (rc == 0)
		rc = put_blocks(&w, frames, n);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = put_large(&w, frames[i], RECORD_REQUEST);
		if (rc == 0)
			rc = put_large(&w, frames[i], RECORD_RESPONSE);
	}
	if (rc == 0)
		return flush(&w);
	if (w.txn != NULL)
		mdb_txn_abort(w.txn);
	return rc;
}

int
segment_commit(struct segments *s, struct segment *g, struct packer *packer,
    const struct queue_frame *const *frames, size_t n, const struct position *done)
{
	int rc = commit_payloads(s, g, packer, frames, n);

	if (rc == 0)
		rc = segment_commit_rows(s, g, frames, n, done);
	return rc;
}

/* ---- reading ---- */

static bool
read_large(struct segment_reader *rd, struct piece_key k, uint64_t size, struct buf *out)
{
	struct span value;

	for (; size > 0; k.number++) {
		uint64_t piece = size < PAYLOAD_PIECE ? size : PAYLOAD_PIECE;
		uint8_t key[PIECE_KEY_SIZE];

		encode_key(&k, key);
		if (!reader_get(rd, 0, span_of(key, sizeof(key)), &value) ||
		    !piece_unpack(seed_of(&k), value, piece, out))
			return false;
		size -= piece;
	}
	return true;
}

static bool
read_shared(
    struct segment_reader *rd, const struct row *row, enum record_payload which, struct buf *out)
{
	const struct row_head *h = &row->head;
	struct block_part part = {.from = row->place.from, .size = h->payload_size[which]};
	uint8_t key[BLOCK_KEY_SIZE];
	struct span value;

	if (which == RECORD_RESPONSE && h->is_shared[RECORD_REQUEST])
		part.from += h->payload_size[RECORD_REQUEST];
	block_key(row->place.block, key);
	return reader_get(rd, 0, span_of(key, sizeof(key)), &value) &&
	    block_unpack(block_seed(row->place.block), value, &part, out);
}

/* Nothing was written for an empty one but the mark in its row. */
static bool
read_stored(struct segments *s, struct segment *g, const struct piece_key *k, const struct row *row,
    struct buf *out)
{
	const enum record_payload which = (enum record_payload)k->which;
	const uint64_t size = row->head.payload_size[which];
	size_t before = buf_len(out);
	struct segment_reader rd;
	bool is_whole;

	if (size == 0)
		return true;
	if (segment_begin(s, g, PART_PAYLOADS, &rd) != E_OK)
		return false;
	is_whole = row->head.is_shared[which] ? read_shared(&rd, row, which, out)
					      : read_large(&rd, *k, size, out);
	segment_end(s, g, PART_PAYLOADS, &rd);
	if (!is_whole)
		buf_cut(out, before);
	return is_whole;
}

bool
segment_read_payload(struct segments *s, struct segment *g, const struct id *id,
    enum record_payload which, struct buf *out)
{
	const struct piece_key k = {.id = id, .which = (int)which};
	struct row row;
	struct buf record;
	bool is_there;

	buf_init(&record, QUEUE_RECORD_MAX);
	is_there = segment_read(s, g, id, &row, &record);
	buf_fini(&record);
	return is_there && row.head.has_payload[which] && read_stored(s, g, &k, &row, out);
}
