#include "json/plain_int.h"

#include <stdlib.h>

#include "json/text_int.h"

#define DEPTH_MAX 64
#define FIRST_VALUES 48
#define VALUES_PER_ITEM 2 /* a name and what it names */

/* The values lie behind their doc, as yyjson has them: one allocation. */
struct block {
	yyjson_doc doc;
	yyjson_val values[];
};
struct level { /* a container that is open */
	size_t at, n;
	bool is_object;
};

/* The last byte of the text closes a container, so that nothing but a string has to look for the end. */
struct reading {
	const char *p, *end;
	struct block *block;
	size_t n, room; /* of values */
	char *unescaped, *unescaped_end;
	size_t text_size, depth;
	struct level levels[DEPTH_MAX];
};

static void
release(void *ctx, void *p)
{
	UNUSED(ctx);
	free(p);
}

/* By halves, as yyjson does: what is set aside for a body reckons with no more. */
static bool
grow(struct reading *r)
{
	size_t room = r->room == 0 ? FIRST_VALUES : r->room + r->room / 2;
	struct block *b = realloc(r->block, sizeof(*b) + room * sizeof(b->values[0]));

	if (b == NULL)
		return false;
	r->block = b;
	r->room = room;
	return true;
}

static void
add(struct reading *r, uint64_t kind, struct span s)
{
	yyjson_val *v = &r->block->values[r->n++];

	v->tag = (uint64_t)s.n << YYJSON_TAG_BIT | kind;
	v->uni.str = s.p;
}

static inline void
skip_blanks(struct reading *r)
{
	while (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t')
		r->p++;
}

/* ---- scalars ---- */

/* What a backslash and c stand for, 0 where that takes more than one byte to say or c is wrong. */
static char
named(char c)
{
	static const char names[256] = {['"'] = '"',
	    ['\\'] = '\\',
	    ['/'] = '/',
	    ['b'] = '\b',
	    ['f'] = '\f',
	    ['n'] = '\n',
	    ['r'] = '\r',
	    ['t'] = '\t'};

	return names[(unsigned char)c];
}

static char *
room_for_unescaped(struct reading *r)
{
	if (r->unescaped == NULL)
		r->unescaped = r->unescaped_end = malloc(r->text_size);
	return r->unescaped_end;
}

/* s: from behind the quote to the end of the text. */
static bool
read_escaped(struct reading *r, struct span s)
{
	char *begin = room_for_unescaped(r), *to = begin;
	bool is_ascii = true;
	size_t n;

	if (begin == NULL)
		return false;
	for (;;) {
		n = text_plain(s, &is_ascii);
		memcpy(to, s.p, n);
		to += n;
		s = span_skip(s, n);
		if (s.n < 2 || s.p[0] != '\\' || (*to = named(s.p[1])) == 0)
			break;
		to++;
		s = span_skip(s, 2);
	}
	if (s.n == 0 || s.p[0] != '"' ||
	    (!is_ascii && !text_is_utf8(span_of(begin, (size_t)(to - begin)))))
		return false;
	add(r, YYJSON_TYPE_STR, span_of(begin, (size_t)(to - begin)));
	r->unescaped_end = to;
	r->p = s.p + 1;
	return true;
}

/* *r->p is what should be its first quote. */
static bool
read_string(struct reading *r)
{
	struct span s = span_of(r->p + 1, (size_t)(r->end - r->p) - 1);
	bool is_ascii = true;
	size_t n;

	if (*r->p != '"')
		return false;
	n = text_plain(s, &is_ascii);
	if (n == s.n)
		return false;
	if (s.p[n] != '"')
		return read_escaped(r, s);
	if (!is_ascii && !text_is_utf8(span_head(s, n)))
		return false;
	add(r, YYJSON_TYPE_STR | YYJSON_SUBTYPE_NOESC, span_head(s, n));
	r->p = s.p + n + 1;
	return true;
}

static bool
skip_digits(const char **p)
{
	const char *first = *p;

	while (**p >= '0' && **p <= '9')
		(*p)++;
	return *p > first;
}

static bool
read_number(struct reading *r)
{
	const char *p = r->p + (*r->p == '-');
	bool ok = true;

	if (*p == '0')
		p++; /* a digit behind it is found to be wrong there */
	else
		ok = skip_digits(&p);
	if (ok && *p == '.') {
		p++;
		ok = skip_digits(&p);
	}
	if (ok && (*p == 'e' || *p == 'E')) {
		p += p[1] == '-' || p[1] == '+' ? 2 : 1;
		ok = skip_digits(&p);
	}
	if (ok)
		add(r, YYJSON_TYPE_RAW, span_of(r->p, (size_t)(p - r->p)));
	r->p = p;
	return ok;
}

static bool
read_word(struct reading *r)
{
	static const struct {
		struct span text;
		uint64_t kind;
	} words[] = {{{"true", 4}, YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE},
	    {{"false", 5}, YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_FALSE},
	    {{"null", 4}, YYJSON_TYPE_NULL}};
	struct span rest = span_of(r->p, (size_t)(r->end - r->p));

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_starts(rest, words[i].text)) {
			add(r, words[i].kind, SPAN_NONE);
			r->p += words[i].text.n;
			return true;
		}
	return false;
}

