#include "http/parser_int.h"

#include <stdlib.h>
#include <string.h>

#include "http/rules_int.h"

/* Heads and chunked coding are llhttp's; a body of known length and one that runs until the end are
 * only counted. llhttp never goes past the end of a message: parser_reset starts it anew, so what
 * it does after upgrades and after "Connection: close" does not matter here. */
_Static_assert(LLHTTP_VERSION_MAJOR == 9 && LLHTTP_VERSION_MINOR >= 2,
    "older releases take several ambiguous messages");

static enum parse_event
fail(struct parser *p, enum err e)
{
	p->stage = STAGE_FAILED;
	p->error =
	    p->is_response && e != E_NOMEM && e != E_UPSTREAM_CLOSED ? E_UPSTREAM_PROTOCOL : e;
	return PARSE_FAILED;
}

static void
remember_tail(struct parser *p, size_t n)
{
	if (n >= PROTOCOL_N) {
		memcpy(p->tail, p->piece + n - PROTOCOL_N, PROTOCOL_N);
		return;
	}
	memmove(p->tail, p->tail + n, PROTOCOL_N - n);
	memcpy(p->tail + PROTOCOL_N - n, p->piece, n);
}

/* Gives llhttp the first n bytes of *in and takes off what it used. */
static llhttp_errno_t
run(struct parser *p, struct span *in, size_t n)
{
	llhttp_errno_t e;
	size_t used = n;

	if (p->pause != PAUSE_NONE)
		llhttp_resume(&p->ll);
	p->pause = PAUSE_NONE;
	p->piece = in->p;
	e = llhttp_execute(&p->ll, in->p, n);
	if (e != HPE_OK)
		used = (size_t)(llhttp_get_error_pos(&p->ll) - in->p);
	if (!p->has_line)
		remember_tail(p, used);
	p->seen += used;
	*in = span_skip(*in, used);
	return e;
}

/* -- head -- */

/* "GET /" and no more: llhttp goes on to the fields. */
static bool
is_version_0_9(const struct parser *p)
{
	return !p->has_line && p->ll.http_major == 0 && p->ll.http_minor == 9;
}

static bool
is_method_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static enum err
error_of(const struct parser *p, llhttp_errno_t e)
{
	if (p->error != E_OK)
		return p->error;
	/* RFC 9110 9.1. The byte that makes it no known method may be one of a method. */
	if (e == HPE_INVALID_METHOD && is_method_char(*llhttp_get_error_pos(&p->ll)))
		return E_NOT_IMPLEMENTED;
	/* Behind a version that is known, llhttp says so of a bare LF: the line is wrong then. */
	if (is_version_0_9(p) || (e == HPE_INVALID_VERSION && !p->has_line) ||
	    e == HPE_PAUSED_H2_UPGRADE)
		return E_BAD_VERSION;
	if (e == HPE_UNEXPECTED_CONTENT_LENGTH || e == HPE_INVALID_CONTENT_LENGTH ||
	    e == HPE_INVALID_TRANSFER_ENCODING)
		return E_BAD_FRAMING;
	return E_BAD_REQUEST;
}

/* How many bytes llhttp may see before something must be complete; *full says what. One more than
 * the request line may have, since only the byte behind it tells that it is complete;
 * on_version_complete does the exact count. */
static size_t
room_of(const struct parser *p, enum err *full)
{
	uint64_t start = p->has_begun ? p->line_start : p->seen;
	uint64_t head = p->limits.header_size - p->seen;
	uint64_t line = start + p->limits.request_line + 1 - p->seen;

	*full = E_HEADERS_TOO_LARGE;
	if (p->is_response || p->has_line || line >= head)
		return head;
	*full = E_URI_TOO_LONG;
	return line;
}

static enum method
method_of(const llhttp_t *ll)
{
	static const enum method known[] = {
	    [HTTP_GET] = METHOD_GET,
	    [HTTP_HEAD] = METHOD_HEAD,
	    [HTTP_POST] = METHOD_POST,
	    [HTTP_PUT] = METHOD_PUT,
	    [HTTP_PATCH] = METHOD_PATCH,
	    [HTTP_DELETE] = METHOD_DELETE,
	    [HTTP_OPTIONS] = METHOD_OPTIONS,
	};

	return ll->method < COUNT_OF(known) ? known[ll->method] : METHOD_OTHER;
}

