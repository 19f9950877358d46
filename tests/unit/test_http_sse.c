#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "http/sse.h"

/* Events as text, "type:data;" each, "~" before the ";" where one was cut. */
struct listener {
	struct sse sse;
	struct buf text;
};

static void
on_event(void *ctx, const struct sse_event *e)
{
	struct listener *l = ctx;

	assert_true(buf_printf(
	    &l->text, "%.*s:%.*s%s;", SPAN_FMT(e->type), SPAN_FMT(e->data), e->is_cut ? "~" : ""));
}

static void
listen(struct listener *l, size_t max)
{
	buf_init(&l->text, 1 << 16);
	sse_init(&l->sse, max, on_event, l);
}

static void
leave(struct listener *l)
{
	sse_fini(&l->sse);
	buf_fini(&l->text);
}

/* From memory of its own, gone before the next piece. */
static void
feed(struct listener *l, struct span bytes)
{
	char *copy = malloc(bytes.n + 1);

	memcpy(copy, bytes.p, bytes.n);
	sse_feed(&l->sse, span_of(copy, bytes.n));
	free(copy);
}

static void
check_pieces(struct span bytes, size_t max, size_t first, size_t then, const char *events)
{
	struct listener l;

	listen(&l, max);
	for (size_t n = first; bytes.n > 0; n = then) {
		feed(&l, span_head(bytes, n));
		bytes = span_skip(bytes, n);
	}
	sse_finish(&l.sse);
	if (!span_eq(buf_view(&l.text), span_str(events)))
		fail_msg("%zu, then %zu:\n got %.*s\nwant %s", first, then,
		    SPAN_FMT(buf_view(&l.text)), events);
	assert_true(sse_is_between_events(&l.sse));
	leave(&l);
}

/* The same events whole, cut at every place and byte by byte. */
static void
check_max(const char *stream, size_t max, const char *events)
{
	struct span bytes = span_str(stream);

	for (size_t cut = 1; cut <= bytes.n; cut++)
		check_pieces(bytes, max, cut, SIZE_MAX, events);
	check_pieces(bytes, max, 1, 1, events);
	check_pieces(bytes, max, 2, 3, events);
}

static void
check(const char *stream, const char *events)
{
	check_max(stream, 1000, events);
}

static void
an_event_has_a_type_and_lines_of_data(void **state)
{
	(void)state;
	check("data: a\n\n", ":a;");
	check("event: ping\ndata: {}\n\ndata: b\n\n", "ping:{};:b;");
	check("data: a\ndata: b\ndata:\ndata: c\n\n", ":a\nb\n\nc;");
	check("data: a\nevent: x\nid: 7\nretry: 5\nfoo: bar\n\n", "x:a;");
	check("event: a\nevent: b\ndata: x\n\n", "b:x;");
}

static void
lines_end_in_LF_CR_or_CRLF_in_any_mixture(void **state)
{
	(void)state;
	check("data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\n", ":a;:b;:c;:d;");
	check("data: a\rdata: b\r\ndata: c\n\r", ":a\nb\nc;");
	check("data: a\r\r\ndata: b\n\r\n", ":a;:b;");
	check("\r\n\r\r\n\ndata: a\r\n\r\n\r\n", ":a;");
}

static void
one_blank_behind_the_colon_is_not_data(void **state)
{
	(void)state;
	check("data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n", ":a;:a;: a;:\ta;");
	check("data: a: b\n\n", ":a: b;");
	check("data\n\n", ":;");
	check("data:\n\n", ":;");
	check("data\ndata\n\n", ":\n;");
}

static void
comments_and_unknown_fields_are_skipped(void **state)
{
	(void)state;
	check(": keep-alive\n\ndata: a\n: x\ndata: b\n\n:\n\n", ":a\nb;");
	check("Data: a\nDATA: b\ndata : c\n data: d\ndatax: e\n\n", "");
	check("event: lonely\n\ndata: a\n\n", ":a;"); /* no data, no event; its type is forgotten */
}

static void
a_byte_order_mark_is_dropped_once_at_the_start(void **state)
{
	(void)state;
	check("\xef\xbb\xbf"
	      "data: a\n\n",
	    ":a;");
	check("\xef\xbb\xbf\n\ndata: a\n\n", ":a;");
	check("\xef\xbb\xbf\xef\xbb\xbf"
	      "data: a\n\ndata: b\n\n",
	    ":b;");
	check("data: a\n\n\xef\xbb\xbf"
	      "data: b\n\ndata: c\n\n",
	    ":a;:c;");
	check("\xef\xbb"
	      "data: a\n\ndata: b\n\n",
	    ":b;");
}

