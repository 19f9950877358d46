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
#include "store/entries_int.h"
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

static unsigned
hits(struct cache *c, unsigned from, unsigned n, size_t body)
{
	unsigned found = 0;

	for (unsigned i = from; i < from + n; i++) {
		struct sample s = {.number = i, .body = body};

		found += sample_hits(c, &s);
	}
	return found;
}

static void
put_many(struct cache *c, unsigned from, unsigned n, const struct sample *like)
{
	for (unsigned i = from; i < from + n; i++) {
		struct sample s = *like;

		s.number = i;
		assert_int_equal(sample_put(c, &s), E_OK);
		if (i % 16 == 0)
			cache_settle(c);
	}
	cache_settle(c);
}

/* Sets of 40 % of the cache, each read once right after: there is room for each, whatever was read
 * before and whatever has expired meanwhile. Once the hand never turned back, and what it had
 * passed stayed for ever. */
static void
what_was_just_stored_is_there(void **state)
{
	struct cache *c = *state;

	resize(c, 8 << 20);
	for (unsigned set = 0; set < 12; set++) {
		const struct sample like = {
		    .body = 3000, .expires_ms = CACHE_NOW + (set < 4 ? 1000 : 1000000)};

		clock_fake(1, CACHE_NOW + (set < 4 ? 0 : 1000));
		put_many(c, set * 700, 700, &like);
		assert_int_equal(hits(c, set * 700, 700, 3000), 700);
	}
	clock_fake(0, 0);
}

/* 20 % of the cache, read now and then, and four times the cache that nobody asks for again. */
static void
what_is_read_regularly_survives_a_flood(void **state)
{
	const struct sample like = {.body = 3000};
	struct cache *c = *state;
	const unsigned hot = 400, flood = 4 * 2000,
		       like_others = 6; /* share a bit with one of the flood */

	clock_fake(1, CACHE_NOW);
	resize(c, 8 << 20);
	put_many(c, 0, hot, &like);
	for (unsigned i = 0; i < flood; i += 250) {
		assert_true(hits(c, 0, hot, 3000) >= hot - like_others);
		put_many(c, 10000 + i, 250, &like);
	}
	assert_true(hits(c, 0, hot, 3000) >= hot - like_others);
	assert_int_equal(hits(c, 10000, 1000, 3000), 0);
	clock_fake(0, 0);
}

/* Entries that many share a page: one in ten is read now and then, and nine go. What stays may not keep the pages of those. */
static void
what_stays_does_not_keep_the_pages_of_what_goes(void **state)
{
	const struct sample like = {.body = 200};
	struct cache *c = *state;
	uint64_t without;
	unsigned hot = 0;

	clock_fake(1, CACHE_NOW);
	resize(c, 4 << 20);
	put_many(c, 100000, 20000, &like);
	without = cache_stats(c).entries;
	for (unsigned i = 0; i < 40000; i += 500) {
		put_many(c, 200000 + i, 500, &like);
		for (unsigned j = 200000; j < 200000 + i && j < 200000 + without; j += 10)
			hot = j == 200000 ? hits(c, j, 1, 200) : hot + hits(c, j, 1, 200);
	}
	assert_true(hot > without / 10 * 97 / 100); /* keys may share a bit */
	assert_true(cache_stats(c).entries > without * 9 / 10);
	clock_fake(0, 0);
}

/* Somebody reads it slowly meanwhile. Once it is replaced its reader is told so. */
static void
what_eviction_moves_can_be_read_on(void **state)
{
	const struct sample like = {.body = 200};
	struct sample s = {.number = 1, .body = 300},
		      later = {.number = 1, .version = 1, .body = 300};
	struct cache *c = *state;
	struct entry *en;
	uint64_t generation;
	struct entry_key k = sample_key(1);

	clock_fake(1, CACHE_NOW);
	resize(c, 1 << 20);
	assert_int_equal(sample_put(c, &s), E_OK);
	cache_settle(c);
	generation = index_find(&c->entries->index, entry_key_hash(&k));
	en = sample_find(c, &s);
	assert_non_null(en);
	entries_turn_end(c->entries);
	for (unsigned i = 0; i < 5; i++) {
		put_many(c, 1000 + 900 * i, 900, &like);
		assert_int_equal(sample_read(c, en, &s, 100), E_OK);
		assert_true(sample_hits(c, &s));
	}
	assert_true(index_find(&c->entries->index, entry_key_hash(&k)) > generation);
	assert_int_equal(sample_put(c, &later), E_OK);
	cache_settle(c);
	assert_int_equal(sample_read(c, en, &s, 100), E_EOF);
	entry_release(en);
	assert_true(sample_hits(c, &later));
	clock_fake(0, 0);
}

