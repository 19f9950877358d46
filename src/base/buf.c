#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAP 256

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}

static void
move_to_front(struct buf *b)
{
	size_t len = buf_len(b);

	if (b->p == NULL || b->off == 0)
		return;
	memmove(b->p, b->p + b->off, len);
	b->off = 0;
	b->end = len;
}

/* Doubling, so that n appends copy O(n) bytes; never past the cap. */
static size_t
next_cap(const struct buf *b, size_t need)
{
	size_t cap = b->cap;

	do
		cap = cap > b->max / 2 ? b->max : cap < FIRST_CAP / 2 ? FIRST_CAP : cap * 2;
	while (cap < need);
	return cap < b->max ? cap : b->max;
}

/* One byte more than `cap` is allocated, for the NUL that vsnprintf insists on. */
static bool
grow(struct buf *b, size_t need)
{
	size_t cap = next_cap(b, need);
	char *p;

	if (cap == SIZE_MAX)
		return false;
	move_to_front(b);
	p = realloc(b->p, cap + 1);
	if (p == NULL)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (n > b->max || len > b->max - n)
		return NULL;
	if (b->p != NULL && n <= b->cap - b->end)
		return b->p + b->end;
	/* Moving pays only when the dropped part is at least what has to be moved: a queue that
	 * is drained a little at a time would copy itself again and again. */
	if (b->p != NULL && len + n <= b->cap && (b->off >= len || b->cap == b->max))
		move_to_front(b);
	else if (!grow(b, len + n))
		return NULL;
	return b->p + b->end;
}

bool
buf_printf(struct buf *b, const char *fmt, ...)
{
	char *to = buf_reserve(b, 0);
	size_t room;
	va_list ap;
	int n;

	if (to == NULL)
		return false;
	room = b->cap - b->end;
	va_start(ap, fmt);
	n = vsnprintf(to, room + 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return false;
	if ((size_t)n > room) {
		to = buf_reserve(b, (size_t)n);
		if (to == NULL)
			return false;
		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->end += (size_t)n;
	return true;
}

void
buf_drop(struct buf *b, size_t n)
{
	CHK(n <= buf_len(b));
	b->off += n;
	if (b->off == b->end)
		b->off = b->end = 0;
}

void
buf_cut(struct buf *b, size_t len)
{
	CHK(len <= buf_len(b));
	b->end = b->off + len;
}

void
buf_reset(struct buf *b)
{
	b->off = b->end = 0;
}

void
buf_shrink(struct buf *b)
{
	char *p;

	if (buf_len(b) == 0) {
		buf_fini(b);
		return;
	}
	move_to_front(b);
	p = realloc(b->p, b->end + 1);
	if (p == NULL)
		return;
	b->p = p;
	b->cap = b->end;
}

char *
buf_take(struct buf *b, size_t *n)
{
	char *p = b->p;

	move_to_front(b);
	*n = b->end;
	buf_init(b, b->max);
	return p;
}
