/*
 * reduce: a text without its long strings, for json.c to parse: what is left out was looked through here, many bytes at a
 * time, and leaves "" behind. Everything else stands as it was, so that the rest is JSON just when the whole is.
 *
 * Nothing but strings is understood: what is between them, and what is wrong in them, is for the parser to judge.
 */
#ifndef JSON_REDUCE_INT_H
#define JSON_REDUCE_INT_H

#include "base/buf.h"

enum reduce_what {    /* what is left out */
	REDUCE_PLAIN, /* strings of JSON_VIEW_MIN bytes without escapes */
	REDUCE_ESCAPED, /* those of JSON_VIEW_ESCAPED_MIN with canonical ones too, but for names of members */
};
struct hole {
	size_t nth; /* of all strings, names too */
	struct span s;
	bool has_escapes;
};
struct reduced {
	struct buf text; /* YYJSON_PADDING_SIZE zeros behind it are not counted in n */
	size_t n;
	struct hole *holes;
	size_t n_holes, room;
};

/* False: no memory. Either way reduced_fini. */
MUST_CHECK bool reduce(struct span text, enum reduce_what what, struct reduced *out);
void reduced_fini(struct reduced *r);

#endif
