#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "store/entries_int.h"
#include "store_cache.h"

#define N 2000

/* Random in every part, as the preimage's hash is. */
static struct entry_key
key_of(uint64_t number)
{
	struct entry_key k;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t h = (2 * number + i + 1) * UINT64_C(0x9e3779b97f4a7c15);

		h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
		h ^= h >> 31;
		memcpy(k.b + 8 * i, &h, sizeof(h));
	}
	return k;
}

static void
put(struct cache *c, uint64_t number)
{
	const struct entry_new n = {.key = key_of(number),
	    .preimage = SPAN_LIT("the same for all"),
	    .meta = {.stored_ms = CACHE_NOW, .expires_ms = CACHE_NOW + 3600000, .status = 200},
	    .gateway = SPAN_LIT("default"),
	    .provider = SPAN_LIT("openai"),
	    .body = SPAN_LIT("body")};

	assert_int_equal(entries_put(c->entries, &n), E_OK);
}

static bool
hits(struct cache *c, uint64_t number)
{
	struct entry_key k = key_of(number);
	struct entry *en = entry_find(c->entries, &k, SPAN_LIT("the same for all"), CACHE_NOW);

	entry_release(en);
	entries_turn_end(c->entries);
	return en != NULL;
}

static unsigned
absent(struct cache *c, uint64_t from, uint64_t to)
{
	unsigned n = 0;

	for (; from < to; from++) {
		struct entry_key k = key_of(from);

		n += known_is_absent(c->entries, &k);
	}
	return n;
}

/* The writer reads a slice behind each request. */
static void
learn(struct cache *c)
{
	for (unsigned i = 0; i < 1000 && !atomic_load(&c->entries->known.is_whole); i++)
		cache_settle(c);
	assert_true(atomic_load(&c->entries->known.is_whole));
}

static void
what_was_never_put_is_known_to_be_absent(void **state)
{
	struct cache *c = *state;

	learn(c);
	assert_int_equal(absent(c, 0, N), N);
	for (unsigned i = 0; i < N; i++) {
		put(c, i);
		assert_true(hits(c, i)); /* from memory or from the disk */
	}
	assert_int_equal(absent(c, 0, N), 0);
	cache_settle(c);
	assert_int_equal(absent(c, 0, N), 0);
	assert_true(absent(c, N, 2 * N) > N * 9 / 10);
}

/* More than a slice of them. */
static void
what_an_earlier_run_stored_is_learnt(void **state)
{
	struct cache *c = *state;

	for (unsigned i = 0; i < 3 * N; i++)
		put(c, i);
	cache_reopen(c);
	assert_true(hits(c, 0)); /* whether it is through or not */
	assert_true(hits(c, 3 * N - 1));
	learn(c);
	assert_int_equal(absent(c, 0, 3 * N), 0);
	assert_true(absent(c, 3 * N, 4 * N) > N / 2);
	for (unsigned i = 0; i < 3 * N; i++)
		assert_true(hits(c, i));
}

static void
what_was_removed_is_forgotten_in_time(void **state)
{
	struct cache *c = *state;
	uint64_t limit = (c->entries->known.mask + 1) * 8, n;

	learn(c);
	for (n = 0; n < limit; n++)
		put(c, n);
	assert_int_equal(entries_purge(c->entries, SPAN_NONE, SPAN_NONE, SPAN_NONE), limit);
	cache_settle(c);
	assert_int_equal(absent(c, 0, limit), 0); /* just under: nothing is cleared */
	put(c, n);
	cache_settle(c);
	cache_settle(c);
	learn(c);
	assert_true(absent(c, 0, limit) > limit * 9 / 10);
	assert_true(hits(c, n));
}

/* Bits are cleared and learnt again many times. */
static void
no_moment_hides_what_is_there(void **state)
{
	struct cache *c = *state;

	put(c, 1000000);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 1000; i++) {
			put(c, i % 10);
			assert_true(hits(c, i % 10));
			assert_true(hits(c, 1000000));
		}
	}
	cache_settle(c);
	assert_true(atomic_load(&c->entries->known.added) < 20000);
}

static void
who_has_left_looks_for_himself(void **state)
{
	struct cache *c = *state;

	learn(c);
	assert_int_equal(absent(c, 0, N), N);
	entries_leave(c->entries);
	assert_int_equal(absent(c, 0, N), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cache_set_up, cache_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_never_put_is_known_to_be_absent),
	    TEST(what_an_earlier_run_stored_is_learnt),
	    TEST(what_was_removed_is_forgotten_in_time),
	    TEST(no_moment_hides_what_is_there),
	    TEST(who_has_left_looks_for_himself),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
