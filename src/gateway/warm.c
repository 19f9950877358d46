#include "gateway/warm.h"

/* What b had is the block's, and the reverse; each keeps its cap. */
static void
swap_memory(struct buf *a, struct buf *b)
{
	struct buf was = *a;

	a->p = b->p;
	a->cap = b->cap;
	b->p = was.p;
	b->cap = was.cap;
	buf_reset(a);
	buf_reset(b);
}

void
warm_give(struct warm *w, struct buf *b)
{
	bool fits = b->cap >= WARM_BLOCK_MIN && b->cap <= WARM_BLOCK_MAX && w->n < WARM_BLOCKS &&
	    w->bytes + b->cap <= WARM_BYTES;

	if (!fits) {
		buf_fini(b);
		return;
	}
	struct buf *block = &w->blocks[w->n++];
	buf_init(block, 0);
	swap_memory(block, b);
	w->bytes += block->cap;
}

/* The smallest that will do; w->n: none. Much larger ones are for others. */
static size_t
find(const struct warm *w, size_t need)
{
	size_t best = w->n;

	for (size_t i = 0; i < w->n; i++) {
		size_t cap = w->blocks[i].cap;
		if (cap >= need && cap / 2 <= need && (best == w->n || cap < w->blocks[best].cap))
			best = i;
	}
	return best;
}

void
warm_take(struct warm *w, struct buf *b, size_t need)
{
	need = need < WARM_BLOCK_MAX ? need : WARM_BLOCK_MAX;
	if (need <= b->cap || need > b->max)
		return;
	size_t i = find(w, need);
	buf_fini(b);
	if (i == w->n) {
		char *fresh = buf_reserve(b, need);
		UNUSED(fresh); /* who appends finds out */
		return;
	}
	w->bytes -= w->blocks[i].cap;
	swap_memory(b, &w->blocks[i]);
	w->blocks[i] = w->blocks[--w->n];
}

void
warm_fini(struct warm *w)
{
	while (w->n > 0)
		buf_fini(&w->blocks[--w->n]);
	w->bytes = 0;
}
