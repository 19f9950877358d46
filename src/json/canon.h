/*
 * canon: the canonical form of a JSON text (RFC 8785, JCS), so that two spellings of one value
 * give one cache key.
 *
 * Members sorted by UTF-16 code units of their unescaped names, no blanks, shortest strings,
 * numbers as ECMAScript prints the double.
 */
#ifndef JSON_CANON_H
#define JSON_CANON_H

#include "json/json.h"

enum canon_result {
	CANON_OK,
	CANON_LOSSY,   /* written out, but a number's canonical form has another decimal value
	                  than the one written (9007199254740993), or it has none (1e400, left as it
	                  was written): use the raw bytes instead */
	CANON_REFUSED, /* duplicate names, lone surrogates, deeper than 128: has no canonical form */
	CANON_FULL,    /* out's cap or memory */
};

/* Appends the canonical form of d's root to out. Top-level members named in `ignore` are left out,
 * unread but for their names: what is in them makes nothing lossy and nothing refused.
 * Refused wins over lossy. Except for CANON_OK out may hold a part: cut it back. */
MUST_CHECK enum canon_result canon_write(
    const struct json_doc *d, const struct span *ignore, size_t n_ignore, struct buf *out);

/* ECMAScript Number::toString of a finite double; returns the length, no NUL. out: 32 bytes. */
size_t canon_number(double value, char *out);

#endif
