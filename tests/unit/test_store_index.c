#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "store/index_int.h"
#include "store_dir.h"

#define MIN_SLOTS (INDEX_LINES_MIN * INDEX_LINE_SLOTS)
#define REACHED ((INDEX_REACH + 1) * INDEX_LINE_SLOTS)

struct fixture {
	struct store_dir dir;
	char path[FILE_PATH_SIZE];
	struct index x;
};

static enum err
try_open(struct fixture *f, uint64_t max_slots)
{
	char text[512];
	const struct fault fault = {text, sizeof(text)};

	return index_open(f->path, max_slots, &f->x, &fault);
}

static void
reopen(struct fixture *f, uint64_t max_slots)
{
	index_close(&f->x);
	assert_int_equal(try_open(f, max_slots), E_OK);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	store_dir_make(&f->dir);
	file_path(f->path, f->dir.base, "index");
	assert_int_equal(try_open(f, 1 << 20), E_OK);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	index_close(&f->x);
	store_dir_remove(&f->dir);
	free(f);
	return 0;
}

static uint64_t
hash_of(uint64_t number)
{
	uint64_t h = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static unsigned
found(const struct index *x, uint64_t from, uint64_t to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += index_find(x, hash_of(from)) == from + 1;
	return n;
}

static void
put_range(struct index *x, uint64_t from, uint64_t to)
{
	for (; from < to; from++) {
		index_fit(x, from + 1);
		index_put(x, hash_of(from), from + 1);
	}
}

static off_t
size_of(const struct fixture *f, off_t *on_disk)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	*on_disk = st.st_blocks * 512;
	return st.st_size;
}

static void
what_was_put_is_found(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(index_find(&f->x, hash_of(0)), 0);
	index_put(&f->x, hash_of(0), 7);
	assert_int_equal(index_find(&f->x, hash_of(0)), 7);
	assert_int_equal(index_find(&f->x, hash_of(1)), 0);
	index_put(&f->x, 0, 8); /* a hash as any other */
	assert_int_equal(index_find(&f->x, 0), 8);
	index_drop(&f->x, 0, 8);
	assert_int_equal(index_find(&f->x, 0), 0);
	assert_int_equal(index_find(&f->x, hash_of(0)), 7);
}

static void
the_newer_generation_counts(void **state)
{
	struct fixture *f = *state;

	index_put(&f->x, hash_of(0), 7);
	index_put(&f->x, hash_of(0), 9);
	assert_int_equal(index_find(&f->x, hash_of(0)), 9);
	index_put(&f->x, hash_of(0), 8); /* learnt later */
	assert_int_equal(index_find(&f->x, hash_of(0)), 9);
	index_drop(&f->x, hash_of(0), 7); /* gone long ago */
	assert_int_equal(index_find(&f->x, hash_of(0)), 9);
	index_drop(&f->x, hash_of(0), 9);
	assert_int_equal(index_find(&f->x, hash_of(0)), 0);
}

/* Just under half, just over, and many times. */
static void
it_doubles_when_more_than_half_is_in_use(void **state)
{
	struct fixture *f = *state;

	put_range(&f->x, 0, MIN_SLOTS / 2);
	assert_int_equal(index_slots(&f->x), MIN_SLOTS);
	put_range(&f->x, MIN_SLOTS / 2, MIN_SLOTS / 2 + 1);
	assert_int_equal(index_slots(&f->x), 2 * MIN_SLOTS);
	put_range(&f->x, MIN_SLOTS / 2 + 1, 100000);
	assert_int_equal(index_slots(&f->x), 256 * 1024);
	assert_int_equal(found(&f->x, 0, 100000), 100000);
	assert_int_equal(found(&f->x, 100000, 200000), 0);
}

/* Only one in a thousand of all that could be missing would be too many. */
static void
it_grows_no_further_than_it_may(void **state)
{
	struct fixture *f = *state;
	off_t on_disk;

	index_close(&f->x);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(try_open(f, 4096), E_OK);
	put_range(&f->x, 0, 2048);
	assert_int_equal(index_slots(&f->x), 4096);
	assert_int_equal(found(&f->x, 0, 2048), 2048);
	put_range(&f->x, 2048, 3072);
	assert_int_equal(index_slots(&f->x), 4096);
	assert_int_equal(found(&f->x, 0, 3072), 3072);
	put_range(&f->x, 3072, 20000);
	assert_int_equal(index_slots(&f->x), 4096);
	assert_true(found(&f->x, 0, 20000) > 4000);
	assert_true(found(&f->x, 18000, 20000) > 1990); /* the oldest went */
	assert_int_equal(size_of(f, &on_disk), index_bytes_max(4096));
	assert_true(on_disk <= (off_t)index_bytes_max(4096) + 4096);
}

