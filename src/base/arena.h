/*
 * arena: memory that lives as long as one exchange. Bump allocation, freed all at once.
 *
 * Ownership  caller's storage; everything allocated dies at arena_reset or arena_fini.
 * Limits     `max` bytes over all; past it allocations give NULL and the caller fails the exchange.
 *            4 KB of blocks are kept over a reset, so a kept-alive connection stops allocating.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/chk.h"
#include "base/span.h"

struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first */
	struct arena_block *kept;   /* empty, of an exchange before */
	size_t used;
	size_t max;
};

void arena_init(struct arena *a, size_t max);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);
MUST_CHECK void *arena_alloc(struct arena *a, size_t n); /* aligned to 16, not zeroed */
MUST_CHECK void *arena_zalloc(struct arena *a, size_t n);
/* Copies s, with a NUL behind it that the span does not count; p == NULL without memory. */
struct span arena_dup(struct arena *a, struct span s);
/* The parts back to back, likewise. */
struct span arena_join(struct arena *a, const struct span *parts, size_t count);
struct span arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
