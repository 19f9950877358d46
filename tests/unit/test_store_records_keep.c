#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdbool.h>

#include "crypto/crypto.h"
#include "store/records_int.h"
#include "store_log.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)

/* Both clocks; the writer looks at them when it is woken. */
static void
set_clock(int64_t wall_ms)
{
	clock_fake((uint64_t)(wall_ms - LOG_NOW + LOG_DAY * 100) * 1000000, wall_ms);
}

static unsigned
segments(struct logs *l)
{
	DIR *d = opendir(store_dir_path(&l->dir, "log"));
	const struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] >= '0' && e->d_name[0] <= '9';
	(void)closedir(d);
	return n;
}

/* ---- age ---- */

static void
records_past_their_age_are_unlinked(void **state)
{
	struct logs *l = *state;

	l->o.retention_ms = 30 * (uint64_t)LOG_DAY;
	set_clock(LOG_NOW);
	logs_reopen(l);
	for (int day = 0; day < 40; day++) {
		set_clock(LOG_NOW + day * LOG_DAY);
		log_append(l, log_id(LOG_NOW + day * LOG_DAY, (uint32_t)day), 100, 100, -1);
		log_settle(l);
	}
	/* the writer looks once a minute at most: the next record makes it look */
	set_clock(LOG_NOW + 39 * LOG_DAY + HOUR);
	log_append(l, log_id(LOG_NOW + 39 * LOG_DAY + HOUR, 99), 100, -1, -1);
	STORE_WAIT_UNTIL(segments(l) == 30);
	assert_int_equal(log_count(l), 30 + 1);
	assert_false(log_has(l, log_id(LOG_NOW + 9 * LOG_DAY, 9), 100));
	assert_true(log_has(l, log_id(LOG_NOW + 10 * LOG_DAY, 10), 100));
	logs_reopen(l);
	assert_int_equal(log_count(l), 30 + 1);
}

/* To the millisecond for a reader, though the disk is freed by whole segments. */
static void
a_reader_sees_nothing_past_its_age(void **state)
{
	struct logs *l = *state;
	struct id id = log_id(LOG_NOW, 1);

	l->o.retention_ms = 3 * HOUR;
	l->o.payload_retention_ms = HOUR;
	set_clock(LOG_NOW);
	logs_reopen(l);
	log_append(l, id, 100, 100, 100);
	for (int settled = 0; settled < 2; settled++) {
		set_clock(LOG_NOW + HOUR);
		assert_true(log_has_payload(l, id, RECORD_REQUEST, 100));
		set_clock(LOG_NOW + HOUR + 1);
		assert_false(log_has_payload(l, id, RECORD_REQUEST, 100));
		assert_true(log_has(l, id, 100));
		set_clock(LOG_NOW + 3 * HOUR);
		assert_true(log_has(l, id, 100));
		assert_int_equal(log_count(l), 1);
		set_clock(LOG_NOW + 3 * HOUR + 1);
		assert_false(log_has(l, id, 100));
		assert_int_equal(log_count(l), 0);
		set_clock(LOG_NOW);
		log_settle(l);
	}
}

static void
payloads_go_before_their_records(void **state)
{
	struct logs *l = *state;
	struct id old = log_id(LOG_NOW, 1), new = log_id(LOG_NOW + 8 * LOG_DAY, 2);

	l->o.retention_ms = 30 * (uint64_t)LOG_DAY;
	l->o.payload_retention_ms = 7 * (uint64_t)LOG_DAY;
	set_clock(LOG_NOW);
	logs_reopen(l);
	log_append(l, old, 100, 3000, -1);
	log_settle(l);
	assert_true(store_dir_has(&l->dir, "log/20241004-1/payloads.mdb"));
	set_clock(LOG_NOW + 8 * LOG_DAY);
	log_append(l, new, 100, 3000, -1);
	STORE_WAIT_UNTIL(!store_dir_has(&l->dir, "log/20241004-1/payloads.mdb"));
	log_settle(l);
	assert_true(store_dir_has(&l->dir, "log/20241004-1/rows.mdb"));
	assert_true(log_has(l, old, 100));
	assert_false(log_has_payload(l, old, RECORD_REQUEST, 3000));
	assert_true(log_has_payload(l, new, RECORD_REQUEST, 3000));
	assert_int_equal(log_count(l), 2);
}

