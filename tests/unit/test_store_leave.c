/* A takeover as the store sees it: one process leaves and goes on appending, another has come. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store_cache.h"
#include "store_log.h"

#define EACH 400

static struct id
id_of(unsigned who, uint32_t n)
{
	return log_id(20001 * LOG_DAY + ((int64_t)n - EACH / 2) * 7, who << 16 | n);
}

static size_t
size_of(uint32_t n)
{
	return 1 + n * 37 % 900;
}

static void
append(struct logs *l, unsigned who, uint32_t n)
{
	log_append(l, id_of(who, n), size_of(n), n % 3 ? -1 : (long)(n * 7919 % 60000), -1);
}

static void
tell(int fd)
{
	char byte = '.';

	if (write(fd, &byte, 1) != 1)
		_exit(9);
}

static bool
hear(int fd)
{
	char byte;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
		continue;
	return n == 1;
}

/* A process that opens the log, appends, leaves, says so, appends on at each word of ours, and says so each time; it ends
 * when we hang up. */
struct leaver {
	pid_t pid;
	int to, from;
};

static void
be_leaver(struct logs *l, unsigned who, int in, int out)
{
	uint32_t n = 0;

	if (records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)) != E_OK)
		_exit(8);
	while (n < EACH)
		append(l, who, n++);
	if (records_leave(l->r) != E_OK)
		_exit(7);
	for (tell(out); hear(in); tell(out))
		append(l, who, n++);
	if (metric_get(M_LOG_LOST) > 0)
		_exit(6);
	records_close(l->r);
	_exit(0);
}

/* With the lock of l->data, which both have: what is handed over. */
static struct leaver
start_leaver(struct logs *l, unsigned who)
{
	struct leaver a;
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	a.pid = fork();
	assert_true(a.pid >= 0);
	if (a.pid == 0) {
		(void)close(in[1]);
		(void)close(out[0]);
		be_leaver(l, who, in[0], out[1]);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	a.to = in[1];
	a.from = out[0];
	assert_true(hear(a.from));
	return a;
}

static void
let_append(const struct leaver *a)
{
	tell(a->to);
	assert_true(hear(a->from));
}

static void
end_leaver(const struct leaver *a)
{
	int status;

	(void)close(a->to);
	assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
	assert_int_equal(status, 0);
	(void)close(a->from);
}

static void
kill_leaver(const struct leaver *a)
{
	assert_int_equal(kill(a->pid, SIGKILL), 0);
	assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
	(void)close(a->to);
	(void)close(a->from);
}

static void
check(struct logs *l, unsigned who, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!log_has(l, id_of(who, i), size_of(i)))
			fail_msg("record %u of %u is lost", (unsigned)i, who);
}

static void
what_two_append_is_there_once(void **state)
{
	struct logs *l = *state;
	struct leaver a;
	int lock;

	records_close(l->r);
	a = start_leaver(l, 1);
	lock = dup(l->data.lock_fd);
	datadir_close(&l->data);
	assert_int_equal(
	    datadir_take_over(l->dir.data, lock, &l->data, l->detail, sizeof(l->detail)), E_OK);
	assert_true(l->data.was_clean);
	/* another size has to wait until the other has gone */
	l->o.queue_size = 16 << 20;
	assert_int_equal(records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)), E_OK);
	check(l, 1, EACH);
	for (uint32_t i = 0; i < EACH; i++) {
		tell(a.to);
		append(l, 2, i);
		assert_true(hear(a.from));
		/* readable at once */
		assert_true(log_has(l, id_of(1, EACH + i), size_of(EACH + i)));
	}
	log_settle(l);
	/* nobody of this process wakes the writer for it */
	let_append(&a);
	log_settle(l);
	end_leaver(&a);
	append(l, 2, EACH);
	log_settle(l);
	check(l, 1, 2 * EACH + 1);
	check(l, 2, EACH + 1);
	assert_int_equal(log_count(l), 3 * EACH + 2);
	assert_int_equal(log_stats(l).records, 3 * EACH + 2);
	logs_reopen(l);
	assert_int_equal(log_count(l), 3 * EACH + 2);
}

static void
kill_9_of_who_leaves_loses_nothing(void **state)
{
	struct logs *l = *state;
	struct leaver a, b;

	records_close(l->r);
	a = start_leaver(l, 1);
	b = start_leaver(l, 2); /* takes over, and is taken over */
	assert_int_equal(records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)), E_OK);
	for (uint32_t i = 0; i < 50; i++) {
		let_append(&a);
		let_append(&b);
		append(l, 3, i);
	}
	kill_leaver(&a);
	append(l, 3, 50);
	let_append(&b);
	kill_leaver(&b);
	append(l, 3, 51);
	log_settle(l);
	check(l, 1, EACH + 50);
	check(l, 2, EACH + 51);
	check(l, 3, 52);
	assert_int_equal(log_stats(l).records, 2 * EACH + 50 + 51 + 52);
}

