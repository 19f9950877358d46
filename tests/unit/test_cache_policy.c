#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "cache/policy.h"
#include "config/config.h"
#include "http/message.h"
#include "provider/dialect.h"

/* Headers from "name: value" strings. */
static struct headers
fields(struct arena *a, const char *const *lines)
{
	struct headers h = {0};
	for (; *lines != NULL; lines++) {
		struct span line = span_str(*lines);
		size_t colon = span_find(line, ':');
		assert_true(headers_add(
		    &h, a, span_head(line, colon), span_trim(span_skip(line, colon + 1))));
	}
	return h;
}

static enum err
wishes(const char *line, struct cache_wishes *w)
{
	struct arena a;
	const char *hint = NULL;
	arena_init(&a, 65536);
	struct headers h = fields(&a, (const char *const[]){line, NULL});
	enum err e = cache_wishes_read(&h, w, &hint);
	assert_true((e == E_OK) == (hint == NULL));
	arena_fini(&a);
	return e;
}

static struct config_gateway
gateway(enum cache_mode mode)
{
	struct config_gateway g = {0};
	g.cache.mode = mode;
	g.cache.ttl_ms = 3600000;
	g.cache.max_entry = 1000;
	return g;
}

static const struct endpoint chat = {.class = ENDPOINT_CHAT, .is_held = true, .is_cacheable = true};
static const struct request_facts sampled = {0}, fixed = {.is_deterministic = true},
				  stateful = {.is_stateful = true};

static void
ttl_header_has_a_range(void **state)
{
	struct cache_wishes w;
	(void)state;
	assert_int_equal(wishes("cf-aig-cache-ttl: 0", &w), E_OK);
	assert_true(w.has_ttl && w.ttl_s == 0);
	assert_int_equal(wishes("cf-aig-cache-ttl: 31536000", &w), E_OK);
	assert_int_equal(w.ttl_s, 31536000);
	assert_int_equal(wishes("cf-aig-cache-ttl: 31536001", &w), E_BAD_HEADER);
	assert_int_equal(wishes("cf-aig-cache-ttl: -1", &w), E_BAD_HEADER);
	assert_int_equal(wishes("cf-aig-cache-ttl: soon", &w), E_BAD_HEADER);
	assert_int_equal(wishes("cf-cache-ttl: 60", &w), E_OK);
	assert_int_equal(w.ttl_s, 60);
}

static void
skip_and_cache_control_are_read(void **state)
{
	struct cache_wishes w;
	(void)state;
	assert_int_equal(wishes("cf-aig-skip-cache: true", &w), E_OK);
	assert_true(w.skip);
	assert_int_equal(wishes("cf-aig-skip-cache: FALSE", &w), E_OK);
	assert_false(w.skip);
	assert_int_equal(wishes("cf-aig-skip-cache: 1", &w), E_BAD_HEADER);
	assert_int_equal(wishes("cache-control: max-age=0, No-Cache", &w), E_OK);
	assert_true(w.skip && !w.no_store);
	assert_int_equal(wishes("cache-control: no-store", &w), E_OK);
	assert_true(w.no_store);
}

static void
a_custom_key_is_1_to_1024_bytes(void **state)
{
	char line[1100] = "cf-aig-cache-key: ";
	struct cache_wishes w;
	(void)state;
	assert_int_equal(wishes(line, &w), E_BAD_HEADER);
	memset(line + 18, 'k', 1024);
	assert_int_equal(wishes(line, &w), E_OK);
	assert_int_equal(w.key.n, 1024);
	line[18 + 1024] = 'k';
	assert_int_equal(wishes(line, &w), E_BAD_HEADER);
}

static struct cache_plan
plan(enum cache_mode mode, const struct request_facts *facts, struct cache_wishes w)
{
	struct config_gateway g = gateway(mode);
	return cache_plan_make(&g, &w, &chat, facts, true);
}

static void
modes_admit_what_they_say(void **state)
{
	struct cache_wishes none = {0}, key = {.key = SPAN_LIT("k")},
			    ttl = {.has_ttl = true, .ttl_s = 60};
	(void)state;
	assert_true(plan(CACHE_ALL, &sampled, none).may_read);
	assert_false(plan(CACHE_DETERMINISTIC, &sampled, none).may_store);
	assert_true(plan(CACHE_DETERMINISTIC, &fixed, none).may_store);
	assert_false(plan(CACHE_OFF, &fixed, none).may_store);
	assert_true(plan(CACHE_OFF, &sampled, key).may_read);
	assert_int_equal(plan(CACHE_OFF, &sampled, ttl).ttl_ms, 60000);
	assert_false(plan(CACHE_ALL, &stateful, key).may_store);
}

static void
a_key_without_any_ttl_has_cloudflares_five_minutes(void **state)
{
	struct config_gateway g = gateway(CACHE_OFF);
	struct cache_wishes key = {.key = SPAN_LIT("k")}, none = {0};
	(void)state;
	g.cache.ttl_ms = 0;
	assert_int_equal(cache_plan_make(&g, &key, &chat, &sampled, true).ttl_ms, 300000);
	g.cache.mode = CACHE_ALL;
	assert_false(cache_plan_make(&g, &none, &chat, &sampled, true).may_store);
}

