#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store/segment_int.h"
#include "store_log.h"
#include "wall.h"

static struct log_seen seen;

static struct id
least(void)
{
	return (struct id){{0}};
}

static struct id
most(void)
{
	struct id id;

	memset(&id, 0xff, sizeof(id));
	return id;
}

/* ---- what goes in comes out ---- */

static void
a_record_is_readable_at_once_and_for_good(void **state)
{
	static const long sizes[] = {-1, 0, 1, 500, 4000, PAYLOAD_PIECE - 1, PAYLOAD_PIECE,
	    PAYLOAD_PIECE + 1, 3 * PAYLOAD_PIECE};
	struct logs *l = *state;

	l->o.queue_size = 64 << 20;
	logs_reopen(l);
	for (int phase = 0; phase < 3; phase++) {
		for (uint32_t i = 0; i < 81; i++) {
			long request = sizes[i % 9], response = sizes[i / 9];
			struct id id = log_id(LOG_NOW + i, i);

			if (phase == 0)
				log_append(l, id, i * 100, request, response);
			if (phase == 0 && i % 20 == 19)
				log_settle(l);
			assert_true(log_has(l, id, i * 100));
			assert_int_equal(
			    log_has_payload(l, id, RECORD_REQUEST, (size_t)request), request >= 0);
			assert_int_equal(log_has_payload(l, id, RECORD_RESPONSE, (size_t)response),
			    response >= 0);
		}
		assert_int_equal(log_count(l), 81);
		if (phase == 1)
			logs_reopen(l);
	}
	assert_int_equal(log_stats(l).lost, 0);
	assert_false(records_is_failing(l->r));
}

static void
what_is_not_there_is_not_found(void **state)
{
	struct logs *l = *state;

	assert_int_equal(log_count(l), 0);
	assert_false(log_has(l, log_id(LOG_NOW, 1), 0));
	assert_false(log_has_payload(l, log_id(LOG_NOW, 1), RECORD_REQUEST, 0));
	log_append(l, log_id(LOG_NOW, 1), 10, -1, -1);
	for (int phase = 0; phase < 2; phase++) {
		assert_false(log_has(l, log_id(LOG_NOW, 0), 0));
		assert_false(log_has(l, log_id(LOG_NOW, 2), 0));
		assert_false(log_has(l, log_id(LOG_NOW - 3 * LOG_DAY, 1), 0));
		assert_false(log_has(l, log_id(LOG_NOW + 3 * LOG_DAY, 1), 0));
		log_settle(l);
	}
}

static void
a_record_has_up_to_64_kb(void **state)
{
	struct logs *l = *state;
	uint64_t lost = metric_get(M_LOG_LOST);

	log_append(l, log_id(LOG_NOW, 1), 64 << 10, -1, -1);
	log_append(l, log_id(LOG_NOW, 2), (64 << 10) + 1, 5, -1);
	assert_true(log_has(l, log_id(LOG_NOW, 1), 64 << 10));
	assert_false(log_has(l, log_id(LOG_NOW, 2), 0));
	assert_int_equal(metric_get(M_LOG_LOST), lost + 1);
	assert_int_equal(log_stats(l).lost, 1);
	assert_false(records_is_failing(l->r)); /* the log is well */
	log_settle(l);
	assert_int_equal(log_count(l), 1);
}

static void
payloads_of_10_mb_go_through(void **state)
{
	struct logs *l = *state;
	struct id id = log_id(LOG_NOW, 1);

	l->o.queue_size = 64 << 20;
	logs_reopen(l);
	log_append(l, id, 300, 10 << 20, 10 << 20);
	assert_true(log_has_payload(l, id, RECORD_REQUEST, 10 << 20));
	log_settle(l);
	assert_true(log_has_payload(l, id, RECORD_REQUEST, 10 << 20));
	assert_true(log_has_payload(l, id, RECORD_RESPONSE, 10 << 20));
	log_append(l, log_id(LOG_NOW, 2), 300, (10 << 20) + 1, 5);
	assert_false(log_has_payload(l, log_id(LOG_NOW, 2), RECORD_REQUEST, 0));
	assert_true(log_has_payload(l, log_id(LOG_NOW, 2), RECORD_RESPONSE, 5));
}

