/*
 * chk: assertions and attributes that every room uses.
 *
 * CHK(cond) states what cannot happen and stays on in every build: it prints place and
 * expression and aborts. Never use it on data that a peer sent.
 */
#ifndef BASE_CHK_H
#define BASE_CHK_H

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED(x) ((void)(x))

#define CHK(cond)                                                                                  \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			chk_failed(__FILE__, __LINE__, #cond);                                     \
	} while (0)
#define UNREACHED(text) chk_failed(__FILE__, __LINE__, text)

/* The struct of TYPE whose member MEMBER is at PTR. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

__attribute__((noreturn)) void chk_failed(const char *file, int line, const char *what);

/* malloc and friends for memory whose size no peer chooses, and of which new work is refused when it is short (base/reserve.h):
 * abort when there is none, and the reserve is used up. */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
/* On lines of its own of the processor's caches: for what there are thousands of. */
void *xcalloc_lines(size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
/* Zeroed; NULL when there is none. For what comes and goes with a request: glibc's calloc passes by what the thread has just
 * freed. */
void *malloc_zeroed(size_t n);

#endif
