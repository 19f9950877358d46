#include "crypto/seal.h"

#include "base/chk.h"

#define SEALED_CHUNK (SEAL_CHUNK + SEAL_OVERHEAD)
#define AAD_SIZE (SEAL_PLACE_MAX + 5)

void
seal_key_derive(
    const uint8_t salt[32], struct span credential, struct span purpose, struct seal_key *out)
{
	hkdf_sha256(span_of(salt, 32), credential, purpose, out->bytes, sizeof(out->bytes));
}

static size_t
chunks_of(size_t n)
{
	return n == 0 ? 1 : (n + SEAL_CHUNK - 1) / SEAL_CHUNK;
}

size_t
seal_size(size_t n)
{
	return n + chunks_of(n) * SEAL_OVERHEAD;
}

/* The place, which chunk, and whether it is the last: what a chunk is bound to. */
static struct span
bind(struct span place, uint32_t i, bool is_last, char out[AAD_SIZE])
{
	CHK(place.n <= SEAL_PLACE_MAX);
	memcpy(out, place.p, place.n);
	memcpy(out + place.n, &i, sizeof(i));
	out[place.n + sizeof(i)] = is_last;
	return span_of(out, place.n + sizeof(i) + 1);
}

bool
seal_put(const struct seal_key *k, struct span place, struct span plain, struct buf *out)
{
	size_t n = chunks_of(plain.n);
	for (uint32_t i = 0; i < n; i++) {
		char aad[AAD_SIZE];
		struct span piece = span_head(span_skip(plain, (size_t)i * SEAL_CHUNK), SEAL_CHUNK);
		uint8_t *to = (uint8_t *)(void *)buf_reserve(out, piece.n + SEAL_OVERHEAD);
		if (to == NULL)
			return false;
		random_bytes(to, AEAD_NONCE_BYTES);
		aead_seal(
		    k->bytes, to, bind(place, i, i + 1 == n, aad), piece, to + AEAD_NONCE_BYTES);
		buf_commit(out, piece.n + SEAL_OVERHEAD);
	}
	return true;
}

void
unseal_init(struct unseal *u, const struct seal_key *k, struct span place, uint64_t total)
{
	CHK(place.n <= SEAL_PLACE_MAX);
	*u = (struct unseal){.key = *k, .place_n = place.n, .left = total};
	memcpy(u->place, place.p, place.n);
	buf_init(&u->part, SEALED_CHUNK);
}

void
unseal_fini(struct unseal *u)
{
	zeroize(&u->key, sizeof(u->key));
	buf_fini(&u->part);
}

static bool
open_chunk(struct unseal *u, struct buf *out)
{
	char aad[AAD_SIZE];
	struct span sealed = buf_view(&u->part);
	if (sealed.n < SEAL_OVERHEAD)
		return false;
	const uint8_t *nonce = (const uint8_t *)(const void *)sealed.p;
	size_t n = sealed.n - SEAL_OVERHEAD;
	char *to = buf_reserve(out, n + 1);
	struct span bound = bind(span_of(u->place, u->place_n), u->next++, u->left == 0, aad);
	if (to == NULL ||
	    !aead_open(u->key.bytes, nonce, bound, span_skip(sealed, AEAD_NONCE_BYTES),
		(uint8_t *)(void *)to))
		return false;
	buf_commit(out, n);
	buf_reset(&u->part);
	return true;
}

bool
unseal_feed(struct unseal *u, struct span sealed, struct buf *out)
{
	if (sealed.n > u->left)
		return false;
	while (sealed.n > 0) {
		struct span piece = span_head(sealed, SEALED_CHUNK - buf_len(&u->part));
		if (!buf_put_span(&u->part, piece))
			return false;
		u->left -= piece.n;
		sealed = span_skip(sealed, piece.n);
		if ((buf_len(&u->part) == SEALED_CHUNK || u->left == 0) && !open_chunk(u, out))
			return false;
	}
	return true;
}

bool
unseal_is_complete(const struct unseal *u)
{
	return u->left == 0;
}

bool
unseal_all(const struct seal_key *k, struct span place, struct span sealed, struct buf *out)
{
	struct unseal u;
	unseal_init(&u, k, place, sealed.n);
	bool ok = sealed.n > 0 && unseal_feed(&u, sealed, out) && unseal_is_complete(&u);
	unseal_fini(&u);
	return ok;
}