/* What only llhttp knows, then the rules. */
static enum err
apply_rules(struct parser *p)
{
	enum err e;

	if (p->is_response) {
		p->response.status = p->ll.status_code;
		return rules_apply_response(&p->response, p->asked);
	}
	p->request.method = method_of(&p->ll);
	e = rules_apply_request(&p->request);
	if (p->ll.method == HTTP_CONNECT || p->ll.method == HTTP_TRACE)
		return E_METHOD_NOT_ALLOWED;
	return e;
}

static enum stage
stage_after_head(const struct parser *p)
{
	uint64_t length = p->is_response ? p->response.length : p->request.length;

	switch (p->is_response ? p->response.framing : p->request.framing) {
	case BODY_LENGTH:
		return length == 0 ? STAGE_END : STAGE_LENGTH;
	case BODY_CHUNKED:
		return STAGE_CHUNKED;
	case BODY_UNTIL_CLOSE:
		return STAGE_CLOSE;
	case BODY_NONE:
		break;
	}
	return STAGE_END;
}

static enum parse_event
end_head(struct parser *p)
{
	enum err e = p->has_line ? apply_rules(p) : E_BAD_VERSION;

	if (e != E_OK)
		return fail(p, e);
	p->stage = stage_after_head(p);
	p->left = p->is_response ? p->response.length : p->request.length;
	p->mark = p->seen;
	/* "chunked\t" is chunked to the rules but not to llhttp, which would hand out the framing. */
	if (p->stage == STAGE_CHUNKED && !(p->ll.flags & F_CHUNKED))
		return fail(p, E_BAD_FRAMING);
	return PARSE_HEAD;
}

static enum parse_event
next_of_head(struct parser *p, struct span *in)
{
	enum err full;

	while (in->n > 0) {
		size_t room = room_of(p, &full);
		llhttp_errno_t e;

		if (room == 0)
			return fail(p, full);
		/* llhttp skips empty lines. Ahead of a response they mean that we are out of step. */
		if (p->is_response && !p->has_begun && in->p[0] != PROTOCOL[0])
			return fail(p, E_UPSTREAM_PROTOCOL);
		e = run(p, in, in->n < room ? in->n : room);
		if (e == HPE_PAUSED)
			return end_head(p);
		if (e != HPE_OK || is_version_0_9(p))
			return fail(p, error_of(p, e));
	}
	return PARSE_MORE;
}

/* -- body -- */

static enum parse_event
end_message(struct parser *p)
{
	p->stage = STAGE_DONE;
	return PARSE_END;
}

static enum parse_event
next_of_length(struct parser *p, struct span *in, struct span *body)
{
	if (in->n == 0)
		return PARSE_MORE;
	*body = span_head(*in, in->n < p->left ? in->n : (size_t)p->left);
	*in = span_skip(*in, body->n);
	p->left -= body->n;
	if (p->left == 0)
		p->stage = STAGE_END;
	return PARSE_BODY;
}

static enum parse_event
next_until_close(struct span *in, struct span *body)
{
	if (in->n == 0)
		return PARSE_MORE;
	*body = *in;
	*in = span_skip(*in, in->n);
	return PARSE_BODY;
}

/* A trailer counts as a head does. */
static size_t
framing_limit(const struct parser *p)
{
	return p->in_trailer ? p->limits.header_size : CHUNK_LINE_MAX;
}

/* Whether the framing that has come since the mark fits. */
static enum err
check_mark(const struct parser *p)
{
	if (p->seen <= p->mark + framing_limit(p))
		return E_OK;
	return p->in_trailer ? E_HEADERS_TOO_LARGE : E_BAD_FRAMING;
}

/* How many bytes to give to llhttp: until one more than fits, so that the limit is met before a
 * fault that lies behind it, in whatever pieces. */
static size_t
framing_room(const struct parser *p)
{
	uint64_t room = p->mark + framing_limit(p) + 1 - p->seen;

	return room < SIZE_MAX ? (size_t)room : SIZE_MAX;
}