/* So small that there would be pages for more of them than the index has room for: all that are there are found. */
static void
there_are_no_more_than_can_be_found(void **state)
{
	struct sample s = {.preimage = 1, .body = 1};
	struct cache *c = *state;
	const unsigned n = 8000;
	unsigned found = 0;

	resize(c, 1 << 20);
	for (s.number = 0; s.number < n; s.number++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		if (s.number % 16 == 0)
			cache_settle(c);
	}
	cache_settle(c);
	assert_true(cache_stats(c).entries > c->entries->count_limit * 9 / 10);
	assert_true(cache_stats(c).entries <= c->entries->count_limit + 16);
	for (s.number = 0; s.number < n; s.number++)
		found += sample_hits(c, &s);
	assert_true(found >= cache_stats(c).entries * 99 / 100);
}

/* However old the live ones are and however often the expired ones were read. */
static void
what_has_expired_goes_before_what_lives(void **state)
{
	const struct sample live = {.body = 3000},
			    brief = {.body = 3000, .expires_ms = CACHE_NOW + 10};
	struct cache *c = *state;

	clock_fake(1, CACHE_NOW);
	resize(c, 8 << 20);
	put_many(c, 0, 600, &live);
	put_many(c, 1000, 600, &brief);
	put_many(c, 2000, 400, &live);
	assert_int_equal(hits(c, 1000, 600, 3000), 600);
	clock_fake(1, CACHE_NOW + 10);
	put_many(c, 3000, 600, &live);
	assert_int_equal(hits(c, 0, 600, 3000), 600);
	assert_int_equal(hits(c, 2000, 400, 3000), 400);
	assert_int_equal(hits(c, 3000, 600, 3000), 600);
	clock_fake(0, 0);
}

/* Nobody has to need the room. Large ones too, which take several slices. */
static void
what_has_expired_goes_by_itself(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 10 << 20, .expires_ms = CACHE_NOW + 10};
	const struct sample brief = {.body = 300, .expires_ms = CACHE_NOW + 10},
			    live = {.number = 5000, .body = 300};
	uint64_t evicted = metric_get(M_CACHE_EVICTED);

	clock_fake(1, CACHE_NOW);
	cache_reopen(c);
	assert_int_equal(sample_put(c, &s), E_OK);
	put_many(c, 100, 500, &brief);
	assert_int_equal(cache_stats(c).entries, 501);
	/* a look every ten seconds; an op wakes who would sleep that long */
	clock_fake(UINT64_C(11000000000), CACHE_NOW + 10);
	assert_int_equal(sample_put(c, &live), E_OK);
	STORE_WAIT_UNTIL(cache_stats(c).entries == 1);
	assert_true(cache_stats(c).bytes < 64 * 4096);
	STORE_WAIT_UNTIL(metric_get(M_CACHE_EVICTED) == evicted + 501);
	assert_true(sample_hits(c, &live));
	clock_fake(0, 0);
}

/* ---- what du says ---- */

static void
flood_and_measure(struct cache *c, uint64_t max_size, size_t body, unsigned n)
{
	uint64_t failed = metric_get(M_CACHE_FAILED);
	struct sample s = {.preimage = 60, .body = body};

	resize(c, max_size);
	for (unsigned i = 0; i < n; i++) {
		s.number = i;
		assert_int_equal(sample_put(c, &s), E_OK);
		if (body > 100000 || i % 256 == 0)
			cache_settle(c);
		if (body > 100000 || i % 4096 == 0)
			assert_true(store_dir_du(&c->dir, "cache") <= max_size);
	}
	cache_settle(c);
	print_message("%zu bytes: %llu entries, du %llu of %llu\n", body,
	    (unsigned long long)cache_stats(c).entries,
	    (unsigned long long)store_dir_du(&c->dir, "cache"), (unsigned long long)max_size);
	assert_true(store_dir_du(&c->dir, "cache") <= max_size);
	assert_true(sample_hits(c, &s));
	assert_int_equal(metric_get(M_CACHE_FAILED), failed);
}

