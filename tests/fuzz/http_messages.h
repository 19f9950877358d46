/*
 * http_messages: what holds for any bytes that a parser is given. For the fuzz targets of requests
 * and responses.
 */
#ifndef TESTS_HTTP_MESSAGES_H
#define TESTS_HTTP_MESSAGES_H

#include "../unit/http_transcript.h"

/* Small enough for a fuzzer to reach. */
static const struct parser_limits small_limits = {1024, 12, 256};

/* The same complete messages when other bytes are behind them, and none of those used. */
static inline void
check_behind(struct transcript *t, struct span text, struct span messages)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	CHK(buf_put_span(&b, messages) && buf_put(&b, "\001\n\001", 3));
	CHK(span_starts(transcribe(t, buf_view(&b), SIZE_MAX, SIZE_MAX), text));
	CHK(t->used == messages.n);
	buf_fini(&b);
}

/* What our writer makes of the messages reads back as the same ones. It always says 1.1, which asks
 * more of a request, and never leaves the reason out. Its limits are the usual ones: it adds
 * blanks. */
static inline void
check_emitted(bool is_response, enum method asked, struct span text, struct span emitted)
{
	struct transcript t;

	if (span_find_span(text, SPAN_LIT(" 1.0 ")) < text.n ||
	    span_find_span(text, SPAN_LIT("  1.1 ")) < text.n)
		return;
	transcript_open(&t, is_response, &usual_limits);
	t.asked = asked;
	CHK(span_eq(transcribe(&t, emitted, SIZE_MAX, SIZE_MAX), text));
	transcript_close(&t);
}

/* `how` chooses the limits and the size of the pieces. */
static inline void
check_messages(bool is_response, enum method asked, uint8_t how, struct span bytes)
{
	struct transcript t;
	struct buf emitted;
	struct span text;
	size_t used, text_used, emit_text;

	transcript_open(&t, is_response, how & 1 ? &usual_limits : &small_limits);
	t.asked = asked;
	buf_init(&emitted, SIZE_MAX / 2);
	t.emit = &emitted;
	text = transcribe(&t, bytes, SIZE_MAX, SIZE_MAX);
	text.p = span_dup(text);
	used = t.used;
	text_used = t.text_used;
	emit_text = t.emit_text;
	buf_cut(&emitted, t.emit_used);
	t.emit = NULL;
	CHK(span_eq(transcribe(&t, bytes, how + 1u, how / 16 + 1u), text));
	CHK(span_eq(transcribe(&t, bytes, how / 2 + 1u, SIZE_MAX), text));
	check_behind(&t, span_head(text, text_used), span_head(bytes, used));
	check_emitted(is_response, asked, span_head(text, emit_text), buf_view(&emitted));
	free((void *)(uintptr_t)text.p);
	buf_fini(&emitted);
	transcript_close(&t);
}

#endif