static void
the_newest_id_is_known(void **state)
{
	struct logs *l = *state;
	struct id newest = log_id(LOG_NOW + 5, 1), none = {{0}}, got = records_newest(l->r);

	assert_memory_equal(&got, &none, sizeof(none));
	log_append(l, newest, 10, -1, -1);
	log_append(l, log_id(LOG_NOW, 9), 10, -1, -1);
	got = records_newest(l->r);
	assert_memory_equal(&got, &newest, sizeof(newest));
	logs_reopen(l);
	got = records_newest(l->r);
	assert_memory_equal(&got, &newest, sizeof(newest));
	/* ... even when the queue's file got lost */
	logs_close(l);
	assert_int_equal(unlink(store_dir_path(&l->dir, "log/queue")), 0);
	logs_open(l);
	got = records_newest(l->r);
	assert_memory_equal(&got, &newest, sizeof(newest));
}

/* ---- scanning ---- */

static void
a_scan_is_newest_first_within_its_bounds(void **state)
{
	struct logs *l = *state;

	for (uint32_t i = 0; i < 1000; i++)
		log_append(l, log_id(LOG_NOW + i / 10, i), i % 400, -1, -1);
	for (int phase = 0; phase < 2; phase++) {
		assert_int_equal(log_scan(l, least(), most(), &seen), 1000);
		assert_int_equal(
		    log_scan(l, log_id(LOG_NOW + 10, 100), log_id(LOG_NOW + 19, 199), &seen), 100);
		assert_int_equal(
		    log_scan(l, log_id(LOG_NOW + 10, 101), log_id(LOG_NOW + 19, 198), &seen), 98);
		assert_int_equal(
		    log_scan(l, log_id(LOG_NOW + 10, 100), log_id(LOG_NOW + 10, 100), &seen), 1);
		assert_int_equal(
		    log_scan(l, log_id(LOG_NOW + 10, 101), log_id(LOG_NOW + 10, 100), &seen), 0);
		assert_int_equal(log_scan(l, id_floor_at(LOG_NOW + 99), most(), &seen), 10);
		assert_int_equal(log_scan(l, id_floor_at(LOG_NOW + 100), most(), &seen), 0);
		seen.stop_at = 300;
		assert_int_equal(log_scan(l, least(), most(), &seen), 300);
		seen.stop_at = 0;
		log_settle(l);
	}
}

/* A record is appended when its exchange ends, with the id of its beginning: ids come out of
 * order, over midnight too. */
static void
late_records_are_found_in_their_place(void **state)
{
	struct logs *l = *state;
	int64_t midnight = 20001 * LOG_DAY;
	size_t n = 0;

	for (int phase = 0; phase < 4; phase++) {
		for (uint32_t i = 0; i < 300; i++, n++) {
			int64_t at = midnight + ((int64_t)(i * 7919 % 601) - 300) * 1000 * 60;

			log_append(l, log_id(at, (uint32_t)n), 50, i % 3 ? -1 : 20, -1);
			if (i % 100 == 50 && phase < 3)
				log_settle(l);
		}
		assert_int_equal(log_count(l), n);
		for (uint32_t i = 0; i < 300; i++) {
			int64_t at = midnight + ((int64_t)(i * 7919 % 601) - 300) * 1000 * 60;
			struct id id = log_id(at, (uint32_t)(n - 300 + i));

			assert_true(log_has(l, id, 50));
			assert_int_equal(log_has_payload(l, id, RECORD_REQUEST, 20), i % 3 == 0);
		}
		if (phase == 1)
			logs_reopen(l);
	}
}

static void
many_days_and_many_restarts_make_one_log(void **state)
{
	struct logs *l = *state;
	uint32_t n = 0;

	for (int run = 0; run < 20; run++) {
		for (uint32_t i = 0; i < 30; i++, n++)
			log_append(l, log_id(LOG_NOW - (int64_t)(n % 25) * LOG_DAY, n), 40, -1, -1);
		assert_int_equal(log_count(l), n);
		logs_reopen(l);
		assert_int_equal(log_count(l), n);
	}
	assert_int_equal(log_stats(l).records, n);
	assert_int_equal(log_scan(l, id_floor_at(20000 * LOG_DAY), most(), &seen), n / 25);
	assert_true(log_has(l, log_id(LOG_NOW - 24 * LOG_DAY, 24), 40));
}

