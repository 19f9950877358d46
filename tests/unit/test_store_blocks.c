/* Bodies that share blocks, whichever sizes meet, and those of a log whose bodies did not yet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "crypto/crypto.h"
#include "store/checksum_int.h"
#include "store/records_int.h"
#include "store_log.h"

/* -1: none. Blocks are full in the midst of it. */
static const long sizes[] = {-1, 0, 1, 700, PAYLOAD_SMALL - 1, PAYLOAD_SMALL, PAYLOAD_SMALL + 1,
    PAYLOAD_BLOCK, PAYLOAD_PIECE + 1};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define COMBINATIONS ((uint32_t)(SIZES * SIZES))

static struct id
nth_id(uint32_t i)
{
	return log_id(LOG_NOW, i * 37 % COMBINATIONS); /* late ones among them */
}

static void
check_payload(struct logs *l, uint32_t i, enum record_payload which)
{
	long size = which == RECORD_REQUEST ? sizes[i % SIZES] : sizes[i / SIZES];

	assert_int_equal(
	    log_has_payload(l, nth_id(i), which, size > 0 ? (size_t)size : 0), size >= 0);
}

static void
check_all(struct logs *l)
{
	for (uint32_t i = 0; i < COMBINATIONS; i++) {
		assert_true(log_has(l, nth_id(i), 30));
		check_payload(l, i, RECORD_REQUEST);
		check_payload(l, i, RECORD_RESPONSE);
	}
}

static void
every_pair_of_sizes_comes_out(void **state)
{
	struct logs *l = *state;

	for (uint32_t i = 0; i < COMBINATIONS; i++)
		log_append(l, nth_id(i), 30, sizes[i % SIZES], sizes[i / SIZES]);
	check_all(l); /* as they are being written */
	log_settle(l);
	check_all(l);
	logs_reopen(l); /* frozen: without LMDB */
	check_all(l);
}

/* A block keeps the bodies of those that came with a record that is replaced. */
static void
a_record_that_comes_again_does_not_take_its_neighbours(void **state)
{
	struct logs *l = *state;

	for (int again = 0; again < 3; again++) {
		for (uint32_t i = again > 0 ? 5 : 0; i < 10; i++)
			log_append(l, log_id(LOG_NOW, i), 30, 500, 600);
		log_settle(l);
		for (uint32_t i = 0; i < 10; i++) {
			assert_true(log_has_payload(l, log_id(LOG_NOW, i), RECORD_REQUEST, 500));
			assert_true(log_has_payload(l, log_id(LOG_NOW, i), RECORD_RESPONSE, 600));
		}
	}
}

static uint64_t
payload_file_bytes(struct logs *l)
{
	return file_disk_bytes(store_dir_path(&l->dir, "log/20241004-1/payloads.mdb"));
}

static void
alike_bodies_take_little_room(void **state)
{
	struct logs *l = *state;
	struct span payload[RECORD_PAYLOADS];
	char body[1000];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 2654435761u >> 13);
	payload[0] = payload[1] = span_of(body, sizeof(body));
	for (uint32_t i = 0; i < 400; i++) {
		struct id id = log_id(LOG_NOW, i);

		record_append(l->r, &id, span_of("r", 1), payload);
	}
	log_settle(l);
	assert_in_range(payload_file_bytes(l), 1, 100000); /* of 800,000 */
}

/* ---- format 2 ---- */

static void
put(MDB_txn *txn, MDB_dbi dbi, struct span key, struct span value)
{
	MDB_val k = val_of(key.p, key.n), v = val_of(value.p, value.n);

	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
}

static MDB_txn *
begin(struct segment *g, enum segment_part part)
{
	MDB_txn *txn;

	assert_int_equal(mdb_txn_begin(g->file[part].env.mdb, NULL, 0, &txn), 0);
	return txn;
}

