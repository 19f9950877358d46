#include "json/reduce_int.h"

#include <stdlib.h>

#include "json/text_int.h"

#define FIRST_ROOM 4096

/* What a string is, from behind its quote. */
struct string {
	size_t n; /* to the quote that ends it */
	bool is_closed, has_escapes, is_canonical, is_ascii;
};

/* As text_put would write it: the short ones, \u00XX of other control bytes. */
static bool
is_canonical_escape(struct span s)
{
	char c = s.n < 2 ? '\0' : s.p[1];

	if (c != 'u')
		return c != '\0' && strchr("\"\\bfnrt", c) != NULL;
	if (s.n < 6 || s.p[2] != '0' || s.p[3] != '0' || (s.p[4] != '0' && s.p[4] != '1'))
		return false;
	if (s.p[4] == '0' && strchr("89acd", s.p[5]) != NULL)
		return false;
	return s.p[5] != '\0' && strchr("0123456789abcdef", s.p[5]) != NULL;
}

/* A control byte ends it too: then it is not closed. */
static struct string
measure(struct span s)
{
	struct string r = {.is_canonical = true, .is_ascii = true};

	for (;;) {
		r.n += text_plain(span_skip(s, r.n), &r.is_ascii);
		if (r.n >= s.n || s.p[r.n] != '\\')
			break;
		r.has_escapes = true;
		r.is_canonical = r.is_canonical && is_canonical_escape(span_skip(s, r.n));
		r.n += 2;
	}
	r.is_closed = r.n < s.n && s.p[r.n] == '"';
	return r;
}

/* rest: behind the string. */
static bool
is_name(struct span rest)
{
	size_t i = 0;

	while (i < rest.n && rest.p[i] != '\0' && strchr(" \t\r\n", rest.p[i]) != NULL)
		i++;
	return i < rest.n && rest.p[i] == ':';
}

static bool
may_stay(const struct string *m, struct span s, enum reduce_what what)
{
	if (m->n < JSON_VIEW_MIN)
		return false;
	if (m->has_escapes &&
	    (what != REDUCE_ESCAPED || !m->is_canonical || m->n < JSON_VIEW_ESCAPED_MIN ||
		is_name(span_skip(s, m->n + 1))))
		return false;
	return m->is_ascii || text_is_utf8(span_head(s, m->n));
}

static bool
add_hole(struct reduced *r, const struct hole *h)
{
	if (r->n_holes == r->room) {
		size_t room = r->room == 0 ? 8 : r->room * 2;
		struct hole *more = realloc(r->holes, room * sizeof(*more));

		if (more == NULL)
			return false;
		r->holes = more;
		r->room = room;
	}
	r->holes[r->n_holes++] = *h;
	return true;
}

/* Copies all but the holes; *from is the end of what is copied. */
static bool
cut_holes(struct span text, enum reduce_what what, struct reduced *r, size_t *from)
{
	size_t strings = 0, at = span_find(text, '"') + 1;

	for (*from = 0; at < text.n; strings++) {
		struct span s = span_skip(text, at);
		struct string m = measure(s);

		if (!m.is_closed)
			break;
		if (may_stay(&m, s, what)) {
			const struct hole h = {strings, span_head(s, m.n), m.has_escapes};
			if (!add_hole(r, &h) || !buf_put(&r->text, text.p + *from, at - *from))
				return false;
			*from = at + m.n;
		}
		at += m.n + 1;
		at += span_find(span_skip(text, at), '"') + 1;
	}
	return true;
}

bool
reduce(struct span text, enum reduce_what what, struct reduced *out)
{
	static const char zeros[YYJSON_PADDING_SIZE];
	size_t from = 0, most = text.n + sizeof(zeros);

	*out = (struct reduced){.text.max = most};
	if (buf_reserve(&out->text, most < FIRST_ROOM ? most : FIRST_ROOM) == NULL ||
	    !cut_holes(text, what, out, &from) || !buf_put_span(&out->text, span_skip(text, from)))
		return false;
	out->n = buf_len(&out->text);
	return buf_put(&out->text, zeros, sizeof(zeros));
}

void
reduced_fini(struct reduced *r)
{
	buf_fini(&r->text);
	free(r->holes);
}
