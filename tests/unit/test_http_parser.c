#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/parser_int.h"
#include "http_transcript.h"

#define CHUNKED_A "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"

/* What a parser says about `bytes`: the same whole, cut at every place, and byte by byte. */
static void
check(bool is_response, enum method asked, struct span bytes, const char *expected)
{
	struct transcript t;

	transcript_open(&t, is_response, &usual_limits);
	t.asked = asked;
	for (size_t cut = 1; cut <= bytes.n; cut++) {
		struct span text = transcribe(&t, bytes, cut, SIZE_MAX);

		if (!span_eq(text, span_str(expected)))
			fail_msg("cut at %zu of %zu:\n got: %.*s\nwant: %s", cut, bytes.n,
			    SPAN_FMT(text), expected);
	}
	assert_true(span_eq(transcribe(&t, bytes, 1, 1), span_str(expected)));
	transcript_close(&t);
}

static void
request(const char *bytes, const char *expected)
{
	check(false, METHOD_OTHER, span_str(bytes), expected);
}

static void
response(const char *bytes, const char *expected)
{
	check(true, METHOD_POST, span_str(bytes), expected);
}

static void
reads_a_request_without_a_body(void **state)
{
	(void)state;
	request("GET /v1/models?a=%2F HTTP/1.1\r\nHost: a\r\nX-Two:  b c \t\r\nX-None:\r\n\r\n",
	    "GET /v1/models?a=%2F 1.1 none keep|Host: a|X-Two: b c|X-None: |end\n");
}

static void
reads_a_body_of_known_length(void **state)
{
	(void)state;
	request("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	    "POST /x 1.1 length:5 keep|Host: a|Content-Length: 5|> hello|end\n");
	request("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	    "POST /x 1.1 length:0 keep|Host: a|Content-Length: 0|end\n");
}

static void
reads_chunks_and_drops_extensions_and_trailers(void **state)
{
	(void)state;
	request("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n00A;a=b;c=\"d\\\"e\"\r\n, world...\r\n0\r\n\r\n",
	    "POST /x 1.1 chunked keep|Host: a|Transfer-Encoding: chunked|> hello, world...|end\n");
	request("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
		"1\r\n\n\r\n0;x\r\nAuthorization: Bearer evil\r\nHost: evil\r\nX: \r\n\r\n"
		"GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
	    "POST /x 1.1 chunked keep|Host: a|Transfer-Encoding: CHUNKED|> \n|end\n"
	    "GET /next 1.1 none keep|Host: a|end\n");
}

static void
pipelined_requests_come_one_after_the_other(void **state)
{
	(void)state;
	request("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
		"\r\n\r\n" /* empty lines ahead are fine: RFC 9112 2.2 */
		"DELETE /3 HTTP/1.1\r\nHost: b\r\n\r\n",
	    "GET /1 1.1 none keep|Host: a|end\n"
	    "POST /2 1.1 length:2 keep|Host: a|Content-Length: 2|> ab|end\n"
	    "DELETE /3 1.1 none keep|Host: b|end\n");
}

/* The parser hands back what is behind the message, whatever it is. */
static void
nothing_behind_the_end_is_looked_at(void **state)
{
	static const char *const messages[] = {
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	    "POST / HTTP/1.1\r\nHost: a\r\n" CHUNKED_A,
	    "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" CHUNKED_A,
	};
	struct parser *p = parser_new_request(&usual_limits);
	struct arena a;
	struct span in, body;
	char bytes[256];

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < COUNT_OF(messages); i++) {
		size_t n = strlen(messages[i]);
		enum parse_event e;

		in = span_of(bytes,
		    (size_t)snprintf(bytes, sizeof(bytes), "%s%c\x16garbage", messages[i], 0));
		parser_reset(p, &a, METHOD_OTHER);
		do
			e = parser_next(p, &in, &body);
		while (e != PARSE_END && e != PARSE_MORE && e != PARSE_FAILED);
		assert_int_equal(e, PARSE_END);
		assert_ptr_equal(in.p, bytes + n);
		assert_int_equal(parser_next(p, &in, &body), PARSE_END);
		assert_ptr_equal(in.p, bytes + n);
	}
	arena_fini(&a);
	parser_free(p);
}

static void
the_method_is_known_by_number_and_kept_as_text(void **state)
{
	static const struct {
		const char *text;
		enum method method;
	} rows[] = {{"GET", METHOD_GET}, {"HEAD", METHOD_HEAD}, {"POST", METHOD_POST},
	    {"PUT", METHOD_PUT}, {"PATCH", METHOD_PATCH}, {"DELETE", METHOD_DELETE},
	    {"OPTIONS", METHOD_OPTIONS}, {"PROPFIND", METHOD_OTHER}, {"QUERY", METHOD_OTHER}};
	struct parser *p = parser_new_request(&usual_limits);
	struct arena a;
	struct span in, body;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		in = arena_printf(&a, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].text);
		parser_reset(p, &a, METHOD_OTHER);
		assert_int_equal(parser_next(p, &in, &body), PARSE_HEAD);
		assert_int_equal(parser_request(p)->method, rows[i].method);
		assert_true(span_eq(parser_request(p)->method_text, span_str(rows[i].text)));
	}
	arena_fini(&a);
	parser_free(p);
}

