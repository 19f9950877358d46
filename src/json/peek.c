#include <string.h>

#include "json/json.h"

/* Where the reading is. There is nothing at `end`. */
struct place {
	const char *p, *end;
};

static char
here(const struct place *at)
{
	return at->p < at->end ? *at->p : '\0';
}

static inline void
skip_blanks(struct place *at)
{
	while (at->p < at->end && *at->p <= ' ' && memchr(" \t\r\n", *at->p, 4) != NULL)
		at->p++;
}

/* Whether an odd number of backslashes stands before p: then it is one of what they escape. */
static bool
is_escaped(const char *begin, const char *p)
{
	const char *first = p;

	while (first > begin && first[-1] == '\\')
		first--;
	return (p - first) % 2 == 1;
}

static bool
skip_string(struct place *at)
{
	const char *begin = at->p + 1, *p = begin;

	while ((p = memchr(p, '"', (size_t)(at->end - p))) != NULL && is_escaped(begin, p))
		p++;
	if (p != NULL)
		at->p = p + 1;
	return p != NULL;
}

/* The same; what stands between the quotes. */
static bool
take_string(struct place *at, struct span *out)
{
	const char *begin = at->p + 1;

	if (here(at) != '"' || !skip_string(at))
		return false;
	*out = span_of(begin, (size_t)(at->p - 1 - begin));
	return true;
}

/* As it is written it is what it says. */
static bool
is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c >= 0x7f || c == '\\')
			return false;
	}
	return true;
}

/* To the bracket that closes the first one: which of the two kinds each is is not looked at. */
static bool
skip_container(struct place *at)
{
	size_t depth = 0;

	do {
		char c = here(at);

		if (at->p == at->end || (c == '"' && !skip_string(at)))
			return false;
		if (c == '"')
			continue;
		at->p++;
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
	} while (depth > 0);
	return true;
}

/* A number or a word, to what can stand behind it. */
static bool
skip_scalar(struct place *at)
{
	const char *begin = at->p;

	while ((here(at) >= '0' && here(at) <= '9') || (here(at) >= 'a' && here(at) <= 'z') ||
	    here(at) == '-' || here(at) == '+' || here(at) == '.' || here(at) == 'E')
		at->p++;
	return at->p > begin;
}

static bool
skip_value(struct place *at)
{
	switch (here(at)) {
	case '"':
		return skip_string(at);
	case '{':
	case '[':
		return skip_container(at);
	default:
		return skip_scalar(at);
	}
}

/* A letter spelled with an escape takes six bytes: a short name has none. */
static bool
may_be_spelled(struct span found, struct span name)
{
	return found.n >= name.n + 5 && memchr(found.p, '\\', found.n) != NULL;
}

/* The name of a member, and on to its value. */
static bool
take_name(struct place *at, struct span *out)
{
	skip_blanks(at);
	if (!take_string(at, out))
		return false;
	skip_blanks(at);
	if (here(at) != ':')
		return false;
	at->p++;
	skip_blanks(at);
	return true;
}

/* Leaves *at at the value of the first member of that name. */
static bool
find(struct span text, struct span name, struct place *at)
{
	struct span found;
	char before = '{';

	*at = (struct place){text.p, text.p + text.n};
	skip_blanks(at);
	while (here(at) == before) {
		at->p++;
		if (!take_name(at, &found) || may_be_spelled(found, name))
			return false;
		if (span_eq(found, name))
			return true;
		if (!skip_value(at))
			return false;
		skip_blanks(at);
		before = ',';
	}
	return false;
}

bool
json_peek_str(struct span text, struct span name, struct span *out)
{
	struct place at;
	struct span found;

	if (text.n == 0 || !find(text, name, &at) || !take_string(&at, &found) || !is_plain(found))
		return false;
	*out = found;
	return true;
}

bool
json_peek_object(struct span text, struct span name, struct span *out)
{
	struct place at;
	const char *begin;

	if (text.n == 0 || !find(text, name, &at) || here(&at) != '{')
		return false;
	begin = at.p;
	if (!skip_container(&at))
		return false;
	*out = span_of(begin, (size_t)(at.p - begin));
	return true;
}
