#include <string.h>

#include "obs/log.h"
#include "store/checksum_int.h"
#include "store/segment_int.h"

static const char position_key[] = "queue";

_Static_assert(sizeof(struct row_head) == 24, "no padding: the bytes go to disk");
_Static_assert(sizeof(struct row_place) == 16, "no padding: the bytes go to disk");

static int
id_cmp(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_BYTES);
}

uint64_t
segment_id_seed(const struct id *id)
{
	return checksum(0, id->b, ID_BYTES);
}

/* ---- rows: writing ---- */

static uint64_t
row_sum(const struct id *id, const void *value, size_t n)
{
	return checksum(
	    segment_id_seed(id), (const char *)value + sizeof(uint64_t), n - sizeof(uint64_t));
}

static bool
has_place(const struct row_head *h)
{
	return h->is_shared[RECORD_REQUEST] || h->is_shared[RECORD_RESPONSE];
}

static size_t
fixed_size(const struct row_head *h)
{
	return sizeof(*h) + (has_place(h) ? sizeof(struct row_place) : 0);
}

static void
encode_row(const struct queue_frame *f, const struct row *row, char *out, size_t size)
{
	struct span record = queue_record(f);
	struct row_head h = row->head;
	char *to = out + sizeof(h);

	memcpy(out, &h, sizeof(h));
	if (has_place(&h)) {
		memcpy(to, &row->place, sizeof(row->place));
		to += sizeof(row->place);
	}
	if (record.n > 0)
		memcpy(to, record.p, record.n);
	h.sum = row_sum(&f->id, out, size);
	memcpy(out, &h.sum, sizeof(h.sum));
}

int
segment_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags)
{
	int rc = mdb_put(txn, dbi, key, value, flags | MDB_APPEND);

	return rc == MDB_KEYEXIST ? mdb_put(txn, dbi, key, value, flags) : rc;
}

static int
put_row(MDB_txn *txn, MDB_dbi dbi, const struct queue_frame *f, struct layout *layout)
{
	struct row row = {.head = {.record_size = f->record_size}};
	MDB_val key = val_of(&f->id, ID_BYTES), value;
	int rc;

	(void)layout_add(layout, f, &row.place);
	for (int i = 0; i < RECORD_PAYLOADS; i++) {
		row.head.has_payload[i] = f->has_payload[i];
		row.head.payload_size[i] = f->payload_size[i];
		row.head.is_shared[i] = layout_is_small(f, i);
	}
	value.mv_size = fixed_size(&row.head) + f->record_size;
	rc = segment_put(txn, dbi, &key, &value, MDB_RESERVE);
	if (rc == 0)
		encode_row(f, &row, value.mv_data, value.mv_size);
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
	struct layout layout = {.used = 0};
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = put_row(txn, env->dbi[DBI_ROWS], frames[i], &layout);
		if (id_cmp(&frames[i]->id, &facts->last) > 0)
			facts->last = frames[i]->id;
		if (facts->records == 0 || id_cmp(&frames[i]->id, &facts->first) < 0)
			facts->first = frames[i]->id;
		facts->records++;
	}
	return rc;
}

int
segment_commit_rows(struct segments *s, struct segment *g, const struct queue_frame *const *frames,
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
decode_row(const struct id *id, struct span value, struct row *row, struct span *record)
{
	struct row_head *h = &row->head;

	*row = (struct row){.place = {.block = 0}};
	if (value.n < sizeof(*h))
		return false;
	memcpy(h, value.p, sizeof(*h));
	if (value.n < fixed_size(h) || value.n - fixed_size(h) != h->record_size ||
	    h->sum != row_sum(id, value.p, value.n))
		return false;
	if (has_place(h))
		memcpy(&row->place, value.p + sizeof(*h), sizeof(row->place));
	*record = span_skip(value, fixed_size(h));
	return true;
}

bool
segment_is_row(struct span key, struct span value)
{
	struct span record;
	struct row row;
	struct id id;

	if (key.n != ID_BYTES)
		return false;
	memcpy(&id, key.p, ID_BYTES);
	return decode_row(&id, value, &row, &record);
}

static void
say_damaged(const struct segments *s)
{
	log_line(LOG_WARN, "log: a damaged record in %s is left out", s->dir);
}

bool
segment_read(
    struct segments *s, struct segment *g, const struct id *id, struct row *row, struct buf *out)
{
	struct segment_reader rd;
	struct span value, record;
	struct row found;
	bool is_there;

	if (segment_begin(s, g, PART_ROWS, &rd) != E_OK)
		return false;
	is_there = reader_get(&rd, DBI_ROWS, span_of(id, ID_BYTES), &value);
	if (is_there && !decode_row(id, value, &found, &record)) {
		say_damaged(s);
		is_there = false;
	}
	is_there = is_there && buf_put_span(out, record);
	segment_end(s, g, PART_ROWS, &rd);
	if (is_there && row != NULL)
		*row = found;
	return is_there;
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