/* ---- containers ---- */

static bool
open_container(struct reading *r)
{
	bool is_object = *r->p == '{';

	if (r->depth == DEPTH_MAX)
		return false;
	r->levels[r->depth++] = (struct level){r->n, 0, is_object};
	add(r, is_object ? YYJSON_TYPE_OBJ : YYJSON_TYPE_ARR, SPAN_NONE);
	r->p++;
	return true;
}

static bool
closes(const struct reading *r)
{
	return *r->p == (r->levels[r->depth - 1].is_object ? '}' : ']');
}

static void
close_container(struct reading *r)
{
	const struct level *l = &r->levels[--r->depth];
	yyjson_val *v = &r->block->values[l->at];

	v->tag |= (uint64_t)l->n << YYJSON_TAG_BIT;
	v->uni.ofs = (r->n - l->at) * sizeof(*v);
	r->p++;
}

static bool
read_name(struct reading *r)
{
	if (!read_string(r))
		return false;
	skip_blanks(r);
	if (*r->p != ':')
		return false;
	r->p++;
	skip_blanks(r);
	return true;
}

/* The closing brackets behind a value, and the comma before the next one. False: something else stands there. */
static bool
read_behind(struct reading *r)
{
	while (r->depth > 0) {
		skip_blanks(r);
		if (*r->p == ',') {
			r->p++;
			skip_blanks(r);
			return true;
		}
		if (!closes(r))
			return false;
		close_container(r);
		if (r->p == r->end)
			return r->depth == 0;
	}
	return false;
}

/* A value with its name; of a container no more than how it begins. */
static bool
read_item(struct reading *r)
{
	if (r->room - r->n < VALUES_PER_ITEM && !grow(r))
		return false;
	if (r->depth > 0) {
		struct level *l = &r->levels[r->depth - 1];

		l->n++;
		if (l->is_object && !read_name(r))
			return false;
	}
	switch (*r->p) {
	case '"':
		return read_string(r) && read_behind(r);
	case '{':
	case '[':
		if (!open_container(r))
			return false;
		skip_blanks(r);
		return !closes(r) || read_behind(r);
	case 't':
	case 'f':
	case 'n':
		return read_word(r) && read_behind(r);
	default:
		return read_number(r) && read_behind(r);
	}
}

static bool
read_all(struct reading *r)
{
	skip_blanks(r);
	if (*r->p != '{' && *r->p != '[')
		return false;
	do {
		if (!read_item(r))
			return false;
	} while (r->p < r->end);
	return true;
}

static struct span
without_blanks_behind(struct span text)
{
	while (text.n > 0 && memchr(" \t\r\n", text.p[text.n - 1], 4) != NULL)
		text.n--;
	return text;
}

yyjson_doc *
plain_parse(struct span text)
{
	struct reading r;
	struct span s = without_blanks_behind(text);
	yyjson_doc *doc;

	if (s.n < 2 || (s.p[s.n - 1] != '}' && s.p[s.n - 1] != ']'))
		return NULL;
	if (s.n >= PLAIN_ESCAPED_MAX && span_find(s, '\\') < s.n)
		return NULL;
	r.p = s.p;
	r.end = s.p + s.n;
	r.text_size = s.n;
	r.block = NULL;
	r.unescaped = r.unescaped_end = NULL;
	r.n = r.room = r.depth = 0;
	if (!read_all(&r)) {
		free(r.block);
		free(r.unescaped);
		return NULL;
	}
	doc = &r.block->doc;
	*doc = (yyjson_doc){.root = r.block->values,
	    .alc = {.free = release},
	    .dat_read = text.n,
	    .val_read = r.n,
	    .str_pool = r.unescaped};
	return doc;
}
