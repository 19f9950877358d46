#include "crypto/crypto.h"

#include <errno.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/gcm.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <psa/crypto.h>
#include <sys/random.h>

/* What the library reports below is lack of memory or wrong use: neither is a peer's doing. */

bool
crypto_init(void)
{
	return psa_crypto_init() == PSA_SUCCESS;
}

void
crypto_fini(void)
{
	mbedtls_psa_crypto_free();
}

/* Straight from the kernel: a generator of our own would have to survive forks and snapshots. */
void
random_bytes(void *out, size_t n)
{
	uint8_t *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		CHK(got > 0 || errno == EINTR);
		if (got < 0)
			continue;
		p += got;
		n -= (size_t)got;
	}
}

static const unsigned char *
bytes_of(struct span s)
{
	return (const unsigned char *)s.p;
}

void
sha256(struct span in, uint8_t out[SHA256_BYTES])
{
	CHK(mbedtls_sha256(bytes_of(in), in.n, out, 0) == 0);
}

void
hmac_sha256(const uint8_t key[32], const struct span *parts, size_t n, uint8_t out[SHA256_BYTES])
{
	mbedtls_md_context_t md;

	mbedtls_md_init(&md);
	CHK(mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1) == 0);
	CHK(mbedtls_md_hmac_starts(&md, key, 32) == 0);
	for (size_t i = 0; i < n; i++)
		CHK(mbedtls_md_hmac_update(&md, bytes_of(parts[i]), parts[i].n) == 0);
	CHK(mbedtls_md_hmac_finish(&md, out) == 0);
	mbedtls_md_free(&md);
}

void
hkdf_sha256(struct span salt, struct span ikm, struct span info, uint8_t *out, size_t out_len)
{
	CHK(mbedtls_hkdf(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes_of(salt), salt.n,
		bytes_of(ikm), ikm.n, bytes_of(info), info.n, out, out_len) == 0);
}

static void
gcm_start(mbedtls_gcm_context *gcm, const uint8_t key[32])
{
	mbedtls_gcm_init(gcm);
	CHK(mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key, 256) == 0);
}

void
aead_seal(
    const uint8_t key[32], const uint8_t nonce[12], struct span aad, struct span in, uint8_t *out)
{
	mbedtls_gcm_context gcm;

	gcm_start(&gcm, key);
	CHK(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, in.n, nonce, AEAD_NONCE_BYTES,
		bytes_of(aad), aad.n, bytes_of(in), out, AEAD_TAG_BYTES, out + in.n) == 0);
	mbedtls_gcm_free(&gcm);
}

/* The library zeroes out when the tag is wrong. */
bool
aead_open(
    const uint8_t key[32], const uint8_t nonce[12], struct span aad, struct span in, uint8_t *out)
{
	mbedtls_gcm_context gcm;
	size_t n;
	int r;

	if (in.n < AEAD_TAG_BYTES)
		return false;
	n = in.n - AEAD_TAG_BYTES;
	gcm_start(&gcm, key);
	r = mbedtls_gcm_auth_decrypt(&gcm, n, nonce, AEAD_NONCE_BYTES, bytes_of(aad), aad.n,
	    bytes_of(in) + n, AEAD_TAG_BYTES, bytes_of(in), out);
	mbedtls_gcm_free(&gcm);
	CHK(r == 0 || r == MBEDTLS_ERR_GCM_AUTH_FAILED);
	return r == 0;
}

bool
ct_equal(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || mbedtls_ct_memcmp(a.p, b.p, a.n) == 0);
}

void
zeroize(void *p, size_t n)
{
	mbedtls_platform_zeroize(p, n);
}
