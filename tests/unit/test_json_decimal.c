#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/canon.h"
#include "json/decimal_int.h"

static void
assert_decimal(const char *text, const char *digits, int64_t point)
{
	struct decimal d = decimal_of(span_str(text));

	assert_int_equal(d.is_negative, text[0] == '-');
	assert_int_equal(d.n, strlen(digits));
	assert_memory_equal(d.digits, digits, d.n);
	assert_true(d.point == point);
	assert_false(d.is_longer);
}

static void
every_spelling_of_a_value_is_one_decimal(void **state)
{
	(void)state;
	assert_decimal("100", "1", 3);
	assert_decimal("1e2", "1", 3);
	assert_decimal("1E+02", "1", 3);
	assert_decimal("0.1e3", "1", 3);
	assert_decimal("0.0010E5", "1", 3);
	assert_decimal("100000e-3", "1", 3);
	assert_decimal("100.000", "1", 3);
	assert_decimal("-12.50", "125", 2);
	assert_decimal("0.00125", "125", -2);
	assert_decimal("10203", "10203", 5);
	assert_decimal("1.0000000000000000000", "1", 1);
	assert_decimal("0.10000000000000000001", "10000000000000000001", 0);
}

static void
zero_has_no_digits_whatever_its_exponent(void **state)
{
	(void)state;
	assert_decimal("0", "", 0);
	assert_decimal("-0", "", 0);
	assert_decimal("0.000", "", 0);
	assert_decimal("0e999999999999999999999999", "", 0);
	assert_decimal("-0.0E-5", "", 0);
}

static void
exponents_saturate_instead_of_overflowing(void **state)
{
	int64_t most = INT64_C(1) << 40;

	(void)state;
	assert_decimal("1e999999999", "1", 1000000000);
	assert_decimal("1e99999999999999999999999999", "1", most);
	assert_decimal("1e-99999999999999999999999999", "1", -most);
	assert_decimal("1e18446744073709551616", "1", most);
	assert_decimal("1e0000000000000000000000000000005", "1", 6);
}

static void
digits_over_twenty_are_only_known_to_be_there(void **state)
{
	struct decimal d = decimal_of(SPAN_LIT("12345678901234567891"));

	(void)state;
	assert_false(d.is_longer);
	assert_int_equal(d.n, 20);
	d = decimal_of(SPAN_LIT("123456789012345678911"));
	assert_true(d.is_longer);
	assert_int_equal(d.n, 20);
	assert_true(d.point == 21);
	d = decimal_of(SPAN_LIT("12345678901234567891000000.000"));
	assert_false(d.is_longer);
	assert_true(d.point == 26);
	d = decimal_of(SPAN_LIT("1000000000000000000000000000001"));
	assert_true(d.is_longer);
}

static double
from_bits(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static const char *
number(double value)
{
	static char text[33];

	text[canon_number(value, text)] = '\0';
	return text;
}

static const struct {
	uint64_t bits;
	const char *text;
} rfc8785_b[] = {
    {0x0000000000000000, "0"},
    {0x8000000000000000, "0"},
    {0x0000000000000001, "5e-324"},
    {0x8000000000000001, "-5e-324"},
    {0x7fefffffffffffff, "1.7976931348623157e+308"},
    {0xffefffffffffffff, "-1.7976931348623157e+308"},
    {0x4340000000000000, "9007199254740992"},
    {0xc340000000000000, "-9007199254740992"},
    {0x4430000000000000, "295147905179352830000"},
    {0x44b52d02c7e14af5, "9.999999999999997e+22"},
    {0x44b52d02c7e14af6, "1e+23"},
    {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
    {0x444b1ae4d6e2ef4e, "999999999999999700000"},
    {0x444b1ae4d6e2ef4f, "999999999999999900000"},
    {0x444b1ae4d6e2ef50, "1e+21"},
    {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
    {0x3eb0c6f7a0b5ed8d, "0.000001"},
    {0x41b3de4355555553, "333333333.3333332"},
    {0x41b3de4355555554, "333333333.33333325"},
    {0x41b3de4355555555, "333333333.3333333"},
    {0x41b3de4355555556, "333333333.3333334"},
    {0x41b3de4355555557, "333333333.33333343"},
    {0xbecbf647612f3696, "-0.0000033333333333333333"},
    {0x43143ff3c1cb0959, "1424953923781206.2"},
};

static void
numbers_print_as_appendix_b_of_rfc_8785_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rfc8785_b) / sizeof(rfc8785_b[0]); i++)
		assert_string_equal(number(from_bits(rfc8785_b[i].bits)), rfc8785_b[i].text);
}

static void
the_layout_changes_where_ecmascript_says(void **state)
{
	(void)state;
	assert_string_equal(number(123456789012345680000.0), "123456789012345680000");
	assert_string_equal(number(1e20), "100000000000000000000");
	assert_string_equal(number(1e21), "1e+21");
	assert_string_equal(number(1.5e21), "1.5e+21");
	assert_string_equal(number(1e-6), "0.000001");
	assert_string_equal(number(1e-7), "1e-7");
	assert_string_equal(number(-1.25e-7), "-1.25e-7");
	assert_string_equal(number(123.456), "123.456");
	assert_string_equal(number(-0.5), "-0.5");
	assert_string_equal(number(1e100), "1e+100");
	assert_string_equal(number(2.2250738585072014e-308), "2.2250738585072014e-308");
	assert_string_equal(number(5.684341886080802e-14), "5.684341886080802e-14"); /* 2^-44 */
	assert_string_equal(number(9007199254740993.0), "9007199254740992");
}

