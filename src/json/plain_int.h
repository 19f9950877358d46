/*
 * plain: a text read where it stands, in one pass and without a copy, when it is as most bodies are. Its values are yyjson's, so
 * that nobody who reads them knows the difference.
 *
 * Only what is certain is taken: where a text has anything else in it, yyjson is asked, and it alone says what is not JSON.
 * Left to it: a root that is no container, more than 64 levels, \u escapes, any escape in a text of PLAIN_ESCAPED_MAX bytes and
 * more, and whatever is wrong.
 */
#ifndef JSON_PLAIN_INT_H
#define JSON_PLAIN_INT_H

#include <yyjson.h>

#include "base/span.h"

#define PLAIN_ESCAPED_MAX                                                                          \
	2048 /* strings with escapes are written anew: a larger text is reduced instead */

/* NULL: ask yyjson. The doc's strings and numbers point into the text, the latter without the NUL that yyjson puts behind
 * them: what follows them there is no part of a number. */
yyjson_doc *plain_parse(struct span text);

#endif
