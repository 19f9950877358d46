#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store_cache.h"

static uint32_t dice;

static uint32_t
roll(uint32_t sides)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 8) % sides;
}

/* From a hundred bytes to a megabyte; most are small. */
static size_t
any_size(size_t most)
{
	size_t n = (size_t)100 << (roll(4) > 0 ? roll(6) : roll(14));

	n += roll((uint32_t)n);
	return n < most ? n : most;
}

static void
resize(struct cache *c, uint64_t max_size)
{
	c->max_size = max_size;
	cache_reopen(c);
}

/* Mixed sizes, several times the cache, with replacements: du never sees more than max_size, and
 * writes do not fail. */
static void
never_takes_more_than_max_size(void **state)
{
	static const uint64_t max_sizes[] = {1 << 20, 3 << 20, 16 << 20, 64 << 20};
	struct cache *c = *state;

	clock_fake(1, CACHE_NOW);
	for (int i = 0; i < 4; i++) {
		uint64_t written = 0, failed = metric_get(M_CACHE_FAILED), stored = 0;

		resize(c, max_sizes[i]);
		for (unsigned number = 0; written < 6 * c->max_size; number++) {
			struct sample s = {.number = roll(number + 1),
			    .version = number,
			    .preimage = any_size(c->max_size / 40),
			    .body = any_size(c->max_size / 10)};

			assert_int_equal(sample_put(c, &s), E_OK);
			written += s.preimage + s.body;
			stored++;
			if (roll(8) == 0)
				cache_settle(c);
			if (roll(64) == 0)
				assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
		}
		cache_settle(c);
		assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
		assert_true(cache_stats(c).bytes <= c->max_size);
		failed = metric_get(M_CACHE_FAILED) - failed;
		print_message("max_size %llu: %llu entries, %llu failed, %llu%% used\n",
		    (unsigned long long)c->max_size, (unsigned long long)stored,
		    (unsigned long long)failed,
		    (unsigned long long)(cache_stats(c).bytes * 100 / c->max_size));
		assert_true(cache_stats(c).bytes >= c->max_size / 2);
		assert_true(failed * 100 <= stored);
		assert_int_equal(entries_purge(c->entries, SPAN_NONE, SPAN_NONE, SPAN_NONE) > 0, 1);
	}
	assert_int_equal(cache_stats(c).max_bytes, c->max_size);
	clock_fake(0, 0);
}

static void
an_entry_over_a_quarter_is_refused(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 1 << 20};

	resize(c, 4 << 20);
	assert_int_equal(sample_put(c, &s), E_FULL); /* its headers come on top */
	s.body -= 29;
	assert_int_equal(sample_put(c, &s), E_OK);
	assert_true(sample_hits(c, &s));
	cache_settle(c);
	assert_true(sample_hits(c, &s));
	for (s.version = 1; s.version < 30; s.version++) {
		s.number = s.version % 5;
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
	assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
}

/* What is read now and then outlives what is not, without a write a hit. */
static void
what_is_read_stays(void **state)
{
	struct cache *c = *state;
	unsigned kept = 0, others = 0;

	clock_fake(1, CACHE_NOW);
	resize(c, 4 << 20);
	for (unsigned i = 0; i < 4000; i++) {
		struct sample s = {.number = i, .preimage = 500, .body = 2500};

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		for (unsigned j = 0; j < 50; j++) {
			struct sample hot = {.number = j, .preimage = 500, .body = 2500};

			if (i % 100 == 99)
				kept += sample_hits(c, &hot);
		}
	}
	for (unsigned j = 50; j < 100; j++) {
		struct sample cold = {.number = j, .preimage = 500, .body = 2500};

		others += sample_hits(c, &cold);
	}
	assert_int_equal(kept, 50 * 40);
	assert_int_equal(others, 0);
	clock_fake(0, 0);
}

static void
the_oldest_goes_first(void **state)
{
	struct cache *c = *state;
	unsigned first = 0, n = 3000;

	clock_fake(1, CACHE_NOW);
	resize(c, 4 << 20);
	for (unsigned i = 0; i < n; i++) {
		struct sample s = {.number = i, .body = 3000};

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
	}
	for (; first < n; first++) {
		struct sample s = {.number = first, .body = 3000};

		if (sample_hits(c, &s))
			break;
	}
	assert_true(first > 0 && first < n - 100);
	for (unsigned i = first; i < n; i++) {
		struct sample s = {.number = i, .body = 3000};

		assert_true(sample_hits(c, &s));
	}
	clock_fake(0, 0);
}

