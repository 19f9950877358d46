/*
 * http_forwarded: bytes that are taken and sent on as the gateway does it: parsed, the heads written by gateway/forward.c, the bodies
 * framed anew. Two readers, ours and second_parser.h, must then find the same count of messages, methods, targets and bodies; and a
 * message that broke off must not look whole to either.
 */
#ifndef TESTS_HTTP_FORWARDED_H
#define TESTS_HTTP_FORWARDED_H

#include "gateway/forward.h"
#include "http/parser.h"
#include "http/target.h"
#include "http/writer.h"
#include "provider/registry.h"
#include "second_parser.h"

struct forwarded {
	struct parser *parser;
	struct arena arena;
	const char *via;
	bool is_response, asked_head, is_held;
	bool is_passed;      /* this message goes on */
	bool is_over;        /* the gateway would have closed the connection */
	bool is_chunked;     /* towards the next hop */
	struct buf wire;     /* what goes out */
	struct buf said;     /* what it means, in the words of second_read */
	struct buf start;    /* of the message that is being read */
	struct buf body;     /* of it */
	size_t whole, count; /* bytes of wire that are whole messages, and how many */
};

static inline void
forwarded_open(struct forwarded *f, const struct parser_limits *limits)
{
	f->parser = f->is_response ? parser_new_response(limits) : parser_new_request(limits);
	arena_init(&f->arena, 1 << 20);
	buf_init(&f->wire, SIZE_MAX / 2);
	buf_init(&f->said, SIZE_MAX / 2);
	buf_init(&f->start, SIZE_MAX / 2);
	buf_init(&f->body, SIZE_MAX / 2);
	parser_reset(f->parser, &f->arena, f->asked_head ? METHOD_HEAD : METHOD_POST);
}

static inline void
forwarded_close(struct forwarded *f)
{
	parser_free(f->parser);
	arena_fini(&f->arena);
	buf_fini(&f->wire);
	buf_fini(&f->said);
	buf_fini(&f->start);
	buf_fini(&f->body);
}

static inline void
forward_head_of_request(struct forwarded *f, enum body_framing framing, uint64_t length)
{
	const struct request_head *h = parser_request(f->parser);
	struct upstream_target to = {.host_header = SPAN_LIT("api.example")};
	struct target t;

	CHK(target_parse(h->target, &t) == E_OK);
	to.path = t.path;
	f->is_chunked = framing == BODY_CHUNKED;
	CHK(forward_request(&(struct forward_request){.head = h,
				.to = &to,
				.query = t.query,
				.framing = framing,
				.length = length,
				.via = f->via},
	    &f->wire));
}

/* exchange.c: what is refused when the head is whole. */
static inline bool
is_refused(const struct request_head *h, const char *via)
{
	struct target t;

	return target_parse(h->target, &t) != E_OK || connection_nominates_forbidden(&h->headers) ||
	    is_looping(h, via);
}

static inline void
begin_request(struct forwarded *f)
{
	const struct request_head *h = parser_request(f->parser);
	struct target t;

	f->is_over = is_refused(h, f->via);
	f->is_passed = !f->is_over;
	if (f->is_over)
		return;
	CHK(target_parse(h->target, &t) == E_OK);
	CHK(buf_printf(&f->start, "%.*s %.*s", SPAN_FMT(h->method_text), SPAN_FMT(t.path)));
	if (t.query.p != NULL)
		CHK(buf_printf(&f->start, "?%.*s", SPAN_FMT(t.query)));
	if (!f->is_held)
		forward_head_of_request(f, h->framing, h->length);
}

/* relay.c: framing_downstream and has_stated_length. */
static inline void
forward_head_of_response(struct forwarded *f, const struct response_head *h)
{
	struct gateway_fields g = {
	    .id = "ID", .cache_status = "MISS", .age_s = -1, .overhead_us = 1, .keep_alive = true};
	const struct header *length = headers_find(&h->headers, H_CONTENT_LENGTH);

	if (f->asked_head || h->status == 204 || h->status == 304) {
		g.framing = length != NULL && h->status != 204 ? BODY_LENGTH : BODY_NONE;
		g.length = 7; /* whatever was said: nothing follows */
	} else {
		g.framing = h->framing == BODY_LENGTH ? BODY_LENGTH : BODY_CHUNKED;
		g.length = h->length;
	}
	f->is_chunked = g.framing == BODY_CHUNKED;
	CHK(forward_response(h, &g, &f->wire));
}

