/*
 * span: a read-only view of bytes, passed by value. It owns nothing and is not NUL-terminated.
 *
 * A span is valid as long as what it points into; the function that returns one says how long.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

#define SPAN_LIT(s) ((struct span){"" s, sizeof(s) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
/* For printf("%.*s", SPAN_FMT(s)). */
#define SPAN_FMT(s) (int)(s).n, (s).p

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){p, n};
}

/* The bytes of a C string, without its NUL; NULL gives the empty span. */
static inline struct span
span_str(const char *s)
{
	return (struct span){s, s == NULL ? 0 : strlen(s)};
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Without the first n bytes; the empty span when there are fewer. */
static inline struct span
span_skip(struct span s, size_t n)
{
	size_t k = n < s.n ? n : s.n;

	return k == 0 ? s : span_of(s.p + k, s.n - k); /* NULL + 0 is undefined in C */
}

/* At most the first n bytes. */
static inline struct span
span_head(struct span s, size_t n)
{
	return n < s.n ? span_of(s.p, n) : s;
}

/* ASCII case is ignored; other bytes are compared as they are. */
bool span_eq_nocase(struct span a, struct span b);
int span_cmp(struct span a, struct span b); /* memcmp order, shorter first */
bool span_starts(struct span s, struct span prefix);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
/* Offset of the first c, or of needle; s.n when there is none. */
size_t span_find(struct span s, char c);
size_t span_find_span(struct span s, struct span needle);
/* The same, faster where `rare`, a character of the needle, seldom stands in s. */
size_t span_find_by(struct span s, struct span needle, char rare);
bool span_contains_nocase(struct span s, struct span needle);
/* Without leading and trailing SP and HTAB. */
struct span span_trim(struct span s);
/* Cuts the next item off *rest at c (the separator goes too). False when *rest was used up. */
bool span_next(struct span *rest, char c, struct span *item);
/* A NUL-terminated copy on the heap (aborts without memory: for sizes no peer chooses). */
char *span_dup(struct span s);

#endif