static void
du_stays_below_with_25_mb_each(void **state)
{
	struct cache *c = *state;

	flood_and_measure(c, 100 << 20, (25 << 20) - 200, 12);
	assert_in_range(cache_stats(c).entries, 2, 3);
}

static void
du_stays_below_with_100_bytes_each(void **state)
{
	struct cache *c = *state;

	flood_and_measure(c, 16 << 20, 100, 60000);
	assert_true(cache_stats(c).entries > 14000);
}

static void
du_stays_below_with_as_many_of_1_kb_as_fit(void **state)
{
	struct cache *c = *state;

	flood_and_measure(c, 32 << 20, 1024, 40000);
	assert_true(cache_stats(c).entries > 10000);
}

/* ---- compact ---- */

static void
compact_gives_back_what_was_removed(void **state)
{
	const struct sample gone = {.body = 20000, .gateway = "gone"}, kept = {.body = 3000};
	struct cache *c = *state;
	uint64_t freed, before;
	struct sample s = {.number = 2000, .body = 3000};
	struct entry *en;

	put_many(c, 0, 1000, &gone);
	put_many(c, 2000, 1000, &kept);
	put_many(c, 5000, 500, &gone);
	assert_int_equal(entries_purge(c->entries, SPAN_LIT("gone"), SPAN_NONE, SPAN_NONE), 1500);
	before = store_dir_du(&c->dir, "cache");
	/* a found one goes on after it */
	en = sample_find(c, &s);
	assert_non_null(en);
	entries_turn_end(c->entries);
	assert_int_equal(entries_compact(c->entries, &freed), E_OK);
	assert_int_equal(sample_read(c, en, &s, 0), E_OK);
	entry_release(en);
	entries_turn_end(c->entries);
	assert_true(freed > 1500 * 20000);
	assert_int_equal(store_dir_du(&c->dir, "cache"), before - freed);
	assert_true(store_dir_du(&c->dir, "cache") < 1000 * 3000 * 3);
	assert_int_equal(hits(c, 2000, 1000, 3000), 1000);
	/* holes are written again, and a reopened one is whole */
	put_many(c, 7000, 1500, &kept);
	assert_int_equal(hits(c, 7000, 1500, 3000), 1500);
	cache_reopen(c);
	assert_int_equal(hits(c, 2000, 1000, 3000), 1000);
	assert_int_equal(hits(c, 7000, 1500, 3000), 1500);
}

static void *
compact_often(void *arg)
{
	struct cache *c = arg;
	uint64_t freed;

	for (int i = 0; i < 40; i++)
		assert_int_equal(entries_compact(c->entries, &freed), E_OK);
	return NULL;
}

static void
compact_does_not_disturb_the_loop(void **state)
{
	struct cache *c = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, compact_often, c), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct sample s = {.number = i % 300, .version = i / 300, .body = i % 7 * 9000};

		/* 64 of them fit into what may wait, however slow the disk is */
		if (i % 64 == 0)
			cache_settle(c);
		assert_int_equal(sample_put(c, &s), E_OK);
		assert_true(sample_hits(c, &s));
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (unsigned i = 4700; i < 5000; i++) {
		struct sample s = {.number = i % 300, .version = i / 300, .body = i % 7 * 9000};

		assert_true(sample_hits(c, &s));
	}
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

		if (i % 64 == 0)
			cache_settle(c); /* so many may wait, however slow the disk is */
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
	    TEST(what_was_just_stored_is_there),
	    TEST(what_is_read_regularly_survives_a_flood),
	    TEST(what_stays_does_not_keep_the_pages_of_what_goes),
	    TEST(what_eviction_moves_can_be_read_on),
	    TEST(there_are_no_more_than_can_be_found),
	    TEST(what_has_expired_goes_before_what_lives),
	    TEST(what_has_expired_goes_by_itself),
	    TEST(du_stays_below_with_25_mb_each),
	    TEST(du_stays_below_with_100_bytes_each),
	    TEST(du_stays_below_with_as_many_of_1_kb_as_fit),
	    TEST(compact_gives_back_what_was_removed),
	    TEST(compact_does_not_disturb_the_loop),
	    TEST(purge_takes_what_matches_and_nothing_else),
	    TEST(purges_of_other_threads_do_not_disturb_the_loop),
	    TEST(stats_and_metrics_agree),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
