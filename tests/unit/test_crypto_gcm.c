/*
 * AES-GCM as mbedTLS gives it, whoever does the work there (deps/gcm_alt.c on x86_64): against published vectors, and for every length
 * and way to call it against a slow GCM written here from the specification (NIST SP 800-38D), a bit at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>

#include "base/chk.h"
#include "base/num.h"
#include "wide_registers.h"

#define ROOM (16384 + 256)

struct message {
	unsigned bits; /* of the key */
	struct span iv, aad, text;
};

/* Bytes that differ everywhere; as many as any test takes, at an odd address. */
static uint8_t noise_bytes[ROOM + 64];
static uint8_t out[ROOM], want[ROOM], back[ROOM];

static struct span
noise(size_t from, size_t n)
{
	assert_true(from + n < sizeof(noise_bytes));
	return span_of(noise_bytes + 1 + from, n);
}

static const uint8_t *
bytes_of(struct span s)
{
	return (const uint8_t *)s.p;
}

static void
multiply(uint8_t x[16], const uint8_t h[16])
{
	uint8_t z[16] = {0}, v[16];

	memcpy(v, h, 16);
	for (int i = 0; i < 128; i++) {
		uint8_t take = (uint8_t)-(x[i / 8] >> (7 - i % 8) & 1), low = v[15] & 1;

		for (int j = 0; j < 16; j++)
			z[j] ^= v[j] & take;
		for (int j = 15; j > 0; j--)
			v[j] = (uint8_t)(v[j] >> 1 | v[j - 1] << 7);
		v[0] = (uint8_t)(v[0] >> 1 ^ (low ? 0xe1 : 0));
	}
	memcpy(x, z, 16);
}

static void
ghash(uint8_t y[16], const uint8_t h[16], struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		y[i % 16] ^= bytes_of(s)[i];
		if (i % 16 == 15 || i + 1 == s.n)
			multiply(y, h);
	}
}

static void
ghash_lengths(uint8_t y[16], const uint8_t h[16], size_t a, size_t b)
{
	uint8_t block[16];

	for (int i = 0; i < 8; i++) {
		block[i] = (uint8_t)((uint64_t)a * 8 >> (56 - 8 * i));
		block[8 + i] = (uint8_t)((uint64_t)b * 8 >> (56 - 8 * i));
	}
	ghash(y, h, span_of(block, 16));
}

static void
cipher(mbedtls_aes_context *aes, const uint8_t in[16], uint8_t to[16])
{
	assert_int_equal(mbedtls_aes_crypt_ecb(aes, MBEDTLS_AES_ENCRYPT, in, to), 0);
}

static void
first_counter(const uint8_t h[16], struct span iv, uint8_t counter[16])
{
	memset(counter, 0, 16);
	if (iv.n == 12) {
		memcpy(counter, iv.p, 12);
		counter[15] = 1;
	} else {
		ghash(counter, h, iv);
		ghash_lengths(counter, h, 0, iv.n);
	}
}

/* The specification, as it is written. What is encrypted goes to to, and its tag behind it. */
static void
slow_gcm(struct message m, uint8_t *to)
{
	mbedtls_aes_context aes;
	uint8_t h[16] = {0}, counter[16], mask[16], sum[16] = {0}, first[16];

	mbedtls_aes_init(&aes);
	assert_int_equal(mbedtls_aes_setkey_enc(&aes, noise_bytes, m.bits), 0);
	cipher(&aes, h, h);
	first_counter(h, m.iv, counter);
	cipher(&aes, counter, first);
	for (size_t i = 0; i < m.text.n; i++) {
		for (int j = 15; i % 16 == 0 && j >= 12 && ++counter[j] == 0; j--)
			;
		if (i % 16 == 0)
			cipher(&aes, counter, mask);
		to[i] = bytes_of(m.text)[i] ^ mask[i % 16];
	}
	ghash(sum, h, m.aad);
	ghash(sum, h, span_of(to, m.text.n));
	ghash_lengths(sum, h, m.aad.n, m.text.n);
	for (int i = 0; i < 16; i++)
		to[m.text.n + (size_t)i] = sum[i] ^ first[i];
	mbedtls_aes_free(&aes);
}

