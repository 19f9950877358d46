#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(status_is_a_number_a_class_or_a_range),
	    cmocka_unit_test(time_is_an_age_or_a_date),
	    cmocka_unit_test(a_row_has_what_a_person_looks_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