static void
a_last_event_without_its_blank_line_is_reported(void **state)
{
	(void)state;
	check("data: a\n\ndata: [DONE]", ":a;:[DONE];");
	check("data: a\n\ndata: [DONE]\n", ":a;:[DONE];");
	check("data: a\n\nevent: x", ":a;");
	check("", "");
}

static void
an_event_with_too_much_data_is_cut(void **state)
{
	(void)state;
	check_max("data: 12345678\n\n", 8, ":12345678;");
	check_max("data: 123456789\n\n", 8, ":12345678~;");
	check_max("data: 1234\ndata: 567\n\n", 8, ":1234\n567;");
	check_max("data: 1234\ndata: 5678\n\n", 8, ":1234\n567~;");
	check_max("data: 12345678\ndata:\n\n", 8, ":12345678~;");
	check_max("data: 123456789\ndata: x\n\ndata: y\n\n", 8, ":12345678~;:y;");
	check_max("data: a\n\n", 0, ":~;");
}

static void
a_line_without_end_costs_no_more_than_an_event(void **state)
{
	struct listener l;
	char piece[1000];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	listen(&l, 500);
	feed(&l, SPAN_LIT("data: "));
	for (int i = 0; i < 100; i++)
		feed(&l, span_of(piece, sizeof(piece)));
	assert_true(l.sse.line.cap <= 600);
	feed(&l, SPAN_LIT("\n\ndata: b\n\n:"));
	for (int i = 0; i < 100; i++)
		feed(&l, span_of(piece, sizeof(piece)));
	feed(&l, SPAN_LIT("\ndata: c\n\n"));
	assert_int_equal(buf_len(&l.text), 1 + 500 + 2 + 3 + 3);
	assert_true(span_ends(buf_view(&l.text), SPAN_LIT("x~;:b;:c;")));
	leave(&l);
}

static void
a_long_type_counts_as_none(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	assert_true(
	    buf_printf(&b, "event: %0128d\ndata: a\n\nevent: %0129d\ndata: b\n\n%c", 0, 0, 0));
	for (size_t step = 1; step < 400; step += 13) {
		struct listener l;
		struct span rest = span_str(buf_view(&b).p);

		listen(&l, 1000);
		for (; rest.n > 0; rest = span_skip(rest, step))
			feed(&l, span_head(rest, step));
		assert_int_equal(buf_len(&l.text), 128 + 3 + 3);
		assert_true(span_ends(buf_view(&l.text), SPAN_LIT("0:a;:b;")));
		leave(&l);
	}
	buf_fini(&b);
}

static void
the_stream_may_end_only_between_events(void **state)
{
	struct listener l;

	(void)state;
	listen(&l, 100);
	assert_true(sse_is_between_events(&l.sse));
	feed(&l, SPAN_LIT("d"));
	assert_false(sse_is_between_events(&l.sse));
	feed(&l, SPAN_LIT("ata: x\n"));
	assert_false(sse_is_between_events(&l.sse));
	feed(&l, SPAN_LIT("\r"));
	assert_true(sse_is_between_events(&l.sse));
	feed(&l, SPAN_LIT("\n: comment\n"));
	assert_true(sse_is_between_events(&l.sse));
	feed(&l, SPAN_LIT("event: x\n"));
	assert_false(sse_is_between_events(&l.sse));
	feed(&l, SPAN_LIT("\n"));
	assert_true(sse_is_between_events(&l.sse));
	assert_int_equal(l.sse.n_events, 1);
	leave(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_event_has_a_type_and_lines_of_data),
	    cmocka_unit_test(lines_end_in_LF_CR_or_CRLF_in_any_mixture),
	    cmocka_unit_test(one_blank_behind_the_colon_is_not_data),
	    cmocka_unit_test(comments_and_unknown_fields_are_skipped),
	    cmocka_unit_test(a_byte_order_mark_is_dropped_once_at_the_start),
	    cmocka_unit_test(a_last_event_without_its_blank_line_is_reported),
	    cmocka_unit_test(an_event_with_too_much_data_is_cut),
	    cmocka_unit_test(a_line_without_end_costs_no_more_than_an_event),
	    cmocka_unit_test(a_long_type_counts_as_none),
	    cmocka_unit_test(the_stream_may_end_only_between_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
