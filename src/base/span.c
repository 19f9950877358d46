#include "base/span.h"

#include "base/chk.h"
#include "base/word8.h"

/* Not tolower(): that one asks the locale. */
static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? u + ('a' - 'A') : u;
}

static bool
eq_nocase_word(const char *a, const char *b)
{
	return word8_lower(word8_load(a)) == word8_lower(word8_load(b));
}

/* n: at least a word's. */
static bool
eq_nocase_long(const char *a, const char *b, size_t n)
{
	size_t last = n - sizeof(uint64_t);

	for (size_t i = 0; i < last; i += sizeof(uint64_t))
		if (!eq_nocase_word(a + i, b + i))
			return false;
	return eq_nocase_word(a + last, b + last);
}

bool
span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	if (a.n >= sizeof(uint64_t))
		return eq_nocase_long(a.p, b.p, a.n);
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

int
span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (c != 0)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

bool
span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_head(s, prefix.n), prefix);
}

bool
span_starts_nocase(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq_nocase(span_head(s, prefix.n), prefix);
}

bool
span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq(span_skip(s, s.n - suffix.n), suffix);
}

size_t
span_find(struct span s, char c)
{
	const char *hit = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return hit == NULL ? s.n : (size_t)(hit - s.p);
}

size_t
span_find_span(struct span s, struct span needle)
{
	const char *hit;

	if (needle.n == 0)
		return 0;
	hit = s.n == 0 ? NULL : memmem(s.p, s.n, needle.p, needle.n);
	return hit == NULL ? s.n : (size_t)(hit - s.p);
}

size_t
span_find_by(struct span s, struct span needle, char rare)
{
	size_t ahead = span_find(needle, rare);

	CHK(ahead < needle.n);
	for (size_t at = 0; at + needle.n <= s.n; at++) {
		const char *from = s.p + at + ahead;
		const char *hit = memchr(from, rare, s.n - at - needle.n + 1);

		if (hit == NULL)
			break;
		at += (size_t)(hit - from);
		if (memcmp(s.p + at, needle.p, needle.n) == 0)
			return at;
	}
	return s.n;
}

bool
span_contains_nocase(struct span s, struct span needle)
{
	if (needle.n == 0)
		return true;
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (lower(s.p[i]) == lower(needle.p[0]) &&
		    span_eq_nocase(span_of(s.p + i, needle.n), needle))
			return true;
	return false;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span
span_trim(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
span_next(struct span *rest, char c, struct span *item)
{
	size_t at;

	if (rest->n == 0)
		return false;
	at = span_find(*rest, c);
	*item = span_head(*rest, at);
	*rest = span_skip(*rest, at + 1);
	return true;
}

char *
span_dup(struct span s)
{
	char *p = xmalloc(s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}