static void
with_key(mbedtls_gcm_context *gcm, unsigned bits)
{
	mbedtls_gcm_init(gcm);
	assert_int_equal(mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, noise_bytes, bits), 0);
}

static int
open_with(
    mbedtls_gcm_context *gcm, struct message m, size_t tag_len, const uint8_t *sealed, uint8_t *to)
{
	return mbedtls_gcm_auth_decrypt(gcm, m.text.n, bytes_of(m.iv), m.iv.n, bytes_of(m.aad),
	    m.aad.n, sealed + m.text.n, tag_len, sealed, to);
}

static void
seal_with(mbedtls_gcm_context *gcm, struct message m, uint8_t *to)
{
	assert_int_equal(
	    mbedtls_gcm_crypt_and_tag(gcm, MBEDTLS_GCM_ENCRYPT, m.text.n, bytes_of(m.iv), m.iv.n,
		bytes_of(m.aad), m.aad.n, bytes_of(m.text), to, 16, to + m.text.n),
	    0);
}

/* Sealed in one call as the slow one does it, opened again, and both once more in place. */
static void
check(struct message m)
{
	mbedtls_gcm_context gcm;

	with_key(&gcm, m.bits);
	slow_gcm(m, want);
	out[m.text.n + 16] = 0x5a;
	seal_with(&gcm, m, out);
	assert_memory_equal(out, want, m.text.n + 16);
	assert_int_equal(out[m.text.n + 16], 0x5a);
	back[m.text.n] = 0x5a;
	assert_int_equal(open_with(&gcm, m, 16, out, back), 0);
	assert_memory_equal(back, m.text.p, m.text.n);
	assert_int_equal(back[m.text.n], 0x5a);
	assert_int_equal(open_with(&gcm, m, 16, out, out), 0);
	assert_memory_equal(out, m.text.p, m.text.n);
	m.text.p = (const char *)out;
	seal_with(&gcm, m, out);
	assert_memory_equal(out, want, m.text.n + 16);
	mbedtls_gcm_free(&gcm);
}

static void
check_all_keys(struct message m)
{
	for (m.bits = 128; m.bits <= 256; m.bits += 64)
		check(m);
}

static struct span
unhex(const char *text, uint8_t *bytes)
{
	size_t n = strlen(text) / 2;

	assert_true(num_unhex(span_str(text), bytes, n));
	return span_of(bytes, n);
}

#define KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define PLAIN                                                                                      \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                         \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
#define AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define IV_60                                                                                            \
	"9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b52" \
	"5416aedbf5a0de6a57a637b39b"

/* McGrew and Viega: the test cases with a text, 3 to 6, 9 to 12 and 15 to 18. A shorter key is the beginning of KEY. The tag tells
 * whether the text that came out is theirs too. */