static void
reads_responses(void **state)
{
	(void)state;
	response("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
	    "200 OK 1.1 length:2 keep|Content-Length: 2|> {}|end\n");
	response("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
	    "404  1.1 length:0 keep|Content-Length: 0|end\n");
	response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	    "200  1.1 length:0 keep|Content-Length: 0|end\n");
	response(
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: v\r\n\r\n",
	    "200 OK 1.1 chunked keep|Transfer-Encoding: chunked|> abc|end\n");
	response("HTTP/1.0 200 OK\r\n\r\nabc", "200 OK 1.0 close|> abc|end\n");
	response("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
	    "200 OK 1.1 close|Connection: keep-alive|end\n");
}

static void
informational_responses_come_before_the_final_one(void **state)
{
	(void)state;
	response("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
		 "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
	    "100 Continue 1.1 none keep|end\n103 Early Hints 1.1 none keep|Link: <a>|end\n"
	    "201 Created 1.1 length:1 keep|Content-Length: 1|> x|end\n");
	response(
	    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	    "101 Switching Protocols 1.1 none keep|Connection: upgrade|Upgrade: websocket|end\n");
}

static void
a_stream_that_ends_early_is_cut(void **state)
{
	(void)state;
	request("GET / HT", "|client-gone\n");
	request("GET / HTTP/1.1\r\nHost: a\r\n", "|client-gone\n");
	request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
	    "POST / 1.1 length:3 keep|Host: a|Content-Length: 3|> ab|client-gone\n");
	response("HTTP/1.1 200 OK\r\nContent-", "|upstream-closed\n");
	response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	    "200 OK 1.1 chunked keep|Transfer-Encoding: chunked|> abc|upstream-closed\n");
	response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	    "200 OK 1.1 chunked keep|Transfer-Encoding: chunked|> abc|upstream-closed\n");
}

static void
the_end_between_messages_is_no_failure(void **state)
{
	struct parser *p = parser_new_request(&usual_limits);
	struct arena a;
	struct span in = SPAN_LIT("\r\n"), body;

	(void)state;
	arena_init(&a, 1 << 16);
	parser_reset(p, &a, METHOD_OTHER);
	assert_int_equal(parser_finish(p), PARSE_MORE);
	assert_false(parser_has_begun(p));
	assert_int_equal(parser_next(p, &in, &body), PARSE_MORE);
	assert_false(parser_has_begun(p)); /* an empty line is not of the message */
	assert_int_equal(parser_finish(p), PARSE_MORE);
	in = SPAN_LIT("G");
	assert_int_equal(parser_next(p, &in, &body), PARSE_MORE);
	assert_true(parser_has_begun(p));
	assert_int_equal(parser_finish(p), PARSE_FAILED);
	parser_reset(p, &a, METHOD_OTHER);
	in = SPAN_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(parser_next(p, &in, &body), PARSE_HEAD);
	assert_int_equal(parser_next(p, &in, &body), PARSE_END);
	assert_int_equal(parser_finish(p), PARSE_MORE);
	arena_fini(&a);
	parser_free(p);
}

