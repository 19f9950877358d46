/*
 * http_transcript: what a parser says about some bytes, as text, so that two ways of feeding the
 * same bytes differ in one string. For the unit tests and the fuzz targets of http/.
 *
 *   POST /x 1.1 length:2 keep|host: a|content-length: 2|> {}|end
 *
 * with one line a message, and the error's word at the end of a line when the parser fails. Every
 * piece is fed from heap memory of its exact size that is gone before the next one, and heads are
 * read again at the end: AddressSanitizer finds a read past a piece and a span into one.
 */
#ifndef TESTS_HTTP_TRANSCRIPT_H
#define TESTS_HTTP_TRANSCRIPT_H

#include <stdlib.h>

#include "base/buf.h"
#include "http/parser.h"
#include "http/writer.h"

static const struct parser_limits usual_limits = {32768, 100, 8192};

struct transcript {
	struct buf text, head; /* head: the current one, as it was at PARSE_HEAD */
	struct parser *parser;
	struct arena arena;
	bool is_response;
	enum method asked;
	bool has_failed, is_in_body;
	size_t fed; /* bytes before this piece */
	size_t used,
	    text_used;    /* bytes of messages that said where they end, and the text of those */
	struct buf *emit; /* NULL, or gets every message as our writer writes it */
	size_t emit_used, emit_text; /* of it, complete messages, and the text of those */
};

static inline void
transcript_open(struct transcript *t, bool is_response, const struct parser_limits *limits)
{
	*t = (struct transcript){.is_response = is_response, .asked = METHOD_POST};
	buf_init(&t->text, 1 << 24);
	buf_init(&t->head, 1 << 20);
	arena_init(&t->arena, 1 << 20);
	t->parser = is_response ? parser_new_response(limits) : parser_new_request(limits);
}

static inline void
transcript_close(struct transcript *t)
{
	buf_fini(&t->text);
	buf_fini(&t->head);
	arena_fini(&t->arena);
	parser_free(t->parser);
}

static inline void
print_framing(struct buf *out, enum body_framing framing, uint64_t length)
{
	static const char *const names[] = {"none", "length", "chunked", "close"};

	CHK(buf_printf(out, "%s", names[framing]));
	if (framing == BODY_LENGTH)
		CHK(buf_printf(out, ":%llu", (unsigned long long)length));
}

static inline void
print_fields(struct buf *out, const struct headers *h)
{
	for (size_t i = 0; i < h->n; i++)
		CHK(buf_printf(
		    out, "|%.*s: %.*s", SPAN_FMT(h->items[i].name), SPAN_FMT(h->items[i].value)));
}

static inline void
print_request(struct buf *out, const struct request_head *h)
{
	CHK(buf_printf(
	    out, "%.*s %.*s 1.%d ", SPAN_FMT(h->method_text), SPAN_FMT(h->target), h->minor));
	print_framing(out, h->framing, h->length);
	CHK(buf_printf(out, "%s%s%s", h->keep_alive ? " keep" : "",
	    h->expects_continue ? " expect" : "", h->is_upgrade ? " upgrade" : ""));
	print_fields(out, &h->headers);
}

static inline void
print_response(struct buf *out, const struct response_head *h)
{
	CHK(buf_printf(out, "%d %.*s 1.%d ", h->status, SPAN_FMT(h->reason), h->minor));
	print_framing(out, h->framing, h->length);
	CHK(buf_printf(out, "%s", h->keep_alive ? " keep" : ""));
	print_fields(out, &h->headers);
}

static inline void
print_head(struct transcript *t)
{
	buf_reset(&t->head);
	if (t->is_response)
		print_response(&t->head, parser_response(t->parser));
	else
		print_request(&t->head, parser_request(t->parser));
}

static inline void
emit_head(struct transcript *t)
{
	const struct headers *h;

	if (t->is_response) {
		const struct response_head *r = parser_response(t->parser);

		h = &r->headers;
		CHK(head_put_status_line(t->emit, r->status, r->reason));
	} else {
		const struct request_head *r = parser_request(t->parser);

		h = &r->headers;
		CHK(head_put_request_line(t->emit, r->method_text, r->target));
	}
	for (size_t i = 0; i < h->n; i++)
		CHK(head_put_field(t->emit, h->items[i].name, h->items[i].value));
	CHK(head_put_end(t->emit));
}

