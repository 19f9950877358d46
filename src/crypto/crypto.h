/*
 * crypto: hashes, keyed hashes, key derivation, AEAD and random bytes over mbedTLS.
 *
 * Call crypto_init once, in the process that will use it (after any fork), before anything else here.
 */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/span.h"

#define SHA256_BYTES 32
#define AEAD_KEY_BYTES 32
#define AEAD_NONCE_BYTES 12
#define AEAD_TAG_BYTES 16

MUST_CHECK bool crypto_init(void);
void crypto_fini(void);

void random_bytes(void *out, size_t n); /* from the kernel; aborts if there is none */
void sha256(struct span in, uint8_t out[SHA256_BYTES]);
/* HMAC-SHA-256 over the concatenation of n spans. */
void hmac_sha256(
    const uint8_t key[32], const struct span *parts, size_t n, uint8_t out[SHA256_BYTES]);
/* HKDF-SHA-256 (RFC 5869): out_len <= 255 * 32. */
void hkdf_sha256(struct span salt, struct span ikm, struct span info, uint8_t *out, size_t out_len);
/* AES-256-GCM. out holds in.n + AEAD_TAG_BYTES. */
void aead_seal(
    const uint8_t key[32], const uint8_t nonce[12], struct span aad, struct span in, uint8_t *out);
/* out holds in.n - AEAD_TAG_BYTES. False: not authentic, out is zeroed. */
MUST_CHECK bool aead_open(
    const uint8_t key[32], const uint8_t nonce[12], struct span aad, struct span in, uint8_t *out);
/* Takes the same time whatever differs; false at once when the lengths differ. */
bool ct_equal(struct span a, struct span b);
void zeroize(void *p, size_t n);

#endif
