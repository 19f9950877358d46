#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "store/checksum_int.h"

static void
every_flipped_bit_changes_the_sum(void **state)
{
	unsigned char bytes[130];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		uint64_t whole = checksum(7, bytes, n);

		for (size_t bit = 0; bit < n * 8; bit++) {
			bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
			assert_int_not_equal(checksum(7, bytes, n), whole);
			bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
		assert_int_equal(checksum(7, bytes, n), whole);
	}
}

/* Two flips of the top bit would cancel out in a sum that only multiplies. */
static void
every_two_flipped_bits_change_the_sum(void **state)
{
	unsigned char bytes[96] = {0};
	uint64_t whole = checksum(0, bytes, sizeof(bytes));

	(void)state;
	for (size_t a = 0; a < sizeof(bytes) * 8; a++)
		for (size_t b = a + 1; b < sizeof(bytes) * 8; b++) {
			bytes[a / 8] ^= (unsigned char)(1 << a % 8);
			bytes[b / 8] ^= (unsigned char)(1 << b % 8);
			assert_int_not_equal(checksum(0, bytes, sizeof(bytes)), whole);
			bytes[a / 8] ^= (unsigned char)(1 << a % 8);
			bytes[b / 8] ^= (unsigned char)(1 << b % 8);
		}
}

static void
exchanged_words_change_the_sum(void **state)
{
	uint64_t words[12];

	(void)state;
	for (size_t i = 0; i < 12; i++)
		words[i] = i + 1;
	for (size_t a = 0; a < 12; a++)
		for (size_t b = a + 1; b < 12; b++) {
			uint64_t before = checksum(0, words, sizeof(words)), kept = words[a];

			words[a] = words[b];
			words[b] = kept;
			assert_int_not_equal(checksum(0, words, sizeof(words)), before);
			words[b] = words[a];
			words[a] = kept;
		}
}

static void
zeros_of_every_length_and_seed_differ(void **state)
{
	static const char zeros[256];
	uint64_t sums[256];

	(void)state;
	for (size_t n = 0; n < 256; n++) {
		sums[n] = checksum(0, zeros, n);
		assert_int_not_equal(sums[n], checksum(1, zeros, n));
		for (size_t i = 0; i < n; i++)
			assert_int_not_equal(sums[i], sums[n]);
	}
}

static void
the_place_in_memory_does_not_matter(void **state)
{
	char room[128];
	const char text[] =
	    "the quick brown fox jumps over the lazy dog, and then over another one";
	uint64_t sum = checksum(3, text, sizeof(text));

	(void)state;
	for (size_t i = 0; i < 16; i++) {
		memcpy(room + i, text, sizeof(text));
		assert_int_equal(checksum(3, room + i, sizeof(text)), sum);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_flipped_bit_changes_the_sum),
	    cmocka_unit_test(every_two_flipped_bits_change_the_sum),
	    cmocka_unit_test(exchanged_words_change_the_sum),
	    cmocka_unit_test(zeros_of_every_length_and_seed_differ),
	    cmocka_unit_test(the_place_in_memory_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