static void
appending_an_id_again_replaces_it(void **state)
{
	struct logs *l = *state;

	for (size_t i = 1; i < 20; i++) {
		log_append(l, log_id(LOG_NOW, 1), i, (long)i, -1);
		assert_int_equal(log_count(l), 1);
		assert_true(log_has(l, log_id(LOG_NOW, 1), i));
		if (i % 3 == 0)
			log_settle(l);
		if (i % 7 == 0)
			logs_reopen(l);
	}
}

struct appender {
	struct logs *l;
	_Atomic bool is_done;
};

static void *
scan_all_the_time(void *arg)
{
	struct appender *a = arg;
	struct log_seen *mine = calloc(1, sizeof(*mine));
	size_t last = 0, *rounds = calloc(1, sizeof(*rounds));
	bool is_last;

	do {
		size_t n;

		is_last = a->is_done;
		n = log_scan(a->l, least(), most(), mine);
		assert_true(n >=
		    last); /* nothing that was seen is ever missing, queue to segment included */
		last = n;
		(*rounds)++;
	} while (!is_last);
	assert_int_equal(last, 4000);
	free(mine);
	return rounds;
}

static void
readers_of_other_threads_see_every_record_all_the_time(void **state)
{
	struct appender a = {.l = *state};
	pthread_t threads[2];
	void *rounds;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, scan_all_the_time, &a), 0);
	for (uint32_t i = 0; i < 4000; i++) {
		log_append(a.l, log_id(LOG_NOW + i, i), 60, i % 10 ? -1 : 1000, -1);
		if (i % 16 == 0)
			(void)sched_yield();
		assert_true(log_has(a.l, log_id(LOG_NOW + i, i), 60));
	}
	a.is_done = true;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], &rounds), 0);
		assert_true(*(size_t *)rounds > 0);
		free(rounds);
	}
	assert_int_equal(log_stats(a.l).lost, 0);
}

/* ---- damage ---- */

static void
rows_path(struct logs *l, const char *file, char out[FILE_PATH_SIZE])
{
	(void)snprintf(out, FILE_PATH_SIZE, "%s/log/20241004-1/%s", l->dir.data, file);
}

/* The file is changed under the open log: what is read next is judged by what stands there. */
static void
a_flipped_bit_of_a_record_leaves_out_that_record_alone(void **state)
{
	struct logs *l = *state;
	struct id id = log_id(LOG_NOW, 2);
	char path[FILE_PATH_SIZE], *record = log_fill(&id, 9, 100);
	off_t end;

	for (uint32_t i = 1; i <= 3; i++)
		log_append(l, log_id(LOG_NOW, i), 100, -1, -1);
	log_settle(l);
	rows_path(l, "rows.mdb", path);
	end = store_dir_find(path, span_of(record, 100), 0) + 100;
	assert_true(end > 200);
	for (off_t at = end - 100 - (off_t)sizeof(struct row_head); at < end; at++)
		for (int bit = 0; bit < 8; bit++) {
			store_dir_flip(path, at, bit);
			assert_false(log_has(l, id, 100));
			assert_int_equal(log_count(l), 2);
			store_dir_flip(path, at, bit);
		}
	assert_int_equal(log_count(l), 3);
	free(record);
}

/* It stands where it does not belong: log_count sees to the order of the others. */
static void
a_flipped_bit_of_an_id_is_no_id_and_disturbs_no_order(void **state)
{
	struct logs *l = *state;
	struct id id = log_id(LOG_NOW, 5), newest = log_id(LOG_NOW, 6), got;
	char path[FILE_PATH_SIZE], *record = log_fill(&id, 9, 100);
	off_t at;

	for (uint32_t i = 1; i <= 6; i += 2)
		log_append(l, log_id(LOG_NOW, i), 100, -1, -1);
	log_settle(l);
	rows_path(l, "rows.mdb", path);
	at = store_dir_find(path, span_of(record, 100), 0) - (off_t)sizeof(struct row_head) -
	    ID_BYTES;
	assert_true(at > 0);
	logs_reopen(l);
	for (uint32_t i = 2; i <= 6; i += 2)
		log_append(l, log_id(LOG_NOW, i), 100, -1, -1);
	for (int bit = 0; bit < 8 * ID_BYTES; bit++) {
		logs_close(l);
		store_dir_flip(path, at + bit / 8, bit % 8);
		logs_open(l);
		got = records_newest(l->r);
		assert_memory_equal(&got, &newest, sizeof(newest));
		assert_false(log_has(l, id, 100));
		assert_in_range(log_count(l), 3, 5);
		store_dir_flip(path, at + bit / 8, bit % 8);
	}
	free(record);
}

