#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/chk.h"
#include "base/num.h"

typedef bool (*parse_fn)(struct span s, uint64_t *out);

struct good {
	const char *text;
	uint64_t value;
};

static void
assert_reads(parse_fn parse, const struct good *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = 77;

		assert_true(parse(span_str(rows[i].text), &v));
		assert_int_equal(v, rows[i].value);
	}
}

static void
assert_refuses(parse_fn parse, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = 77;

		assert_false(parse(span_str(texts[i]), &v));
		assert_int_equal(v, 77);
	}
}

static void
u64_takes_digits_up_to_its_range(void **state)
{
	static const struct good good[] = {
	    {"0", 0}, {"007", 7}, {"18446744073709551615", UINT64_MAX}};
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1a", "0x1", "1.0",
	    "18446744073709551616", "99999999999999999999999", "184467440737095516150"};

	(void)state;
	assert_reads(num_u64, good, COUNT_OF(good));
	assert_refuses(num_u64, bad, COUNT_OF(bad));
}

static void
i64_takes_one_minus(void **state)
{
	int64_t v = 77;

	(void)state;
	assert_true(num_i64(SPAN_LIT("9223372036854775807"), &v));
	assert_true(v == INT64_MAX);
	assert_true(num_i64(SPAN_LIT("-9223372036854775808"), &v));
	assert_true(v == INT64_MIN);
	assert_true(num_i64(SPAN_LIT("-0"), &v));
	assert_int_equal(v, 0);
	assert_false(num_i64(SPAN_LIT("9223372036854775808"), &v));
	assert_false(num_i64(SPAN_LIT("-9223372036854775809"), &v));
	assert_false(num_i64(SPAN_LIT("--1"), &v));
	assert_false(num_i64(SPAN_LIT("-"), &v));
	assert_false(num_i64(SPAN_LIT(""), &v));
}

static void
durations_need_a_unit_but_for_zero(void **state)
{
	static const struct good good[] = {{"0", 0}, {"0s", 0}, {"500ms", 500}, {"10s", 10000},
	    {"5m", 300000}, {"1h", 3600000}, {"30d", 2592000000},
	    {"18446744073709551615ms", UINT64_MAX},
	    {"213503982334d", UINT64_C(18446744073657600000)}};
	static const char *const bad[] = {"", "10", "00", "s", "-1s", "1.5h", "1h30m", "10 s",
	    "10S", "1w", "213503982335d", "18446744073709551616ms", "10sx"};

	(void)state;
	assert_reads(num_duration_ms, good, COUNT_OF(good));
	assert_refuses(num_duration_ms, bad, COUNT_OF(bad));
}

static void
sizes_are_powers_of_1024_and_may_be_bare(void **state)
{
	static const struct good good[] = {{"0", 0}, {"100", 100}, {"512B", 512}, {"64KB", 65536},
	    {"25MB", 26214400}, {"10GB", UINT64_C(10737418240)},
	    {"17179869183GB", UINT64_C(17179869183) << 30}};
	static const char *const bad[] = {"", "KB", "-1KB", "1.5MB", "64kb", "64K", "1TB", "1 KB",
	    "17179869184GB", "18446744073709551616"};

	(void)state;
	assert_reads(num_size, good, COUNT_OF(good));
	assert_refuses(num_size, bad, COUNT_OF(bad));
}

static void
texts_are_the_shortest_and_read_back(void **state)
{
	char out[NUM_TEXT_SIZE];

	(void)state;
	assert_string_equal(num_duration_text(0, out), "0");
	assert_string_equal(num_duration_text(1500, out), "1500ms");
	assert_string_equal(num_duration_text(90000, out), "90s");
	assert_string_equal(num_duration_text(3600000, out), "1h");
	assert_string_equal(num_duration_text(2592000000, out), "30d");
	assert_string_equal(num_duration_text(UINT64_MAX, out), "18446744073709551615ms");
	assert_string_equal(num_size_text(0, out), "0");
	assert_string_equal(num_size_text(1023, out), "1023");
	assert_string_equal(num_size_text(1024, out), "1KB");
	assert_string_equal(num_size_text(1025, out), "1025");
	assert_string_equal(num_size_text(UINT64_C(2) << 30, out), "2GB");
	assert_string_equal(num_size_text(UINT64_MAX, out), "18446744073709551615");
	for (uint64_t v = 1; v < UINT64_C(1) << 62; v *= 3) {
		uint64_t back = 0;

		assert_true(num_duration_ms(span_str(num_duration_text(v, out)), &back));
		assert_int_equal(back, v);
		assert_true(num_size(span_str(num_size_text(v << 10, out)), &back));
		assert_int_equal(back, v << 10);
	}
}

static void
hex_goes_out_and_back(void **state)
{
	const uint8_t bytes[4] = {0x00, 0x7f, 0xa0, 0xff};
	uint8_t back[4] = {1, 2, 3, 4};
	char text[9];

	(void)state;
	num_hex(bytes, 4, text);
	assert_string_equal(text, "007fa0ff");
	assert_true(num_unhex(span_str(text), back, 4));
	assert_memory_equal(back, bytes, 4);
	assert_true(num_unhex(SPAN_LIT("007FA0FF"), back, 4));
	assert_memory_equal(back, bytes, 4);
	num_hex(NULL, 0, text);
	assert_string_equal(text, "");
	assert_true(num_unhex(SPAN_LIT(""), back, 0));
}

static void
unhex_takes_exactly_the_digits_it_needs(void **state)
{
	uint8_t out[2] = {9, 9};

	(void)state;
	assert_false(num_unhex(SPAN_LIT("000"), out, 2));
	assert_false(num_unhex(SPAN_LIT("00000"), out, 2));
	assert_false(num_unhex(SPAN_LIT("000000"), out, 2));
	assert_false(num_unhex(SPAN_LIT("00 0"), out, 2));
	assert_false(num_unhex(SPAN_LIT("000g"), out, 2));
	assert_false(num_unhex(SPAN_LIT("0x00"), out, 2));
	assert_int_equal(out[0] + out[1], 18);
}

static void
decimal_digits_of_the_whole_range(void **state)
{
	const struct {
		uint64_t v;
		const char *text;
	} cases[] = {{0, "0"}, {9, "9"}, {10, "10"}, {99, "99"}, {100, "100"},
	    {UINT64_MAX - 5, "18446744073709551610"}, {UINT64_MAX, "18446744073709551615"}};
	char out[NUM_DEC_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(num_dec(cases[i].v, out), strlen(cases[i].text));
		assert_memory_equal(out, cases[i].text, strlen(cases[i].text));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(u64_takes_digits_up_to_its_range),
	    cmocka_unit_test(i64_takes_one_minus),
	    cmocka_unit_test(durations_need_a_unit_but_for_zero),
	    cmocka_unit_test(sizes_are_powers_of_1024_and_may_be_bare),
	    cmocka_unit_test(texts_are_the_shortest_and_read_back),
	    cmocka_unit_test(hex_goes_out_and_back),
	    cmocka_unit_test(decimal_digits_of_the_whole_range),
	    cmocka_unit_test(unhex_takes_exactly_the_digits_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
