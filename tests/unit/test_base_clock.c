#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/chk.h"
#include "base/clock.h"

static const struct {
	int64_t ms;
	const char *text;
} dates[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {1, "1970-01-01T00:00:00.001Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {1763844194123, "2025-11-22T20:43:14.123Z"},
    {4107542399999, "2100-02-28T23:59:59.999Z"},
    {4107542400000, "2100-03-01T00:00:00.000Z"}, /* 2100 has no 29 February */
    {253402300799999, "9999-12-31T23:59:59.999Z"},
};

static void
dates_are_written_and_read_back(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(dates); i++) {
		clock_rfc3339(dates[i].ms, text);
		assert_string_equal(text, dates[i].text);
		assert_int_equal(clock_parse(text, strlen(text)), dates[i].ms);
	}
}

static void
dates_outside_four_digit_years_are_held_at_the_ends(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	clock_rfc3339(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	clock_rfc3339(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	clock_rfc3339(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static int64_t
parse(const char *s)
{
	return clock_parse(s, strlen(s));
}

static void
every_spelling_of_rfc_3339_is_read(void **state)
{
	(void)state;
	assert_int_equal(parse("1970-01-02"), 86400000);
	assert_int_equal(parse("1970-01-01T00:00:01Z"), 1000);
	assert_int_equal(parse("1970-01-01t00:00:01z"), 1000);
	assert_int_equal(parse("1970-01-01 00:00:01Z"), 1000);
	assert_int_equal(parse("1970-01-01T00:00:00.5Z"), 500);
	assert_int_equal(parse("1970-01-01T00:00:00.0019999999Z"), 1);
	assert_int_equal(parse("1970-01-01T01:00:00+01:00"), 0);
	assert_int_equal(parse("1969-12-31T22:30:00-01:30"), 0);
	assert_int_equal(parse("1990-12-31T23:59:60Z"), 662688000000);
	assert_int_equal(parse("2024-02-29"), 1709164800000);
}

static void
everything_else_is_refused(void **state)
{
	static const char *const bad[] = {"", "1970", "1970-1-1", "1970-01-01T",
	    "1970-01-01T00:00:00", "1970-01-01T00:00Z", "1970-01-01T00:00:00.Z",
	    "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z", "1970-00-01",
	    "1970-13-01", "1970-01-00", "1970-04-31", "2023-02-29", "1900-02-29",
	    "1970-01-01T00:00:00+0100", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00Zx",
	    "1970-01-01x", " 1970-01-01", "1970-01-01T00:00:00+", "+970-01-01",
	    "1969-12-31T23:59:59Z", "1h"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(parse(bad[i]), -1);
	assert_int_equal(clock_parse("1970-01-01\0", 11), -1);
}

static void
a_faked_clock_stands_still_until_released(void **state)
{
	(void)state;
	clock_fake(5000, 1234);
	assert_int_equal(clock_mono_ns(), 5000);
	assert_int_equal(clock_mono_us(), 5);
	assert_int_equal(clock_wall_ms(), 1234);
	clock_fake(0, 0);
	assert_true(clock_wall_ms() > 1700000000000);
}

static void
the_monotonic_clock_does_not_go_back(void **state)
{
	uint64_t last = clock_mono_ns();

	(void)state;
	assert_true(last > 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_mono_ns();

		assert_true(now >= last);
		last = now;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dates_are_written_and_read_back),
	    cmocka_unit_test(dates_outside_four_digit_years_are_held_at_the_ends),
	    cmocka_unit_test(every_spelling_of_rfc_3339_is_read),
	    cmocka_unit_test(everything_else_is_refused),
	    cmocka_unit_test(a_faked_clock_stands_still_until_released),
	    cmocka_unit_test(the_monotonic_clock_does_not_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
