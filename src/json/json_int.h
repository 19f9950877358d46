/*
 * json_int: what json.c, canon.c and text.c share, and no other room sees.
 */
#ifndef JSON_JSON_INT_H
#define JSON_JSON_INT_H

#include <yyjson.h>

#include "json/json.h"

/* A bit that yyjson keeps free: the string stands as it was written, with escapes, and that is its canonical spelling. */
#define TAG_AS_WRITTEN 0x20

/* yyjson's readers take non-const pointers and change nothing. */
static inline yyjson_val *
val_of(struct json_val v)
{
	return (yyjson_val *)(uintptr_t)v.v;
}

static inline yyjson_doc *
doc_of(const struct json_doc *d)
{
	return (yyjson_doc *)(uintptr_t)d;
}

static inline struct span
str_of(yyjson_val *v)
{
	return span_of(unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v));
}
/* yyjson ends a raw number with NUL. */
static inline struct span
raw_of(yyjson_val *v)
{
	return span_of(unsafe_yyjson_get_raw(v), unsafe_yyjson_get_len(v));
}

bool text_is_utf8(struct span s);
/* Appends s, valid UTF-8, with its quotes, escaped as RFC 8785 3.2.2.2 says and no more than that. */
MUST_CHECK bool text_put(struct buf *out, struct span s);

#endif