static void
skipping_does_not_read_but_stores(void **state)
{
	struct cache_plan p = plan(CACHE_ALL, &sampled, (struct cache_wishes){.skip = true});
	(void)state;
	assert_true(p.may_store && !p.may_read);
	p = plan(CACHE_ALL, &sampled, (struct cache_wishes){.no_store = true});
	assert_true(!p.may_store && !p.may_read);
	p = plan(CACHE_ALL, &sampled, (struct cache_wishes){.has_ttl = true, .ttl_s = 0});
	assert_true(!p.may_store && !p.may_read);
}

/* No plan is made of what it refuses, whatever the body says; and it refuses no more than that. */
static void
what_the_body_cannot_change_is_known_before(void **state)
{
	static const enum cache_mode modes[] = {CACHE_OFF, CACHE_ALL, CACHE_DETERMINISTIC};
	static const struct request_facts bodies[] = {
	    {.is_stream = false}, {.is_deterministic = true}};
	const struct cache_wishes wishes[] = {{.skip = false}, {.no_store = true},
	    {.has_ttl = true}, {.has_ttl = true, .ttl_s = 1}, {.key = SPAN_LIT("k")}};
	size_t admitted = 0;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(modes) * COUNT_OF(wishes); i++) {
		struct config_gateway g = gateway(modes[i % COUNT_OF(modes)]);
		const struct cache_wishes *w = &wishes[i / COUNT_OF(modes)];
		bool may = cache_may_plan(&g, w, &chat), is_planned = false;
		for (size_t j = 0; j < COUNT_OF(bodies); j++)
			is_planned |= cache_plan_make(&g, w, &chat, &bodies[j], true).may_store;
		assert_true(may || !is_planned);
		assert_true(is_planned || !may || (w->has_ttl && w->ttl_s == 0));
		admitted += may;
	}
	assert_int_equal(admitted,
	    10); /* two modes of three with no wish or a ttl of 0, all with a ttl or a key */
}

static void
a_body_without_a_form_needs_a_custom_key(void **state)
{
	struct config_gateway g = gateway(CACHE_ALL);
	struct cache_wishes none = {0}, key = {.key = SPAN_LIT("k")};
	(void)state;
	assert_false(cache_plan_make(&g, &none, &chat, &sampled, false).may_store);
	assert_true(cache_plan_make(&g, &key, &chat, &sampled, false).may_store);
}

static uint64_t
answer_ttl(const struct config_gateway *g, struct cache_answer a, const char *line)
{
	struct arena arena;
	struct response_head head = {.status = a.size == 7 ? 500 : 200};
	struct cache_plan p = {.may_read = true, .may_store = true, .ttl_ms = 3600000};
	arena_init(&arena, 65536);
	if (line != NULL)
		head.headers = fields(&arena, (const char *const[]){line, NULL});
	a.head = &head;
	uint64_t ttl = cache_answer_ttl_ms(g, &p, &a);
	arena_fini(&arena);
	return ttl;
}

static void
only_whole_good_answers_of_bounded_size_are_stored(void **state)
{
	struct config_gateway g = gateway(CACHE_ALL);
	struct cache_answer good = {.is_complete = true, .size = 1000}, a;
	(void)state;
	assert_int_equal(answer_ttl(&g, good, NULL), 3600000);
	a = good;
	a.size = 1001;
	assert_int_equal(answer_ttl(&g, a, NULL), 0);
	a = good;
	a.is_complete = false;
	assert_int_equal(answer_ttl(&g, a, NULL), 0);
	a = good;
	a.has_error = true;
	assert_int_equal(answer_ttl(&g, a, NULL), 0);
	a = good;
	a.size = 7; /* status 500, above */
	assert_int_equal(answer_ttl(&g, a, NULL), 0);
}

static void
the_providers_word_counts_only_when_asked_for(void **state)
{
	struct config_gateway g = gateway(CACHE_ALL);
	struct cache_answer good = {.is_complete = true, .size = 10};
	(void)state;
	assert_int_equal(answer_ttl(&g, good, "cache-control: no-store"), 3600000);
	g.cache.respect_upstream = true;
	assert_int_equal(answer_ttl(&g, good, "cache-control: no-store"), 0);
	assert_int_equal(answer_ttl(&g, good, "cache-control: private"), 0);
	assert_int_equal(answer_ttl(&g, good, "cache-control: max-age=60"), 60000);
	assert_int_equal(answer_ttl(&g, good, "cache-control: public, max-age=99999999"), 3600000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ttl_header_has_a_range),
	    cmocka_unit_test(skip_and_cache_control_are_read),
	    cmocka_unit_test(a_custom_key_is_1_to_1024_bytes),
	    cmocka_unit_test(modes_admit_what_they_say),
	    cmocka_unit_test(a_key_without_any_ttl_has_cloudflares_five_minutes),
	    cmocka_unit_test(skipping_does_not_read_but_stores),
	    cmocka_unit_test(what_the_body_cannot_change_is_known_before),
	    cmocka_unit_test(a_body_without_a_form_needs_a_custom_key),
	    cmocka_unit_test(only_whole_good_answers_of_bounded_size_are_stored),
	    cmocka_unit_test(the_providers_word_counts_only_when_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
