#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/word8.h"

/* The bytes beside the one that is tried: those whose sums and differences would carry or borrow. */
static const unsigned char beside[] = {
    0, 1, ' ', '!', '@', 'A', 'Z', '[', 'a', '~', 0x7f, 0x80, 0xff};
#define N_BESIDE (sizeof(beside) / sizeof(beside[0]))

typedef void (*check_fn)(const unsigned char text[8]);

/* Every byte value at every place, among equal others. */
static void
for_all(check_fn check)
{
	unsigned char text[8];

	for (size_t i = 0; i < N_BESIDE * 8 * 256; i++) {
		memset(text, beside[i / (8 * 256)], sizeof(text));
		text[i / 256 % 8] = (unsigned char)i;
		check(text);
	}
}

static uint64_t
load(const unsigned char text[8])
{
	return word8_load((const char *)text);
}

static bool
has_between(const unsigned char text[8], int from, int to)
{
	for (int i = 0; i < 8; i++)
		if (text[i] >= from && text[i] <= to)
			return true;
	return false;
}

static void
check_ranges(const unsigned char text[8])
{
	static const unsigned char limits[] = {1, ' ', ' ' + 1, 'A', 0x7f, 0x80};

	for (size_t i = 0; i < sizeof(limits); i++)
		assert_int_equal(
		    word8_has_below(load(text), limits[i]), has_between(text, 0, limits[i] - 1));
	assert_int_equal(word8_has_above_ascii(load(text)), has_between(text, 0x7f, 0xff));
	assert_int_equal(word8_has(load(text), '#'), has_between(text, '#', '#'));
	assert_int_equal(word8_has(load(text), ' '), has_between(text, ' ', ' '));
}

static void
check_lower(const unsigned char text[8])
{
	unsigned char lower[8];

	for (int i = 0; i < 8; i++)
		lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i];
	assert_true(word8_lower(load(text)) == load(lower));
}

static void
a_byte_of_a_range_is_found_wherever_it_stands(void **state)
{
	(void)state;
	for_all(check_ranges);
}

static void
only_capitals_of_ascii_change(void **state)
{
	(void)state;
	for_all(check_lower);
}

/* Any one byte that is not the same is noticed, and nothing behind the text. */
static void
a_short_text_is_loaded_whole_and_alone(void **state)
{
	(void)state;
	for (size_t n = 4; n <= 8; n++) {
		char a[9] = "abcdefgh", b[9] = "abcdefgh";

		b[n] = '!';
		assert_true(word8_load_short(a, n) == word8_load_short(b, n));
		for (size_t i = 0; i < n; i++) {
			b[i] ^= 1;
			assert_false(word8_load_short(a, n) == word8_load_short(b, n));
			b[i] ^= 1;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_byte_of_a_range_is_found_wherever_it_stands),
	    cmocka_unit_test(only_capitals_of_ascii_change),
	    cmocka_unit_test(a_short_text_is_loaded_whole_and_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