/* -- limits: each just under and just over -- */

static void
check_limit(const struct parser_limits *limits, struct span bytes, const char *word)
{
	struct transcript t;
	struct span text;

	transcript_open(&t, false, limits);
	for (size_t step = 1; step < bytes.n * 2; step = step * 3 + 1) {
		text = transcribe(&t, bytes, step, step);
		assert_true(span_ends(text, span_str(word)));
		if (!span_eq(span_str(word), SPAN_LIT("|end\n")))
			assert_false(span_contains_nocase(text, SPAN_LIT("HTTP")));
	}
	transcript_close(&t);
}

/* "GET /aaa... HTTP/1.1" of `line` bytes and padding up to a head of `total` bytes. */
static struct span
sized_head(struct arena *a, size_t line, size_t total)
{
	struct buf b;
	struct span s;

	buf_init(&b, 1 << 17);
	assert_true(buf_printf(&b, "GET /%0*d HTTP/1.1\r\nHost: a\r\n", (int)line - 14, 0));
	if (total > 0)
		assert_true(buf_printf(&b, "P: %0*d\r\n", (int)(total - buf_len(&b)) - 7, 0));
	assert_true(buf_put(&b, "\r\n", 2));
	s = arena_dup(a, buf_view(&b));
	buf_fini(&b);
	return s;
}

static void
the_request_line_has_a_limit(void **state)
{
	struct parser_limits limits = {8192, 100, 100};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	check_limit(&limits, sized_head(&a, 100, 0), "|end\n");
	check_limit(&limits, sized_head(&a, 101, 0), "|uri-too-long\n");
	check_limit(&limits, sized_head(&a, 102, 0), "|uri-too-long\n");
	check_limit(&limits, sized_head(&a, 5000, 0), "|uri-too-long\n");
	check_limit(&usual_limits, sized_head(&a, 8192, 0), "|end\n");
	check_limit(&usual_limits, sized_head(&a, 8193, 0), "|uri-too-long\n");
	arena_fini(&a);
}

static void
the_head_has_a_limit_to_the_byte(void **state)
{
	struct parser_limits limits = {1000, 100, 100};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(sized_head(&a, 100, 1000).n, 1000);
	check_limit(&limits, sized_head(&a, 100, 999), "|end\n");
	check_limit(&limits, sized_head(&a, 100, 1000), "|end\n");
	check_limit(&limits, sized_head(&a, 100, 1001), "|headers-too-large\n");
	check_limit(&usual_limits, sized_head(&a, 100, 32768), "|end\n");
	check_limit(&usual_limits, sized_head(&a, 100, 32769), "|headers-too-large\n");
	arena_fini(&a);
}

/* Blanks that are dropped, and empty lines ahead, count as they arrive. */
static void
bytes_that_leave_no_trace_count_too(void **state)
{
	struct parser_limits limits = {200, 100, 100};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	check_limit(&limits, arena_printf(&a, "GET / HTTP/1.1\r\nHost:%*sa\r\n\r\n", 200 - 26, ""),
	    "|end\n");
	check_limit(&limits, arena_printf(&a, "GET / HTTP/1.1\r\nHost:%*sa\r\n\r\n", 200 - 25, ""),
	    "|headers-too-large\n");
	arena_fini(&a);
}

