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
reserve_calloc_lines(size_t line, size_t size)
{
	size_t n = (size + line - 1) / line * line;
	void *p = aligned_alloc(line, n);

	if (p == NULL) {
		reserve_open();
		p = aligned_alloc(line, n);
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
