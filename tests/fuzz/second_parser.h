/*
 * second_parser: HTTP/1.1 messages read by the letter of RFC 9112, with nothing of src/http and nothing of llhttp.
 * For the fuzz targets: what the gateway writes must mean to this reader what the gateway meant.
 *
 * It takes what a sender MUST or SHOULD send and no more: no folded lines, no chunk extensions, no trailers, no close-delimited bodies, one
 * field for the framing, one Host in a request. second_read says of each message
 *
 *   POST /x?y 5:hello           request: method, target, length of the body and the body
 *   200 0:                      response
 *
 * in a line, and stops at the first one that is not whole or not right: *bytes then stands at its first byte.
 */
#ifndef TESTS_SECOND_PARSER_H
#define TESTS_SECOND_PARSER_H

#include <string.h>
#include <strings.h>

#include "base/buf.h"

struct second_fields {
	unsigned hosts, lengths, codings;
	bool is_chunked;
	size_t length;
};

/* RFC 9110 5.6.2 */
static inline bool
second_is_tchar(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static inline bool
second_is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!second_is_tchar((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

/* field-content and reason-phrase: HTAB, SP, VCHAR, obs-text */
static inline bool
second_is_text(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 127)
			return false;
	return true;
}

static inline bool
second_is_target(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 127)
			return false;
	return s.n > 0 && s.p[0] == '/';
}

/* Up to CRLF, which goes too. CR and LF mean nothing else anywhere in a head. */
static inline bool
second_line(struct span *in, struct span *line)
{
	size_t n = 0;

	while (n < in->n && in->p[n] != '\r' && in->p[n] != '\n')
		n++;
	if (in->n - n < 2 || in->p[n] != '\r' || in->p[n + 1] != '\n')
		return false;
	*line = span_of(in->p, n);
	*in = span_of(in->p + n + 2, in->n - n - 2);
	return true;
}

static inline bool
second_number(struct span s, unsigned base, size_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, s.p[i] | 0x20);

		if (s.p[i] == 0 || at == NULL || (unsigned)(at - digits) >= base)
			return false;
		if (*out > (SIZE_MAX >> 8))
			return false;
		*out = *out * base + (size_t)(at - digits);
	}
	return s.n > 0;
}

static inline bool
second_is(struct span s, const char *lower)
{
	return s.n == strlen(lower) && strncasecmp(s.p, lower, s.n) == 0;
}

static inline bool
second_field(struct span line, struct second_fields *f)
{
	const char *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
	struct span name, value;

	if (colon == NULL)
		return false;
	name = span_of(line.p, (size_t)(colon - line.p));
	value = span_of(colon + 1, line.n - name.n - 1);
	while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
		value = span_of(value.p + 1, value.n - 1);
	while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	if (!second_is_token(name) || !second_is_text(value))
		return false;
	f->hosts += second_is(name, "host");
	if (second_is(name, "content-length")) {
		f->lengths++;
		return second_number(value, 10, &f->length);
	}
	if (second_is(name, "transfer-encoding")) {
		f->codings++;
		f->is_chunked = second_is(value, "chunked");
		return f->is_chunked;
	}
	return true;
}

static inline bool
second_head(struct span *in, struct second_fields *f)
{
	struct span line;

	memset(f, 0, sizeof(*f));
	while (second_line(in, &line)) {
		if (line.n == 0)
			return f->lengths + f->codings <= 1;
		if (!second_field(line, f))
			return false;
	}
	return false;
}

static inline bool
second_take(struct span *in, size_t n, struct buf *body)
{
	if (in->n < n)
		return false;
	CHK(buf_put(body, in->p, n));
	*in = span_of(in->p + n, in->n - n);
	return true;
}

static inline bool
second_chunks(struct span *in, struct buf *body)
{
	struct span line;
	size_t n;

	for (;;) {
		if (!second_line(in, &line) || !second_number(line, 16, &n))
			return false;
		if (n == 0) /* no trailer: the empty line */
			return second_line(in, &line) && line.n == 0;
		if (!second_take(in, n, body) || !second_line(in, &line) || line.n != 0)
			return false;
	}
}

static inline bool
second_body(struct span *in, const struct second_fields *f, struct buf *body)
{
	return f->is_chunked ? second_chunks(in, body) : second_take(in, f->length, body);
}

static inline bool
second_request(struct span *in, struct buf *start, struct buf *body)
{
	struct second_fields f;
	struct span line, method, target;

	if (!second_line(in, &line) || !span_next(&line, ' ', &method) ||
	    !span_next(&line, ' ', &target) || !span_eq(line, SPAN_LIT("HTTP/1.1")) ||
	    !second_is_token(method) || !second_is_target(target) || !second_head(in, &f) ||
	    f.hosts != 1)
		return false;
	CHK(buf_printf(start, "%.*s %.*s", SPAN_FMT(method), SPAN_FMT(target)));
	return second_body(in, &f, body);
}

static inline bool
second_response(struct span *in, bool asked_head, struct buf *start, struct buf *body)
{
	struct second_fields f;
	struct span line, version, code;
	size_t status;

	if (!second_line(in, &line) || !span_next(&line, ' ', &version) ||
	    !span_eq(version, SPAN_LIT("HTTP/1.1")) || line.n < 4 || line.p[3] != ' ')
		return false;
	code = span_of(line.p, 3);
	if (!second_number(code, 10, &status) || status < 100 || !second_is_text(line) ||
	    !second_head(in, &f))
		return false;
	CHK(buf_printf(start, "%zu", status));
	if (status < 200 || status == 204)
		return f.lengths + f.codings == 0; /* RFC 9112 6.1, RFC 9110 8.6 */
	if (asked_head || status == 304)
		return true;
	return f.lengths + f.codings == 1 && second_body(in, &f, body);
}

/* Reads all of *bytes that is whole and right, and returns how many messages that was. */
static inline size_t
second_read(struct span *bytes, bool is_response, bool asked_head, struct buf *out)
{
	struct buf start, body;
	size_t count = 0;

	buf_init(&start, SIZE_MAX / 2);
	buf_init(&body, SIZE_MAX / 2);
	for (struct span in = *bytes; in.n > 0; count++) {
		buf_reset(&start);
		buf_reset(&body);
		if (!(is_response ? second_response(&in, asked_head, &start, &body)
				  : second_request(&in, &start, &body)))
			break;
		CHK(buf_put_span(out, buf_view(&start)) &&
		    buf_printf(out, " %zu:", buf_len(&body)) &&
		    buf_put_span(out, buf_view(&body)) && buf_putc(out, '\n'));
		*bytes = in;
	}
	buf_fini(&start);
	buf_fini(&body);
	return count;
}

#endif
