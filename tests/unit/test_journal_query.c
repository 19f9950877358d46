#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal/query.h"

struct status_row {
	const char *text;
	int min, max;
};

static void
status_is_a_number_a_class_or_a_range(void **state)
{
	static const struct status_row good[] = {{"200", 200, 200}, {"5xx", 500, 599},
	    {"4XX", 400, 499}, {"100", 100, 100}, {"599", 599, 599}, {"400-499", 400, 499},
	    {"429-429", 429, 429}};
	static const char *const bad[] = {
	    "", "99", "600", "6xx", "0xx", "x", "20", "500-400", "200-", "-200", "2xy"};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct query q;
		query_init(&q);
		assert_true(query_parse_status(span_str(good[i].text), &q));
		assert_int_equal(q.status_min, good[i].min);
		assert_int_equal(q.status_max, good[i].max);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct query q;
		query_init(&q);
		assert_false(query_parse_status(span_str(bad[i]), &q));
		assert_int_equal(q.status_min, 0);
	}
}

static void
time_is_an_age_or_a_date(void **state)
{
	int64_t t = 5, now = 1795000000000;
	(void)state;
	assert_true(query_parse_time(SPAN_LIT("1h"), now, &t));
	assert_int_equal(t, now - 3600000);
	assert_true(query_parse_time(SPAN_LIT("2026-11-22"), now, &t));
	assert_int_equal(t, 1795305600000);
	assert_true(query_parse_time(SPAN_LIT("2026-11-22T01:00:00Z"), now, &t));
	assert_int_equal(t, 1795309200000);
	assert_false(query_parse_time(SPAN_LIT("yesterday"), now, &t));
	assert_false(query_parse_time(SPAN_LIT(""), now, &t));
}

static void
a_row_has_what_a_person_looks_for(void **state)
{
	struct buf b;
	struct record r;
	(void)state;
	buf_init(&b, 4096);
	record_init(&r);
	r.created_ms = 1795305600000;
	r.status = 429;
	r.provider = SPAN_LIT("anthropic");
	r.model = SPAN_LIT("a-model-with-a-name-longer-than-its-column");
	r.duration_us = 1500;
	r.tokens_in = 12;
	r.ending = SPAN_LIT("UD");
	assert_true(query_row(&r, &b));
	struct span row = buf_view(&b);
	assert_true(span_starts(row, SPAN_LIT("2026-11-22T00:00:00.000Z 429")));
	assert_true(span_find_span(row, SPAN_LIT("a-model-with-a-name-longer-t ")) < row.n);
	assert_true(span_find_span(row, SPAN_LIT(" 1.5 ")) < row.n);
	assert_true(span_find_span(row, SPAN_LIT("      12        - UD ")) < row.n);
	assert_int_equal(span_find(row, '\n'), row.n - 1);
	buf_fini(&b);
}

static struct record
sample(void)
{
	struct record r;
	record_init(&r);
	r.duration_us = 1500000;
	r.tokens_in = 100;
	r.tokens_out = 20;
	r.metadata =
	    SPAN_LIT("{\"user\":\"u\\u0031\",\"n\":1.50,\"beta\":true,\"none\":null,\"e\":\"\"}");
	r.cache = RECORD_MISS;
	return r;
}

static bool
picks(const char *name, const char *value)
{
	struct query q;
	struct record r = sample();
	query_init(&q);
	if (strncmp(name, "min-d", 5) == 0)
		assert_true(query_parse_duration(span_str(value), &q.duration_min_us));
	else if (strncmp(name, "max-d", 5) == 0)
		assert_true(query_parse_duration(span_str(value), &q.duration_max_us));
	else if (strncmp(name, "min-t", 5) == 0)
		q.tokens_min = atoll(value);
	else if (strncmp(name, "max-t", 5) == 0)
		q.tokens_max = atoll(value);
	else
		assert_true(query_add_metadata(span_str(value), &q));
	return query_matches(&q, &r);
}

static void
durations_and_tokens_are_bounded_on_both_sides(void **state)
{
	(void)state;
	assert_true(picks("min-duration", "1500ms") && picks("max-duration", "1500ms"));
	assert_false(picks("min-duration", "1501ms") || picks("max-duration", "1499ms"));
	assert_true(picks("min-tokens", "120") && picks("max-tokens", "120"));
	assert_false(picks("min-tokens", "121") || picks("max-tokens", "119"));
}

static void
what_is_unknown_is_within_no_bounds(void **state)
{
	struct query q;
	struct record r;
	(void)state;
	query_init(&q);
	record_init(&r);
	assert_true(query_matches(&q, &r));
	q.duration_max_us = 5;
	assert_false(query_matches(&q, &r));
	query_init(&q);
	q.tokens_min = 0;
	assert_false(query_matches(&q, &r));
	r.tokens_out = 0; /* one of the two is known */
	assert_true(query_matches(&q, &r));
}

static void
metadata_is_matched_as_pairs(void **state)
{
	struct query q;
	struct record r = sample();
	(void)state;
	assert_true(picks("metadata", "user=u1") && picks("metadata", "n=1.50"));
	assert_true(picks("metadata", "beta=true") && picks("metadata", "none=null"));
	assert_true(picks("metadata", "e="));
	assert_false(picks("metadata", "user=u") || picks("metadata", "user=\"u1\""));
	assert_false(picks("metadata", "n=u1") || picks("metadata", "other=u1"));
	query_init(&q);
	assert_true(query_add_metadata(SPAN_LIT("user=u1"), &q));
	assert_true(query_add_metadata(SPAN_LIT("beta=true"), &q));
	assert_true(query_matches(&q, &r));
	assert_true(query_add_metadata(SPAN_LIT("n=2"), &q));
	assert_false(query_matches(&q, &r));
	assert_true(query_add_metadata(SPAN_LIT("a=b=c"), &q));
	assert_true(span_eq(q.metadata[3].value, SPAN_LIT("b=c")));
	assert_false(query_add_metadata(SPAN_LIT("fifth=1"), &q));
	query_init(&q);
	assert_false(query_add_metadata(SPAN_LIT("novalue"), &q));
	assert_false(query_add_metadata(SPAN_LIT("=x"), &q));
	r.metadata = SPAN_NONE;
	assert_true(query_add_metadata(SPAN_LIT("user=u1"), &q));
	assert_false(query_matches(&q, &r));
}

static void
a_duration_has_a_unit(void **state)
{
	int64_t us = 7;
	(void)state;
	assert_true(query_parse_duration(SPAN_LIT("2s"), &us));
	assert_int_equal(us, 2000000);
	assert_false(query_parse_duration(SPAN_LIT("2"), &us));
	assert_false(query_parse_duration(SPAN_LIT("-2s"), &us));
	assert_false(query_parse_duration(SPAN_LIT(""), &us));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(status_is_a_number_a_class_or_a_range),
	    cmocka_unit_test(time_is_an_age_or_a_date),
	    cmocka_unit_test(a_row_has_what_a_person_looks_for),
	    cmocka_unit_test(durations_and_tokens_are_bounded_on_both_sides),
	    cmocka_unit_test(what_is_unknown_is_within_no_bounds),
	    cmocka_unit_test(metadata_is_matched_as_pairs),
	    cmocka_unit_test(a_duration_has_a_unit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