/* The row had no place, each body a piece of its own. */
static void
put_old_row(struct segment *g, const struct id *id, size_t size)
{
	struct row_head h = {.record_size = 30, .has_payload = {1, 0}};
	char value[sizeof(h) + 30], *record = log_fill(id, 9, 30);
	MDB_txn *txn = begin(g, PART_ROWS);

	h.payload_size[RECORD_REQUEST] = (uint32_t)size;
	memcpy(value, &h, sizeof(h));
	memcpy(value + sizeof(h), record, 30);
	h.sum = checksum(checksum(0, id->b, ID_BYTES), value + 8, sizeof(value) - 8);
	memcpy(value, &h.sum, sizeof(h.sum));
	put(txn, g->file[PART_ROWS].env.dbi[DBI_ROWS], span_of(id->b, ID_BYTES),
	    span_of(value, sizeof(value)));
	assert_int_equal(mdb_txn_commit(txn), 0);
	free(record);
}

static void
put_old_piece(struct segment *g, const struct id *id, size_t size)
{
	uint8_t key[ID_BYTES + 3] = {0};
	char *body = log_fill(id, RECORD_REQUEST, size);
	MDB_txn *txn = begin(g, PART_PAYLOADS);
	struct packer packer;

	packer_init(&packer);
	memcpy(key, id->b, ID_BYTES);
	put(txn, g->file[PART_PAYLOADS].env.dbi[0], span_of(key, sizeof(key)),
	    packer_pack(&packer, checksum(0, id->b, ID_BYTES), span_of(body, size)));
	assert_int_equal(mdb_txn_commit(txn), 0);
	packer_fini(&packer);
	free(body);
}

static void
make_old_log(struct logs *l, const struct id *id, size_t size)
{
	struct fault f = {l->detail, sizeof(l->detail)};
	struct segments set;
	struct segment *g;

	assert_int_equal(segments_open(&set, store_dir_path(&l->dir, "log"), false, &f), E_OK);
	set.segment_size = set.payload_file_size = 8 << 20;
	assert_int_equal(segment_make(&set, day_of_id(id), &g), 0);
	assert_int_equal(segment_add_payloads(&set, g), 0);
	put_old_piece(g, id, size);
	put_old_row(g, id, size);
	segment_freeze(&set, g);
	segments_close(&set);
	store_dir_write(&l->dir, "log/format", "2\n");
}

static void
check_format(struct logs *l, const char *expected)
{
	char text[8];
	size_t n;

	assert_int_equal(
	    file_read(store_dir_path(&l->dir, "log/format"), text, sizeof(text), &n), E_OK);
	assert_string_equal(text, expected);
}

static void
a_log_of_format_2_is_read_and_gone_on_with(void **state)
{
	struct logs *l = *state, reader;
	const struct id old = log_id(LOG_NOW, 1), new = log_id(LOG_NOW, 2);

	logs_close(l);
	make_old_log(l, &old, 700);
	assert_int_equal(
	    datadir_open_readonly(l->dir.data, &reader.data, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(
	    records_open_readonly(&reader.data, &reader.r, l->detail, sizeof(l->detail)), E_OK);
	assert_true(log_has_payload(&reader, old, RECORD_REQUEST, 700));
	logs_close(&reader);
	check_format(l, "2\n"); /* who only reads leaves it as it is */
	logs_open(l);
	log_append(l, new, 30, 700, -1);
	log_settle(l);
	assert_true(log_has(l, old, 30));
	assert_true(log_has_payload(l, old, RECORD_REQUEST, 700));
	assert_true(log_has_payload(l, new, RECORD_REQUEST, 700));
	check_format(l, "3\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, logs_set_up, logs_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_pair_of_sizes_comes_out),
	    TEST(a_record_that_comes_again_does_not_take_its_neighbours),
	    TEST(alike_bodies_take_little_room),
	    TEST(a_log_of_format_2_is_read_and_gone_on_with),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
