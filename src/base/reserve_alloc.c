#include <stdlib.h>
#include <string.h>

#include "base/reserve.h"

void *
reserve_malloc(size_t n)
{
	void *p = malloc(n == 0 ? 1 : n);

	if (p != NULL)
		return p;
	reserve_open();
	return malloc(n == 0 ? 1 : n);
}

void *
reserve_calloc(size_t count, size_t size)
{
	void *p = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);

	if (p != NULL)
		return p;
	reserve_open();
	return calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
}

void *
reserve_calloc_lines(size_t size)
{
	size_t n = size == 0 ? CACHE_LINE : (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	void *p = aligned_alloc(CACHE_LINE, n);

	if (p == NULL) {
		reserve_open();
		p = aligned_alloc(CACHE_LINE, n);
	}
	return p == NULL ? NULL : memset(p, 0, n);
}

void *
reserve_realloc(void *p, size_t n)
{
	void *q = realloc(p, n == 0 ? 1 : n);

	if (q != NULL)
		return q;
	reserve_open();
	return realloc(p, n == 0 ? 1 : n);
}