/* The oracle: the C library prints with 1, 2, … digits until the text reads back. Where the distance
 * to the next smaller double is half of that to the next larger one (powers of two), the closest
 * text of a length may fail and the one above it fit. */
static struct decimal
shortest_by_search(double value)
{
	for (int digits = 1; digits <= 17; digits++) {
		char text[40];

		snprintf(text, sizeof(text), "%.*e", digits - 1, value);
		if (strtod(text, NULL) == value)
			return decimal_of(span_str(text));
		for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
			if (*p == '.' || *p == '-')
				continue;
			*p = *p == '9' ? '0' : *p + 1;
			if (*p != '0')
				break;
		}
		if (strtod(text, NULL) == value)
			return decimal_of(span_str(text));
	}
	fail_msg("no text reads back as %a", value);
	return (struct decimal){.n = 0};
}

static void
assert_shortest(uint64_t bits)
{
	double value = from_bits(bits);
	struct decimal want, got;

	if (!isfinite(value))
		return;
	want = shortest_by_search(value);
	got = decimal_of_double(value);
	if (want.n != got.n || memcmp(want.digits, got.digits, got.n) != 0)
		print_error("bits %016llx\n", (unsigned long long)bits);
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.digits, want.digits, got.n);
	assert_true(got.point == want.point);
	assert_int_equal(got.is_negative, want.is_negative);
	assert_true(strtod(number(value), NULL) == value);
	assert_true(decimal_read_double(number(value)) == value);
}

static void
digits_are_the_shortest_that_read_back_for_random_doubles(void **state)
{
	uint64_t bits = UINT64_C(0x9e3779b97f4a7c15);

	(void)state;
	for (int i = 0; i < 50000; i++) {
		bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		assert_shortest(bits ^ bits >> 32);
	}
}

static void
digits_are_the_shortest_around_every_power_of_two(void **state)
{
	(void)state;
	for (uint64_t exponent = 0; exponent < 2047; exponent++) {
		assert_shortest(exponent << 52);
		assert_shortest((exponent << 52) + 1);
		if (exponent > 0)
			assert_shortest((exponent << 52) - 1);
	}
	for (int bit = 0; bit < 52; bit++) /* subnormal */
		assert_shortest(UINT64_C(1) << bit);
}

static void
digits_are_the_shortest_around_every_power_of_ten(void **state)
{
	(void)state;
	for (int e = -323; e <= 308; e++) {
		char text[16];
		double value;
		uint64_t bits;

		snprintf(text, sizeof(text), "1e%d", e);
		value = strtod(text, NULL);
		memcpy(&bits, &value, sizeof(bits));
		assert_shortest(bits);
		assert_shortest(bits + 1);
		assert_shortest(bits - 1);
	}
}

/* What lets canon.c print short numbers without ever making a double of them. */
static void
up_to_fifteen_digits_are_their_own_shortest_form(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		struct decimal written, shortest;
		char text[40];

		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		snprintf(text, sizeof(text), "%llue%d",
		    (unsigned long long)(random >> 12) % 1000000000000000,
		    (int)(random >> 3 & 511) - 256);
		written = decimal_of(span_str(text));
		shortest = decimal_of_double(strtod(text, NULL));
		assert_int_equal(shortest.n, written.n);
		assert_memory_equal(shortest.digits, written.digits, written.n);
		assert_true(shortest.point == written.point);
	}
}

static void
reading_gives_the_nearest_double(void **state)
{
	(void)state;
	assert_true(decimal_read_double("0") == 0);
	assert_true(decimal_read_double("-0") == 0);
	assert_true(decimal_read_double("-12.50e-1") == -1.25);
	assert_true(decimal_read_double("18446744073709551616") == 0x1p64);
	/* half way between two doubles: to the even one, and up with any digit behind */
	assert_true(decimal_read_double("9007199254740993") == 0x1p53);
	assert_true(decimal_read_double("9007199254740993.0000000000000000000000000000") == 0x1p53);
	assert_true(
	    decimal_read_double("9007199254740993.0000000000000000000000000001") == 0x1p53 + 2);
}

static void
what_a_double_cannot_reach_is_infinite_or_zero(void **state)
{
	(void)state;
	assert_true(decimal_read_double("1e400") == HUGE_VAL);
	assert_true(decimal_read_double("-1e400") == -HUGE_VAL);
	assert_true(decimal_read_double("1e99999999999999999999999") == HUGE_VAL);
	assert_true(decimal_read_double("1e-99999999999999999999999") == 0);
	assert_true(decimal_read_double("2e-324") == 0);
	assert_true(decimal_read_double("3e-324") == 0x1p-1074);
	assert_true(isfinite(decimal_read_double("1.7976931348623157e308")));
	assert_true(decimal_read_double("1.7976931348623159e308") == HUGE_VAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_spelling_of_a_value_is_one_decimal),
	    cmocka_unit_test(zero_has_no_digits_whatever_its_exponent),
	    cmocka_unit_test(exponents_saturate_instead_of_overflowing),
	    cmocka_unit_test(digits_over_twenty_are_only_known_to_be_there),
	    cmocka_unit_test(numbers_print_as_appendix_b_of_rfc_8785_says),
	    cmocka_unit_test(the_layout_changes_where_ecmascript_says),
	    cmocka_unit_test(digits_are_the_shortest_that_read_back_for_random_doubles),
	    cmocka_unit_test(digits_are_the_shortest_around_every_power_of_two),
	    cmocka_unit_test(digits_are_the_shortest_around_every_power_of_ten),
	    cmocka_unit_test(up_to_fifteen_digits_are_their_own_shortest_form),
	    cmocka_unit_test(reading_gives_the_nearest_double),
	    cmocka_unit_test(what_a_double_cannot_reach_is_infinite_or_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