static inline void
begin_response(struct forwarded *f)
{
	const struct response_head *h = parser_response(f->parser);

	f->is_over = h->status == 101;
	f->is_passed = h->status >= 200 || h->status == 103;
	if (!f->is_passed)
		return;
	CHK(buf_printf(&f->start, "%d", h->status));
	if (h->status == 103) {
		f->is_chunked = false;
		CHK(forward_informational(h, &f->wire));
	} else {
		forward_head_of_response(f, h);
	}
}

static inline void
begin_message(struct forwarded *f)
{
	buf_reset(&f->start);
	buf_reset(&f->body);
	if (f->is_response)
		begin_response(f);
	else
		begin_request(f);
}

static inline void
pass_body(struct forwarded *f, struct span body)
{
	char line[CHUNK_LINE_SIZE];

	CHK(buf_put_span(&f->body, body));
	if (f->is_held)
		return;
	if (f->is_chunked)
		CHK(buf_put(&f->wire, line, chunk_line(body.n, line)));
	CHK(buf_put_span(&f->wire, body));
	if (f->is_chunked)
		CHK(buf_put(&f->wire, "\r\n", 2));
}

static inline void
end_held(struct forwarded *f)
{
	bool has_body = parser_request(f->parser)->framing != BODY_NONE;

	forward_head_of_request(f, has_body ? BODY_LENGTH : BODY_NONE, buf_len(&f->body));
	CHK(buf_put_span(&f->wire, buf_view(&f->body)));
}

static inline void
end_passed(struct forwarded *f)
{
	if (f->is_held)
		end_held(f);
	else if (f->is_chunked)
		CHK(buf_put(&f->wire, "0\r\n\r\n", 5));
	CHK(buf_printf(&f->said, "%.*s %zu:", SPAN_FMT(buf_view(&f->start)), buf_len(&f->body)));
	CHK(buf_put_span(&f->said, buf_view(&f->body)) && buf_putc(&f->said, '\n'));
	f->whole = buf_len(&f->wire);
	f->count++;
}

static inline void
end_message_forwarded(struct forwarded *f)
{
	if (f->is_passed)
		end_passed(f);
	f->is_passed = false;
	arena_reset(&f->arena);
	parser_reset(f->parser, &f->arena, f->asked_head ? METHOD_HEAD : METHOD_POST);
}

static inline void
forward_all(struct forwarded *f, struct span in)
{
	struct span body;

	while (!f->is_over) {
		switch (parser_next(f->parser, &in, &body)) {
		case PARSE_HEAD:
			begin_message(f);
			break;
		case PARSE_BODY:
			if (f->is_passed)
				pass_body(f, body);
			break;
		case PARSE_END:
			end_message_forwarded(f);
			if (in.n == 0)
				return;
			break;
		case PARSE_MORE:
			if (parser_finish(f->parser) == PARSE_END)
				end_message_forwarded(f);
			return;
		case PARSE_FAILED:
			return;
		}
	}
}

/* The second opinion, on all that was written: whole messages, and then nothing that looks like one. */
static inline void
check_second(const struct forwarded *f)
{
	struct span left = buf_view(&f->wire);
	struct buf said;

	buf_init(&said, SIZE_MAX / 2);
	CHK(second_read(&left, f->is_response, f->asked_head, &said) == f->count);
	CHK(left.n == buf_len(&f->wire) - f->whole);
	CHK(span_eq(buf_view(&said), buf_view(&f->said)));
	buf_fini(&said);
}

/* Ours, on what it wrote. The limits are wide: fields of ours came to it. */
static inline void
check_again(const struct forwarded *f)
{
	static const struct parser_limits wide = {1 << 18, 400, 1 << 17};
	struct forwarded again = {
	    .is_response = f->is_response, .asked_head = f->asked_head, .via = "\001"};

	forwarded_open(&again, &wide);
	forward_all(&again, buf_view(&f->wire));
	CHK(again.count == f->count);
	CHK(span_eq(buf_view(&again.said), buf_view(&f->said)));
	forwarded_close(&again);
}

static inline void
check_forwarded(bool is_response, bool asked_head, bool is_held, struct span bytes)
{
	static const struct parser_limits usual = {32768, 100, 8192};
	struct forwarded f = {
	    .is_response = is_response, .asked_head = asked_head, .is_held = is_held, .via = "me"};

	forwarded_open(&f, &usual);
	forward_all(&f, bytes);
	check_second(&f);
	check_again(&f);
	forwarded_close(&f);
}

#endif
