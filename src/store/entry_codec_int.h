/*
 * entry_codec_int: how an entry of the cache lies on the disk.
 *
 *   head   generation 8, native -> entry_head, gateway, provider, model, headers, [preimage], [body]
 *   chunk  generation 8 + number 2, big-endian -> checksum 8, up to ENTRY_CHUNK bytes: the
 *          preimage's, then the body's
 *   age    generation 8, native -> entry_age: the order of eviction
 *   expiry expires_ms 8, generation 8, big-endian -> nothing; there exactly while its age row is
 *
 * Limits     what fits goes into the head, which with its page header is at most 4 pages; the
 *            rest goes in chunks of at most 4 pages. 4 pages have to lie next to each other: in a
 *            cache full of small entries there are none such, so an entry can be scattered, all
 *            its values of one page. A generation is given once: chunks of two versions of an
 *            entry never meet.
 * Order      the age row is written first and removed last, the head the other way round: so
 *            every chunk has an age row, and what has no head with its generation is rubbish, not
 *            an entry.
 */
#ifndef STORE_ENTRY_CODEC_INT_H
#define STORE_ENTRY_CODEC_INT_H

#include "store/entries.h"

#define ENTRY_VALUE_MAX 16368 /* 4 pages of 4 KB less one page header */
#define ENTRY_CHUNK (ENTRY_VALUE_MAX - 8)
#define ENTRY_PAGE_MAX 4080 /* 1 page less its header */
#define ENTRY_PAGE_CHUNK (ENTRY_PAGE_MAX - 8)
#define ENTRY_CHUNKS_MAX UINT16_MAX
#define ENTRY_HEADERS_MAX 8192
#define ENTRY_NAME_MAX 1024
#define ENTRY_CHUNK_KEY_SIZE 10
#define ENTRY_EXPIRY_KEY_SIZE 16

/* In the machine's byte order, as LMDB's own files are. */
struct entry_head {
	uint64_t sum; /* over all behind it */
	uint64_t generation;
	struct entry_key key;
	struct entry_meta meta;
	uint64_t preimage_size;
	uint32_t headers_size;
	uint16_t gateway_size, provider_size, model_size;
	uint8_t has_preimage, has_body; /* here; else in chunks */
	uint32_t chunk;                 /* bytes in each of them but the last */
};
struct entry_age {
	struct entry_key key;
	int64_t expires_ms;
	uint64_t chunks;
};
/* A decoded head: views into the value. */
struct entry_view {
	struct entry_head head;
	struct span gateway, provider, model, headers;
	struct span preimage, body; /* p == NULL: in chunks */
};

/* False: damaged. */
MUST_CHECK bool entry_decode(struct span value, struct entry_view *out);
enum entry_form { ENTRY_COMPACT, ENTRY_SCATTERED };
/* Where the parts go. n->meta.body_size and the sizes are taken from the spans. False: too large
 * for any cache. */
MUST_CHECK bool entry_plan(
    const struct entry_new *n, uint64_t generation, enum entry_form form, struct entry_head *out);
size_t entry_value_size(const struct entry_head *h);
/* Writes entry_value_size bytes. */
void entry_encode(const struct entry_new *n, const struct entry_head *h, char *out);
void entry_seal(char *value, size_t n); /* sets its sum */

uint32_t entry_preimage_chunks(const struct entry_head *h);
uint32_t entry_chunks(const struct entry_head *h);
/* The bytes of chunk i. */
struct span entry_chunk_of(const struct entry_new *n, const struct entry_head *h, uint32_t i);

void entry_chunk_key(uint64_t generation, uint32_t i, uint8_t out[ENTRY_CHUNK_KEY_SIZE]);
uint64_t entry_chunk_generation(const uint8_t key[ENTRY_CHUNK_KEY_SIZE]);
void entry_expiry_key(int64_t expires_ms, uint64_t generation, uint8_t out[ENTRY_EXPIRY_KEY_SIZE]);
void entry_expiry_read(
    const uint8_t key[ENTRY_EXPIRY_KEY_SIZE], int64_t *expires_ms, uint64_t *generation);
/* Writes bytes.n + 8. */
void entry_chunk_encode(uint64_t generation, uint32_t i, struct span bytes, char *out);
MUST_CHECK bool entry_chunk_decode(
    uint64_t generation, uint32_t i, struct span value, struct span *out);

#endif