static void
empty_lines_ahead_count_too(void **state)
{
	struct parser_limits limits = {227, 100, 100};
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (int n = 0; n < 100; n++)
		assert_true(buf_put(&b, "\r\n", 2));
	assert_true(buf_printf(&b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_int_equal(buf_len(&b), limits.header_size);
	check_limit(&limits, buf_view(&b), "|end\n");
	limits.header_size--;
	check_limit(&limits, buf_view(&b), "|headers-too-large\n");
	buf_fini(&b);
}

static void
the_number_of_fields_has_a_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 16);
	for (int n = 100; n <= 101; n++) {
		buf_reset(&b);
		assert_true(buf_printf(&b, "GET / HTTP/1.1\r\nHost: a\r\n"));
		for (int i = 1; i < n; i++)
			assert_true(buf_printf(&b, "x%d:\r\n", i));
		assert_true(buf_put(&b, "\r\n", 2));
		check_limit(
		    &usual_limits, buf_view(&b), n == 100 ? "|end\n" : "|headers-too-large\n");
	}
	buf_cut(&b, buf_len(&b) - 7); /* "x100:" and what is behind it: a bad name counts as such */
	assert_true(buf_printf(&b, "\377:\r\n\r\n"));
	check_limit(&usual_limits, buf_view(&b), "|bad-request\n");
	buf_fini(&b);
}

static void
check_chunked(struct buf *b, const char *word)
{
	check_limit(&usual_limits, buf_view(b), word);
}

static void
begin_chunked(struct buf *b)
{
	buf_reset(b);
	assert_true(
	    buf_printf(b, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

static void
a_chunk_line_has_a_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 16);
	begin_chunked(&b); /* "1;" 1020 bytes CRLF */
	assert_true(buf_printf(&b, "1;%01020d\r\nx\r\n0\r\n\r\n", 0));
	check_chunked(&b, "|end\n");
	begin_chunked(&b);
	assert_true(buf_printf(&b, "1;%01021d\r\nx\r\n0\r\n\r\n", 0));
	check_chunked(&b, "|bad-framing\n");
	begin_chunked(&b); /* zeros ahead of the size */
	assert_true(buf_printf(&b, "%01022d\r\n\r\n", 0));
	check_chunked(&b, "|end\n");
	begin_chunked(&b);
	assert_true(buf_printf(&b, "%01023d\r\n\r\n", 0));
	check_chunked(&b, "|bad-framing\n");
	begin_chunked(&b); /* the last one, behind others */
	assert_true(buf_printf(&b, "1\r\nx\r\n0;%01021d\r\n\r\n", 0));
	check_chunked(&b, "|bad-framing\n");
	buf_fini(&b);
}

static void
chunk_extensions_of_a_message_have_a_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 16);
	for (int n = 16; n <= 17; n++) {
		begin_chunked(&b);
		for (int i = 0; i < n; i++)
			assert_true(buf_printf(&b, "1;%01020d\r\nx\r\n", 0));
		assert_true(buf_printf(&b, "0\r\n\r\n"));
		check_chunked(&b, n == 16 ? "|end\n" : "|bad-framing\n");
	}
	begin_chunked(&b); /* sizes padded with zeros are none: long streams do that */
	for (int i = 0; i < 3000; i++)
		assert_true(buf_printf(&b, "00000001\r\nx\r\n"));
	assert_true(buf_printf(&b, "0\r\n\r\n"));
	check_chunked(&b, "|end\n");
	buf_fini(&b);
}

static void
a_trailer_counts_as_a_head_does(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 17);
	begin_chunked(&b);
	assert_true(buf_printf(&b, "0\r\nX: %0*d\r\n\r\n", 32768 - 7, 0));
	check_chunked(&b, "|end\n");
	begin_chunked(&b);
	assert_true(buf_printf(&b, "0\r\nX: %0*d\r\n\r\n", 32768 - 6, 0));
	check_chunked(&b, "|headers-too-large\n");
	buf_fini(&b);
}

static void
a_full_arena_fails_the_message(void **state)
{
	struct parser *p = parser_new_request(&usual_limits);
	struct arena a;
	struct span in = SPAN_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), body;

	(void)state;
	arena_init(&a, 100);
	parser_reset(p, &a, METHOD_OTHER);
	assert_int_equal(parser_next(p, &in, &body), PARSE_FAILED);
	assert_int_equal(parser_error(p), E_NOMEM);
	assert_int_equal(parser_next(p, &in, &body), PARSE_FAILED);
	arena_fini(&a);
	parser_free(p);
}

