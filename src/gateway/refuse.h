/*
 * refuse: the answers that are the gateway's own errors (design.md 4.6).
 */
#ifndef GATEWAY_REFUSE_H
#define GATEWAY_REFUSE_H

#include "base/buf.h"
#include "base/err.h"
#include "provider/dialect.h"

/* For requests that could not be parsed: no exchange, no record, no id; the connection closes. */
MUST_CHECK bool refuse_bare(enum err why, struct buf *out);
/* A header line that says what the caller could do instead (RFC 9110 10.2.1 and 10.2.3), or "". */
const char *refusal_advice(enum err why, bool is_local);
/* In the metric of the limit that is behind this end, if one is. */
void refusal_count_limit(enum err why);

#endif
