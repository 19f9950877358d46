#include "base/chk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	return checked(malloc(n == 0 ? 1 : n));
}

void *
xcalloc(size_t count, size_t size)
{
	return checked(count == 0 || size == 0 ? calloc(1, 1) : calloc(count, size));
}

void *
xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n == 0 ? 1 : n));
}

char *
xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}
