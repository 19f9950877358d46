/*
 * warm: large blocks of memory that were in use a moment ago, for whoever needs one next. A fresh one costs a fault for each
 * page at its first touch: of a request of 1 MB that was half of what the gateway spent on it.
 *
 * Ownership  the blocks are the warm's, up to WARM_BYTES together; beyond, they are freed. Zeroed: empty.
 */
#ifndef GATEWAY_WARM_H
#define GATEWAY_WARM_H

#include "base/buf.h"

#define WARM_BLOCKS 8
#define WARM_BLOCK_MIN (64u << 10)
#define WARM_BLOCK_MAX (2u << 20)
#define WARM_BYTES (4u << 20)

struct warm {
	struct buf blocks[WARM_BLOCKS];
	size_t n, bytes;
};

/* Takes b's memory, whatever is in it; b is empty then. */
void warm_give(struct warm *w, struct buf *b);
/* b is empty and gets room for `need` bytes, up to WARM_BLOCK_MAX: a block that is not much larger, or fresh memory. Without
 * memory, or beyond b's cap, it stays as it is. */
void warm_take(struct warm *w, struct buf *b, size_t need);
void warm_fini(struct warm *w); /* frees the blocks; it can be used again */

#endif
