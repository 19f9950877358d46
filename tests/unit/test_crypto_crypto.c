/* The published vectors of each primitive, and what the wrappers promise on top. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "crypto/crypto.h"
#include "crypto_group.h"

/* The bytes of a hex text; up to 200 of them, valid until the eighth next call. */
static struct span
hex(const char *text)
{
	static uint8_t bytes[8][200];
	static int turn;
	uint8_t *p = bytes[turn++ % 8];
	size_t n = strlen(text) / 2;

	assert_true(n <= sizeof(bytes[0]));
	assert_true(num_unhex(span_str(text), p, n));
	return span_of(p, n);
}

static void
assert_bytes(const uint8_t *got, const char *want)
{
	char text[401];

	assert_true(strlen(want) <= 400);
	num_hex(got, strlen(want) / 2, text);
	assert_string_equal(text, want);
}

static void
sha256_gives_the_vectors_of_fips_180(void **state)
{
	uint8_t out[SHA256_BYTES];

	(void)state;
	sha256(SPAN_NONE, out);
	assert_bytes(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256(SPAN_LIT("abc"), out);
	assert_bytes(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256(SPAN_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out);
	assert_bytes(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* Our keys have 32 bytes. HMAC pads a shorter one with zeros and hashes one that is over a block
 * (64 bytes) first; doing the same here makes every case of the RFC fit. */
static void
assert_hmac(struct span key, struct span data, const char *want)
{
	uint8_t key32[32] = {0}, out[SHA256_BYTES];
	struct span parts[3] = {
	    span_head(data, data.n / 3), SPAN_NONE, span_skip(data, data.n / 3)};

	if (key.n > 64)
		sha256(key, key32);
	else
		memcpy(key32, key.p, key.n);
	hmac_sha256(key32, &data, 1, out);
	assert_bytes(out, want);
	hmac_sha256(key32, parts, 3, out);
	assert_bytes(out, want);
}

static void
hmac_gives_the_vectors_of_rfc_4231(void **state)
{
	char aa[131], dd[50], cd[50];

	(void)state;
	memset(aa, 0xaa, sizeof(aa));
	memset(dd, 0xdd, sizeof(dd));
	memset(cd, 0xcd, sizeof(cd));
	assert_hmac(hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), SPAN_LIT("Hi There"),
	    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_hmac(SPAN_LIT("Jefe"), SPAN_LIT("what do ya want for nothing?"),
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_hmac(span_of(aa, 20), span_of(dd, 50),
	    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	assert_hmac(hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), span_of(cd, 50),
	    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
	assert_hmac(hex("0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c"),
	    SPAN_LIT("Test With Truncation"), "a3b6167473100ee06e0c796c2955552b");
	assert_hmac(span_of(aa, 131),
	    SPAN_LIT("Test Using Larger Than Block-Size Key - Hash Key First"),
	    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	assert_hmac(span_of(aa, 131),
	    SPAN_LIT("This is a test using a larger than block-size key and a larger than "
		     "block-size data. The key needs to be hashed before being used by the HMAC "
		     "algorithm."),
	    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

static void
hmac_of_no_parts_is_that_of_the_empty_text(void **state)
{
	uint8_t key[32] = {1}, a[32], b[32];
	struct span none = SPAN_NONE;

	(void)state;
	hmac_sha256(key, NULL, 0, a);
	hmac_sha256(key, &none, 1, b);
	assert_memory_equal(a, b, 32);
}

static void
hkdf_gives_the_vectors_of_rfc_5869(void **state)
{
	uint8_t out[82];

	(void)state;
	hkdf_sha256(hex("000102030405060708090a0b0c"),
	    hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), hex("f0f1f2f3f4f5f6f7f8f9"), out,
	    42);
	assert_bytes(out,
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
	    "34007208d5b887185865");
	hkdf_sha256(
	    hex("606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485"
		"868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaab"
		"acadaeaf"),
	    hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728"
		"292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f"),
	    hex("b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8"
		"d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
	    out, 82);
	assert_bytes(out,
	    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7"
	    "827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5"
	    "c1f3434f1d87");
	hkdf_sha256(
	    SPAN_NONE, hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), SPAN_NONE, out, 42);
	assert_bytes(out,
	    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
	    "9d201395faa4b61a96c8");
}

static const struct {
	const char *key, *nonce, *aad, *plain, *cipher, *tag;
} gcm[] = {
    /* McGrew and Viega, test cases 13 to 16 */
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
	"", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
	"", "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
	"d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	"",
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	"b094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	"feedfacedeadbeeffeedfacedeadbeefabaddad2",
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	"76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void
aead_gives_the_vectors_of_gcm_and_opens_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(gcm); i++) {
		struct span key = hex(gcm[i].key), nonce = hex(gcm[i].nonce);
		struct span aad = hex(gcm[i].aad), plain = hex(gcm[i].plain);
		const uint8_t *k = (const uint8_t *)key.p, *iv = (const uint8_t *)nonce.p;
		uint8_t sealed[128], opened[128];

		aead_seal(k, iv, aad, plain, sealed);
		assert_bytes(sealed, gcm[i].cipher);
		assert_bytes(sealed + plain.n, gcm[i].tag);
		assert_true(
		    aead_open(k, iv, aad, span_of(sealed, plain.n + AEAD_TAG_BYTES), opened));
		assert_bytes(opened, gcm[i].plain);
	}
}

/* Adds what sealing n bytes gives, at an odd address and in place, to a digest of all of them. */
static void
seal_and_open(size_t n, char *room, uint8_t digest[32])
{
	uint8_t k[32], iv[12] = {(uint8_t)n, [11] = (uint8_t)(n >> 8)};
	char *text = room + sizeof(k);
	uint8_t *sealed = (uint8_t *)text;

	for (size_t i = 0; i < sizeof(k); i++)
		k[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < n; i++)
		sealed[i] = (uint8_t)(i * 7 + (i >> 8));
	struct span aad = span_of((const char *)k, n % 21);
	aead_seal(k, iv, aad, span_of(text, n), sealed);
	memcpy(room, digest, 32);
	sha256(span_of(room, 32 + n + AEAD_TAG_BYTES), digest);
	assert_true(aead_open(k, iv, aad, span_of(text, n + AEAD_TAG_BYTES), sealed));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(sealed[i], (uint8_t)(i * 7 + (i >> 8)));
}

/* Every length of the last block, and counters that carry. What is compared was made with OpenSSL. */
static void
aead_gives_what_another_library_gives_for_any_length(void **state)
{
	static const size_t large[] = {4095, 4096, 4097, 8192, 16385, 1100000};
	char *room = malloc(1100000 + 64);
	uint8_t digest[32] = {0};

	(void)state;
	assert_non_null(room);
	for (size_t n = 0; n <= 100; n++)
		seal_and_open(n, room + n % 16, digest);
	for (size_t i = 0; i < COUNT_OF(large); i++)
		seal_and_open(large[i], room + 5, digest);
	free(room);
	assert_bytes(digest, "15878a9b4b50ddc7492545e88fa6903c0c7dfcaf12e2a70c68cbfc83a8655144");
}

static const uint8_t key[32] = {7}, nonce[12] = {8};

static void
any_flipped_bit_is_noticed_and_nothing_is_given_out(void **state)
{
	static const uint8_t zeros[20];
	struct span aad = SPAN_LIT("bound to this");
	uint8_t sealed[20 + AEAD_TAG_BYTES], opened[20];

	(void)state;
	aead_seal(key, nonce, aad, SPAN_LIT("twenty bytes of text"), sealed);
	for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(opened, 'x', sizeof(opened));
		assert_false(aead_open(key, nonce, aad, span_of(sealed, sizeof(sealed)), opened));
		assert_memory_equal(opened, zeros, sizeof(opened));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(aead_open(key, nonce, aad, span_of(sealed, sizeof(sealed)), opened));
	assert_memory_equal(opened, "twenty bytes of text", 20);
}

static void
another_key_nonce_or_context_does_not_open(void **state)
{
	uint8_t other_key[32] = {9}, other_nonce[12] = {9}, sealed[3 + AEAD_TAG_BYTES], opened[3];
	struct span in = span_of(sealed, sizeof(sealed)), aad = SPAN_LIT("a");

	(void)state;
	aead_seal(key, nonce, aad, SPAN_LIT("abc"), sealed);
	assert_false(aead_open(other_key, nonce, aad, in, opened));
	assert_false(aead_open(key, other_nonce, aad, in, opened));
	assert_false(aead_open(key, nonce, SPAN_LIT("b"), in, opened));
	assert_false(aead_open(key, nonce, SPAN_NONE, in, opened));
	assert_true(aead_open(key, nonce, aad, in, opened));
}

static void
what_is_shorter_than_a_tag_does_not_open(void **state)
{
	uint8_t sealed[AEAD_TAG_BYTES], opened[1];

	(void)state;
	aead_seal(key, nonce, SPAN_NONE, SPAN_NONE, sealed);
	assert_true(aead_open(key, nonce, SPAN_NONE, span_of(sealed, AEAD_TAG_BYTES), opened));
	assert_false(aead_open(key, nonce, SPAN_NONE, span_of(sealed, AEAD_TAG_BYTES - 1), opened));
	assert_false(aead_open(key, nonce, SPAN_NONE, SPAN_NONE, opened));
}

static void
random_bytes_fill_all_and_differ(void **state)
{
	uint8_t seen[256] = {0}, a[32] = {0}, b[32] = {0};
	uint8_t *big = calloc(1, 100000);

	(void)state;
	assert_non_null(big);
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	random_bytes(big, 100000);
	for (int i = 0; i < 100000; i++)
		seen[big[i]] = 1;
	for (int i = 0; i < 256; i++)
		assert_int_equal(seen[i], 1);
	assert_true(memcmp(big + 99968, a, 32) != 0);
	free(big);
	random_bytes(a, 0);
}

static void
ct_equal_is_equality(void **state)
{
	(void)state;
	assert_true(ct_equal(SPAN_LIT("token"), SPAN_LIT("token")));
	assert_false(ct_equal(SPAN_LIT("token"), SPAN_LIT("tokem")));
	assert_false(ct_equal(SPAN_LIT("token"), SPAN_LIT("toke")));
	assert_false(ct_equal(SPAN_LIT("toke"), SPAN_LIT("token")));
	assert_false(ct_equal(SPAN_LIT(""), SPAN_LIT("token")));
	assert_true(ct_equal(SPAN_NONE, SPAN_LIT("")));
}

static void
zeroize_leaves_zeros(void **state)
{
	static const char zeros[6];
	char secret[6] = "abcde";

	(void)state;
	zeroize(secret, sizeof(secret));
	assert_memory_equal(secret, zeros, sizeof(secret));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sha256_gives_the_vectors_of_fips_180),
	    cmocka_unit_test(hmac_gives_the_vectors_of_rfc_4231),
	    cmocka_unit_test(hmac_of_no_parts_is_that_of_the_empty_text),
	    cmocka_unit_test(hkdf_gives_the_vectors_of_rfc_5869),
	    cmocka_unit_test(aead_gives_the_vectors_of_gcm_and_opens_them),
	    cmocka_unit_test(aead_gives_what_another_library_gives_for_any_length),
	    cmocka_unit_test(any_flipped_bit_is_noticed_and_nothing_is_given_out),
	    cmocka_unit_test(another_key_nonce_or_context_does_not_open),
	    cmocka_unit_test(what_is_shorter_than_a_tag_does_not_open),
	    cmocka_unit_test(random_bytes_fill_all_and_differ),
	    cmocka_unit_test(ct_equal_is_equality),
	    cmocka_unit_test(zeroize_leaves_zeros),
	};

	return cmocka_run_group_tests(tests, crypto_group_start, crypto_group_stop);
}
