#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/memo.h"

static const uint8_t key[32] = {7};

static void
assert_right(struct memo *m, struct span input)
{
	uint8_t got[SHA256_BYTES], want[SHA256_BYTES];
	hmac_sha256(key, &input, 1, want);
	memo_hmac(m, key, input, got);
	assert_memory_equal(got, want, sizeof(want));
}

static void
it_gives_what_hmac_gives_whatever_came_before(void **state)
{
	static char large[4097];
	struct memo m;
	(void)state;
	memset(large, 'x', sizeof(large));
	memo_init(&m);
	for (int round = 0; round < 2; round++) {
		assert_right(&m, SPAN_LIT("a"));
		assert_right(&m, SPAN_LIT("a"));
		assert_right(&m, SPAN_LIT("ab"));
		assert_right(&m, SPAN_LIT(""));
		assert_right(&m, SPAN_LIT(""));
		assert_right(&m, span_of(large, 4096));
		assert_right(&m, span_of(large, 4096));
		assert_right(&m, span_of(large, 4097));
		assert_right(&m, span_of(large, 4097));
	}
	assert_right(NULL, SPAN_LIT("a"));
	memo_fini(&m);
}

static void
the_second_time_is_from_the_memo(void **state)
{
	static const uint8_t other[32] = {8};
	struct memo m;
	uint8_t first[SHA256_BYTES], second[SHA256_BYTES];
	(void)state;
	memo_init(&m);
	memo_hmac(&m, key, SPAN_LIT("a"), first);
	/* With another key the answer could only be the same if nothing was computed. */
	memo_hmac(&m, other, SPAN_LIT("a"), second);
	assert_memory_equal(first, second, sizeof(first));
	memo_fini(&m);
}

static void
nothing_is_left_behind(void **state)
{
	struct memo m;
	uint8_t mac[SHA256_BYTES];
	(void)state;
	memo_init(&m);
	memo_hmac(&m, key, SPAN_LIT("a secret of the usual length: sk-0123456789"), mac);
	size_t n = malloc_usable_size(m.kept);
	uintptr_t was = (uintptr_t)m.kept;
	memo_fini(&m);
	assert_null(m.kept);
	/* Most allocators give the same block again. */
	char *again = malloc(n);
	__asm__ volatile("" : "+r"(again)); /* gcc knows that nobody wrote into it */
	if ((uintptr_t)again == was) {
		assert_null(memmem(again, n, "sk-0123", 7));
		assert_null(memmem(again, n, mac + 16, 8));
	}
	free(again);
}

static int
setup(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	crypto_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_gives_what_hmac_gives_whatever_came_before),
	    cmocka_unit_test(the_second_time_is_from_the_memo),
	    cmocka_unit_test(nothing_is_left_behind),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