static void
a_damaged_note_of_the_newest_id_is_not_believed(void **state)
{
	struct logs *l = *state;
	struct id newest = log_id(LOG_NOW, 1), got;
	const off_t at = offsetof(struct queue_header, newest);

	log_append(l, newest, 10, -1, -1);
	logs_close(l);
	store_dir_flip(store_dir_path(&l->dir, "log/queue"), at, 6);
	logs_open(l);
	got = records_newest(l->r);
	assert_memory_equal(&got, &newest, sizeof(newest));
	logs_reopen(l); /* ... and forgotten */
	got = records_newest(l->r);
	assert_memory_equal(&got, &newest, sizeof(newest));
}

/* The page was copied when the next one came; what was there before is of no use any more. */
static off_t
last_place(const char *path, struct span what)
{
	off_t at = -1, next = store_dir_find(path, what, 0);

	for (; next >= 0; next = store_dir_find(path, what, at + 1))
		at = next;
	return at;
}

static void
a_flipped_bit_of_a_block_hides_its_payloads_alone(void **state)
{
	struct logs *l = *state;
	struct id id = log_id(LOG_NOW, 1), other = log_id(LOG_NOW, 2);
	char path[FILE_PATH_SIZE], *payload = log_fill(&id, RECORD_RESPONSE, 30);
	off_t end;

	log_append(l, id, 30, 30, 30); /* so small that they are stored as they are */
	log_settle(l);
	log_append(l, other, 30, 30, 30);
	log_settle(l);
	rows_path(l, "payloads.mdb", path);
	end = last_place(path, span_of(payload, 30)) + 30;
	assert_true(end > 200);
	for (off_t at = end - 60 - (off_t)sizeof(struct piece_head); at < end; at++) {
		store_dir_flip(path, at, (int)(at % 8));
		assert_false(log_has_payload(l, id, RECORD_REQUEST, 30));
		assert_false(log_has_payload(l, id, RECORD_RESPONSE, 30));
		assert_true(log_has(l, id, 30));
		assert_true(log_has_payload(l, other, RECORD_RESPONSE, 30));
		store_dir_flip(path, at, (int)(at % 8));
	}
	assert_true(log_has_payload(l, id, RECORD_RESPONSE, 30));
	free(payload);
}

static void
a_destroyed_segment_takes_no_other_with_it(void **state)
{
	struct logs *l = *state;
	char path[FILE_PATH_SIZE];

	log_append(l, log_id(LOG_NOW, 1), 30, 90, -1);
	log_append(l, log_id(LOG_NOW - LOG_DAY, 2), 30, 90, -1);
	log_append(l, log_id(LOG_NOW + LOG_DAY, 3), 30, 90, -1);
	logs_close(l);
	store_dir_write(&l->dir, "log/20241004-1/rows.mdb", "not a database");
	rows_path(l, "payloads.mdb", path);
	assert_int_equal(truncate(path, 5000), 0);
	logs_open(l);
	assert_int_equal(log_count(l), 2);
	assert_true(log_has_payload(l, log_id(LOG_NOW + LOG_DAY, 3), RECORD_REQUEST, 90));
	log_append(l, log_id(LOG_NOW, 4), 30, 90, -1);
	assert_int_equal(log_count(l), 3);
	log_settle(l);
	assert_int_equal(log_count(l), 3);
}

/* Torn off in the middle: an error for what was there, never a crash. */
static void
a_truncated_segment_is_survived(void **state)
{
	struct logs *l = *state;
	char path[FILE_PATH_SIZE];

	for (uint32_t i = 0; i < 2000; i++)
		log_append(l, log_id(LOG_NOW, i), 300, 3000, -1);
	logs_close(l);
	for (off_t pages = 150; pages > 0; pages -= 7) {
		size_t n;

		rows_path(l, "rows.mdb", path);
		assert_int_equal(truncate(path, pages * 4096), 0);
		rows_path(l, "payloads.mdb", path);
		assert_int_equal(truncate(path, pages * 4096), 0);
		logs_open(l);
		n = log_count(l);
		assert_true(n <= 2000);
		for (uint32_t i = 0; i < 2000; i += 37)
			(void)log_has_payload(l, log_id(LOG_NOW, i), RECORD_REQUEST, 3000);
		logs_close(l);
	}
	logs_open(l);
}

