/*
 * reserve: memory put by for the moment when there is none.
 *
 * Purpose    what must not fail (a timer, a question to the resolver, the end of an exchange) is small, but needs memory. When
 *            the allocator has none, the reserve is given back to it, and the same allocation is tried once more.
 * Model      work begins only while the reserve is whole: a connection is accepted, a request begun, a provider asked. What is
 *            under way may use it up to its end; what is new waits or gets a 503, until memory is there again.
 * Ownership  one for the process, as the allocator is; any thread. Filled at first by loop_new.
 * Limits     RESERVE_BYTES, of address space: it is not touched, so it costs no resident memory.
 */
#ifndef BASE_RESERVE_H
#define BASE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

#define RESERVE_BYTES (1024 * 1024)
#define CACHE_LINE 64 /* bytes of the processor's caches that come and go together */

/* Whether it is there; tries to fill it again if it is not. */
bool reserve_is_whole(void);
bool reserve_is_spent(void); /* does not try */
void reserve_open(void);     /* an allocation failed: it may be tried again */

/* malloc and friends that use the reserve; NULL when that is gone as well. n of 0 is 1. */
void *reserve_malloc(size_t n);
void *reserve_calloc(size_t count, size_t size);
void *reserve_calloc_lines(size_t size); /* begins on a line, and nothing else is on its last one */
void *reserve_realloc(void *p, size_t n);

#endif
