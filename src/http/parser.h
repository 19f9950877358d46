/*
 * parser: HTTP/1 messages out of a byte stream, pulled one event at a time. llhttp in strict mode
 * with the stricter rules of our own on top (security.md 1.3): what passes here has one meaning.
 *
 *   for (;;) switch (parser_next(p, &in, &body)) {
 *     case PARSE_MORE:  in is used up; feed more later
 *     case PARSE_HEAD:  once a message (informational responses too: see below); look at the head
 *     case PARSE_BODY:  body: some bytes, valid until the next call; framing already taken off
 *     case PARSE_END:   the message is complete; `in` stands behind it. parser_reset for the next
 *     case PARSE_FAILED: parser_error says why; the connection cannot be used any more
 *   }
 * Bytes behind PARSE_END are not looked at before parser_reset. Trailers are dropped. A response
 * with status 1xx gives PARSE_HEAD then PARSE_END (101 included); reset without a new request and
 * go on. One parser serves any number of messages; only the arena grows.
 * Limits: header_size over request line and all fields, to the byte, and over a trailer; headers
 * count; request_line; chunk extensions 1 KB a line and 16 KB a message. Feeding byte by byte gives
 * the same events as feeding at once (BODY pieces may differ in size).
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include "base/chk.h"
#include "base/err.h"
#include "http/message.h"

struct parser;

struct parser_limits {
	size_t header_size;  /* 32 KB */
	size_t headers;      /* 100 */
	size_t request_line; /* 8 KB */
};

enum parse_event { PARSE_MORE, PARSE_HEAD, PARSE_BODY, PARSE_END, PARSE_FAILED };

/* A small piece of memory, not touched before parser_reset: whoever has it only while a message comes finds it warm. */
struct parser *parser_new_request(const struct parser_limits *limits);
struct parser *parser_new_response(const struct parser_limits *limits);
void parser_free(struct parser *p);

/* Ready for the next message, whose head goes into a. For responses, `request_method` is the
 * method that is being answered (HEAD: no body). */
void parser_reset(struct parser *p, struct arena *a, enum method request_method);
enum parse_event parser_next(struct parser *p, struct span *in, struct span *body);
/* The peer's stream ended. PARSE_END: it completed a body that runs until close, or all bytes were
 * there and only parser_next was not asked; PARSE_MORE: between messages, nothing was begun;
 * PARSE_FAILED: cut. */
enum parse_event parser_finish(struct parser *p);

const struct request_head *parser_request(const struct parser *p); /* after PARSE_HEAD */
const struct response_head *parser_response(const struct parser *p);
/* Requests: E_BAD_REQUEST, E_BAD_FRAMING, E_BAD_HOST, E_BAD_PATH, E_BAD_VERSION, E_URI_TOO_LONG,
 * E_HEADERS_TOO_LARGE, E_METHOD_NOT_ALLOWED (CONNECT, TRACE), E_NOT_IMPLEMENTED (a transfer
 * coding, a method), E_EXPECTATION_FAILED, E_CLIENT_GONE (cut). Responses: E_UPSTREAM_PROTOCOL,
 * E_UPSTREAM_CLOSED (cut). Both: E_NOMEM when the arena is full. */
enum err parser_error(const struct parser *p);
/* True once any byte of the current message was seen. Empty lines ahead of a request do not count. */
bool parser_has_begun(const struct parser *p);

#endif