/* All of one line: as many as are in its reach, and one more. */
static void
a_full_neighbourhood_drops_its_oldest(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < REACHED; i++)
		index_put(&f->x, (i + 1) << 32, 100 + i);
	for (uint64_t i = 0; i < REACHED; i++)
		assert_int_equal(index_find(&f->x, (i + 1) << 32), 100 + i);
	index_put(&f->x, UINT64_C(1000) << 32, 50); /* older than all of them */
	assert_int_equal(index_find(&f->x, UINT64_C(1000) << 32), 0);
	index_put(&f->x, UINT64_C(1000) << 32, 1000);
	assert_int_equal(index_find(&f->x, UINT64_C(1000) << 32), 1000);
	assert_int_equal(index_find(&f->x, UINT64_C(1) << 32), 0);
	for (uint64_t i = 1; i < REACHED; i++)
		assert_int_equal(index_find(&f->x, (i + 1) << 32), 100 + i);
}

/* Whatever goes, in whatever order: what stood behind it is found, and its place is free again. */
static void
what_is_dropped_leaves_no_gap(void **state)
{
	struct fixture *f = *state;

	for (unsigned round = 0; round < 200; round++) {
		bool is_there[REACHED] = {false};

		for (unsigned step = 0; step < 200; step++) {
			unsigned i = (unsigned)(hash_of(round * 1000 + step) % REACHED);
			/* of three neighbouring lines */
			uint64_t hash = (uint64_t)(i + 1) << 32 | i % 3;

			if (is_there[i])
				index_drop(&f->x, hash, i + 1);
			else
				index_put(&f->x, hash, i + 1);
			is_there[i] = !is_there[i];
			for (unsigned j = 0; j < REACHED; j++)
				assert_int_equal(index_find(&f->x, (uint64_t)(j + 1) << 32 | j % 3),
				    is_there[j] ? j + 1 : 0);
		}
		for (unsigned i = 0; i < REACHED; i++)
			index_drop(&f->x, (uint64_t)(i + 1) << 32 | i % 3, i + 1);
		for (unsigned i = 0; i < MIN_SLOTS + INDEX_REACH * INDEX_LINE_SLOTS; i++)
			assert_int_equal(f->x.slots[i].hash, 0);
	}
}

/* A cache that is full for weeks: as many come as go. */
static void
much_coming_and_going_loses_nothing(void **state)
{
	struct fixture *f = *state;
	const uint64_t live = 4096, all = 100 * live;

	reopen(f, 2 * live);
	for (uint64_t i = 0; i < all; i++) {
		if (i >= live)
			index_drop(&f->x, hash_of(i - live), i - live + 1);
		index_fit(&f->x, live);
		index_put(&f->x, hash_of(i), i + 1);
	}
	assert_int_equal(index_slots(&f->x), 2 * live);
	assert_int_equal(found(&f->x, all - live, all), live);
	assert_int_equal(found(&f->x, 0, all - live), 0);
}

static void
a_sealed_one_is_whole_and_another_not(void **state)
{
	struct fixture *f = *state;

	assert_false(f->x.was_whole);
	put_range(&f->x, 0, 5000);
	index_seal(&f->x);
	assert_int_equal(index_sync(&f->x), E_OK);
	reopen(f, 1 << 20);
	assert_true(f->x.was_whole);
	assert_int_equal(found(&f->x, 0, 5000), 5000);
	reopen(f, 1 << 20); /* as after a kill -9 */
	assert_false(f->x.was_whole);
	assert_int_equal(found(&f->x, 0, 5000), 5000);
}

static void
one_larger_than_it_may_be_is_begun_anew(void **state)
{
	struct fixture *f = *state;

	put_range(&f->x, 0, 5000); /* 16,384 slots */
	index_seal(&f->x);
	reopen(f, 16384);
	assert_true(f->x.was_whole);
	assert_int_equal(found(&f->x, 0, 5000), 5000);
	index_seal(&f->x);
	reopen(f, 8192);
	assert_false(f->x.was_whole);
	assert_int_equal(index_slots(&f->x), MIN_SLOTS);
	assert_int_equal(found(&f->x, 0, 5000), 0);
	index_seal(&f->x);
	reopen(f, 1 << 20); /* and may grow further */
	assert_true(f->x.was_whole);
	put_range(&f->x, 0, 5000);
	assert_int_equal(found(&f->x, 0, 5000), 5000);
}

