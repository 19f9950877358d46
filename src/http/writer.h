/*
 * writer: heads and chunk framing out. Everything we emit parses back to the same count, method,
 * target and body.
 *
 * Callers pass names and values that contain no CR, LF or NUL (parsed heads never do);
 * head_put_field CHKs it in paranoid builds and drops the field otherwise.
 */
#ifndef HTTP_WRITER_H
#define HTTP_WRITER_H

#include "base/buf.h"
#include "http/message.h"

/* "POST /path HTTP/1.1\r\n" */
MUST_CHECK bool head_put_request_line(struct buf *out, struct span method, struct span target);
/* "HTTP/1.1 200 OK\r\n"; an empty reason is replaced by the registered one. */
MUST_CHECK bool head_put_status_line(struct buf *out, int status, struct span reason);
MUST_CHECK bool head_put_field(struct buf *out, struct span name, struct span value);
MUST_CHECK bool head_put_field_u64(struct buf *out, struct span name, uint64_t value);
MUST_CHECK bool head_put_end(struct buf *out); /* the empty line */

/* Chunked coding: size line of a chunk of n bytes (n > 0) into line, length returned. The data
 * follows, then CRLF. The last chunk is "0\r\n\r\n". */
#define CHUNK_LINE_SIZE 20
size_t chunk_line(size_t n, char line[CHUNK_LINE_SIZE]);

struct span status_reason(int status); /* registered reason phrase; "" when unknown */

/* Fields that end at this hop (RFC 9110 7.6.1), by name or because Connection nominates them. */
bool is_hop_by_hop(const struct headers *h, const struct header *field);
/* A Connection header that nominates a field which must not be dropped (host, content-length,
 * authorization, x-api-key, cookie, cache-control, anthropic-*, openai-*, cf-aig-*, ...): refuse the
 * request. is_hop_by_hop never follows such a nomination. */
bool connection_nominates_forbidden(const struct headers *h);

#endif