/* With a short age a segment does not grow for a day: what is old can go while the new stays. */
static void
a_short_age_makes_short_segments(void **state)
{
	struct logs *l = *state;
	unsigned most = 0;

	l->o.retention_ms = 2 * HOUR;
	set_clock(LOG_NOW);
	logs_reopen(l);
	for (int i = 0; i < 60; i++) {
		set_clock(LOG_NOW + i * 10 * MINUTE);
		log_append(l, log_id(LOG_NOW + i * 10 * MINUTE, (uint32_t)i), 100, -1, -1);
		log_settle(l);
		most = segments(l) > most ? segments(l) : most;
	}
	assert_in_range(most, 5, 12);
	assert_int_equal(log_count(l), 13);
}

/* ---- size ---- */

static void
takes_no_more_than_max_size(void **state)
{
	struct logs *l = *state;
	uint32_t n = 0;

	l->o.max_size = 16 << 20;
	l->o.queue_size = 0;
	logs_reopen(l);
	for (int i = 0; i < 120; i++) {
		for (int j = 0; j < 10; j++, n++)
			log_append(l, log_id(LOG_NOW + n * 1000, n), 20000, (n % 7) * 9000,
			    100000 * (n % 2));
		log_settle(l);
		assert_true(store_dir_du(&l->dir, "log") <= l->o.max_size);
	}
	assert_int_equal(log_stats(l).lost, 0);
	assert_true(log_stats(l).bytes > l->o.max_size / 2);
	/* the newest are there, the oldest are not */
	assert_true(log_has(l, log_id(LOG_NOW + (n - 1) * 1000, n - 1), 20000));
	assert_true(log_has(l, log_id(LOG_NOW + (n - 100) * 1000, n - 100), 20000));
	assert_false(log_has(l, log_id(LOG_NOW, 0), 20000));
	assert_true(log_count(l) > 100);
	/* a smaller limit is held from the next start on */
	l->o.max_size = 8 << 20;
	logs_reopen(l);
	STORE_WAIT_UNTIL(store_dir_du(&l->dir, "log") <= l->o.max_size);
	assert_true(log_count(l) > 10);
}

/* An unlinked segment stays readable for who is in the middle of it. */
struct unlinking {
	struct logs *l;
	uint32_t next;
	size_t seen;
};

static bool
push_out(void *ctx, const struct id *id, struct span record)
{
	struct unlinking *u = ctx;

	log_check(record, id, 9);
	if (u->seen++ == 5)
		for (int i = 0; i < 300; i++, u->next++) {
			log_append(
			    u->l, log_id(LOG_NOW + LOG_DAY + u->next, u->next), 60000, -1, -1);
			if (i % 20 == 0)
				log_settle(u->l);
		}
	return true;
}

static void
a_scan_survives_that_its_segments_go(void **state)
{
	struct unlinking u = {.l = *state};
	struct id floor = {{0}}, ceiling;

	memset(&ceiling, 0xff, sizeof(ceiling));
	u.l->o.max_size = 8 << 20;
	u.l->o.queue_size = 4 << 20;
	logs_reopen(u.l);
	for (uint32_t i = 0; i < 100; i++)
		log_append(u.l, log_id(LOG_NOW + i, i), 1000, -1, -1);
	log_settle(u.l);
	records_scan(u.l->r, &floor, &ceiling, push_out, &u);
	assert_in_range(u.seen, 6, 100);
	assert_false(log_has(u.l, log_id(LOG_NOW, 0), 1000));
}

/* ---- commands while no server runs ---- */

struct shape {
	uint64_t files, bytes, time;
};
static struct shape shape;

