/*
 * json: a parsed JSON text and look-ups in it. A thin skin over yyjson so that no other room sees it.
 *
 * Strict RFC 8259 (no comments, no trailing commas, one value); valid UTF-8 only. Numbers keep
 * the text they were written with, so that canonical form can tell what a double would lose.
 * Ownership: the doc owns everything; a json_val borrows and dies with it. One of json_parse_view borrows from the text.
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

struct json_doc;
struct json_val { /* v == NULL: not there */
	const void *v;
};
enum json_type {
	JSON_NONE,
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

/* NULL when text is not JSON (or there is no memory, or it nests deeper than 512). */
struct json_doc *json_parse(struct span text);
/* The same of exactly the same texts, but text has to outlive the doc unchanged: what can stay in it is not copied. That is all of
 * most texts; where there are escapes in a large one it is the strings from JSON_VIEW_MIN bytes on, and with keeps_escapes also
 * those from JSON_VIEW_ESCAPED_MIN on that hold none but canonical escapes: json_str then refuses such a value. */
#define JSON_VIEW_MIN 64
#define JSON_VIEW_ESCAPED_MIN 1024
struct json_doc *json_parse_view(struct span text, bool keeps_escapes);
/* The string that is the first member of that name in the object that text is, as it stands there, for who wants to know nothing
 * else: what comes before it is skipped, not judged, and what follows is not looked at. `name` is of letters. False, *out
 * untouched, where only parsing tells: it is not there, no string, not of plain ASCII, or behind a longer name with escapes. */
bool json_peek_str(struct span text, struct span name, struct span *out);
/* The same of an object: its text, for json_parse to judge. */
bool json_peek_object(struct span text, struct span name, struct span *out);
void json_free(struct json_doc *d);
struct json_val json_root(const struct json_doc *d);

enum json_type json_type(struct json_val v);
/* The member of an object (the first of that name); none for other types. */
struct json_val json_member(struct json_val v, struct span name);
static inline struct json_val
json_get(struct json_val v, const char *name)
{
	return json_member(v, span_str(name));
}
/* Down a dotted path of members: "usage.prompt_tokens_details.cached_tokens". */
struct json_val json_path(struct json_val v, const char *path);
struct json_val json_at(struct json_val v, size_t index); /* of an array */
size_t json_size(struct json_val v); /* items of an array or members of an object */
/* Each returns false, *out untouched, when v is not of that type (or does not fit). */
bool json_str(struct json_val v, struct span *out); /* unescaped UTF-8, may hold NUL */
bool json_int(struct json_val v, int64_t *out);     /* a number with an integral value */
bool json_double(struct json_val v, double *out);
bool json_bool(struct json_val v, bool *out);

/* Walks the members of an object or the items of an array (key is empty there).
 *   struct json_iter it = json_iter(v); struct span key; struct json_val item;
 *   while (json_next(&it, &key, &item)) ... */
struct json_iter {
	const void *next;
	size_t left;
	bool is_object;
};
struct json_iter json_iter(struct json_val v);
bool json_next(struct json_iter *it, struct span *key, struct json_val *item);

/* The text of v, minified, numbers as they were written, appended to out. */
MUST_CHECK bool json_write(struct json_val v, struct buf *out);

/* Appends s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
MUST_CHECK bool json_put_str(struct buf *out, struct span s);

#endif
