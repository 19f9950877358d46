#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store_cache.h"

/* A cache that is full of small entries: its free pages lie one by one. */
static void
fill_with_small(struct cache *c, uint64_t max_size, unsigned n)
{
	struct sample s = {.preimage = 60, .body = 1000};

	c->max_size = max_size;
	cache_reopen(c);
	for (s.number = 0; s.number < n; s.number++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		if (s.number % 256 == 0)
			cache_settle(c);
	}
	cache_settle(c);
}

/* Once nearly all of them were not stored, and each cost a sixteenth of the cache. */
static void
large_ones_find_room_among_small_ones(void **state)
{
	static const size_t bodies[] = {3500, 9000, 15000, 40000, 2 << 20, 7 << 20};
	struct cache *c = *state;
	uint64_t failed = metric_get(M_CACHE_FAILED);

	clock_fake(1, CACHE_NOW);
	fill_with_small(c, 32 << 20, 25000);
	for (unsigned i = 0; i < 60; i++) {
		struct sample s = {
		    .number = 100000 + i, .preimage = i % 7 * 4000, .body = bodies[i % 6]};

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
		assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
		/* one of 7 MB may have gone, no more */
		assert_true(cache_stats(c).bytes >= c->max_size / 8 * 5);
	}
	assert_int_equal(metric_get(M_CACHE_FAILED), failed);
	cache_reopen(c);
	for (unsigned i = 58; i < 60; i++) {
		const struct sample s = {
		    .number = 100000 + i, .preimage = i % 7 * 4000, .body = bodies[i % 6]};

		assert_true(sample_hits(c, &s));
	}
	clock_fake(0, 0);
}

/* They are removed in slices whose list of free pages has to find room too. */
static void
small_ones_find_room_among_large_ones(void **state)
{
	struct cache *c = *state;
	uint64_t failed = metric_get(M_CACHE_FAILED);
	struct sample s = {.number = 500000, .body = 2 << 20};

	clock_fake(1, CACHE_NOW);
	fill_with_small(c, 16 << 20, 12000);
	for (; s.number < 500012; s.number++)
		assert_int_equal(sample_put(c, &s), E_OK);
	for (s.body = 1000; s.number < 520000; s.number++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		if (s.number % 256 == 0)
			cache_settle(c);
	}
	cache_settle(c);
	assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
	assert_int_equal(metric_get(M_CACHE_FAILED), failed);
	clock_fake(0, 0);
}

/* What is removed meanwhile cannot be taken before the turn ends: the writer waits for that. */
static void
a_long_turn_costs_no_entry(void **state)
{
	const struct timespec turn = {.tv_nsec = 50000000};
	struct cache *c = *state;
	uint64_t failed = metric_get(M_CACHE_FAILED);
	struct sample s = {.number = 19999, .preimage = 60, .body = 1000};

	clock_fake(1, CACHE_NOW);
	fill_with_small(c, 4 << 20, 20000);
	for (unsigned round = 0; round < 3; round++) {
		struct entry *en = sample_find(c, &s);

		assert_non_null(en);
		for (unsigned i = 0; i < 1500; i++) {
			s.number++;
			assert_int_equal(sample_put(c, &s), E_OK);
		}
		(void)nanosleep(&turn, NULL);
		entry_release(en);
		entries_turn_end(c->entries);
		cache_settle(c);
	}
	assert_int_equal(metric_get(M_CACHE_FAILED), failed);
	assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
	clock_fake(0, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cache_set_up, cache_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(large_ones_find_room_among_small_ones),
	    TEST(small_ones_find_room_among_large_ones),
	    TEST(a_long_turn_costs_no_entry),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
