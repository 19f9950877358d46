#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/nearest_int.h"

static void
the_distance_counts_single_slips(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned distance;
	} rows[] = {
	    {"", "", 0},
	    {"a", "", 1},
	    {"", "abc", 3},
	    {"cache", "cache", 0},
	    {"CACHE", "cache", 0},
	    {"cach", "cache", 1},
	    {"cachee", "cache", 1},
	    {"cadhe", "cache", 1},
	    {"cahce", "cache", 1}, /* a swap is one slip */
	    {"ttl", "tlt", 1},
	    {"kitten", "sitting", 3},
	    {"abc", "xyz", 3},
	    {"ca", "abc", 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    nearest_distance(span_str(rows[i].a), span_str(rows[i].b)), rows[i].distance);
		assert_int_equal(
		    nearest_distance(span_str(rows[i].b), span_str(rows[i].a)), rows[i].distance);
	}
}

static void
names_over_64_bytes_are_far(void **state)
{
	char a[65], b[65];

	(void)state;
	memset(a, 'a', sizeof(a));
	memset(b, 'a', sizeof(b));
	assert_int_equal(nearest_distance(span_of(a, 64), span_of(b, 64)), 0);
	assert_int_equal(nearest_distance(span_of(a, 65), span_of(b, 64)), 65);
}

static struct span
best(const char *wanted, const char *const *names)
{
	struct nearest n = {.wanted = span_str(wanted)};

	for (; *names != NULL; names++)
		nearest_try(&n, span_str(*names));
	return n.best;
}

static void
the_nearest_is_found_only_if_it_is_near(void **state)
{
	static const char *const names[] = {
	    "ttl", "mode", "max_size", "max_entry", "retention", NULL};

	(void)state;
	assert_true(span_eq(best("max_entri", names), SPAN_LIT("max_entry")));
	assert_true(span_eq(best("maxsize", names), SPAN_LIT("max_size")));
	assert_true(span_eq(best("tl", names), SPAN_LIT("ttl")));
	assert_true(span_eq(best("Retention", names), SPAN_LIT("retention")));
	assert_null(best("t", names).p);
	assert_null(
	    best("tls", (const char *const[]){"ttlx", NULL}).p); /* two slips in a short name */
	assert_true(span_eq(best("retxxxion", names), SPAN_LIT("retention"))); /* three of nine */
	assert_null(best("rxxxxtion", names).p);
	assert_null(best("", names).p);
	assert_true(span_eq(best("ab", (const char *const[]){"ax", "ab1", NULL}),
	    SPAN_LIT("ax"))); /* the first of equals */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_distance_counts_single_slips),
	    cmocka_unit_test(names_over_64_bytes_are_far),
	    cmocka_unit_test(the_nearest_is_found_only_if_it_is_near),
	};

	return cmocka_run_group_tests_name("config nearest", tests, NULL, NULL);
}
