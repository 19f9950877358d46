#include "json/canon.h"

#include <math.h>
#include <stdlib.h>

#include "json/decimal_int.h"
#include "json/json_int.h"

#define DEPTH_MAX 128
#define SORTED_ON_STACK 32 /* members; the request bodies of every API here have fewer */

struct canon {
	struct buf *out;
	const struct span *ignore; /* for the root's members */
	size_t n_ignore;
	int depth;
	bool is_lossy;
};

static enum canon_result write_value(struct canon *c, yyjson_val *v);

#define RESULT(ok) ((ok) ? CANON_OK : CANON_FULL)

/*
 * Up to 15 significant digits, well inside the range of normal doubles, decimal to double to
 * decimal gives back what went in (C11 5.2.4.2.2, DBL_DIG), and no shorter text does: the digits
 * written are the canonical ones and no double is made. Past 17 no canonical form has that value.
 */
static bool
is_canonical_as_written(const struct decimal *d)
{
	return d->n <= 15 && d->point > -300 && d->point < 300;
}

static bool
is_same_value(const struct decimal *a, const struct decimal *b)
{
	return a->n == b->n && memcmp(a->digits, b->digits, a->n) == 0 &&
	    (a->n == 0 || (a->point == b->point && a->is_negative == b->is_negative));
}

/* Most numbers by far: nothing to find out about them. JSON has no leading zeros. */
static bool
is_short_integer(struct span raw)
{
	size_t i = 0;

	while (i < raw.n && raw.p[i] >= '0' && raw.p[i] <= '9')
		i++;
	return i == raw.n && raw.n <= 15;
}

static enum canon_result
write_number(struct canon *c, yyjson_val *v)
{
	struct span raw = raw_of(v);
	struct decimal written, shortest;
	char text[DECIMAL_TEXT_SIZE];
	double value;

	if (is_short_integer(raw))
		return RESULT(buf_put_span(c->out, raw));
	written = decimal_of(raw);
	if (is_canonical_as_written(&written))
		return RESULT(buf_put(c->out, text, decimal_text(&written, text)));
	value = decimal_read_double(raw.p);
	if (isinf(value)) {
		c->is_lossy = true;
		return RESULT(buf_put_span(c->out, raw));
	}
	shortest = decimal_of_double(value);
	if (!is_same_value(&shortest, &written))
		c->is_lossy = true;
	return RESULT(buf_put(c->out, text, decimal_text(&shortest, text)));
}

static bool
is_plain(yyjson_val *v)
{
	return unsafe_yyjson_get_subtype(v) == YYJSON_SUBTYPE_NOESC;
}

/* A string without escapes, as it is; `front` or `behind` it a comma and a colon, or '\0' for none. */
static bool
put_plain(struct buf *out, char front, struct span s, char behind)
{
	size_t n = s.n + 2 + (front != '\0') + (behind != '\0');
	char *p = buf_room(out, n);

	if (p == NULL)
		return false;
	if (front != '\0')
		*p++ = front;
	*p++ = '"';
	memcpy(p, s.p, s.n);
	p += s.n;
	*p++ = '"';
	if (behind != '\0')
		*p = behind;
	buf_commit(out, n);
	return true;
}

static enum canon_result
write_string(struct canon *c, yyjson_val *v)
{
	if (is_plain(v))
		return RESULT(put_plain(c->out, '\0', str_of(v), '\0'));
	return RESULT(text_put(c->out, str_of(v)));
}

static enum canon_result
write_name(struct canon *c, yyjson_val *key, bool is_first)
{
	if (is_plain(key))
		return RESULT(put_plain(c->out, is_first ? '\0' : ',', str_of(key), ':'));
	return RESULT((is_first || buf_putc(c->out, ',')) && text_put(c->out, str_of(key)) &&
	    buf_putc(c->out, ':'));
}

/* UTF-16 orders as UTF-8 does, but that U+E000..U+FFFF (lead bytes EE, EF) come after the characters
 * that need surrogates, D800..DFFF (lead bytes F0..F4). Two texts differ first in bytes of one kind. */
static int
utf16_weight(unsigned char c)
{
	return c == 0xee || c == 0xef ? c + 0x10 : c;
}