/* After the LF of a chunk line; llhttp has its size. Padding a size with zeros is no extension. */
static enum err
end_chunk_line(struct parser *p)
{
	uint64_t n = p->ll.content_length;

	if (check_mark(p) != E_OK || n > INT64_MAX)
		return E_BAD_FRAMING;
	if (p->has_extension)
		p->extensions += p->seen - p->mark;
	p->has_extension = false;
	p->in_trailer = n == 0;
	p->mark = p->seen + (n == 0 ? 0 : n + 2); /* the CRLF behind the data */
	return p->extensions > CHUNK_EXTENSIONS_MAX ? E_BAD_FRAMING : E_OK;
}

static enum parse_event
next_of_chunks(struct parser *p, struct span *in, struct span *body)
{
	while (in->n > 0) {
		size_t room = framing_room(p);
		llhttp_errno_t e = run(p, in, in->n < room ? in->n : room);
		enum err wrong;

		if (e != HPE_OK && e != HPE_PAUSED)
			return fail(p, E_BAD_FRAMING);
		wrong = p->pause == PAUSE_CHUNK_LINE ? end_chunk_line(p) : check_mark(p);
		if (wrong != E_OK)
			return fail(p, wrong);
		if (p->pause == PAUSE_BODY) {
			*body = p->body;
			return PARSE_BODY;
		}
		if (p->pause == PAUSE_END)
			return end_message(p);
	}
	return PARSE_MORE;
}

/* -- outside -- */

static struct parser *
new_parser(const struct parser_limits *limits, llhttp_type_t type)
{
	struct parser *p = xmalloc(sizeof(*p)); /* parser_reset clears it */

	p->limits = *limits;
	p->is_response = type == HTTP_RESPONSE;
	p->stage = STAGE_UNSET;
	llhttp_init(&p->ll, type, &parser_settings);
	p->ll.data = p;
	return p;
}

struct parser *
parser_new_request(const struct parser_limits *limits)
{
	return new_parser(limits, HTTP_REQUEST);
}

struct parser *
parser_new_response(const struct parser_limits *limits)
{
	return new_parser(limits, HTTP_RESPONSE);
}

void
parser_free(struct parser *p)
{
	free(p);
}

void
parser_reset(struct parser *p, struct arena *a, enum method request_method)
{
	llhttp_t ll;

	llhttp_reset(&p->ll);
	ll = p->ll;
	*p = (struct parser){.ll = ll, .limits = p->limits, .is_response = p->is_response};
	p->arena = a;
	p->asked = request_method;
	p->stage = STAGE_HEAD;
}

enum parse_event
parser_next(struct parser *p, struct span *in, struct span *body)
{
	*body = SPAN_NONE;
	switch (p->stage) {
	case STAGE_HEAD:
		return next_of_head(p, in);
	case STAGE_LENGTH:
		return next_of_length(p, in, body);
	case STAGE_CHUNKED:
		return next_of_chunks(p, in, body);
	case STAGE_CLOSE:
		return next_until_close(in, body);
	case STAGE_END:
	case STAGE_DONE:
		return end_message(p);
	case STAGE_FAILED:
		return PARSE_FAILED;
	case STAGE_UNSET:
		break;
	}
	UNREACHED("parser_next before parser_reset");
}

enum parse_event
parser_finish(struct parser *p)
{
	if (p->stage == STAGE_CLOSE || p->stage == STAGE_END)
		return end_message(p);
	if (p->stage == STAGE_DONE || (p->stage == STAGE_HEAD && !p->has_begun))
		return PARSE_MORE;
	if (p->stage == STAGE_FAILED)
		return PARSE_FAILED;
	return fail(p, p->is_response ? E_UPSTREAM_CLOSED : E_CLIENT_GONE);
}

const struct request_head *
parser_request(const struct parser *p)
{
	CHK(!p->is_response);
	return &p->request;
}

const struct response_head *
parser_response(const struct parser *p)
{
	CHK(p->is_response);
	return &p->response;
}

enum err
parser_error(const struct parser *p)
{
	return p->error;
}

bool
parser_has_begun(const struct parser *p)
{
	return p->has_begun;
}
