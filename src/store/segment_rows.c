#include <string.h>

#include "obs/log.h"
#include "store/checksum_int.h"
#include "store/segment_int.h"

#define PIECE_KEY_SIZE (ID_BYTES + 3)
/* Of payloads in one transaction: LMDB keeps them on the heap until it commits. */
#define DIRTY_MAX (UINT64_C(1) << 20)

static const char position_key[] = "queue";

_Static_assert(sizeof(struct row_head) == 24, "no padding: the bytes go to disk");
_Static_assert(sizeof(struct piece_head) == 16, "no padding: the bytes go to disk");

static int
id_cmp(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_BYTES);
}

static uint64_t
id_seed(const struct id *id)
{
	return checksum(0, id->b, ID_BYTES);
}

/* ---- rows: writing ---- */

static uint64_t
row_sum(const struct id *id, const void *value, size_t n)
{
	return checksum(id_seed(id), (const char *)value + sizeof(uint64_t), n - sizeof(uint64_t));
}

static void
encode_row(const struct queue_frame *f, char *out)
{
	struct span record = queue_record(f);
	struct row_head h = {.record_size = f->record_size};

	for (int i = 0; i < RECORD_PAYLOADS; i++) {
		h.has_payload[i] = f->has_payload[i];
		h.payload_size[i] = f->payload_size[i];
	}
	memcpy(out, &h, sizeof(h));
	if (record.n > 0)
		memcpy(out + sizeof(h), record.p, record.n);
	h.sum = row_sum(&f->id, out, sizeof(h) + record.n);
	memcpy(out, &h.sum, sizeof(h.sum));
}

/* Keys mostly come in order: appended, they fill their pages. A late or repeated one finds its
 * place. */
static int
put_in_order(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags)
{
	int rc = mdb_put(txn, dbi, key, value, flags | MDB_APPEND);

	return rc == MDB_KEYEXIST ? mdb_put(txn, dbi, key, value, flags) : rc;
}

static int
put_row(MDB_txn *txn, MDB_dbi dbi, const struct queue_frame *f)
{
	MDB_val key = val_of(&f->id, ID_BYTES);
	MDB_val value = {.mv_size = sizeof(struct row_head) + f->record_size};
	int rc = put_in_order(txn, dbi, &key, &value, MDB_RESERVE);

	if (rc == 0)
		encode_row(f, value.mv_data);
	return rc;
}

static int
put_position(MDB_txn *txn, MDB_dbi dbi, const struct position *done)
{
	MDB_val key = val_of(position_key, sizeof(position_key)),
		value = val_of(done, sizeof(*done));

	return mdb_put(txn, dbi, &key, &value, 0);
}

static int
put_rows(MDB_txn *txn, const struct env *env, const struct queue_frame *const *frames, size_t n,
    struct segment_facts *facts)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = put_row(txn, env->dbi[DBI_ROWS], frames[i]);
		if (id_cmp(&frames[i]->id, &facts->last) > 0)
			facts->last = frames[i]->id;
		if (facts->records == 0 || id_cmp(&frames[i]->id, &facts->first) < 0)
			facts->first = frames[i]->id;
		facts->records++;
	}
	return rc;
}

