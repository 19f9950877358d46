/*
 * What tree_check lets through, LMDB can open, read, write and empty without ending the process:
 * tried in a child on files with one damage each.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "store/env_int.h"
#include "store/file_int.h"
#include "store/tree_int.h"
#include "store_dir.h"

#define PAGE 4096
#define BUDGET_MS 60000
#define KEYS 1500

static const struct env_dbi dbis[] = {{"small", 0}, {"numbers", MDB_INTEGERKEY}, {"large", 0}};

static uint32_t dice;

static uint32_t
roll(uint32_t sides)
{
	dice = dice * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(dice >> 8) * sides >> 24);
}

static struct env_options
options(void)
{
	return (struct env_options){.dbis = dbis,
	    .n_dbis = 3,
	    .map_size = 64 << 20,
	    .flags = MDB_NOSYNC,
	    .must_be_whole = true};
}

static int
put_one(struct env *e, MDB_txn *txn, uint64_t n)
{
	static char bytes[40000];
	MDB_val key = val_of(&n, sizeof(n));
	MDB_val small = val_of(bytes, n * 37 % 900), none = val_of(bytes, 16),
		large = val_of(bytes, n * 7919 % sizeof(bytes));
	int rc = mdb_put(txn, e->dbi[0], &key, &small, 0);

	if (rc == 0)
		rc = mdb_put(txn, e->dbi[1], &key, &none, 0);
	if (rc == 0 && n % 10 == 0)
		rc = mdb_put(txn, e->dbi[2], &key, &large, 0);
	return rc;
}

static int
erase_one(struct env *e, MDB_txn *txn, uint64_t n)
{
	int rc = 0;

	for (int i = 0; i < 3 && (rc == 0 || rc == MDB_NOTFOUND); i++) {
		MDB_val key = val_of(&n, sizeof(n));

		rc = mdb_del(txn, e->dbi[i], &key, NULL);
	}
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Some come, some go, in many transactions: branches, large values, lists of free pages. */
static void
fill(struct env *e, const char *path)
{
	for (int round = 0; round < 30; round++) {
		MDB_txn *txn;

		assert_int_equal(mdb_txn_begin(e->mdb, NULL, 0, &txn), 0);
		for (int i = 0; i < 200; i++) {
			uint64_t n = roll(KEYS);

			assert_int_equal(
			    roll(3) == 0 ? erase_one(e, txn, n) : put_one(e, txn, n), 0);
		}
		assert_int_equal(mdb_txn_commit(txn), 0);
		env_cover(e);
		assert_true(tree_check(path, BUDGET_MS));
	}
}

struct file {
	struct store_dir dir;
	char path[256];
	char *whole;
	size_t size;
};

static int
set_up(void **state)
{
	struct file *f = calloc(1, sizeof(*f));
	struct env_options o = options();
	struct env e;
	struct stat st;
	FILE *in;

	assert_non_null(f);
	store_dir_make(&f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/data.mdb", f->dir.base);
	assert_true(tree_check(f->path, BUDGET_MS)); /* none there */
	assert_int_equal(env_open(f->path, &o, &e), E_OK);
	assert_true(tree_check(f->path, BUDGET_MS)); /* an empty one */
	fill(&e, f->path);
	env_close(&e);
	in = fopen(f->path, "re");
	assert_non_null(in);
	assert_int_equal(fstat(fileno(in), &st), 0);
	f->size = (size_t)st.st_size;
	f->whole = malloc(f->size);
	assert_int_equal(fread(f->whole, 1, f->size, in), f->size);
	(void)fclose(in);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct file *f = *state;

	store_dir_remove(&f->dir);
	free(f->whole);
	free(f);
	return 0;
}

static void
put_back(const struct file *f)
{
	FILE *out = fopen(f->path, "we");

	assert_non_null(out);
	assert_int_equal(fwrite(f->whole, 1, f->size, out), f->size);
	assert_int_equal(fclose(out), 0);
}

/* Reads all, writes much, removes all. What LMDB refuses is refused. */
static int
use_all(struct env *e)
{
	MDB_val key, value;
	MDB_cursor *c;
	MDB_txn *txn;
	unsigned sum = 0;
	int rc = mdb_txn_begin(e->mdb, NULL, 0, &txn);

	for (int i = 0; rc == 0 && i < 3; i++) {
		rc = mdb_cursor_open(txn, e->dbi[i], &c);
		for (MDB_cursor_op op = MDB_FIRST;
		    rc == 0 && mdb_cursor_get(c, &key, &value, op) == 0; op = MDB_NEXT)
			for (size_t at = 0; at < value.mv_size; at += 500)
				sum += ((unsigned char *)value.mv_data)[at];
		mdb_cursor_close(c);
	}
	for (uint64_t n = 0; rc == 0 && n < KEYS; n += 2)
		rc = put_one(e, txn, n);
	rc = rc != 0 ? (mdb_txn_abort(txn), rc) : mdb_txn_commit(txn);
	for (int part = 0; rc == 0 && part < 4; part++) {
		rc = mdb_txn_begin(e->mdb, NULL, 0, &txn);
		for (uint64_t n = 0; rc == 0 && n < KEYS; n++)
			rc = n % 4 == (unsigned)part ? erase_one(e, txn, n) : 0;
		if (txn != NULL)
			rc = rc != 0 ? (mdb_txn_abort(txn), rc) : mdb_txn_commit(txn);
	}
	return rc + (int)(sum & 0);
}

static void
assert_survives(const struct file *f, const char *what, size_t at)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct env_options o = options();
		struct env e;

		(void)signal(SIGSEGV, SIG_DFL);
		(void)signal(SIGBUS, SIG_DFL);
		(void)signal(SIGABRT, SIG_DFL);
		if (env_open(f->path, &o, &e) == E_OK && use_all(&e) == 0)
			env_close(&e);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s at %zu was let through: the process died", what, at);
}

