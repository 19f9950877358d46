#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "store/datadir.h"
#include "store_dir.h"

static char detail[512];

static int
set_up(void **state)
{
	static struct store_dir dir;

	store_dir_make(&dir);
	*state = &dir;
	detail[0] = '\0';
	return 0;
}

static int
tear_down(void **state)
{
	store_dir_remove(*state);
	return 0;
}

static enum err
open_it(struct store_dir *dir, struct datadir *d)
{
	return datadir_open(dir->data, d, detail, sizeof(detail));
}

static void
is_made_for_the_owner_alone(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d;
	struct stat st;
	char deep[160];

	(void)snprintf(deep, sizeof(deep), "%s/a/b///c/", dir->data);
	assert_int_equal(datadir_open(deep, &d, detail, sizeof(detail)), E_OK);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(store_dir_path(dir, "a/b/c/secret"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(stat(store_dir_path(dir, "a/b/c/cache"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(store_dir_has(dir, "a/b/c/log"));
	datadir_close(&d);
}

static void
that_others_can_enter_is_refused(void **state)
{
	static const mode_t open_modes[] = {0701, 0710, 0750, 0755, 0704};
	struct store_dir *dir = *state;
	struct datadir d;

	assert_int_equal(mkdir(dir->data, 0700), 0);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(chmod(dir->data, open_modes[i]), 0);
		assert_int_equal(open_it(dir, &d), E_IO);
		assert_non_null(strstr(detail, "chmod 700"));
		assert_non_null(strstr(detail, dir->data));
		assert_false(store_dir_has(dir, "secret"));
	}
	assert_int_equal(chmod(dir->data, 0700), 0);
	assert_int_equal(open_it(dir, &d), E_OK);
	datadir_close(&d);
}

static void
of_another_user_is_refused(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d;

	if (geteuid() != 0) {
		print_message("only root can give a directory away: skipped\n");
		skip();
	}
	assert_int_equal(mkdir(dir->data, 0700), 0);
	assert_int_equal(chown(dir->data, 12345, 12345), 0);
	assert_int_equal(open_it(dir, &d), E_IO);
	assert_non_null(strstr(detail, "12345"));
}

static void
what_is_no_directory_is_refused_by_name(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d;
	FILE *f = fopen(dir->data, "we");

	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(open_it(dir, &d), E_IO);
	assert_non_null(strstr(detail, dir->data));
	assert_int_equal(datadir_open("", &d, detail, sizeof(detail)), E_IO);
}

static void
a_second_server_is_refused_and_told_whom_to_ask(void **state)
{
	struct store_dir *dir = *state;
	struct datadir first, second;
	char pid[32];

	assert_int_equal(open_it(dir, &first), E_OK);
	assert_int_equal(open_it(dir, &second), E_IN_USE);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(detail, pid));
	assert_non_null(strstr(detail, dir->data));
	datadir_close(&first);
	assert_int_equal(open_it(dir, &second), E_OK);
	datadir_close(&second);
}

static void
the_secret_stays_and_keys_differ_by_purpose(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d;
	uint8_t scope[32], id[32], again[32];

	assert_int_equal(open_it(dir, &d), E_OK);
	datadir_key(&d, "cache-scope", scope);
	datadir_key(&d, "log-key-id", id);
	assert_memory_not_equal(scope, id, 32);
	assert_memory_not_equal(scope, d.secret, 32);
	datadir_close(&d);
	assert_int_equal(open_it(dir, &d), E_OK);
	datadir_key(&d, "cache-scope", again);
	assert_memory_equal(scope, again, 32);
	datadir_close(&d);
}

static void
two_directories_have_two_secrets(void **state)
{
	struct store_dir *dir = *state;
	struct datadir a, b;
	char other[160];

	(void)snprintf(other, sizeof(other), "%s/other", dir->base);
	assert_int_equal(open_it(dir, &a), E_OK);
	assert_int_equal(datadir_open(other, &b, detail, sizeof(detail)), E_OK);
	assert_memory_not_equal(a.secret, b.secret, 32);
	datadir_close(&a);
	datadir_close(&b);
}

static void
a_damaged_or_open_secret_is_refused_not_replaced(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d;
	const char *path;

	assert_int_equal(open_it(dir, &d), E_OK);
	datadir_close(&d);
	path = store_dir_path(dir, "secret");
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(open_it(dir, &d), E_IO);
	assert_non_null(strstr(detail, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, 31), 0);
	assert_int_equal(open_it(dir, &d), E_IO);
	assert_int_equal(truncate(path, 33), 0);
	assert_int_equal(open_it(dir, &d), E_IO);
	assert_non_null(strstr(detail, "secret"));
}

/* ---- how the last server ended ---- */

static bool
was_clean(struct store_dir *dir)
{
	struct datadir d;
	bool clean;

	assert_int_equal(open_it(dir, &d), E_OK);
	clean = d.was_clean;
	datadir_close(&d);
	return clean;
}

static void
a_new_directory_is_clean(void **state)
{
	assert_true(was_clean(*state));
}

static void
a_killed_server_leaves_it_clean_until_the_machine_restarts(void **state)
{
	struct store_dir *dir = *state;

	(void)was_clean(dir); /* closes without the mark, as kill -9 does */
	assert_true(was_clean(dir));
	store_dir_write(dir, "boot", "running 01234567-89ab-cdef-0123-456789abcdef\n");
	assert_false(was_clean(dir));
	assert_true(was_clean(dir));
}

static void
an_orderly_stop_survives_a_restart_of_the_machine(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d;
	char boot[128] = "";
	FILE *f;

	assert_int_equal(open_it(dir, &d), E_OK);
	datadir_mark_clean(&d);
	datadir_close(&d);
	f = fopen(store_dir_path(dir, "boot"), "re");
	assert_non_null(f);
	assert_non_null(fgets(boot, sizeof(boot), f));
	(void)fclose(f);
	assert_int_equal(strncmp(boot, "stopped ", 8), 0);
	store_dir_write(dir, "boot", "stopped 01234567-89ab-cdef-0123-456789abcdef\n");
	assert_true(was_clean(dir));
	/* ... once: the mark is gone as soon as a server runs */
	f = fopen(store_dir_path(dir, "boot"), "re");
	assert_non_null(fgets(boot, sizeof(boot), f));
	(void)fclose(f);
	assert_int_equal(strncmp(boot, "running ", 8), 0);
}

static void
a_lost_or_strange_mark_is_not_clean(void **state)
{
	struct store_dir *dir = *state;

	(void)was_clean(dir);
	assert_int_equal(unlink(store_dir_path(dir, "boot")), 0);
	assert_false(was_clean(dir));
	store_dir_write(dir, "boot", "");
	assert_false(was_clean(dir));
	store_dir_write(dir, "boot", "running unknown\n");
	assert_false(was_clean(dir));
}

/* ---- commands ---- */

static void
commands_read_a_directory_that_no_server_uses(void **state)
{
	struct store_dir *dir = *state;
	struct datadir d, reader;

	assert_int_equal(datadir_open_readonly(dir->data, &reader, detail, sizeof(detail)), E_IO);
	assert_non_null(strstr(detail, dir->data));
	assert_false(store_dir_has(dir, ""));
	assert_int_equal(open_it(dir, &d), E_OK);
	assert_int_equal(
	    datadir_open_readonly(dir->data, &reader, detail, sizeof(detail)), E_IN_USE);
	datadir_close(&d);
	assert_int_equal(datadir_open_readonly(dir->data, &reader, detail, sizeof(detail)), E_OK);
	/* ... and keep no server from starting */
	assert_int_equal(open_it(dir, &d), E_OK);
	assert_memory_equal(d.secret, reader.secret, 32);
	datadir_close(&reader);
	datadir_close(&d);
}

static void
commands_refuse_what_is_no_data_directory(void **state)
{
	struct store_dir *dir = *state;
	struct datadir reader;

	assert_int_equal(mkdir(dir->data, 0700), 0);
	assert_int_equal(datadir_open_readonly(dir->data, &reader, detail, sizeof(detail)), E_IO);
	assert_non_null(strstr(detail, "not a data directory"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(is_made_for_the_owner_alone, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(that_others_can_enter_is_refused, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(of_another_user_is_refused, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		what_is_no_directory_is_refused_by_name, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		a_second_server_is_refused_and_told_whom_to_ask, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		the_secret_stays_and_keys_differ_by_purpose, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(two_directories_have_two_secrets, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		a_damaged_or_open_secret_is_refused_not_replaced, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_new_directory_is_clean, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		a_killed_server_leaves_it_clean_until_the_machine_restarts, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		an_orderly_stop_survives_a_restart_of_the_machine, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_lost_or_strange_mark_is_not_clean, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		commands_read_a_directory_that_no_server_uses, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		commands_refuse_what_is_no_data_directory, set_up, tear_down),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
