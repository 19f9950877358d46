#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdbool.h>

#include "crypto/crypto.h"
#include "obs/metric.h"
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

/* ---- size of the payloads ---- */

/* Of payloads.mdb in all segments, locks included. */
static uint64_t payload_blocks;

static int
add_payload_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	if (strncmp(path + ftw->base, "payloads.mdb", 12) == 0)
		payload_blocks += (uint64_t)st->st_blocks;
	return 0;
}

static uint64_t
payload_du(struct logs *l)
{
	int rc = -1;

	for (int i = 0; rc != 0 && i < 100; i++) {
		payload_blocks = 0;
		rc = nftw(store_dir_path(&l->dir, "log"), add_payload_file, 16, FTW_PHYS);
	}
	assert_int_equal(rc, 0);
	return payload_blocks * 512;
}

static void
append_noise(struct logs *l, uint32_t n, size_t size)
{
	struct id id = log_id(LOG_NOW + n * 1000, n);
	char *record = log_fill(&id, 9, 300), *noise = malloc(size);
	const struct span payload[RECORD_PAYLOADS] = {span_of(noise, size), SPAN_NONE};

	assert_non_null(noise);
	random_bytes(noise, size);
	record_append(l->r, &id, span_of(record, 300), payload);
	free(record);
	free(noise);
	if (n % 8 == 0) /* a commit is an fsync: not for each */
		log_settle(l);
}

static bool
has_noise(struct logs *l, uint32_t n)
{
	struct id id = log_id(LOG_NOW + n * 1000, n);
	struct buf out;
	bool is_there;

	buf_init(&out, 1 << 20);
	is_there = record_read_payload(l->r, &id, RECORD_REQUEST, &out);
	buf_fini(&out);
	return is_there;
}

/* Waits until the writer has nothing to do: then what had to go is gone. */
static void
rest(struct logs *l)
{
	log_settle(l);
	STORE_WAIT_UNTIL(atomic_load(&l->r->state) == WRITER_ASLEEP && !l->r->must_check);
}

static void
payloads_take_no_more_than_their_own_limit(void **state)
{
	struct logs *l = *state;
	const uint64_t limit = 16 << 20;
	uint32_t n = 0, oldest;

	l->o.payload_max_size = limit;
	logs_reopen(l);
	for (; payload_du(l) < limit - limit / 16 - (1 << 20); n++)
		append_noise(l, n, 60000);
	rest(l);
	assert_true(has_noise(l, 0)); /* just under */
	for (; n < 900; n++) {
		append_noise(l, n, 60000);
		if (n % 50 == 0) {
			rest(l);
			assert_true(payload_du(l) <= limit);
		}
	}
	rest(l);
	assert_in_range(payload_du(l), limit / 2, limit);
	/* the oldest went, in order; the records are all there */
	for (oldest = 0; !has_noise(l, oldest);)
		oldest++;
	assert_in_range(oldest, 500, 850);
	for (uint32_t i = oldest; i < n; i++)
		assert_true(has_noise(l, i));
	assert_int_equal(log_count(l), n);
	assert_int_equal(metric_get(M_LOG_PAYLOAD_BYTES), payload_du(l));
	assert_int_equal(metric_get(M_LOG_PAYLOADS_LOST), 0);
	/* lowered, it is held without a new record */
	l->o.payload_max_size = limit / 4;
	logs_reopen(l);
	rest(l);
	assert_in_range(payload_du(l), 1, limit / 4);
	assert_true(has_noise(l, n - 1));
	assert_int_equal(log_count(l), n);
	/* 0: as many as there may be of all */
	l->o.payload_max_size = 0;
	logs_reopen(l);
	for (uint32_t end = n + 400; n < end; n++)
		append_noise(l, n, 60000);
	rest(l);
	assert_true(payload_du(l) > limit);
}

/* Less than one segment needs: the newest payloads go too, and nothing else. */
static void
a_very_small_limit_of_payloads_is_held_too(void **state)
{
	struct logs *l = *state;

	l->o.payload_max_size = 1 << 20;
	logs_reopen(l);
	for (uint32_t n = 0; n < 100; n++) {
		append_noise(l, n, 60000);
		rest(l);
		assert_true(payload_du(l) <= 1 << 20);
	}
	assert_int_equal(log_count(l), 100);
	assert_true(segments(l) < 20);
}