/* Every bit of what says how to read it; and cut short. */
static void
what_is_damaged_is_begun_anew(void **state)
{
	struct fixture *f = *state;
	off_t on_disk;

	for (int bit = 0; bit < 12 * 8; bit++) {
		put_range(&f->x, 0, 10);
		index_seal(&f->x);
		index_close(&f->x);
		store_dir_flip(f->path, bit / 8, bit % 8);
		assert_int_equal(try_open(f, 1 << 20), E_OK);
		assert_false(f->x.was_whole);
		assert_int_equal(found(&f->x, 0, 10), 0);
	}
	put_range(&f->x, 0, 5000);
	index_seal(&f->x);
	index_close(&f->x);
	assert_int_equal(truncate(f->path, 4096 + (16384 / 4 + INDEX_REACH) * 64 - 1), 0);
	assert_int_equal(try_open(f, 1 << 20), E_OK);
	assert_false(f->x.was_whole);
	assert_int_equal(found(&f->x, 0, 5000), 0);
	index_close(&f->x);
	assert_int_equal(truncate(f->path, 3), 0);
	assert_int_equal(try_open(f, 1 << 20), E_OK);
	assert_int_equal(size_of(f, &on_disk), index_bytes_max(1 << 20));
}

static void
no_file_is_said(void **state)
{
	struct fixture *f = *state;
	char text[512];
	const struct fault fault = {text, sizeof(text)};

	index_close(&f->x);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(index_open(f->path, 4096, &f->x, &fault), E_IO);
	assert_non_null(strstr(text, f->path));
	assert_int_equal(rmdir(f->path), 0);
}

static void
a_cleared_one_is_small_and_empty(void **state)
{
	struct fixture *f = *state;
	off_t before, after;

	put_range(&f->x, 0, 100000);
	(void)size_of(f, &before);
	index_clear(&f->x);
	assert_int_equal(found(&f->x, 0, 100000), 0);
	assert_int_equal(index_slots(&f->x), MIN_SLOTS);
	(void)size_of(f, &after);
	assert_true(before > 4 << 20 && after < 64 << 10);
	put_range(&f->x, 0, 100000);
	assert_int_equal(found(&f->x, 0, 100000), 100000);
}

/* Who has it open may not see what a larger one has grown to, but looks nowhere else. */
static void
who_has_less_of_it_mapped_does_not_look(void **state)
{
	struct fixture *f = *state;
	struct index left;

	reopen(f, 4096);
	index_put(&f->x, hash_of(0), 1);
	left = f->x;
	f->x.h = NULL;
	assert_int_equal(try_open(f, 1 << 20), E_OK);
	assert_int_equal(index_find(&left, hash_of(0)), 1);
	put_range(&f->x, 1, 2000); /* 4,096 slots: the same */
	assert_int_equal(found(&left, 0, 2000), 2000);
	put_range(&f->x, 2000, 5000);
	assert_int_equal(found(&left, 0, 5000), 0);
	assert_int_equal(found(&f->x, 0, 5000), 5000);
	index_close(&left);
}

struct watch {
	const struct index *x;
	_Atomic bool is_over;
	unsigned wrong, rounds;
};

/* Those that stay are seen but for moments, and never with a generation that is not theirs. */
static void *
look_on(void *arg)
{
	struct watch *w = arg;

	while (!atomic_load(&w->is_over) || w->rounds == 0) {
		for (uint64_t i = 0; i < 100; i++) {
			uint64_t g = index_find(w->x, hash_of(i));

			w->wrong += g != 0 && g != i + 1;
		}
		w->rounds++;
	}
	return NULL;
}

static void
one_may_look_while_another_writes(void **state)
{
	struct fixture *f = *state;
	struct watch w = {.x = &f->x};
	pthread_t t;

	put_range(&f->x, 0, 100);
	assert_int_equal(pthread_create(&t, NULL, look_on, &w), 0);
	put_range(&f->x, 100, 200000);
	for (uint64_t i = 100; i < 200000; i++)
		index_drop(&f->x, hash_of(i), i + 1);
	atomic_store(&w.is_over, true);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(w.wrong, 0);
	assert_int_equal(found(&f->x, 0, 100), 100);
	assert_int_equal(found(&f->x, 100, 200000), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_put_is_found),
	    TEST(the_newer_generation_counts),
	    TEST(it_doubles_when_more_than_half_is_in_use),
	    TEST(it_grows_no_further_than_it_may),
	    TEST(a_full_neighbourhood_drops_its_oldest),
	    TEST(what_is_dropped_leaves_no_gap),
	    TEST(much_coming_and_going_loses_nothing),
	    TEST(a_sealed_one_is_whole_and_another_not),
	    TEST(one_larger_than_it_may_be_is_begun_anew),
	    TEST(what_is_damaged_is_begun_anew),
	    TEST(no_file_is_said),
	    TEST(a_cleared_one_is_small_and_empty),
	    TEST(who_has_less_of_it_mapped_does_not_look),
	    TEST(one_may_look_while_another_writes),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
