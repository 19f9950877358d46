#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "crypto/crypto.h"
#include "store/backup.h"
#include "store/records_int.h"
#include "store_log.h"

static const char *
target(struct logs *l)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/copy", l->dir.base);
	return path;
}

static enum backup_result
back_up(struct logs *l, const char *dir, struct backup_figures *figures)
{
	struct backup *b = backup_new(l->r, dir);
	enum backup_result r;

	l->detail[0] = '\0';
	do
		r = backup_step(b, l->detail, sizeof(l->detail));
	while (r == BACKUP_MORE);
	if (figures != NULL)
		backup_figures(b, figures);
	backup_free(b);
	return r;
}

/* The copy as a server of its own finds it. */
static void
open_copy(struct logs *l, struct logs *copy)
{
	*copy = (struct logs){.o = l->o};
	(void)snprintf(copy->dir.data, sizeof(copy->dir.data), "%s", target(l));
	logs_open(copy);
}

static void
open_copy_readonly(struct logs *l, struct logs *copy)
{
	*copy = (struct logs){.o = l->o};
	assert_int_equal(
	    datadir_open_readonly(target(l), &copy->data, copy->detail, sizeof(copy->detail)),
	    E_OK);
	assert_int_equal(
	    records_open_readonly(&copy->data, &copy->r, copy->detail, sizeof(copy->detail)), E_OK);
}

static void
append_days(struct logs *l, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++)
		log_append(l, log_id(LOG_NOW - (i % 3) * LOG_DAY, i), 300, 2000, i % 2 ? 3000 : -1);
}

static void
check_all(struct logs *l, uint32_t n)
{
	assert_int_equal(log_count(l), n);
	for (uint32_t i = 0; i < n; i += 7) {
		struct id id = log_id(LOG_NOW - (i % 3) * LOG_DAY, i);

		assert_true(log_has(l, id, 300));
		assert_true(log_has_payload(l, id, RECORD_REQUEST, 2000));
		assert_int_equal(log_has_payload(l, id, RECORD_RESPONSE, 3000), i % 2);
	}
}

/* What was appended just before is in it, queued or not; a server and a command take it. */
static void
a_running_servers_copy_is_whole(void **state)
{
	struct logs *l = *state, copy;
	struct backup_figures f;

	append_days(l, 0, 200);
	logs_reopen(l);
	append_days(l, 200, 300);
	assert_int_equal(back_up(l, target(l), &f), BACKUP_DONE);
	assert_int_equal(f.records, 500);
	assert_int_equal(f.segments, 6);
	assert_true(f.bytes > 0);
	open_copy_readonly(l, &copy);
	check_all(&copy, 500);
	assert_memory_equal(copy.data.secret, l->data.secret, 32);
	logs_close(&copy);
	open_copy(l, &copy);
	check_all(&copy, 500);
	append_days(&copy, 500, 100);
	log_settle(&copy);
	check_all(&copy, 600);
	logs_close(&copy);
	check_all(l, 500);
}

static void *
append_on(void *arg)
{
	append_days(arg, 100, 1000);
	return NULL;
}

static void
logging_goes_on_meanwhile(void **state)
{
	struct logs *l = *state, copy;
	struct backup_figures f;
	pthread_t thread;

	append_days(l, 0, 100);
	assert_int_equal(pthread_create(&thread, NULL, append_on, l), 0);
	assert_int_equal(back_up(l, target(l), &f), BACKUP_DONE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(f.records, 100, 1100);
	open_copy_readonly(l, &copy);
	assert_int_equal(log_count(&copy), f.records);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(log_has_payload(
		    &copy, log_id(LOG_NOW - (i % 3) * LOG_DAY, i), RECORD_REQUEST, 2000));
	logs_close(&copy);
	check_all(l, 1100);
}

/* Killed with records in the queue: they are copied with it. */
static void
without_a_server_the_queue_is_copied_too(void **state)
{
	struct logs *l = *state, copy, reader = *l;

	logs_close(l);
	if (fork() == 0) {
		logs_open(l);
		append_days(l, 0, 400);
		_exit(0);
	}
	assert_true(wait(NULL) > 0);
	assert_int_equal(
	    datadir_open_readonly(l->dir.data, &reader.data, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(
	    records_open_readonly(&reader.data, &reader.r, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(back_up(&reader, target(l), NULL), BACKUP_DONE);
	logs_close(&reader);
	open_copy_readonly(l, &copy);
	check_all(&copy, 400);
	logs_close(&copy);
	open_copy(l, &copy);
	log_settle(&copy);
	check_all(&copy, 400);
	logs_close(&copy);
	logs_open(l);
	check_all(l, 400);
}

static void
the_place_must_be_new_or_empty(void **state)
{
	struct logs *l = *state, copy;
	char inside[160];

	append_days(l, 0, 10);
	assert_int_equal(mkdir(target(l), 0755), 0);
	assert_int_equal(back_up(l, target(l), NULL), BACKUP_DONE); /* and is closed to others */
	open_copy_readonly(l, &copy);
	logs_close(&copy);
	assert_int_equal(back_up(l, target(l), NULL), BACKUP_FAILED);
	assert_non_null(strstr(l->detail, "something in it"));
	open_copy_readonly(l, &copy); /* which harmed nothing */
	check_all(&copy, 10);
	logs_close(&copy);
	assert_int_equal(back_up(l, "relative", NULL), BACKUP_FAILED);
	assert_int_equal(back_up(l, "/proc/none/there", NULL), BACKUP_FAILED);
	assert_non_null(strstr(l->detail, "cannot make the directory"));
	(void)snprintf(inside, sizeof(inside), "%s/log/copy", l->dir.data);
	assert_int_equal(back_up(l, inside, NULL), BACKUP_FAILED);
	assert_non_null(strstr(l->detail, "data directory itself"));
	assert_false(store_dir_has(&l->dir, "log/copy"));
}

/* An interrupted one is not taken for a copy. */
static void
half_a_copy_is_refused(void **state)
{
	struct logs *l = *state, copy = *l;
	struct backup *b;

	append_days(l, 0, 300);
	log_settle(l);
	b = backup_new(l->r, target(l));
	for (int i = 0; i < 4; i++)
		assert_int_equal(backup_step(b, l->detail, sizeof(l->detail)), BACKUP_MORE);
	backup_free(b);
	assert_int_equal(
	    datadir_open_readonly(target(l), &copy.data, l->detail, sizeof(l->detail)), E_IO);
	assert_non_null(strstr(l->detail, "no secret"));
}

/* A file of the original that is in the way of the copy: what was begun is taken back. */
static void
a_failure_leaves_nothing_behind(void **state)
{
	struct logs *l = *state;
	struct backup *b;
	char in_the_way[200];

	append_days(l, 0, 30);
	log_settle(l);
	b = backup_new(l->r, target(l));
	assert_int_equal(backup_step(b, l->detail, sizeof(l->detail)), BACKUP_MORE);
	(void)snprintf(in_the_way, sizeof(in_the_way), "%s/log/20241002-1", target(l));
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	while (backup_step(b, l->detail, sizeof(l->detail)) == BACKUP_MORE)
		continue;
	assert_non_null(strstr(l->detail, in_the_way));
	backup_free(b);
	assert_int_equal(access(target(l), F_OK), -1);
	check_all(l, 30);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, logs_set_up, logs_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_running_servers_copy_is_whole),
	    TEST(logging_goes_on_meanwhile),
	    TEST(without_a_server_the_queue_is_copied_too),
	    TEST(the_place_must_be_new_or_empty),
	    TEST(half_a_copy_is_refused),
	    TEST(a_failure_leaves_nothing_behind),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