/* What is due goes a few files at a time. */
static void
retention_goes_in_slices(void **state)
{
	struct logs *l = *state;
	unsigned before, turns = 0;

	set_clock(LOG_NOW);
	logs_reopen(l);
	for (uint32_t day = 0; day < 40; day++)
		log_append(l, log_id(LOG_NOW + day * LOG_DAY, day), 100, 3000, -1);
	log_settle(l);
	logs_reopen(l);
	rest(l);
	set_clock(LOG_NOW + 60 * LOG_DAY);
	/* the writer sleeps, for ever: this thread may do its work */
	l->r->o.retention_ms = 50 * (uint64_t)LOG_DAY;
	l->r->o.payload_retention_ms = 10 * (uint64_t)LOG_DAY;
	do {
		uint64_t payloads = payload_du(l);

		before = segments(l);
		turns++;
		if (records_retain(l->r) != 0)
			break;
		assert_true(segments(l) < before || payload_du(l) < payloads);
		assert_in_range(before - segments(l), 0, 8);
	} while (turns < 100);
	assert_in_range(turns, 5, 10);
	assert_int_equal(segments(l), 30);
	assert_int_equal(payload_du(l), 0);
	assert_int_equal(log_count(l), 30);
	l->r->o.retention_ms = l->r->o.payload_retention_ms = 0;
}

/* ---- never an empty log ---- */

static void
a_smaller_limit_leaves_the_newest_records(void **state)
{
	struct logs *l = *state;
	uint32_t n = 0;

	logs_reopen(l);
	for (; n < 300; n++)
		append_noise(l, n, 60000);
	rest(l);
	l->o.max_size = 2 << 20;
	l->o.queue_size = 0;
	logs_reopen(l);
	rest(l);
	/* one segment of 18 MB: its payloads had to go */
	assert_true(store_dir_du(&l->dir, "log") <= l->o.max_size);
	assert_int_equal(log_count(l), 300);
	assert_false(has_noise(l, n - 1));
	logs_reopen(l);
	rest(l);
	assert_int_equal(log_count(l), 300);
}

static void
a_newest_segment_over_the_limit_goes_when_there_is_a_newer(void **state)
{
	struct logs *l = *state;
	uint32_t n = 0;

	logs_reopen(l);
	log_append(l, log_id(LOG_NOW - LOG_DAY, 1), 100, -1, -1);
	for (; n < 1000; n++) {
		log_append(l, log_id(LOG_NOW + n, n), 10000, -1, -1);
		if (n % 100 == 0)
			log_settle(l);
	}
	log_settle(l);
	l->o.max_size = 4 << 20;
	l->o.queue_size = 0;
	logs_reopen(l);
	rest(l);
	assert_int_equal(log_count(l), 1000); /* not yesterday's */
	log_append(l, log_id(LOG_NOW + n, n), 10000, -1, -1);
	log_settle(l);
	rest(l);
	assert_int_equal(log_count(l), 1);
	assert_true(log_has(l, log_id(LOG_NOW + n, n), 10000));
	assert_true(store_dir_du(&l->dir, "log") <= l->o.max_size);
}

/* ---- nothing is written ---- */

static void
an_idle_log_forgets_what_is_past(void **state)
{
	struct logs *l = *state;

	l->o.retention_ms = 1000;
	logs_reopen(l);
	log_append(l, log_id(clock_wall_ms(), 1), 100, 3000, -1);
	log_settle(l);
	assert_int_equal(segments(l), 1);
	STORE_WAIT_UNTIL(segments(l) == 0); /* by itself */
	/* what an earlier run left too */
	l->o.retention_ms = 0;
	logs_reopen(l);
	log_append(l, log_id(clock_wall_ms(), 2), 100, 3000, -1);
	log_settle(l);
	l->o.retention_ms = 1000;
	l->o.payload_retention_ms = 500;
	logs_reopen(l);
	STORE_WAIT_UNTIL(payload_du(l) == 0);
	STORE_WAIT_UNTIL(segments(l) == 0);
	assert_int_equal(log_count(l), 0);
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
	    TEST(payloads_take_no_more_than_their_own_limit),
	    TEST(a_very_small_limit_of_payloads_is_held_too),
	    TEST(retention_goes_in_slices),
	    TEST(a_smaller_limit_leaves_the_newest_records),
	    TEST(a_newest_segment_over_the_limit_goes_when_there_is_a_newer),
	    TEST(an_idle_log_forgets_what_is_past),
	    TEST(a_scan_survives_that_its_segments_go),
	    TEST(reading_changes_nothing),
	    TEST(an_empty_directory_is_an_empty_log),
	    TEST(a_reader_and_a_starting_server_do_not_meet),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
