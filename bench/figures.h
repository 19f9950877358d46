/*
 * figures: times that were measured, in us, and what is said of them.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdint.h>
#include <stdlib.h>

struct figures {
	uint32_t *us;
	long n, room; /* what is over `room` is not kept */
};

static inline void
figures_init(struct figures *f, long room)
{
	*f = (struct figures){.us = calloc((size_t)room, sizeof(*f->us)), .room = room};
	if (f->us == NULL)
		abort();
}

static inline void
figures_add(struct figures *f, uint64_t ns)
{
	if (f->n < f->room)
		f->us[f->n++] = (uint32_t)(ns / 1000);
}

static inline int
figures_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static inline void
figures_sort(struct figures *f)
{
	qsort(f->us, (size_t)f->n, sizeof(*f->us), figures_compare);
}

/* Under which that share of them lies, once they are sorted. */
static inline uint32_t
figures_at(const struct figures *f, double share)
{
	return f->n == 0 ? 0 : f->us[(long)((double)(f->n - 1) * share)];
}

#endif