static int
compare_names(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n, i = 0;

	while (i < n && a.p[i] == b.p[i])
		i++;
	if (i < n)
		return utf16_weight((unsigned char)a.p[i]) - utf16_weight((unsigned char)b.p[i]);
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
compare_keys(const void *a, const void *b)
{
	yyjson_val *const *ka = a, *const *kb = b;

	return compare_names(str_of(*ka), str_of(*kb));
}

static yyjson_val *
next_key(yyjson_val *key)
{
	return unsafe_yyjson_get_next(key + 1);
}

/* Strictly: an object with duplicates is not. */
static bool
is_sorted(yyjson_val *first, size_t n)
{
	yyjson_val *key = first;

	for (size_t i = 1; i < n; i++) {
		yyjson_val *next = next_key(key);

		if (compare_names(str_of(key), str_of(next)) >= 0)
			return false;
		key = next;
	}
	return true;
}

static bool
is_ignored(const struct canon *c, struct span name)
{
	if (c->depth > 1)
		return false;
	for (size_t i = 0; i < c->n_ignore; i++)
		if (span_eq(c->ignore[i], name))
			return true;
	return false;
}

static enum canon_result
write_member(struct canon *c, yyjson_val *key, bool *is_first)
{
	enum canon_result r;

	if (is_ignored(c, str_of(key)))
		return CANON_OK;
	r = write_name(c, key, *is_first);
	*is_first = false;
	return r == CANON_OK ? write_value(c, key + 1) : r;
}

/* Insertion sort for what is small, or nearly in order as most objects are written. False: a name is there twice. */
static bool
sort_few(yyjson_val **keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		yyjson_val *key = keys[i];
		struct span name = str_of(key);
		size_t j = i;
		int order = -1;

		while (j > 0 && (order = compare_names(str_of(keys[j - 1]), name)) > 0) {
			keys[j] = keys[j - 1];
			j--;
		}
		if (order == 0)
			return false;
		keys[j] = key;
	}
	return true;
}

static bool
sort_many(yyjson_val **keys, size_t n)
{
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (compare_keys(&keys[i - 1], &keys[i]) == 0)
			return false;
	return true;
}

static enum canon_result
write_sorted(struct canon *c, yyjson_val **keys, size_t n)
{
	enum canon_result r = CANON_OK;
	bool is_first = true;

	for (size_t i = 0; i < n && r == CANON_OK; i++)
		r = write_member(c, keys[i], &is_first);
	return r;
}

static enum canon_result
sort_and_write(struct canon *c, yyjson_val *key, size_t n)
{
	yyjson_val *few[SORTED_ON_STACK];
	yyjson_val **keys = n <= SORTED_ON_STACK ? few : calloc(n, sizeof(*keys));
	enum canon_result r = CANON_REFUSED;

	if (keys == NULL)
		return CANON_FULL;
	for (size_t i = 0; i < n; i++, key = next_key(key))
		keys[i] = key;
	if (keys == few ? sort_few(keys, n) : sort_many(keys, n))
		r = write_sorted(c, keys, n);
	if (keys != few)
		free(keys);
	return r;
}

static enum canon_result
write_members(struct canon *c, yyjson_val *object)
{
	size_t n = unsafe_yyjson_get_len(object);
	yyjson_val *key = unsafe_yyjson_get_first(object);
	enum canon_result r = CANON_OK;
	bool is_first = true;

	if (!is_sorted(key, n))
		return sort_and_write(c, key, n);
	for (size_t i = 0; i < n && r == CANON_OK; i++, key = next_key(key))
		r = write_member(c, key, &is_first);
	return r;
}

static enum canon_result
write_items(struct canon *c, yyjson_val *array)
{
	yyjson_val *item = unsafe_yyjson_get_first(array);
	size_t n = unsafe_yyjson_get_len(array);
	enum canon_result r = CANON_OK;

	for (size_t i = 0; i < n && r == CANON_OK; i++, item = unsafe_yyjson_get_next(item)) {
		if (i > 0 && !buf_putc(c->out, ','))
			return CANON_FULL;
		r = write_value(c, item);
	}
	return r;
}

static enum canon_result
write_container(struct canon *c, yyjson_val *v)
{
	bool is_object = yyjson_is_obj(v);
	enum canon_result r;

	if (c->depth == DEPTH_MAX)
		return CANON_REFUSED;
	if (!buf_putc(c->out, is_object ? '{' : '['))
		return CANON_FULL;
	c->depth++;
	r = is_object ? write_members(c, v) : write_items(c, v);
	c->depth--;
	if (r != CANON_OK)
		return r;
	return RESULT(buf_putc(c->out, is_object ? '}' : ']'));
}

static enum canon_result
write_value(struct canon *c, yyjson_val *v)
{
	switch (yyjson_get_type(v)) {
	case YYJSON_TYPE_RAW:
		return write_number(c, v);
	case YYJSON_TYPE_STR:
		return write_string(c, v);
	case YYJSON_TYPE_ARR:
	case YYJSON_TYPE_OBJ:
		return write_container(c, v);
	case YYJSON_TYPE_BOOL:
		return RESULT(
		    buf_put_span(c->out, yyjson_is_true(v) ? SPAN_LIT("true") : SPAN_LIT("false")));
	default:
		return RESULT(buf_put_span(c->out, SPAN_LIT("null")));
	}
}

/* Lossy shows only at the end: a name twice further on has to be refused all the same. */
enum canon_result
canon_write(const struct json_doc *d, const struct span *ignore, size_t n_ignore, struct buf *out)
{
	struct canon c = {.out = out, .ignore = ignore, .n_ignore = n_ignore};
	enum canon_result r = write_value(&c, yyjson_doc_get_root(doc_of(d)));

	return r == CANON_OK && c.is_lossy ? CANON_LOSSY : r;
}

size_t
canon_number(double value, char *out)
{
	struct decimal d;

	CHK(isfinite(value));
	d = decimal_of_double(value);
	return decimal_text(&d, out);
}
