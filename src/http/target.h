/*
 * target: the request target taken apart, bytes untouched.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"

struct target {
	struct span path;      /* begins with '/' */
	struct span query;     /* without '?'; p == NULL: there is none */
	struct span authority; /* of an absolute-form target, else empty */
};

/* Origin-form or absolute-form (http, https; without a path it has the path "/"). E_BAD_PATH for
 * dot segments ("." "..", also spelled %2e in any case), '#', bytes outside printable ASCII;
 * E_BAD_REQUEST for other forms. */
MUST_CHECK enum err target_parse(struct span raw, struct target *out);
/* "name", "name:80" or "[::1]:80" taken apart; port.p == NULL: none. False for anything else:
 * empty, a path, userinfo, a comma, an empty or too large port, more than 253 bytes of name. */
#define HOST_NAME_MAX_BYTES 253
MUST_CHECK bool host_parse(struct span raw, struct span *name, struct span *port);
/* Cuts the next segment off *rest ("/a/b" -> "a", rest "/b"; "/" -> "", rest ""). False when rest
 * is empty. */
bool path_next(struct span *rest, struct span *segment);
/* Walks "a=b&c"; value.p == NULL without '='. Empty items ("&&") are passed over. Not unescaped. */
bool query_next(struct span *rest, struct span *name, struct span *value);
/* Percent-decodes into out (n bytes at most, cut); returns the length. '+' stays, and so does a '%'
 * that begins no escape. */
size_t percent_decode(struct span in, char *out, size_t n);

#endif