/* Who takes over dies; another starts, as after any crash, while the first still leaves. */
static void
kill_9_of_who_came_loses_nothing(void **state)
{
	struct logs *l = *state;
	struct leaver a, b;

	records_close(l->r);
	a = start_leaver(l, 1);
	b = start_leaver(l, 2);
	let_append(&b);
	kill_leaver(&b);
	let_append(&a);
	assert_int_equal(records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)), E_OK);
	for (uint32_t i = 0; i < 50; i++) {
		tell(a.to);
		append(l, 3, i);
		assert_true(hear(a.from));
	}
	end_leaver(&a);
	log_settle(l);
	check(l, 1, EACH + 51);
	check(l, 2, EACH + 1);
	check(l, 3, 50);
	assert_int_equal(log_stats(l).records, 2 * EACH + 51 + 1 + 50);
}

static void
who_has_left_reads_what_was_committed(void **state)
{
	struct logs *l = *state;

	append(l, 1, 0);
	log_settle(l);
	assert_int_equal(records_leave(l->r), E_OK);
	append(l, 1, 1);
	assert_true(log_has(l, id_of(1, 0), size_of(0)));
	assert_int_equal(log_count(l), 1);
	logs_reopen(l);
	check(l, 1, 2);
}

static void
another_lock_is_refused(void **state)
{
	struct logs *l = *state;
	struct datadir d;
	int fd = open("/", O_RDONLY | O_CLOEXEC);

	assert_int_equal(
	    datadir_take_over(l->dir.data, fd, &d, l->detail, sizeof(l->detail)), E_IO);
	assert_non_null(strstr(l->detail, "lock"));
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
	assert_int_equal(strncmp(datadir_forms(), "queue-", 6), 0);
	assert_null(strchr(datadir_forms(), '_')); /* numbers, no names of ours */
}

static const struct sample small = {.number = 1, .preimage = 100, .body = 500},
			   large = {.number = 2, .preimage = 100, .body = 300000},
			   late = {.number = 3, .preimage = 100, .body = 500};

/* The newcomer: finds what was there, adds one, says so. */
static void
be_newcomer(struct cache *c, int out)
{
	char detail[512];

	if (entries_open(&c->data, c->max_size, &c->entries, detail, sizeof(detail)) != E_OK ||
	    !sample_hits(c, &small) || !sample_hits(c, &large) || sample_put(c, &late) != E_OK)
		_exit(8);
	entries_close(c->entries);
	tell(out);
	_exit(0);
}

static void
the_cache_is_read_on(void **state)
{
	struct cache *c = *state;
	struct entry_key k = sample_key(1);
	struct entry *en;
	int out[2], status;
	pid_t child;

	assert_int_equal(sample_put(c, &small), E_OK);
	assert_int_equal(sample_put(c, &large), E_OK);
	en = sample_find(c, &large); /* from memory, still */
	entries_leave(c->entries);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		be_newcomer(c, out[1]);
	(void)close(out[1]);
	assert_true(hear(out[0]));
	(void)close(out[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* what is put or removed here is dropped; what was there, and what came, is found */
	assert_int_equal(sample_put(c, &late), E_FULL);
	entries_remove(c->entries, &k);
	assert_true(sample_hits(c, &small));
	assert_true(sample_hits(c, &late));
	assert_int_equal(sample_read(c, en, &large, 0), E_OK);
	entry_release(en);
	cache_reopen(c);
	assert_true(sample_hits(c, &small));
	assert_true(sample_hits(c, &large));
	assert_true(sample_hits(c, &late));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		what_two_append_is_there_once, logs_set_up, logs_tear_down),
	    cmocka_unit_test_setup_teardown(
		kill_9_of_who_leaves_loses_nothing, logs_set_up, logs_tear_down),
	    cmocka_unit_test_setup_teardown(
		kill_9_of_who_came_loses_nothing, logs_set_up, logs_tear_down),
	    cmocka_unit_test_setup_teardown(
		who_has_left_reads_what_was_committed, logs_set_up, logs_tear_down),
	    cmocka_unit_test_setup_teardown(another_lock_is_refused, logs_set_up, logs_tear_down),
	    cmocka_unit_test_setup_teardown(the_cache_is_read_on, cache_set_up, cache_tear_down),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