static void
the_tags_are_those_of_the_specification(void **state)
{
	static const struct {
		const char *iv, *aad;
		size_t n;
		const char *tag[3]; /* of 128, 192 and 256 bits */
	} cases[] = {
	    {"cafebabefacedbaddecaf888", "", 64,
		{"4d5c2af327cd64a62cf35abd2ba6fab4", "9924a7c8587336bfb118024db8674a14",
		    "b094dac5d93471bdec1a502270e3cc6c"}},
	    {"cafebabefacedbaddecaf888", AAD, 60,
		{"5bc94fbc3221a5db94fae95ae7121a47", "2519498e80f1478f37ba55bd6d27618c",
		    "76fc6ece0f4e1768cddf8853bb2d551b"}},
	    {"cafebabefacedbad", AAD, 60,
		{"3612d2e79e3b0785561be14aaca2fccb", "65dcc57fcf623a24094fcca40d3533f8",
		    "3a337dbf46a792c45e454913fe2ea8f2"}},
	    {IV_60, AAD, 60,
		{"619cc5aefffe0bfa462af43c1699d050", "dcf566ff291c25bbb8568fc3d376a6d9",
		    "a44a8266ee1c8eb0c8b5d4cf5ae9f19a"}},
	};
	uint8_t key[32], iv[60], aad[20], text[64], tag[16], sealed[64 + 16];
	mbedtls_gcm_context gcm;

	(void)state;
	(void)unhex(KEY, key);
	for (size_t i = 0; i < COUNT_OF(cases) * 3; i++) {
		struct message m = {0, unhex(cases[i / 3].iv, iv), unhex(cases[i / 3].aad, aad),
		    unhex(PLAIN, text)};

		m.text.n = cases[i / 3].n;
		mbedtls_gcm_init(&gcm);
		assert_int_equal(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key,
				     128 + 64 * (unsigned)(i % 3)),
		    0);
		seal_with(&gcm, m, sealed);
		(void)unhex(cases[i / 3].tag[i % 3], tag);
		assert_memory_equal(sealed + m.text.n, tag, 16);
		mbedtls_gcm_free(&gcm);
	}
}

static void
every_length_of_text_is_sealed_and_opened(void **state)
{
	static const size_t large[] = {1023, 4096, 8192, 16384};

	(void)state;
	for (size_t n = 0; n <= 300; n++)
		check_all_keys(
		    (struct message){0, noise(n, 12), noise(n + 40, n % 37), noise(n + 100, n)});
	for (size_t i = 0; i < COUNT_OF(large); i++)
		for (size_t n = large[i] - 17; n <= large[i] + 17; n++)
			check((struct message){128 + 64 * (unsigned)(n % 3), noise(n % 30, 12),
			    noise(n % 40, 13), noise(n % 50, n)});
}

static void
every_length_of_additional_data_and_of_an_iv_is_taken(void **state)
{
	(void)state;
	for (size_t n = 0; n <= 300; n++)
		check_all_keys(
		    (struct message){0, noise(n, 12), noise(n + 20, n), noise(n + 100, 35)});
	for (size_t n = 1; n <= 100; n++)
		check_all_keys(
		    (struct message){0, noise(n, n), noise(n + 20, n % 33), noise(n + 100, 150)});
}

/* x to the power of 2^128 - 2: what a multiplication by h is undone with. */
static void
invert(const uint8_t h[16], uint8_t inverse[16])
{
	uint8_t square[16];

	memcpy(square, h, 16);
	multiply(square, h);
	memcpy(inverse, square, 16);
	for (int i = 2; i < 128; i++) {
		uint8_t once[16];

		memcpy(once, square, 16);
		multiply(square, once);
		multiply(inverse, square);
	}
}

/* The counter has 32 bits and does not carry into the others. The IV of 16 bytes that begins with a given counter is worked out. */
static void
the_counter_wraps_at_32_bits(void **state)
{
	(void)state;
	for (unsigned before = 0; before < 20; before++) {
		mbedtls_aes_context aes;
		uint8_t h[16] = {0}, inverse[16], iv[16], length[16] = {[15] = 128}, start[16];

		mbedtls_aes_init(&aes);
		assert_int_equal(mbedtls_aes_setkey_enc(&aes, noise_bytes, 128), 0);
		cipher(&aes, h, h);
		mbedtls_aes_free(&aes);
		invert(h, inverse);
		memset(iv, 0xff, 16);
		iv[15] = (uint8_t)(0xff - before);
		memcpy(start, iv, 16);
		multiply(iv, inverse);
		for (int i = 0; i < 16; i++)
			iv[i] ^= length[i];
		multiply(iv, inverse);
		first_counter(h, span_of(iv, 16), back);
		assert_memory_equal(back, start, 16);
		check((struct message){128, span_of(iv, 16), noise(0, 5), noise(9, 700)});
	}
}

