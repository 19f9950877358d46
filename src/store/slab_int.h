/*
 * slab_int: memory for what one thread hands over to another in about the order it was made.
 *
 * Model      Pieces are cut off one slab after the other. A slab whose pieces are all free is used
 *            again or goes back to the kernel: so what a burst took does not stay with malloc.
 * Limits     SLAB_PIECE_MAX bytes a piece; SLABS_MAX slabs, then there is none: a piece that is
 *            kept long keeps its slab.
 * Threads    slabs_take: one thread. slabs_give: any.
 */
#ifndef STORE_SLAB_INT_H
#define STORE_SLAB_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define SLAB_SIZE ((size_t)256 << 10)
#define SLAB_PIECE_MAX ((size_t)64 << 10)
#define SLABS_MAX 32
#define SLABS_SPARE 4

struct slab;
struct slabs {
	pthread_mutex_t lock;
	struct slab *current; /* the taker's */
	struct slab *spare;
	unsigned n, n_spare;
};

void slabs_init(struct slabs *s);
void slabs_fini(struct slabs *s); /* all pieces were given back */
/* NULL: too much is in use. Aligned for anything. */
void *slabs_take(struct slabs *s, size_t size, struct slab **of);
void slabs_give(struct slabs *s, struct slab *of);

#endif