/* The text of a head grows in the arena; what was read before moves with it. */
static void
a_head_of_many_sizes_keeps_its_spans(void **state)
{
	struct transcript t;
	struct buf b;
	struct span text;

	(void)state;
	transcript_open(&t, false, &usual_limits);
	buf_init(&b, 1 << 16);
	for (int n = 1; n < 99; n += 7) {
		buf_reset(&b);
		assert_true(buf_printf(&b, "GET /path HTTP/1.1\r\nHost: first\r\n"));
		for (int i = 0; i < n; i++)
			assert_true(buf_printf(&b, "name-%d: %0*d\r\n", i, 10 + i * 2, i));
		assert_true(buf_put(&b, "\r\n", 2));
		text = transcribe(&t, buf_view(&b), 700, 333);
		assert_true(span_starts(
		    text, SPAN_LIT("GET /path 1.1 none keep|Host: first|name-0: 0000000000")));
		assert_true(span_ends(text, SPAN_LIT("|end\n")));
		assert_int_equal(t.used, buf_len(&b));
	}
	buf_fini(&b);
	transcript_close(&t);
}

static void
one_parser_serves_many_messages_without_growing(void **state)
{
	struct parser *p = parser_new_request(&usual_limits);
	struct arena a;
	const struct arena_block *block = NULL;

	(void)state;
	arena_init(&a, 1 << 16);
	for (int i = 0; i < 100; i++) {
		struct span in =
		    SPAN_LIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
		struct span body;

		arena_reset(&a);
		parser_reset(p, &a, METHOD_OTHER);
		assert_int_equal(parser_next(p, &in, &body), PARSE_HEAD);
		assert_int_equal(parser_request(p)->length, 1);
		assert_int_equal(parser_next(p, &in, &body), PARSE_BODY);
		assert_int_equal(parser_next(p, &in, &body), PARSE_END);
		if (i == 0)
			block = a.blocks;
		assert_ptr_equal(a.blocks, block);
	}
	arena_fini(&a);
	parser_free(p);
}

static void
no_lenient_flag_is_ever_set(void **state)
{
	struct parser *p[] = {
	    parser_new_request(&usual_limits), parser_new_response(&usual_limits)};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < COUNT_OF(p); i++) {
		assert_int_equal(p[i]->ll.lenient_flags, 0);
		parser_reset(p[i], &a, METHOD_OTHER);
		assert_int_equal(p[i]->ll.lenient_flags, 0);
		parser_free(p[i]);
	}
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_a_request_without_a_body),
	    cmocka_unit_test(reads_a_body_of_known_length),
	    cmocka_unit_test(reads_chunks_and_drops_extensions_and_trailers),
	    cmocka_unit_test(pipelined_requests_come_one_after_the_other),
	    cmocka_unit_test(nothing_behind_the_end_is_looked_at),
	    cmocka_unit_test(the_method_is_known_by_number_and_kept_as_text),
	    cmocka_unit_test(reads_responses),
	    cmocka_unit_test(informational_responses_come_before_the_final_one),
	    cmocka_unit_test(a_stream_that_ends_early_is_cut),
	    cmocka_unit_test(the_end_between_messages_is_no_failure),
	    cmocka_unit_test(the_request_line_has_a_limit),
	    cmocka_unit_test(the_head_has_a_limit_to_the_byte),
	    cmocka_unit_test(bytes_that_leave_no_trace_count_too),
	    cmocka_unit_test(empty_lines_ahead_count_too),
	    cmocka_unit_test(the_number_of_fields_has_a_limit),
	    cmocka_unit_test(a_chunk_line_has_a_limit),
	    cmocka_unit_test(chunk_extensions_of_a_message_have_a_limit),
	    cmocka_unit_test(a_trailer_counts_as_a_head_does),
	    cmocka_unit_test(a_full_arena_fails_the_message),
	    cmocka_unit_test(a_head_of_many_sizes_keeps_its_spans),
	    cmocka_unit_test(one_parser_serves_many_messages_without_growing),
	    cmocka_unit_test(no_lenient_flag_is_ever_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