/* ---- formats ---- */

static void
another_format_is_refused_in_plain_words(void **state)
{
	struct logs *l = *state;
	struct records *r;

	log_append(l, log_id(LOG_NOW, 1), 10, -1, -1);
	records_close(l->r);
	store_dir_write(&l->dir, "log/format", "4\n");
	assert_int_equal(records_open(&l->data, &l->o, &r, l->detail, sizeof(l->detail)), E_USAGE);
	assert_non_null(strstr(l->detail, "newer version"));
	assert_non_null(strstr(l->detail, l->dir.data));
	assert_int_equal(
	    records_open_readonly(&l->data, &r, l->detail, sizeof(l->detail)), E_USAGE);
	store_dir_write(&l->dir, "log/format", "1\n");
	assert_int_equal(records_open(&l->data, &l->o, &r, l->detail, sizeof(l->detail)), E_USAGE);
	assert_non_null(strstr(l->detail, "older version"));
	store_dir_write(&l->dir, "log/format", "cheese\n");
	assert_int_equal(records_open(&l->data, &l->o, &r, l->detail, sizeof(l->detail)), E_USAGE);
	store_dir_write(&l->dir, "log/format", "3\n");
	assert_int_equal(records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(log_count(l), 1);
}

static void
opens_in_less_than_10_ms(void **state)
{
	struct logs *l = *state;
	uint64_t best = UINT64_MAX;

	l->o.queue_size = 0;
	for (int i = 0; i < 5; i++) {
		uint64_t start, took;

		records_close(l->r);
		start = clock_mono_us();
		assert_int_equal(
		    records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)), E_OK);
		took = clock_mono_us() - start;
		best = took < best ? took : best;
	}
	assert_true(best < wall_bound(10000));
}

static void
stats_and_metrics_agree(void **state)
{
	struct logs *l = *state;
	uint64_t written = metric_get(M_LOG_WRITTEN);

	for (uint32_t i = 0; i < 100; i++)
		log_append(l, log_id(LOG_NOW, i), 100, 100, -1);
	assert_int_equal(log_stats(l).records, 100);
	log_settle(l);
	assert_int_equal(log_stats(l).records, 100);
	assert_int_equal(log_stats(l).queued_bytes, 0);
	assert_int_equal(metric_get(M_LOG_WRITTEN), written + 100);
	STORE_WAIT_UNTIL(metric_get(M_LOG_QUEUE_BYTES) == 0);
	assert_int_equal(metric_get(M_LOG_FAILING), 0);
	assert_in_range(log_stats(l).bytes, store_dir_du(&l->dir, "log") - 100000,
	    store_dir_du(&l->dir, "log") + 100000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, logs_set_up, logs_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_record_is_readable_at_once_and_for_good),
	    TEST(what_is_not_there_is_not_found),
	    TEST(a_record_has_up_to_64_kb),
	    TEST(payloads_of_10_mb_go_through),
	    TEST(the_newest_id_is_known),
	    TEST(a_scan_is_newest_first_within_its_bounds),
	    TEST(late_records_are_found_in_their_place),
	    TEST(many_days_and_many_restarts_make_one_log),
	    TEST(appending_an_id_again_replaces_it),
	    TEST(readers_of_other_threads_see_every_record_all_the_time),
	    TEST(a_flipped_bit_of_a_record_leaves_out_that_record_alone),
	    TEST(a_flipped_bit_of_an_id_is_no_id_and_disturbs_no_order),
	    TEST(a_damaged_note_of_the_newest_id_is_not_believed),
	    TEST(a_flipped_bit_of_a_block_hides_its_payloads_alone),
	    TEST(a_destroyed_segment_takes_no_other_with_it),
	    TEST(a_truncated_segment_is_survived),
	    TEST(another_format_is_refused_in_plain_words),
	    TEST(opens_in_less_than_10_ms),
	    TEST(stats_and_metrics_agree),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