static inline bool
is_chunked(const struct transcript *t)
{
	return (t->is_response ? parser_response(t->parser)->framing
			       : parser_request(t->parser)->framing) == BODY_CHUNKED;
}

static inline void
emit_body(struct transcript *t, struct span body)
{
	char line[CHUNK_LINE_SIZE];

	if (is_chunked(t))
		CHK(buf_put(t->emit, line, chunk_line(body.n, line)));
	CHK(buf_put_span(t->emit, body));
	if (is_chunked(t))
		CHK(buf_put(t->emit, "\r\n", 2));
}

static inline void
transcribe_head(struct transcript *t)
{
	print_head(t);
	CHK(buf_put_span(&t->text, buf_view(&t->head)));
	if (t->emit != NULL)
		emit_head(t);
}

static inline void
transcribe_body(struct transcript *t, struct span body)
{
	CHK(body.n > 0);
	if (!t->is_in_body)
		CHK(buf_put(&t->text, "|> ", 3));
	t->is_in_body = true;
	CHK(buf_put_span(&t->text, body));
	if (t->emit != NULL)
		emit_body(t, body);
}

static inline void
transcribe_end(struct transcript *t)
{
	char *before = span_dup(buf_view(&t->head));
	size_t n = buf_len(&t->head);

	print_head(t);
	CHK(span_eq(buf_view(&t->head), span_of(before, n)));
	free(before);
	CHK(buf_put(&t->text, "|end\n", 5));
	if (t->emit != NULL && is_chunked(t))
		CHK(buf_put(t->emit, "0\r\n\r\n", 5));
	t->emit_used = t->emit == NULL ? 0 : buf_len(t->emit);
	t->emit_text = buf_len(&t->text);
	t->is_in_body = false;
	arena_reset(&t->arena);
	parser_reset(t->parser, &t->arena, t->asked);
}

static inline void
transcribe_failure(struct transcript *t)
{
	CHK(buf_printf(&t->text, "|%s\n", err_row(parser_error(t->parser))->word));
	t->has_failed = true;
}

/* One piece, messages that follow one another included. */
static inline void
transcribe_piece(struct transcript *t, struct span piece)
{
	char *copy = malloc(piece.n == 0 ? 1 : piece.n);
	struct span in = span_of(copy, piece.n), body;
	enum parse_event e = PARSE_END;

	CHK(copy != NULL);
	memcpy(copy, piece.p, piece.n);
	while (!t->has_failed && (in.n > 0 || e != PARSE_MORE)) {
		if (e == PARSE_END && in.n == 0 && !parser_has_begun(t->parser))
			break;
		e = parser_next(t->parser, &in, &body);
		if (e == PARSE_MORE)
			CHK(in.n == 0);
		else if (e == PARSE_HEAD)
			transcribe_head(t);
		else if (e == PARSE_BODY)
			transcribe_body(t, body);
		else if (e == PARSE_END) {
			transcribe_end(t);
			t->used = t->fed + (size_t)(in.p - copy);
			t->text_used = buf_len(&t->text);
		} else
			transcribe_failure(t);
	}
	t->fed += piece.n;
	free(copy);
}

/* All of it: `first` bytes, then pieces of `then` bytes, then the end of the stream. The text is
 * the transcript's. */
static inline struct span
transcribe(struct transcript *t, struct span bytes, size_t first, size_t then)
{
	enum parse_event e;

	buf_reset(&t->text);
	arena_reset(&t->arena);
	parser_reset(t->parser, &t->arena, t->asked);
	t->has_failed = t->is_in_body = false;
	t->fed = t->used = t->text_used = t->emit_used = t->emit_text = 0;
	for (size_t n = first; bytes.n > 0 && !t->has_failed; n = then) {
		transcribe_piece(t, span_head(bytes, n));
		bytes = span_skip(bytes, n);
	}
	if (t->has_failed)
		return buf_view(&t->text);
	e = parser_finish(t->parser);
	if (e == PARSE_FAILED)
		transcribe_failure(t);
	else if (e == PARSE_END)
		transcribe_end(t);
	return buf_view(&t->text);
}

#endif
