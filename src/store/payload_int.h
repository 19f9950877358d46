/*
 * payload_int: payloads cut into pieces, each compressed by itself: so that neither writing nor
 * reading holds more than a piece beside what was asked for. Small ones go into a piece together,
 * a block: of two chats of 1 KB zstd makes 417 bytes a KB in 4 us, of a block of them 213 in 1.8.
 */
#ifndef STORE_PAYLOAD_INT_H
#define STORE_PAYLOAD_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/chk.h"
#include "base/span.h"

#define PAYLOAD_PIECE (UINT64_C(256) << 10)
#define PAYLOAD_BLOCK (UINT64_C(64) << 10)
#define PAYLOAD_SMALL (UINT64_C(16) << 10)

/* In front of a stored piece, in the machine's byte order. */
struct piece_head {
	uint64_t sum; /* over the rest and the bytes */
	uint32_t raw_size;
	uint8_t is_packed;
	uint8_t zero[3];
};

struct packer {
	bool is_hasty; /* the caller's: nothing is compressed */
	ZSTD_CCtx *context;
	char *out;
	size_t size;
	char *block;
	size_t gathered;
};
void packer_init(struct packer *p); /* allocates at the first piece */
void packer_fini(struct packer *p);
/* The stored form of up to PAYLOAD_PIECE bytes; packed if that makes it smaller. Valid until the
 * next call. seed: what it belongs to. */
struct span packer_pack(struct packer *p, uint64_t seed, struct span raw);
/* Copies it behind what was gathered, PAYLOAD_BLOCK in all; packed together as one piece. */
void packer_gather(struct packer *p, struct span raw);
struct span packer_pack_gathered(struct packer *p, uint64_t seed);

/* Appends the bytes of a stored piece, which must be `size` many. False: damaged, or no room; out
 * is unchanged. */
MUST_CHECK bool piece_unpack(uint64_t seed, struct span value, uint64_t size, struct buf *out);
/* Appends that part of a stored block. */
struct block_part {
	uint64_t from, size;
};
MUST_CHECK bool block_unpack(
    uint64_t seed, struct span value, const struct block_part *part, struct buf *out);

#endif