/* What has expired goes before its turn, read or not. */
static void
the_hand_takes_what_has_expired(void **state)
{
	struct cache *c = *state;
	uint64_t evicted = metric_get(M_CACHE_EVICTED);
	unsigned kept = 0;

	resize(c, 4 << 20);
	clock_fake(1, CACHE_NOW);
	for (unsigned i = 0; i < 700; i++) {
		struct sample s = {
		    .number = i, .body = 3000, .expires_ms = i % 2 ? CACHE_NOW + 10 : 0};

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
	assert_int_equal(metric_get(M_CACHE_EVICTED), evicted);
	clock_fake(1, CACHE_NOW + 10);
	for (unsigned i = 1000; i < 1300; i++) {
		struct sample s = {.number = i, .body = 3000};

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
	assert_true(metric_get(M_CACHE_EVICTED) > evicted);
	for (unsigned i = 0; i < 700; i += 2) {
		struct sample s = {.number = i, .body = 3000};

		kept += sample_hits(c, &s);
	}
	assert_true(kept >= 340); /* of 350: keys may share a bit */
	clock_fake(0, 0);
}

/* ---- purge ---- */

static const char *const gateways[] = {"default", "team", ""};
static const char *const providers[] = {"openai", "anthropic"};
static const char *const models[] = {"small", "large", "larger", ""};

static struct sample
named(unsigned i)
{
	return (struct sample){.number = i,
	    .preimage = 10,
	    .body = i % 7 == 0 ? 40000 : 300,
	    .gateway = gateways[i % 3],
	    .provider = providers[i / 3 % 2],
	    .model = models[i / 6 % 4]};
}

static bool
is_match(const char *wanted, const char *have)
{
	return wanted == NULL || strcmp(wanted, have) == 0;
}

static void
purge_and_check(struct cache *c, const char *gateway, const char *provider, const char *model)
{
	const unsigned n = 480;
	uint64_t expected = 0;

	for (unsigned i = 0; i < n; i++) {
		struct sample s = named(i);

		assert_int_equal(sample_put(c, &s), E_OK);
		expected += is_match(gateway, s.gateway) && is_match(provider, s.provider) &&
		    is_match(model, s.model);
	}
	assert_int_equal(
	    entries_purge(c->entries, span_str(gateway), span_str(provider), span_str(model)),
	    expected);
	for (unsigned i = 0; i < n; i++) {
		struct sample s = named(i);

		assert_int_equal(sample_hits(c, &s),
		    !(is_match(gateway, s.gateway) && is_match(provider, s.provider) &&
			is_match(model, s.model)));
	}
	assert_int_equal(cache_stats(c).entries, n - expected);
	assert_int_equal(entries_purge(c->entries, SPAN_NONE, SPAN_NONE, SPAN_NONE), n - expected);
	assert_int_equal(cache_stats(c).entries, 0);
}

static void
purge_takes_what_matches_and_nothing_else(void **state)
{
	struct cache *c = *state;

	purge_and_check(c, "default", NULL, NULL);
	purge_and_check(c, NULL, "anthropic", NULL);
	purge_and_check(c, NULL, NULL, "large");
	purge_and_check(c, "team", "openai", NULL);
	purge_and_check(c, "team", "anthropic", "larger");
	purge_and_check(c, "nobody", NULL, NULL);
	purge_and_check(c, NULL, NULL, NULL);
}

static void *
purge_all(void *arg)
{
	struct cache *c = arg;
	static _Thread_local uint64_t removed;

	for (int i = 0; i < 50; i++)
		removed += entries_purge(c->entries, SPAN_NONE, SPAN_LIT("openai"), SPAN_NONE);
	return &removed;
}

/* Right bytes, to the end or until it is purged between two turns. */
static void
find_or_lose(struct cache *c, const struct sample *s)
{
	struct entry *en = sample_find(c, s);

	if (en != NULL) {
		enum err e = sample_read(c, en, s, 0);

		assert_true(e == E_OK || e == E_EOF);
	}
	entry_release(en);
	entries_turn_end(c->entries);
}

/* Two threads purge while the loop puts and finds: nothing is torn, and what is left in the end
 * is counted right. */
static void
purges_of_other_threads_do_not_disturb_the_loop(void **state)
{
	struct cache *c = *state;
	pthread_t threads[2];
	unsigned left = 0;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, purge_all, c), 0);
	for (unsigned i = 0; i < 3000; i++) {
		struct sample s = named(i % 100);

		assert_int_equal(sample_put(c, &s), E_OK);
		s = named((i * 7) % 100);
		find_or_lose(c, &s);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	cache_settle(c);
	for (unsigned i = 0; i < 100; i++) {
		struct sample s = named(i);

		left += sample_hits(c, &s);
	}
	assert_int_equal(cache_stats(c).entries, left);
}

static void
stats_and_metrics_agree(void **state)
{
	struct cache *c = *state;
	uint64_t stored = metric_get(M_CACHE_STORED);

	for (unsigned i = 0; i < 100; i++) {
		struct sample s = {.number = i, .body = 20000};

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
	}
	assert_int_equal(cache_stats(c).entries, 100);
	assert_int_equal(metric_get(M_CACHE_ENTRIES), 100);
	assert_int_equal(metric_get(M_CACHE_STORED), stored + 100);
	assert_int_equal(metric_get(M_CACHE_BYTES), cache_stats(c).bytes);
	assert_true(cache_stats(c).bytes >= 100 * 20000);
	assert_true(cache_stats(c).bytes < 100 * 30000);
	cache_reopen(c);
	cache_settle(c);
	assert_int_equal(cache_stats(c).entries, 100);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cache_set_up, cache_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(never_takes_more_than_max_size),
	    TEST(an_entry_over_a_quarter_is_refused),
	    TEST(what_is_read_stays),
	    TEST(the_oldest_goes_first),
	    TEST(the_hand_takes_what_has_expired),
	    TEST(purge_takes_what_matches_and_nothing_else),
	    TEST(purges_of_other_threads_do_not_disturb_the_loop),
	    TEST(stats_and_metrics_agree),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
