#include "http/parser_int.h"

#define FIRST_TEXT 512

static struct headers *
headers_of(struct parser *p)
{
	return p->is_response ? &p->response.headers : &p->request.headers;
}

/* For callbacks: the error that llhttp hands through. */
static int
refuse(struct parser *p, enum err e)
{
	p->error = e;
	return HPE_USER;
}

/* -- text of the head -- */

static void
move_span(struct span *s, const char *from, char *to)
{
	if (s->p != NULL)
		s->p = to + (s->p - from);
}

static void
move_spans(struct parser *p, char *to)
{
	struct headers *h = headers_of(p);
	const char *from = p->text.p;

	for (size_t i = 0; i < h->n; i++) {
		move_span(&h->items[i].name, from, to);
		move_span(&h->items[i].value, from, to);
	}
	move_span(&p->name, from, to);
	move_span(&p->value, from, to);
	move_span(&p->request.method_text, from, to);
	move_span(&p->request.target, from, to);
	move_span(&p->response.reason, from, to);
}

static bool
grow_text(struct parser *p, size_t need)
{
	size_t cap = p->text.cap == 0 ? FIRST_TEXT : p->text.cap;
	char *to;

	while (cap < need)
		cap *= 2;
	to = arena_alloc(p->arena, cap);
	if (to == NULL)
		return false;
	if (p->text.used > 0) {
		memcpy(to, p->text.p, p->text.used);
		move_spans(p, to);
	}
	p->text.p = to;
	p->text.cap = cap;
	return true;
}

/* Appends to s, which is the last span of the text. */
static int
keep(struct parser *p, struct span *s, const char *at, size_t n)
{
	if (n == 0)
		return HPE_OK;
	if (p->text.cap - p->text.used < n && !grow_text(p, p->text.used + n))
		return refuse(p, E_NOMEM);
	if (s->n == 0)
		s->p = p->text.p + p->text.used;
	memcpy(p->text.p + p->text.used, at, n);
	p->text.used += n;
	s->n += n;
	return HPE_OK;
}

/* -- start line -- */

static uint64_t
offset_of(const struct parser *p, const char *at)
{
	return p->seen + (uint64_t)(at - p->piece);
}

static int
on_message_begin(llhttp_t *ll)
{
	struct parser *p = ll->data;

	p->has_begun = true;
	return HPE_OK;
}

static int
on_method(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	if (p->request.method_text.n == 0)
		p->line_start = offset_of(p, at);
	return keep(p, &p->request.method_text, at, n);
}

static int
on_url(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	return keep(p, &p->request.target, at, n);
}

/* llhttp also takes "RTSP/1.0" and "ICE/1.0". The bytes may lie in the piece before this one. */
static bool
follows_protocol(const struct parser *p, const char *at)
{
	size_t here = (size_t)(at - p->piece);

	if (here >= PROTOCOL_N)
		return memcmp(at - PROTOCOL_N, PROTOCOL, PROTOCOL_N) == 0;
	return memcmp(p->tail + here, PROTOCOL, PROTOCOL_N - here) == 0 &&
	    memcmp(p->piece, &PROTOCOL[PROTOCOL_N - here], here) == 0;
}

static int
on_version(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	if (p->line_end == 0 && !follows_protocol(p, at))
		return refuse(p, E_BAD_REQUEST);
	p->line_end = offset_of(p, at) + n;
	return HPE_OK;
}

/* One space between the parts, no more: RFC 9112 3. */
static int
check_request_line(struct parser *p)
{
	uint64_t length = p->line_end - p->line_start;
	size_t parts = p->request.method_text.n + p->request.target.n + sizeof(PROTOCOL "1.1") - 1;

	if (length > p->limits.request_line)
		return refuse(p, E_URI_TOO_LONG);
	return length == parts + 2 ? HPE_OK : refuse(p, E_BAD_REQUEST);
}

static int
on_version_complete(llhttp_t *ll)
{
	struct parser *p = ll->data;

	if (ll->http_major != 1 || ll->http_minor > 1)
		return refuse(p, E_BAD_VERSION);
	p->has_line = true;
	p->request.minor = p->response.minor = ll->http_minor;
	return p->is_response ? HPE_OK : check_request_line(p);
}

static int
on_status(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	for (size_t i = 0; i < n; i++) /* llhttp takes everything up to CR LF */
		if (((unsigned char)at[i] < ' ' && at[i] != '\t') || at[i] == 127)
			return refuse(p, E_UPSTREAM_PROTOCOL);
	return keep(p, &p->response.reason, at, n);
}

/* -- fields -- */

static int
begin_field(struct parser *p)
{
	if (!p->has_line) /* "GET /" alone, HTTP/0.9 */
		return refuse(p, E_BAD_VERSION);
	p->in_field = true;
	p->name = p->value = SPAN_NONE;
	return HPE_OK;
}

static int
on_header_field(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;
	int e = HPE_OK;

	if (p->in_trailer)
		return HPE_OK;
	if (!p->in_field)
		e = begin_field(p);
	return e == HPE_OK ? keep(p, &p->name, at, n) : e;
}

/* Not at the first byte of the name: llhttp tells of that one only when it has seen the last, or
 * the end of the piece, and then one fault or another would come first depending on the pieces. */
static int
on_header_field_complete(llhttp_t *ll)
{
	struct parser *p = ll->data;

	if (!p->in_trailer && headers_of(p)->n == p->limits.headers)
		return refuse(p, E_HEADERS_TOO_LARGE);
	return HPE_OK;
}

static int
on_header_value(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	return p->in_trailer ? HPE_OK : keep(p, &p->value, at, n);
}

static int
on_header_value_complete(llhttp_t *ll)
{
	struct parser *p = ll->data;

	if (p->in_trailer)
		return HPE_OK;
	p->in_field = false;
	if (p->value.p == NULL)
		p->value.p = p->text.p + p->text.used;
	if (!headers_add(headers_of(p), p->arena, p->name, span_trim(p->value)))
		return refuse(p, E_NOMEM);
	p->name = p->value = SPAN_NONE;
	return HPE_OK;
}

/* -- places to stop -- */

static int
stop(llhttp_t *ll, enum pause why)
{
	struct parser *p = ll->data;

	p->pause = why;
	return HPE_PAUSED;
}

static int
on_headers_complete(llhttp_t *ll)
{
	return stop(ll, PAUSE_HEAD);
}

static int
on_chunk_header(llhttp_t *ll)
{
	return stop(ll, PAUSE_CHUNK_LINE);
}

static int
on_chunk_extension(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	UNUSED(at);
	UNUSED(n);
	p->has_extension = true;
	return HPE_OK;
}

static int
on_body(llhttp_t *ll, const char *at, size_t n)
{
	struct parser *p = ll->data;

	p->body = span_of(at, n);
	return n == 0 ? HPE_OK : stop(ll, PAUSE_BODY);
}

static int
on_message_complete(llhttp_t *ll)
{
	return stop(ll, PAUSE_END);
}

const llhttp_settings_t parser_settings = {
    .on_message_begin = on_message_begin,
    .on_method = on_method,
    .on_url = on_url,
    .on_version = on_version,
    .on_version_complete = on_version_complete,
    .on_status = on_status,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_extension_name = on_chunk_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};
