#include "base/chk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reserve.h"

void
chk_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "postern: cannot happen, %s:%d: %s\n", file, line, what);
	abort();
}

static void *
checked(void *p)
{
	CHK(p != NULL && "out of memory");
	return p;
}

void *
xmalloc(size_t n)
{
	return checked(reserve_malloc(n));
}

void *
xcalloc(size_t count, size_t size)
{
	return checked(reserve_calloc(count, size));
}

void *
xcalloc_lines(size_t size)
{
	return checked(reserve_calloc_lines(size));
}

void *
xrealloc(void *p, size_t n)
{
	return checked(reserve_realloc(p, n));
}

char *
xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}

void *
malloc_zeroed(size_t n)
{
	void *p = malloc(n);

	return p == NULL ? NULL : memset(p, 0, n);
}
