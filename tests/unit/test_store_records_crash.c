#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store_log.h"

/* What the child says after each append: "this one is safe". */
struct ack {
	struct id id;
	uint32_t size;
	int32_t request;
};

static uint32_t dice;

static uint32_t
roll(uint32_t sides)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 8) % sides;
}

static void
write_until_killed(struct logs *l, uint32_t round, int to)
{
	logs_open(l);
	for (uint32_t i = 0;; i++) {
		/* over midnight, so that some batches go into two segments */
		int64_t at = 20001 * LOG_DAY + ((int64_t)i - 500) * 7;
		struct ack ack = {.id = log_id(i % 5 ? at : at - 3000, round << 16 | i),
		    .size = i * 37 % 900,
		    .request = i % 4 ? -1 : (int32_t)(i * 7919 % 20000)};

		log_append(l, ack.id, ack.size, ack.request, -1);
		/* Too fast for this disk: the parent will miss acknowledgements, and say so. */
		if (metric_get(M_LOG_LOST) + metric_get(M_LOG_PAYLOADS_LOST) > 0)
			_exit(1);
		if (write(to, &ack, sizeof(ack)) != (ssize_t)sizeof(ack))
			_exit(0);
	}
}

/* Starts a child, reads that many acknowledgements, kills it, reads what it had still sent. */
static size_t
run_and_kill(struct logs *l, uint32_t round, size_t wanted, struct ack *acks, size_t max)
{
	int ends[2];
	size_t n = 0;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)close(ends[0]);
		write_until_killed(l, round, ends[1]);
	}
	(void)close(ends[1]);
	while (n < max && read(ends[0], &acks[n], sizeof(acks[n])) == (ssize_t)sizeof(acks[n]))
		if (++n == wanted)
			assert_int_equal(kill(child, SIGKILL), 0);
	assert_true(n >= wanted);
	(void)close(ends[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return n;
}

static void
check_all(struct logs *l, const struct ack *acks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!log_has(l, acks[i].id, acks[i].size))
			fail_msg("record %zu of %zu is lost", i, n);
		assert_int_equal(
		    log_has_payload(l, acks[i].id, RECORD_REQUEST, (size_t)acks[i].request),
		    acks[i].request >= 0);
	}
}

/* At least n, newest first; log_see checks that each comes once. */
static bool
count_one(void *ctx, const struct id *id, struct span record)
{
	size_t *n = ctx;

	log_check(record, id, 9);
	(*n)++;
	return true;
}

static size_t
count(struct logs *l)
{
	const struct id floor = {{0}};
	struct id ceiling;
	size_t n = 0;

	memset(&ceiling, 0xff, sizeof(ceiling));
	records_scan(l->r, &floor, &ceiling, count_one, &n);
	return n;
}

#define ACKS_MAX 200000

static void
kill_9_loses_no_record_that_was_appended(void **state)
{
	struct logs *l = *state;
	struct ack *acks = calloc(ACKS_MAX, sizeof(*acks));
	size_t n = 0;

	logs_close(l);
	l->o.queue_size = 64 << 20;
	for (uint32_t round = 0; round < 14; round++) {
		/* from the first record on to many commits later */
		size_t wanted = 1 + roll(round % 3 == 0 ? 5 : 4000), before = n, total;
		struct records *reader;
		struct datadir data;

		n += run_and_kill(l, round, wanted, acks + n, ACKS_MAX - n);
		/* a command reads it as it was left ... */
		assert_int_equal(
		    datadir_open_readonly(l->dir.data, &data, l->detail, sizeof(l->detail)), E_OK);
		assert_int_equal(
		    records_open_readonly(&data, &reader, l->detail, sizeof(l->detail)), E_OK);
		l->r = reader;
		check_all(l, acks + before, n - before);
		total = count(l);
		assert_true(total >= n);
		records_close(reader);
		datadir_close(&data);
		/* ... and so does the next server, which may be killed in its turn before it has
		 * committed anything */
		if (round % 4 == 3)
			continue;
		logs_open(l);
		check_all(l, acks, n);
		assert_int_equal(count(l), total);
		log_settle(l);
		check_all(l, acks + before, n - before);
		assert_int_equal(count(l), total);
		assert_int_equal(log_stats(l).records, total); /* none was committed twice */
		logs_close(l);
	}
	logs_open(l);
	check_all(l, acks, n);
	print_message("%zu records, none lost\n", n);
	free(acks);
}

/* The machine went down: what the queue still holds may have been committed or not. Nothing is
 * doubled for a reader. */
static void
after_a_power_loss_each_record_is_there_once(void **state)
{
	struct logs *l = *state;
	struct ack *acks = calloc(ACKS_MAX, sizeof(*acks));
	size_t n, total;

	logs_close(l);
	l->o.queue_size = 64 << 20;
	n = run_and_kill(l, 1, 3000, acks, ACKS_MAX);
	/* nothing was lost of the files here, so all must be found */
	store_dir_write(&l->dir, "boot", "running 01234567-89ab-cdef-0123-456789abcdef\n");
	logs_open(l);
	assert_false(l->data.was_clean);
	check_all(l, acks, n);
	total = count(l);
	log_settle(l);
	check_all(l, acks, n);
	assert_int_equal(count(l), total);
	free(acks);
}

/* A full queue of 64 MB: open does not wait for it to be written. */
static void
opens_within_a_second_with_a_full_queue(void **state)
{
	struct logs *l = *state;
	uint64_t start, took;
	uint32_t n = 0;
	int ends[2];
	pid_t child;

	logs_close(l);
	l->o.queue_size = 64 << 20;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		logs_open(l);
		/* no segment can be made: everything stays in the queue */
		(void)rename(store_dir_path(&l->dir, "log"), store_dir_path(&l->dir, "log-away"));
		for (n = 0; metric_get(M_LOG_LOST) == 0; n++)
			log_append(l, log_id(LOG_NOW + n, n), 400, n % 50 ? -1 : 40000, -1);
		n--;
		(void)!write(ends[1], &n, sizeof(n));
		raise(SIGKILL);
	}
	assert_int_equal(read(ends[0], &n, sizeof(n)), sizeof(n));
	assert_int_equal(waitpid(child, NULL, 0), child);
	(void)close(ends[0]);
	(void)close(ends[1]);
	assert_int_equal(
	    rename(store_dir_path(&l->dir, "log-away"), store_dir_path(&l->dir, "log")), 0);
	start = clock_mono_us();
	logs_open(l);
	took = clock_mono_us() - start;
	print_message(
	    "opened in %llu us with %u records in the queue\n", (unsigned long long)took, n);
	assert_true(took < 1000000);
	assert_true(n > 20000);
	assert_int_equal(count(l), n);
	log_settle(l);
	assert_int_equal(count(l), n);
	assert_true(log_has(l, log_id(LOG_NOW, 0), 400));
	assert_true(log_has(l, log_id(LOG_NOW + n - 1, n - 1), 400));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, logs_set_up, logs_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(kill_9_loses_no_record_that_was_appended),
	    TEST(after_a_power_loss_each_record_is_there_once),
	    TEST(opens_within_a_second_with_a_full_queue),
	};

	if (!crypto_init())
		return 1;
	dice = (uint32_t)getpid();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
