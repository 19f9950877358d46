/*
 * buf: a contiguous byte queue with a cap. Append at the end, drop at the front.
 *
 * Purpose    the only growable memory in the program: what a peer sends or makes us hold.
 * Ownership  caller's storage; the bytes are the buf's until buf_fini or buf_take.
 * Limits     `max` bytes held at once; an append over it fails whole and changes nothing.
 *            Growing may move the bytes: a view is valid until the next append, drop or reset.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <string.h>

#include "base/chk.h"
#include "base/span.h"

struct buf {
	char *p;
	size_t off; /* first live byte */
	size_t end; /* one past the last */
	size_t cap; /* allocated */
	size_t max; /* most bytes held at once */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* fine on a zeroed one; leaves it empty, the max kept */

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->off;
}
static inline struct span
buf_view(const struct buf *b)
{
	return span_of(b->p == NULL ? "" : b->p + b->off, b->end - b->off);
}

/* Room for n bytes at the returned place, to be followed by buf_commit(<= n). NULL, and nothing
 * changed, when the cap or memory does not allow it. */
MUST_CHECK char *buf_reserve(struct buf *b, size_t n);
static inline void
buf_commit(struct buf *b, size_t n)
{
	CHK(n <= b->cap - b->end);
	b->end += n;
}

/* Appending what fits already is most of what a request costs: that much is inline. */
static inline bool
buf_has_room(const struct buf *b, size_t n)
{
	return n <= b->cap - b->end && b->end - b->off + n <= b->max;
}
/* As buf_reserve. */
MUST_CHECK static inline char *
buf_room(struct buf *b, size_t n)
{
	return buf_has_room(b, n) && b->p != NULL ? b->p + b->end : buf_reserve(b, n);
}

/* The appends: false, and nothing changed, when the cap or memory does not allow it. */
MUST_CHECK static inline bool
buf_put(struct buf *b, const void *p, size_t n)
{
	char *to = buf_room(b, n);

	if (to == NULL)
		return false;
	if (n > 0)
		memcpy(to, p, n);
	b->end += n;
	return true;
}
MUST_CHECK static inline bool
buf_put_span(struct buf *b, struct span s)
{
	return buf_put(b, s.p, s.n);
}
MUST_CHECK static inline bool
buf_putc(struct buf *b, char c)
{
	return buf_put(b, &c, 1);
}
MUST_CHECK bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_drop(struct buf *b, size_t n);  /* from the front; n <= buf_len */
void buf_cut(struct buf *b, size_t len); /* keep only the first len bytes */
void buf_reset(struct buf *b);           /* empty, memory kept */
void buf_shrink(struct buf *b);          /* gives back what is allocated beyond the contents */
/* Moves the contents out (heap, owner frees) and leaves the buf empty. *n gets the length. */
char *buf_take(struct buf *b, size_t *n);

#endif