/* Gives text to the context in pieces, of sizes that go through all of 1 to 150 in an order without a pattern. */
static void
in_pieces(mbedtls_gcm_context *gcm, struct span text, uint8_t *to, unsigned *turn)
{
	size_t n, got;

	for (size_t done = 0; done < text.n; done += n) {
		*turn = *turn * 1103515245 + 12345;
		n = 1 + (*turn >> 16) % 150;
		if (n > text.n - done)
			n = text.n - done;
		if (to == NULL) {
			assert_int_equal(mbedtls_gcm_update_ad(gcm, bytes_of(text) + done, n), 0);
			continue;
		}
		assert_int_equal(
		    mbedtls_gcm_update(gcm, bytes_of(text) + done, n, to + done, n, &got), 0);
		assert_int_equal(got, n);
	}
}

static void
pieces_give_what_the_whole_gives(void **state)
{
	mbedtls_gcm_context gcm;
	unsigned turn = 7;
	size_t got;

	(void)state;
	for (size_t n = 0; n < 400; n++) {
		struct message m = {128 + 64 * (unsigned)(n % 3), noise(n, n % 2 ? 12 : 20),
		    noise(5, n * 3 % 331), noise(n, n * 7 % 1000)};
		uint8_t tag[16];

		slow_gcm(m, want);
		with_key(&gcm, m.bits);
		for (int mode = MBEDTLS_GCM_DECRYPT; mode <= MBEDTLS_GCM_ENCRYPT; mode++) {
			bool seals = mode == MBEDTLS_GCM_ENCRYPT;

			assert_int_equal(mbedtls_gcm_starts(&gcm, mode, bytes_of(m.iv), m.iv.n), 0);
			in_pieces(&gcm, m.aad, NULL, &turn);
			in_pieces(&gcm, seals ? m.text : span_of(want, m.text.n), out, &turn);
			assert_int_equal(mbedtls_gcm_finish(&gcm, NULL, 0, &got, tag, 16), 0);
			assert_int_equal(got, 0);
			assert_memory_equal(out, seals ? (const char *)want : m.text.p, m.text.n);
			assert_memory_equal(tag, want + m.text.n, 16);
		}
		mbedtls_gcm_free(&gcm);
	}
}

/* The library's contract: the output may lie anywhere before the input, and take part of its room. */
static void
text_may_be_moved_down_on_the_way(void **state)
{
	mbedtls_gcm_context gcm;

	(void)state;
	with_key(&gcm, 256);
	for (size_t n = 0; n < 600; n++) {
		struct message m = {256, noise(n, 12), noise(n, 13), noise(n, n)};
		size_t by = 1 + n % 150;

		slow_gcm(m, want);
		memcpy(out + by, m.text.p, n);
		m.text.p = (const char *)out + by;
		seal_with(&gcm, m, out);
		assert_memory_equal(out, want, n + 16);
		memmove(back + by, out, n + 16);
		assert_int_equal(open_with(&gcm, m, 16, back + by, back), 0);
		assert_memory_equal(back, noise(n, n).p, n);
	}
	mbedtls_gcm_free(&gcm);
}

static bool
all_zero(const void *p, size_t n)
{
	const uint8_t *bytes = p;

	while (n > 0 && bytes[n - 1] == 0)
		n--;
	return n == 0;
}