static int
commit_rows(struct segments *s, struct segment *g, const struct queue_frame *const *frames,
    size_t n, const struct position *done)
{
	const struct env *env = &g->file[PART_ROWS].env;
	struct segment_facts facts = g->facts; /* only this thread changes them */
	MDB_stat st = {.ms_entries = 0};
	MDB_txn *txn;
	int rc = mdb_txn_begin(env->mdb, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	rc = put_rows(txn, env, frames, n, &facts);
	if (rc == 0)
		rc = put_position(txn, env->dbi[DBI_META], done);
	if (rc == 0)
		rc = mdb_stat(txn, env->dbi[DBI_ROWS], &st);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	rc = mdb_txn_commit(txn);
	if (rc != 0)
		return rc;
	env_cover(env);
	facts.records = st.ms_entries;
	segment_note(s, g, &facts);
	return 0;
}

/* ---- payloads: writing ---- */

struct payload_writer {
	struct packer *packer;
	const struct env *env;
	MDB_txn *txn; /* NULL: none open */
	uint64_t dirty;
};

static void
piece_key(const struct id *id, int which, uint32_t i, uint8_t out[PIECE_KEY_SIZE])
{
	memcpy(out, id->b, ID_BYTES);
	out[ID_BYTES] = (uint8_t)which;
	out[ID_BYTES + 1] = (uint8_t)(i >> 8);
	out[ID_BYTES + 2] = (uint8_t)i;
}

static uint64_t
piece_seed(const struct id *id, int which, uint32_t i)
{
	return id_seed(id) ^ (uint64_t)which << 32 ^ i;
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
put_piece(struct payload_writer *w, const struct id *id, int which, uint32_t i, struct span raw)
{
	uint8_t bytes[PIECE_KEY_SIZE];
	MDB_val key = val_of(bytes, sizeof(bytes)), value;
	struct span packed = packer_pack(w->packer, piece_seed(id, which, i), raw);
	int rc;

	if (w->txn == NULL) {
		rc = mdb_txn_begin(w->env->mdb, NULL, 0, &w->txn);
		if (rc != 0)
			return rc;
	}
	piece_key(id, which, i, bytes);
	value = val_of(packed.p, packed.n);
	rc = put_in_order(w->txn, w->env->dbi[0], &key, &value, 0);
	w->dirty += packed.n;
	return rc != 0 || w->dirty < DIRTY_MAX ? rc : flush(w);
}

static int
put_payload(struct payload_writer *w, const struct queue_frame *f, enum record_payload which)
{
	struct span rest = queue_payload(f, which);
	int rc = 0;

	for (uint32_t i = 0; rest.n > 0 && rc == 0; i++) {
		rc = put_piece(w, &f->id, (int)which, i, span_head(rest, PAYLOAD_PIECE));
		rest = span_skip(rest, PAYLOAD_PIECE);
	}
	return rc;
}

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
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = put_payload(&w, frames[i], RECORD_REQUEST);
		if (rc == 0)
			rc = put_payload(&w, frames[i], RECORD_RESPONSE);
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
		rc = commit_rows(s, g, frames, n, done);
	return rc;
}

/* ---- reading ---- */

uint64_t
segment_done(struct segments *s, struct segment *g, uint64_t generation)
{
	struct position done = {.pos = 0};
	struct segment_reader rd;
	struct span value;

	if (segment_begin(s, g, PART_ROWS, &rd) != E_OK)
		return 0;
	if (reader_get(&rd, DBI_META, span_of(position_key, sizeof(position_key)), &value) &&
	    value.n == sizeof(done))
		memcpy(&done, value.p, sizeof(done));
	segment_end(s, g, PART_ROWS, &rd);
	return done.generation == generation ? done.pos : 0;
}

static bool
decode_row(const struct id *id, struct span value, struct row_head *h, struct span *record)
{
	if (value.n < sizeof(*h))
		return false;
	memcpy(h, value.p, sizeof(*h));
	*record = span_skip(value, sizeof(*h));
	return record->n == h->record_size && h->sum == row_sum(id, value.p, value.n);
}

bool
segment_is_row(struct span key, struct span value)
{
	struct row_head h;
	struct span record;
	struct id id;

	if (key.n != ID_BYTES)
		return false;
	memcpy(&id, key.p, ID_BYTES);
	return decode_row(&id, value, &h, &record);
}

static void
say_damaged(const struct segments *s)
{
	log_line(LOG_WARN, "log: a damaged record in %s is left out", s->dir);
}

bool
segment_read(struct segments *s, struct segment *g, const struct id *id, struct row_head *head,
    struct buf *out)
{
	struct segment_reader rd;
	struct span value, record;
	struct row_head h;
	bool is_there;

	if (segment_begin(s, g, PART_ROWS, &rd) != E_OK)
		return false;
	is_there = reader_get(&rd, DBI_ROWS, span_of(id, ID_BYTES), &value);
	if (is_there && !decode_row(id, value, &h, &record)) {
		say_damaged(s);
		is_there = false;
	}
	is_there = is_there && buf_put_span(out, record);
	segment_end(s, g, PART_ROWS, &rd);
	if (is_there && head != NULL)
		*head = h;
	return is_there;
}

static bool
read_pieces(
    struct segment_reader *rd, const struct id *id, int which, uint64_t size, struct buf *out)
{
	for (uint32_t i = 0; size > 0; i++) {
		uint64_t piece = size < PAYLOAD_PIECE ? size : PAYLOAD_PIECE;
		uint8_t key[PIECE_KEY_SIZE];
		struct span value;

		piece_key(id, which, i, key);
		if (!reader_get(rd, 0, span_of(key, sizeof(key)), &value) ||
		    !piece_unpack(piece_seed(id, which, i), value, piece, out))
			return false;
		size -= piece;
	}
	return true;
}

/* Nothing was written for an empty one but the mark in its row. */
static bool
read_stored(struct segments *s, struct segment *g, const struct id *id, enum record_payload which,
    uint64_t size, struct buf *out)
{
	size_t before = buf_len(out);
	struct segment_reader rd;
	bool is_whole;

	if (size == 0)
		return true;
	if (segment_begin(s, g, PART_PAYLOADS, &rd) != E_OK)
		return false;
	is_whole = read_pieces(&rd, id, (int)which, size, out);
	segment_end(s, g, PART_PAYLOADS, &rd);
	if (!is_whole)
		buf_cut(out, before);
	return is_whole;
}

bool
segment_read_payload(struct segments *s, struct segment *g, const struct id *id,
    enum record_payload which, struct buf *out)
{
	struct row_head h;
	struct buf row;
	bool is_there;

	buf_init(&row, QUEUE_RECORD_MAX);
	is_there = segment_read(s, g, id, &h, &row);
	buf_fini(&row);
	return is_there && h.has_payload[which] &&
	    read_stored(s, g, id, which, h.payload_size[which], out);
}

size_t
segment_ids(struct segments *s, struct segment *g, const struct id *floor, const struct id *ceiling,
    struct id *out, size_t max)
{
	struct segment_reader rd;
	struct span key, value;
	size_t n = 0;

	if (segment_begin(s, g, PART_ROWS, &rd) != E_OK)
		return 0;
	for (bool has_any =
		 reader_start_at(&rd, DBI_ROWS, span_of(ceiling, ID_BYTES), &key, &value);
	    has_any && n < max; has_any = reader_prev(&rd, &key, &value)) {
		/* A damaged id would not stand where it belongs, and disturb the order of all. */
		if (!segment_is_row(key, value) ||
		    memcmp(key.p, n > 0 ? &out[n - 1] : ceiling, ID_BYTES) > (n > 0 ? -1 : 0)) {
			say_damaged(s);
			continue;
		}
		if (memcmp(key.p, floor, ID_BYTES) < 0)
			break;
		memcpy(&out[n++], key.p, ID_BYTES);
	}
	segment_end(s, g, PART_ROWS, &rd);
	return n;
}