static int
add_shape(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	shape.files++;
	shape.bytes += type == FTW_F ? (uint64_t)st->st_size * 31 + (uint64_t)st->st_ino : 0;
	shape.time += (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
	return 0;
}

static struct shape
shape_of(struct logs *l)
{
	shape = (struct shape){0};
	assert_int_equal(nftw(l->dir.data, add_shape, 16, FTW_PHYS), 0);
	return shape;
}

static void
reading_changes_nothing(void **state)
{
	struct logs *l = *state;
	struct shape before, after;

	for (uint32_t i = 0; i < 100; i++)
		log_append(l, log_id(LOG_NOW - (i % 3) * LOG_DAY, i), 500, 500, -1);
	logs_close(l);
	before = shape_of(l);
	for (int i = 0; i < 3; i++) {
		struct id newest;

		assert_int_equal(
		    datadir_open_readonly(l->dir.data, &l->data, l->detail, sizeof(l->detail)),
		    E_OK);
		assert_int_equal(
		    records_open_readonly(&l->data, &l->r, l->detail, sizeof(l->detail)), E_OK);
		assert_int_equal(log_count(l), 100);
		assert_true(log_has_payload(l, log_id(LOG_NOW, 3), RECORD_REQUEST, 500));
		assert_int_equal(log_stats(l).records, 100);
		newest = records_newest(l->r);
		assert_memory_equal(&newest, log_id(LOG_NOW, 99).b, 16);
		assert_false(records_is_failing(l->r));
		logs_close(l);
	}
	after = shape_of(l);
	assert_memory_equal(&before, &after, sizeof(before));
	logs_open(l);
}

static void
an_empty_directory_is_an_empty_log(void **state)
{
	struct logs *l = *state;

	logs_close(l);
	assert_int_equal(unlink(store_dir_path(&l->dir, "log/queue")), 0);
	assert_int_equal(unlink(store_dir_path(&l->dir, "log/format")), 0);
	assert_int_equal(
	    datadir_open_readonly(l->dir.data, &l->data, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(
	    records_open_readonly(&l->data, &l->r, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(log_count(l), 0);
	assert_false(log_has(l, log_id(LOG_NOW, 1), 0));
	logs_close(l);
	assert_false(store_dir_has(&l->dir, "log/queue"));
	logs_open(l);
}

/* A server that starts while a command reads disturbs nothing, and the command what it listed
 * keeps. */
static void
a_reader_and_a_starting_server_do_not_meet(void **state)
{
	struct logs *l = *state, reader = *l;

	for (uint32_t i = 0; i < 500; i++)
		log_append(l, log_id(LOG_NOW, i), 200, 200, -1);
	logs_close(l);
	assert_int_equal(
	    datadir_open_readonly(l->dir.data, &reader.data, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(
	    records_open_readonly(&reader.data, &reader.r, l->detail, sizeof(l->detail)), E_OK);
	logs_open(l);
	for (uint32_t i = 500; i < 3000; i++) {
		log_append(l, log_id(LOG_NOW, i), 200, 200, -1);
		if (i % 250 == 0) {
			log_settle(l);
			assert_int_equal(log_count(&reader), 500);
			assert_true(log_has_payload(
			    &reader, log_id(LOG_NOW, i % 500), RECORD_REQUEST, 200));
		}
	}
	assert_int_equal(log_count(l), 3000);
	records_close(reader.r);
	/* ... and one that comes too late is told so */
	assert_int_equal(
	    records_open_readonly(&reader.data, &reader.r, l->detail, sizeof(l->detail)), E_IN_USE);
	datadir_close(&reader.data);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, logs_set_up, logs_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(records_past_their_age_are_unlinked),
	    TEST(a_reader_sees_nothing_past_its_age),
	    TEST(payloads_go_before_their_records),
	    TEST(a_short_age_makes_short_segments),
	    TEST(takes_no_more_than_max_size),
	    TEST(a_scan_survives_that_its_segments_go),
	    TEST(reading_changes_nothing),
	    TEST(an_empty_directory_is_an_empty_log),
	    TEST(a_reader_and_a_starting_server_do_not_meet),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