/* True: it was found out. */
static bool
try(const struct file *f, const char *what, size_t at)
{
	bool is_found = !tree_check(f->path, BUDGET_MS);

	if (!is_found)
		assert_survives(f, what, at);
	put_back(f);
	return is_found;
}

static void
a_bit_anywhere(void **state)
{
	const struct file *f = *state;
	unsigned found = 0;

	for (int round = 0; round < 400; round++) {
		size_t at = roll((uint32_t)(f->size / PAGE)) * (size_t)PAGE +
		    roll(round % 2 == 0 ? 64 : PAGE);

		if (round % 4 == 1)
			at = roll(2 * 160); /* the first roots */
		store_dir_flip(f->path, (off_t)at, (int)roll(8));
		found += try(f, "a bit", at);
	}
	print_message("%u of 400 found\n", found);
	assert_in_range(found, 3, 400);
}

static void
a_page_of_garbage(void **state)
{
	const struct file *f = *state;
	unsigned found = 0;

	for (int round = 0; round < 100; round++) {
		size_t at = roll((uint32_t)(f->size / PAGE)) * (size_t)PAGE;
		int fd = open(f->path, O_WRONLY | O_CLOEXEC);
		char garbage[PAGE];

		random_bytes(garbage, sizeof(garbage));
		if (round % 2 == 0)
			memcpy(garbage, f->whole + roll((uint32_t)(f->size / PAGE)) * (size_t)PAGE,
			    PAGE);
		assert_int_equal(pwrite(fd, garbage, PAGE, (off_t)at), PAGE);
		(void)close(fd);
		found += try(f, "a page", at);
	}
	assert_in_range(found, 3, 100);
}

static void
a_file_cut(void **state)
{
	const struct file *f = *state;

	for (size_t n = 0; n < f->size; n += f->size / 60) {
		assert_int_equal(truncate(f->path, (off_t)n), 0);
		if (!try(f, "a cut", n))
			assert_true(n > f->size / 2); /* nothing stood there */
	}
}

/* A start does not wait for ever; env_open refuses what is found in time. */
static void
is_bounded_in_time_and_asked_by_env_open(void **state)
{
	const struct file *f = *state;
	struct env_options o = options();
	struct env e;

	o.check_ms = BUDGET_MS;
	assert_int_equal(env_open(f->path, &o, &e), E_OK);
	env_close(&e);
	/* the page behind the roots, turned into nothing; what uses it is found in a whole look */
	for (size_t page = 2; page < f->size / PAGE; page++)
		store_dir_flip(f->path, (off_t)(page * PAGE), 5);
	assert_int_equal(env_open(f->path, &o, &e), E_CORRUPT);
	assert_false(tree_check(f->path, BUDGET_MS));
	clock_fake(1000000000, 0);
	assert_false(tree_check(f->path, 1));
	clock_fake(0, 0);
	assert_true(tree_check(f->path, 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_bit_anywhere),
	    TEST(a_page_of_garbage),
	    TEST(a_file_cut),
	    TEST(is_bounded_in_time_and_asked_by_env_open),
	};

	if (!crypto_init())
		return 1;
	dice = (uint32_t)getpid();
	print_message("dice %u\n", dice);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