static void
what_was_tampered_with_is_refused_and_wiped(void **state)
{
	struct message m = {128, noise(0, 12), noise(20, 13), noise(40, 301)};
	mbedtls_gcm_context gcm;
	uint8_t aad[13];

	(void)state;
	with_key(&gcm, m.bits);
	seal_with(&gcm, m, out);
	for (size_t bit = 0; bit < (m.text.n + 16) * 8; bit += bit < m.text.n * 8 ? 7 : 1) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(back, 1, m.text.n);
		assert_int_equal(open_with(&gcm, m, 16, out, back), MBEDTLS_ERR_GCM_AUTH_FAILED);
		assert_true(all_zero(back, m.text.n));
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	memcpy(aad, m.aad.p, sizeof(aad));
	m.aad.p = (const char *)aad;
	for (size_t bit = 0; bit < sizeof(aad) * 8; bit++) {
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_with(&gcm, m, 16, out, back), MBEDTLS_ERR_GCM_AUTH_FAILED);
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	m.aad.n--;
	assert_int_equal(open_with(&gcm, m, 16, out, back), MBEDTLS_ERR_GCM_AUTH_FAILED);
	m.aad.n++;
	assert_int_equal(open_with(&gcm, m, 16, out, back), 0);
	mbedtls_gcm_free(&gcm);
}

static void
a_tag_has_4_to_16_bytes(void **state)
{
	struct message m = {128, noise(0, 12), noise(20, 13), noise(40, 50)};
	mbedtls_gcm_context gcm;
	uint8_t tag[20];

	(void)state;
	with_key(&gcm, m.bits);
	slow_gcm(m, want);
	for (size_t n = 0; n <= 18; n++) {
		int r = n >= 4 && n <= 16 ? 0 : MBEDTLS_ERR_GCM_BAD_INPUT;

		memset(tag, 0x77, sizeof(tag));
		assert_int_equal(
		    mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, m.text.n, bytes_of(m.iv),
			m.iv.n, bytes_of(m.aad), m.aad.n, bytes_of(m.text), out, n, tag),
		    r);
		assert_int_equal(tag[n], 0x77);
		assert_int_equal(open_with(&gcm, m, n, want, back), r);
		if (r != 0)
			continue;
		assert_memory_equal(tag, want + m.text.n, n);
		want[m.text.n + n - 1] ^= 1;
		assert_int_equal(open_with(&gcm, m, n, want, back), MBEDTLS_ERR_GCM_AUTH_FAILED);
		want[m.text.n + n - 1] ^= 1;
	}
	mbedtls_gcm_free(&gcm);
}

static void
what_cannot_be_asked_for_is_refused(void **state)
{
	static const unsigned bits[] = {0, 64, 127, 160, 257, 512};
	mbedtls_gcm_context gcm;
	size_t got;

	(void)state;
	mbedtls_gcm_init(&gcm);
	for (size_t i = 0; i < COUNT_OF(bits); i++)
		assert_int_not_equal(
		    mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, noise_bytes, bits[i]), 0);
	assert_int_not_equal(
	    mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_CHACHA20, noise_bytes, 256), 0);
	mbedtls_gcm_free(&gcm);
	with_key(&gcm, 128);
	assert_int_equal(mbedtls_gcm_starts(&gcm, MBEDTLS_GCM_ENCRYPT, noise_bytes, 0),
	    MBEDTLS_ERR_GCM_BAD_INPUT);
	assert_int_equal(mbedtls_gcm_starts(&gcm, MBEDTLS_GCM_ENCRYPT, noise_bytes, 12), 0);
	assert_int_equal(mbedtls_gcm_update(&gcm, noise_bytes, 20, out, 19, &got),
	    MBEDTLS_ERR_GCM_BUFFER_TOO_SMALL);
	assert_int_equal(
	    mbedtls_gcm_update(&gcm, out, 20, out + 19, 20, &got), MBEDTLS_ERR_GCM_BAD_INPUT);
	assert_int_equal(mbedtls_gcm_update(&gcm, out, 20, out + 20, 20, &got), 0);
	mbedtls_gcm_free(&gcm);
}

