#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/seal.h"

static struct seal_key key, other;
static const struct span place = {"place", 5};

static struct span
sealed_of(struct span plain, struct buf *b)
{
	buf_init(b, 1 << 20);
	assert_true(seal_put(&key, place, plain, b));
	assert_int_equal(buf_len(b), seal_size(plain.n));
	return buf_view(b);
}

static bool
opens(const struct seal_key *k, struct span where, struct span sealed, struct span plain)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	bool ok = unseal_all(k, where, sealed, &out) && span_eq(buf_view(&out), plain);
	buf_fini(&out);
	return ok;
}

static void
what_is_sealed_opens_again_at_every_length(void **state)
{
	static const size_t lengths[] = {
	    0, 1, SEAL_CHUNK - 1, SEAL_CHUNK, SEAL_CHUNK + 1, 3 * SEAL_CHUNK, 100000};
	char *bytes = malloc(100000);
	(void)state;
	for (size_t i = 0; i < 100000; i++)
		bytes[i] = (char)(i * 7);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct buf b;
		struct span plain = span_of(bytes, lengths[i]), sealed = sealed_of(plain, &b);
		assert_true(opens(&key, place, sealed, plain));
		buf_fini(&b);
	}
	free(bytes);
}

static void
nobody_else_opens_it_and_nowhere_else(void **state)
{
	struct buf b;
	struct span plain = SPAN_LIT("the prompt"), sealed = sealed_of(plain, &b);
	(void)state;
	assert_false(opens(&other, place, sealed, plain));
	assert_false(opens(&key, SPAN_LIT("Place"), sealed, plain));
	assert_int_equal(span_find_span(sealed, plain), sealed.n);
	buf_fini(&b);
}

static void
no_bit_can_be_changed_and_no_byte_cut(void **state)
{
	struct buf b;
	char plain[40];
	(void)state;
	memset(plain, 'x', sizeof(plain));
	struct span sealed = sealed_of(span_of(plain, sizeof(plain)), &b);
	for (size_t i = 0; i < sealed.n * 8; i++) {
		b.p[b.off + i / 8] = (char)(b.p[b.off + i / 8] ^ (1 << i % 8));
		assert_false(opens(&key, place, sealed, span_of(plain, sizeof(plain))));
		b.p[b.off + i / 8] = (char)(b.p[b.off + i / 8] ^ (1 << i % 8));
	}
	for (size_t n = 0; n < sealed.n; n++)
		assert_false(
		    opens(&key, place, span_head(sealed, n), span_of(plain, sizeof(plain))));
	buf_fini(&b);
}

static void
chunks_cannot_be_left_out_or_exchanged(void **state)
{
	const size_t one = SEAL_CHUNK + SEAL_OVERHEAD;
	char *plain = calloc(3, SEAL_CHUNK), *moved = malloc(3 * one);
	struct buf b, out;
	(void)state;
	struct span sealed = sealed_of(span_of(plain, 3 * SEAL_CHUNK), &b);
	buf_init(&out, 1 << 20);
	/* The first two: each is whole, but the second is not the last. */
	assert_false(unseal_all(&key, place, span_head(sealed, 2 * one), &out));
	assert_false(unseal_all(&key, place, span_skip(sealed, one), &out));
	memcpy(moved, sealed.p + one, one);
	memcpy(moved + one, sealed.p, one);
	memcpy(moved + 2 * one, sealed.p + 2 * one, one);
	assert_false(unseal_all(&key, place, span_of(moved, 3 * one), &out));
	buf_fini(&out);
	buf_fini(&b);
	free(plain);
	free(moved);
}

static void
pieces_of_any_size_open_alike(void **state)
{
	char *plain = malloc(40000);
	struct buf b, out;
	(void)state;
	for (size_t i = 0; i < 40000; i++)
		plain[i] = (char)(i % 251);
	struct span sealed = sealed_of(span_of(plain, 40000), &b);
	static const size_t sizes[] = {1, 17, 16360, SEAL_CHUNK, SEAL_CHUNK + SEAL_OVERHEAD, 39999};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct unseal u;
		buf_init(&out, 1 << 20);
		unseal_init(&u, &key, place, sealed.n);
		for (size_t at = 0; at < sealed.n; at += sizes[i])
			assert_true(
			    unseal_feed(&u, span_head(span_skip(sealed, at), sizes[i]), &out));
		assert_true(unseal_is_complete(&u));
		assert_true(span_eq(buf_view(&out), span_of(plain, 40000)));
		assert_false(unseal_feed(&u, SPAN_LIT("x"), &out));
		unseal_fini(&u);
		buf_fini(&out);
	}
	buf_fini(&b);
	free(plain);
}

static void
the_same_bytes_never_look_the_same_twice(void **state)
{
	struct buf a, b;
	(void)state;
	struct span x = sealed_of(SPAN_LIT("same"), &a), y = sealed_of(SPAN_LIT("same"), &b);
	assert_false(span_eq(x, y));
	buf_fini(&a);
	buf_fini(&b);
}

static int
setup(void **state)
{
	static const uint8_t salt[32] = {1};
	(void)state;
	if (!crypto_init())
		return -1;
	seal_key_derive(salt, SPAN_LIT("sk-one"), SPAN_LIT("test"), &key);
	seal_key_derive(salt, SPAN_LIT("sk-two"), SPAN_LIT("test"), &other);
	return memcmp(&key, &other, sizeof(key)) == 0;
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
	    cmocka_unit_test(what_is_sealed_opens_again_at_every_length),
	    cmocka_unit_test(nobody_else_opens_it_and_nowhere_else),
	    cmocka_unit_test(no_bit_can_be_changed_and_no_byte_cut),
	    cmocka_unit_test(chunks_cannot_be_left_out_or_exchanged),
	    cmocka_unit_test(pieces_of_any_size_open_alike),
	    cmocka_unit_test(the_same_bytes_never_look_the_same_twice),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
