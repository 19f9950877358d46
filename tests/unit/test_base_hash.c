#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <xxhash.h>

#include "base/hash.h"
#include "wide_registers.h"

static unsigned char bytes[5000];

/* What one processor wrote, another reads. */
static void
it_is_xxh3_of_every_size_on_every_processor(void **state)
{
	XXH128_canonical_t want;
	uint8_t got[HASH_128_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 2654435761u >> 24);
	for (size_t n = 0; n < sizeof(bytes) - 3; n++) {
		const unsigned char *p = bytes + n % 3;
		uint64_t seed = n % 2 == 0 ? 0 : n + 7;

		assert_int_equal(hash_64(seed, span_of(p, n)), XXH3_64bits_withSeed(p, n, seed));
		XXH128_canonicalFromHash(&want, XXH3_128bits_withSeed(p, n, seed));
		hash_128(seed, span_of(p, n), got);
		assert_memory_equal(got, want.digest, sizeof(got));
	}
}

static void
it_leaves_the_wide_registers_clear(void **state)
{
	uint8_t hash[HASH_128_BYTES];

	(void)state;
	if (!wide_registers_can_be_told())
		skip();
	for (size_t n = 0; n < sizeof(bytes); n += 50) {
		hash_128(n, span_of(bytes, n), hash);
		assert_true(wide_registers_are_clear());
		(void)hash_64(n, span_of(bytes, n));
		assert_true(wide_registers_are_clear());
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_xxh3_of_every_size_on_every_processor),
	    cmocka_unit_test(it_leaves_the_wide_registers_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