/* 2^36 - 32 bytes may be under one IV. No test has as many: what is too long is refused before a byte of it is looked at. */
static void
text_beyond_the_counter_is_refused(void **state)
{
	const size_t most = 0xFFFFFFFE0;
	mbedtls_gcm_context gcm;
	size_t got;

	(void)state;
	with_key(&gcm, 128);
	assert_int_equal(mbedtls_gcm_starts(&gcm, MBEDTLS_GCM_ENCRYPT, noise_bytes, 12), 0);
	assert_int_equal(mbedtls_gcm_update(&gcm, out, most + 1, out, most + 1, &got),
	    MBEDTLS_ERR_GCM_BAD_INPUT);
	assert_int_equal(mbedtls_gcm_update(&gcm, out, 17, out, 17, &got), 0);
	assert_int_equal(mbedtls_gcm_update(&gcm, out, most - 16, out, most - 16, &got),
	    MBEDTLS_ERR_GCM_BAD_INPUT);
	assert_int_equal(mbedtls_gcm_update(&gcm, out, SIZE_MAX - 8, out, SIZE_MAX - 8, &got),
	    MBEDTLS_ERR_GCM_BAD_INPUT);
	mbedtls_gcm_free(&gcm);
}

static void
nothing_is_left_of_a_key(void **state)
{
	mbedtls_gcm_context gcm;

	(void)state;
	with_key(&gcm, 256);
	assert_false(all_zero(&gcm, sizeof(gcm)));
	mbedtls_gcm_free(&gcm);
	assert_true(all_zero(&gcm, sizeof(gcm)));
	mbedtls_gcm_free(NULL);
}

/* malloc promises 16. */
static void
a_key_may_lie_at_any_16_bytes(void **state)
{
	struct message m = {192, noise(0, 12), noise(20, 13), noise(40, 500)};
	uint8_t *room = aligned_alloc(64, (sizeof(mbedtls_gcm_context) + 2 * 64) / 64 * 64);

	(void)state;
	assert_non_null(room);
	slow_gcm(m, want);
	for (size_t at = 0; at < 64; at += 16) {
		mbedtls_gcm_context *gcm = (mbedtls_gcm_context *)(void *)(room + at);

		with_key(gcm, m.bits);
		seal_with(gcm, m, out);
		assert_memory_equal(out, want, m.text.n + 16);
		mbedtls_gcm_free(gcm);
	}
	free(room);
}

static void
it_leaves_the_wide_registers_clear(void **state)
{
	struct message m = {128, noise(0, 12), noise(20, 13), noise(40, 0)};
	mbedtls_gcm_context gcm;

	(void)state;
	if (!wide_registers_can_be_told())
		skip();
	with_key(&gcm, 128);
	for (; m.text.n < 3000; m.text.n += 61) {
		(void)mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, m.text.n, bytes_of(m.iv),
		    m.iv.n, bytes_of(m.aad), m.aad.n, bytes_of(m.text), out, 16, out + m.text.n);
		assert_true(wide_registers_are_clear());
		(void)open_with(&gcm, m, 16, out, back);
		assert_true(wide_registers_are_clear());
	}
	mbedtls_gcm_free(&gcm);
}

static int
make_noise(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(noise_bytes); i++) {
		x = x * 1664525 + 1013904223;
		noise_bytes[i] = (uint8_t)(x >> 24);
	}
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_tags_are_those_of_the_specification),
	    cmocka_unit_test(every_length_of_text_is_sealed_and_opened),
	    cmocka_unit_test(every_length_of_additional_data_and_of_an_iv_is_taken),
	    cmocka_unit_test(the_counter_wraps_at_32_bits),
	    cmocka_unit_test(pieces_give_what_the_whole_gives),
	    cmocka_unit_test(text_may_be_moved_down_on_the_way),
	    cmocka_unit_test(what_was_tampered_with_is_refused_and_wiped),
	    cmocka_unit_test(a_tag_has_4_to_16_bytes),
	    cmocka_unit_test(what_cannot_be_asked_for_is_refused),
	    cmocka_unit_test(text_beyond_the_counter_is_refused),
	    cmocka_unit_test(nothing_is_left_of_a_key),
	    cmocka_unit_test(a_key_may_lie_at_any_16_bytes),
	    cmocka_unit_test(it_leaves_the_wide_registers_clear),
	};

	return cmocka_run_group_tests(tests, make_noise, NULL);
}
