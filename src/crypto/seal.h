/*
 * seal: bytes that only the holder of a caller's credential can read again: AES-256-GCM in chunks, each under a nonce of
 * its own, bound to their place (what they belong to, which chunk, whether the last).
 *
 *   key   = HKDF-SHA-256(salt: the installation's, ikm: the credential, info: the purpose)
 *   chunk = nonce 12, ciphertext, tag 16; all but the last hold SEAL_CHUNK bytes of plaintext
 *
 * A changed, cut, reordered or foreign chunk is not opened.
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include "base/buf.h"
#include "crypto/crypto.h"

#define SEAL_CHUNK 16000
#define SEAL_OVERHEAD (AEAD_NONCE_BYTES + AEAD_TAG_BYTES) /* of each chunk */
#define SEAL_PLACE_MAX 64

struct seal_key {
	uint8_t bytes[AEAD_KEY_BYTES];
};

void seal_key_derive(
    const uint8_t salt[32], struct span credential, struct span purpose, struct seal_key *out);

/* How many bytes n bytes become. */
size_t seal_size(size_t n);
/* Appends the sealed form of plain. place: at most SEAL_PLACE_MAX bytes. False: no room. */
MUST_CHECK bool seal_put(
    const struct seal_key *k, struct span place, struct span plain, struct buf *out);

/* Opens a sealed form that comes in pieces. Caller's storage; `total` is its whole length. */
struct unseal {
	struct seal_key key;
	char place[SEAL_PLACE_MAX];
	size_t place_n;
	uint64_t left;   /* sealed bytes that have not been fed */
	uint32_t next;   /* chunk */
	struct buf part; /* of a chunk */
};
void unseal_init(struct unseal *u, const struct seal_key *k, struct span place, uint64_t total);
void unseal_fini(struct unseal *u); /* wipes the key; fine on a zeroed one */
/* Appends to out what could be opened. False: not authentic, or no room; nothing more will come. */
MUST_CHECK bool unseal_feed(struct unseal *u, struct span sealed, struct buf *out);
bool unseal_is_complete(const struct unseal *u);
/* All at once. */
MUST_CHECK bool unseal_all(
    const struct seal_key *k, struct span place, struct span sealed, struct buf *out);

#endif
