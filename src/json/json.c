#include "json/json.h"

#include <math.h>
#include <stdlib.h>

#include "base/num.h"
#include "json/decimal_int.h"
#include "json/json_int.h"
#include "json/plain_int.h"
#include "json/reduce_int.h"

#define DEPTH_MAX 512

/* yyjson reads without recursion and knows no depth. Its values lie flat in the order of the text,
 * each container knowing where it ends; so a stack of ends gives the depth in one pass. */
static bool
is_too_deep(yyjson_doc *doc)
{
	yyjson_val *ends[DEPTH_MAX], *v = yyjson_doc_get_root(doc);
	yyjson_val *last = v + yyjson_doc_get_val_count(doc);
	size_t depth = 0;

	for (; v < last; v++) {
		while (depth > 0 && ends[depth - 1] <= v)
			depth--;
		if (!unsafe_yyjson_is_ctn(v))
			continue;
		if (depth == DEPTH_MAX)
			return true;
		ends[depth++] = unsafe_yyjson_get_next(v);
	}
	return false;
}

/* Strings come in the order of the text, names of members too. */
static void
fill_holes(yyjson_doc *doc, const struct reduced *r)
{
	yyjson_val *v = yyjson_doc_get_root(doc);
	size_t strings = 0;

	for (size_t i = 0; i < r->n_holes; v++) {
		if (unsafe_yyjson_get_type(v) != YYJSON_TYPE_STR || strings++ != r->holes[i].nth)
			continue;
		const struct hole *h = &r->holes[i++];
		v->uni.str = h->s.p;
		v->tag = (uint64_t)h->s.n << YYJSON_TAG_BIT | YYJSON_TYPE_STR |
		    YYJSON_SUBTYPE_NOESC | (h->has_escapes ? TAG_AS_WRITTEN : 0);
	}
}

static struct json_doc *
unless_too_deep(yyjson_doc *doc)
{
	if (doc != NULL && is_too_deep(doc)) {
		yyjson_doc_free(doc);
		doc = NULL;
	}
	return (struct json_doc *)(void *)doc;
}

struct json_doc *
json_parse(struct span text)
{
	char *p = (char *)(uintptr_t)text.p; /* copied before anything is changed */

	return unless_too_deep(yyjson_read_opts(p, text.n, YYJSON_READ_NUMBER_AS_RAW, NULL, NULL));
}

/* The doc's values point into the reduced text: it frees it as it would its own copy. */
static yyjson_doc *
read_reduced(struct reduced *r)
{
	yyjson_doc *doc = yyjson_read_opts(
	    r->text.p, r->n, YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_INSITU, NULL, NULL);
	size_t n;

	if (doc == NULL)
		return NULL;
	fill_holes(doc, r);
	CHK(doc->str_pool == NULL);
	doc->str_pool = buf_take(&r->text, &n);
	return doc;
}

struct json_doc *
json_parse_view(struct span text, bool keeps_escapes)
{
	struct reduced r;
	yyjson_doc *doc = plain_parse(text);

	if (doc != NULL)
		return (struct json_doc *)(void *)doc;
	if (text.n < PLAIN_ESCAPED_MAX)
		return json_parse(text);
	if (reduce(text, keeps_escapes ? REDUCE_ESCAPED : REDUCE_PLAIN, &r))
		doc = read_reduced(&r);
	reduced_fini(&r);
	return unless_too_deep(doc);
}

void
json_free(struct json_doc *d)
{
	yyjson_doc_free(doc_of(d));
}

struct json_val
json_root(const struct json_doc *d)
{
	return (struct json_val){yyjson_doc_get_root(doc_of(d))};
}

enum json_type
json_type(struct json_val v)
{
	switch (yyjson_get_type(val_of(v))) {
	case YYJSON_TYPE_NULL:
		return JSON_NULL;
	case YYJSON_TYPE_BOOL:
		return JSON_BOOL;
	case YYJSON_TYPE_RAW:
		return JSON_NUMBER;
	case YYJSON_TYPE_STR:
		return JSON_STRING;
	case YYJSON_TYPE_ARR:
		return JSON_ARRAY;
	case YYJSON_TYPE_OBJ:
		return JSON_OBJECT;
	default:
		return JSON_NONE;
	}
}

struct json_val
json_member(struct json_val v, struct span name)
{
	return (struct json_val){yyjson_obj_getn(val_of(v), name.p, name.n)};
}

struct json_val
json_path(struct json_val v, const char *path)
{
	struct span rest = span_str(path), name;

	while (v.v != NULL && span_next(&rest, '.', &name))
		v = json_member(v, name);
	return v;
}

struct json_val
json_at(struct json_val v, size_t index)
{
	return (struct json_val){yyjson_arr_get(val_of(v), index)};
}

size_t
json_size(struct json_val v)
{
	return yyjson_get_type(val_of(v)) == YYJSON_TYPE_OBJ ? yyjson_obj_size(val_of(v))
							     : yyjson_arr_size(val_of(v));
}

bool
json_str(struct json_val v, struct span *out)
{
	if (!yyjson_is_str(val_of(v)) || (val_of(v)->tag & TAG_AS_WRITTEN) != 0)
		return false;
	*out = str_of(val_of(v));
	return true;
}

/* 5, 5.0 and 50e-1 alike. */
bool
json_int(struct json_val v, int64_t *out)
{
	struct decimal d;
	uint64_t u = 0;

	if (!yyjson_is_raw(val_of(v)))
		return false;
	if (num_i64(raw_of(val_of(v)), out))
		return true;
	d = decimal_of(raw_of(val_of(v)));
	if (d.is_longer || d.point > 19 || d.point < d.n)
		return false;
	for (int64_t i = 0; i < d.point; i++)
		if (__builtin_mul_overflow(u, 10, &u) ||
		    __builtin_add_overflow(u, i < d.n ? (uint64_t)(d.digits[i] - '0') : 0, &u))
			return false;
	if (u > (uint64_t)INT64_MAX + d.is_negative)
		return false;
	*out = d.is_negative ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

bool
json_double(struct json_val v, double *out)
{
	double d;

	if (!yyjson_is_raw(val_of(v)))
		return false;
	d = decimal_read_double(unsafe_yyjson_get_raw(val_of(v)));
	if (isinf(d))
		return false;
	*out = d;
	return true;
}

bool
json_bool(struct json_val v, bool *out)
{
	if (!yyjson_is_bool(val_of(v)))
		return false;
	*out = yyjson_get_bool(val_of(v));
	return true;
}

struct json_iter
json_iter(struct json_val v)
{
	bool is_container = yyjson_is_ctn(val_of(v));

	return (struct json_iter){
	    .next = is_container ? unsafe_yyjson_get_first(val_of(v)) : NULL,
	    .left = is_container ? json_size(v) : 0,
	    .is_object = yyjson_is_obj(val_of(v)),
	};
}

bool
json_next(struct json_iter *it, struct span *key, struct json_val *item)
{
	yyjson_val *at = val_of((struct json_val){it->next});

	if (it->left == 0)
		return false;
	*key = it->is_object ? str_of(at) : SPAN_LIT("");
	at += it->is_object;
	*item = (struct json_val){at};
	it->next = unsafe_yyjson_get_next(at);
	it->left--;
	return true;
}

bool
json_write(struct json_val v, struct buf *out)
{
	size_t n;
	char *text = yyjson_val_write_opts(val_of(v), YYJSON_WRITE_NOFLAG, NULL, &n, NULL);
	bool ok = text != NULL && buf_put(out, text, n);

	free(text);
	return ok;
}
