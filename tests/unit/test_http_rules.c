/* The rules of HTTP/1 that a parser decides, one row each (security.md 1.3), on both sides. Every
 * row is read whole, cut at every place and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http_transcript.h"

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define NUL '\001' /* stands for a NUL byte in a row */

struct row {
	const char *name;
	const char *bytes;
	const char *end; /* how the transcript ends: an error's word, or "end" */
};

static struct span
bytes_of(const struct row *row, char *copy, size_t size)
{
	size_t n = strlen(row->bytes);

	assert_true(n < size);
	for (size_t i = 0; i < n; i++)
		copy[i] = row->bytes[i] == NUL ? '\0' : row->bytes[i];
	return span_of(copy, n);
}

static void
check_row(struct transcript *t, const struct row *row)
{
	char copy[1024], want[64], whole[1024];
	struct span bytes = bytes_of(row, copy, sizeof(copy)), text;
	size_t n = (size_t)snprintf(want, sizeof(want), "|%s\n", row->end);

	text = transcribe(t, bytes, SIZE_MAX, SIZE_MAX);
	if (!span_ends(text, span_of(want, n)))
		fail_msg("%s: got %.*s", row->name, SPAN_FMT(text));
	snprintf(whole, sizeof(whole), "%.*s", SPAN_FMT(text));
	for (size_t cut = 0; cut < bytes.n; cut++) {
		text = transcribe(t, bytes, cut == 0 ? 1 : cut, cut == 0 ? 1 : SIZE_MAX);
		if (!span_eq(text, span_str(whole)))
			fail_msg("%s: cut at %zu: got %.*s, whole %s", row->name, cut,
			    SPAN_FMT(text), whole);
	}
}

static void
check_rows(bool is_response, enum method asked, const struct row *rows, size_t count)
{
	struct transcript t;

	transcript_open(&t, is_response, &usual_limits);
	t.asked = asked;
	for (size_t i = 0; i < count; i++)
		check_row(&t, &rows[i]);
	transcript_close(&t);
}

#define CHECK_REQUESTS(rows) check_rows(false, METHOD_OTHER, rows, COUNT_OF(rows))
#define CHECK_RESPONSES(rows, asked) check_rows(true, asked, rows, COUNT_OF(rows))

static void
the_length_of_a_request_is_said_once_and_plainly(void **state)
{
	static const struct row rows[] = {
	    {"one", POST "Content-Length: 5\r\n\r\nhello", "end"},
	    {"blanks around it", POST "Content-Length: \t 5  \r\n\r\nhello", "end"},
	    {"zero", POST "Content-Length: 0\r\n\r\n", "end"},
	    {"two equal", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"bad-framing"},
	    {"two different", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "bad-framing"},
	    {"two, in other case", POST "Content-Length: 5\r\nCONTENT-LENGTH: 5\r\n\r\n",
		"bad-framing"},
	    {"a list", POST "Content-Length: 5, 5\r\n\r\nhello", "bad-framing"},
	    {"a plus", POST "Content-Length: +5\r\n\r\nhello", "bad-framing"},
	    {"a minus", POST "Content-Length: -5\r\n\r\nhello", "bad-framing"},
	    {"hex", POST "Content-Length: 0x5\r\n\r\nhello", "bad-framing"},
	    {"blank inside", POST "Content-Length: 1 5\r\n\r\nhello", "bad-framing"},
	    {"a point", POST "Content-Length: 5.0\r\n\r\nhello", "bad-framing"},
	    {"empty", POST "Content-Length:\r\n\r\n", "bad-framing"},
	    {"blank", POST "Content-Length:  \r\n\r\n", "bad-framing"},
	    {"leading zeros", POST "Content-Length: 005\r\n\r\nhello", "bad-framing"},
	    {"two zeros", POST "Content-Length: 00\r\n\r\n", "bad-framing"},
	    {"2^63 - 1", POST "Content-Length: 9223372036854775807\r\n\r\n", "client-gone"},
	    {"2^63", POST "Content-Length: 9223372036854775808\r\n\r\n", "bad-framing"},
	    {"2^64 - 1", POST "Content-Length: 18446744073709551615\r\n\r\n", "bad-framing"},
	    {"2^64", POST "Content-Length: 18446744073709551616\r\n\r\n", "bad-framing"},
	    {"2^64 + 5", POST "Content-Length: 18446744073709551621\r\n\r\nhello", "bad-framing"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
names_with_an_underscore_are_left_out_of_a_request(void **state)
{
	struct transcript t;

	(void)state;
	transcript_open(&t, false, &usual_limits);
	assert_true(span_eq(transcribe(&t,
				SPAN_LIT(POST "_: a\r\nX-A: b\r\nx_api_key: c\r\nX-Api_Key: d\r\n"
					      "X-B: e\r\nContent_Type: f\r\n\r\n"),
				7, 7),
	    SPAN_LIT("POST / 1.1 none keep|Host: a|X-A: b|X-B: e|end\n")));
	transcript_close(&t);
	transcript_open(&t, true, &usual_limits);
	assert_true(span_eq(transcribe(&t, SPAN_LIT("HTTP/1.1 204 No\r\nx_a: b\r\nx-b: c\r\n\r\n"),
				SIZE_MAX, SIZE_MAX),
	    SPAN_LIT("204 No 1.1 none keep|x_a: b|x-b: c|end\n")));
	transcript_close(&t);
}

static void
names_that_were_left_out_are_counted(void **state)
{
	struct arena a;
	struct parser *p = parser_new_request(&usual_limits);
	struct span in = SPAN_LIT(POST "x_a: b\r\ny: z\r\nc_d: e\r\n\r\n"), body;

	(void)state;
	arena_init(&a, 65536);
	parser_reset(p, &a, METHOD_OTHER);
	assert_int_equal(parser_next(p, &in, &body), PARSE_HEAD);
	assert_int_equal(parser_request(p)->dropped, 2);
	assert_int_equal(parser_request(p)->headers.n, 2);
	parser_free(p);
	arena_fini(&a);
}

static void
a_request_is_chunked_or_it_is_not(void **state)
{
	static const struct row rows[] = {
	    {"chunked", POST CHUNKED "\r\n0\r\n\r\n", "end"},
	    {"in capitals", POST "TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n", "end"},
	    {"length, then chunked", POST "Content-Length: 5\r\n" CHUNKED "\r\n0\r\n\r\n",
		"bad-framing"},
	    {"chunked, then length", POST CHUNKED "Content-Length: 5\r\n\r\n0\r\n\r\n",
		"bad-framing"},
	    {"unknown, then length", POST "Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\n",
		"bad-framing"},
	    {"empty, then length", POST "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
		"bad-framing"},
	    {"length, then empty", POST "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\nhello",
		"bad-framing"},
	    {"empty", POST "Transfer-Encoding: \r\n\r\n", "bad-framing"},
	    {"twice in a list", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"bad-framing"},
	    {"twice", POST CHUNKED CHUNKED "\r\n0\r\n\r\n", "bad-framing"},
	    {"and an empty one", POST CHUNKED "Transfer-Encoding:\r\n\r\n0\r\n\r\n", "bad-framing"},
	    {"an empty one first", POST "Transfer-Encoding:\r\n" CHUNKED "\r\n0\r\n\r\n",
		"bad-framing"},
	    {"identity", POST "Transfer-Encoding: identity\r\n\r\n", "bad-framing"},
	    {"chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"bad-framing"},
	    {"gzip", POST "Transfer-Encoding: gzip\r\n\r\n", "bad-framing"},
	    {"gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"not-implemented"},
	    {"gzip and chunked", POST "Transfer-Encoding: gzip\r\n" CHUNKED "\r\n0\r\n\r\n",
		"bad-framing"},
	    {"xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad-framing"},
	    {"chunkedx", POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", "bad-framing"},
	    {"a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "bad-framing"},
	    {"quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "bad-framing"},
	    {"a vertical tab", POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "bad-request"},
	    {"in 1.0", "POST / HTTP/1.0\r\nHost: a\r\n" CHUNKED "\r\n0\r\n\r\n", "bad-framing"},
	    {"Transfer_Encoding", POST "Transfer_Encoding: chunked\r\n\r\n", "bad-framing"},
	    {"Transfer_Encoding and length",
		POST "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", "bad-framing"},
	    {"Content_Length", POST "CONTENT_length: 5\r\n\r\nhello", "bad-framing"},
	    {"Content__Length", POST "Content__Length: 5\r\n\r\nhello", "bad-framing"},
	    {"Host_", POST "Host_: b\r\n\r\n", "bad-host"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
chunks_are_framed_strictly(void **state)
{
	static const struct row rows[] = {
	    {"a size in capitals", POST CHUNKED "\r\nA\r\n0123456789\r\n0\r\n\r\n", "end"},
	    {"an extension", POST CHUNKED "\r\n1;a=\"\\\"\";b\r\nx\r\n0\r\n\r\n", "end"},
	    {"LF behind the size", POST CHUNKED "\r\n1\nx\r\n0\r\n\r\n", "bad-framing"},
	    {"CR alone behind the size", POST CHUNKED "\r\n1\rx\r\n0\r\n\r\n", "bad-framing"},
	    {"LF behind the data", POST CHUNKED "\r\n1\r\nx\n0\r\n\r\n", "bad-framing"},
	    {"no CRLF behind the data", POST CHUNKED "\r\n1\r\nx0\r\n\r\n", "bad-framing"},
	    {"two bytes too many", POST CHUNKED "\r\n1\r\nxyz\r\n0\r\n\r\n", "bad-framing"},
	    {"0x3", POST CHUNKED "\r\n0x3\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"a sign", POST CHUNKED "\r\n+3\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"a blank behind", POST CHUNKED "\r\n3 \r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"a tab behind", POST CHUNKED "\r\n3\t\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"a blank ahead", POST CHUNKED "\r\n 3\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"no size", POST CHUNKED "\r\n\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"an extension without a name", POST CHUNKED "\r\n3;\r\nabc\r\n0\r\n\r\n",
		"bad-framing"},
	    {"LF in an extension", POST CHUNKED "\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"LF in a quoted extension", POST CHUNKED "\r\n3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
		"bad-framing"},
	    {"NUL in an extension", POST CHUNKED "\r\n3;a\001\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"2^63", POST CHUNKED "\r\n8000000000000000\r\nabc", "bad-framing"},
	    {"2^64 - 1", POST CHUNKED "\r\nffffffffffffffff\r\nabc", "bad-framing"},
	    {"2^64 + 3", POST CHUNKED "\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", "bad-framing"},
	    {"no end of the trailer", POST CHUNKED "\r\n0\r\nX: y\r\n", "client-gone"},
	    {"LF ends the trailer", POST CHUNKED "\r\n0\r\nX: y\n\r\n", "bad-framing"},
	    {"a trailer", POST CHUNKED "\r\n0\r\nX: y\r\n\r\n", "end"},
	    {"a length as a trailer", POST CHUNKED "\r\n0\r\nContent-Length: 3\r\n\r\n",
		"bad-framing"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
lines_end_in_CRLF_and_fields_are_whole(void **state)
{
	static const struct row rows[] = {
	    {"LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "bad-request"},
	    {"CR ends the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "bad-request"},
	    {"LF ends a field", GET "Host: a\nX: y\r\n\r\n", "bad-request"},
	    {"LF ends the head", GET "Host: a\r\n\n", "bad-request"},
	    {"CR ends the head", GET "Host: a\r\n\rX", "bad-request"},
	    {"CR in a value", GET "Host: a\r\nX: y\rz\r\n\r\n", "bad-request"},
	    {"NUL in a value", GET "Host: a\r\nX: y\001z\r\n\r\n", "bad-request"},
	    {"a control character in a value", GET "Host: a\r\nX: y\033z\r\n\r\n", "bad-request"},
	    {"DEL in a value", GET "Host: a\r\nX: y\177z\r\n\r\n", "bad-request"},
	    {"bytes over 127 in a value", GET "Host: a\r\nX: caf\303\251\r\n\r\n", "end"},
	    {"a folded field", GET "Host: a\r\nX: y\r\n z\r\n\r\n", "bad-request"},
	    {"a folded empty field", GET "Host: a\r\nX:\r\n\tz\r\n\r\n", "bad-request"},
	    {"a blank before the first field", GET " Host: a\r\n\r\n", "bad-request"},
	    {"a blank before the colon", GET "Host : a\r\n\r\n", "bad-request"},
	    {"a tab before the colon", GET "Host: a\r\nX\t: a\r\n\r\n", "bad-request"},
	    {"a blank in a name", GET "Host: a\r\nX Y: a\r\n\r\n", "bad-request"},
	    {"an empty name", GET "Host: a\r\n: x\r\n\r\n", "bad-request"},
	    {"no colon", GET "Host: a\r\nX\r\n\r\n", "bad-request"},
	    {"NUL in a name", GET "Host: a\r\nX\001: y\r\n\r\n", "bad-request"},
	    {"bytes over 127 in a name", GET "Host: a\r\n\303\251: y\r\n\r\n", "bad-request"},
	    {"brackets in a name", GET "Host: a\r\nX(y): z\r\n\r\n", "bad-request"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
a_request_names_one_host(void **state)
{
	static const struct row rows[] = {
	    {"a name", GET "Host: api.example.com\r\n\r\n", "end"},
	    {"a port", GET "Host: localhost:8787\r\n\r\n", "end"},
	    {"an address", GET "Host: 127.0.0.1:80\r\n\r\n", "end"},
	    {"an IPv6 address", GET "Host: [::1]:8787\r\n\r\n", "end"},
	    {"'_' as in container names", GET "Host: my_service:80\r\n\r\n", "end"},
	    {"none", GET "X: y\r\n\r\n", "bad-host"},
	    {"none in 1.0", "GET / HTTP/1.0\r\n\r\n", "end"},
	    {"two", GET "Host: a\r\nHost: b\r\n\r\n", "bad-host"},
	    {"two equal", GET "Host: a\r\nhost: a\r\n\r\n", "bad-host"},
	    {"two in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "bad-host"},
	    {"empty", GET "Host:\r\n\r\n", "bad-host"},
	    {"a path", GET "Host: a/b\r\n\r\n", "bad-host"},
	    {"userinfo", GET "Host: u@a\r\n\r\n", "bad-host"},
	    {"a comma", GET "Host: a, b\r\n\r\n", "bad-host"},
	    {"a blank", GET "Host: a b\r\n\r\n", "bad-host"},
	    {"an empty port", GET "Host: a:\r\n\r\n", "bad-host"},
	    {"port 65535", GET "Host: a:65535\r\n\r\n", "end"},
	    {"port 65536", GET "Host: a:65536\r\n\r\n", "bad-host"},
	    {"letters as a port", GET "Host: a:b\r\n\r\n", "bad-host"},
	    {"an open bracket", GET "Host: [::1\r\n\r\n", "bad-host"},
	    {"text behind the bracket", GET "Host: [::1]x\r\n\r\n", "bad-host"},
	    {"a backslash", GET "Host: a\\b\r\n\r\n", "bad-host"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
only_HTTP_1_0_and_1_1_are_spoken(void **state)
{
	static const struct row rows[] = {
	    {"1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "end"},
	    {"1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "end"},
	    {"0.9, no version", "GET /\r\n\r\n", "bad-version"},
	    {"0.9, no version, fields", "GET /\r\nHost: a\r\n\r\n", "bad-version"},
	    {"0.9, LF", "GET /\n\n", "bad-version"},
	    {"0.9, spelt", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "bad-version"},
	    {"1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "bad-version"},
	    {"1.x", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", "bad-version"},
	    {"2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "bad-version"},
	    {"3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "bad-version"},
	    {"1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "bad-request"},
	    {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad-version"},
	    {"http in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"RTSP", "OPTIONS / RTSP/1.0\r\nHost: a\r\n\r\n", "bad-request"},
	    {"ICE", "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", "bad-request"},
	    {"no slash", "GET / HTTP1.1\r\nHost: a\r\n\r\n", "bad-request"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
a_request_line_has_one_target_that_is_a_path(void **state)
{
	static const struct row rows[] = {
	    {"a query", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", "bad-path"},
	    {"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-path"},
	    {"GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "end"},
	    {"OPTIONS *x", "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"absolute", "GET http://a:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n", "end"},
	    {"absolute in other case", "GET HTTP://A/x HTTP/1.1\r\nHost: a\r\n\r\n", "end"},
	    {"absolute without a path", "GET https://a HTTP/1.1\r\nHost: a\r\n\r\n", "end"},
	    {"absolute, another host", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-host"},
	    {"absolute, another port", "GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-host"},
	    {"absolute with userinfo", "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"bad-request"},
	    {"absolute without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"absolute without Host", "GET http://a/x HTTP/1.1\r\n\r\n", "bad-host"},
	    {"another scheme", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"no slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"an authority", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"two blanks ahead", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"two blanks behind", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"a blank at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad-request"},
	    {"a tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"a blank inside", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"NUL", "GET /\001 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"a byte over 127", "GET /\303\251 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "not-implemented"},
	    {"a method in small letters", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "not-implemented"},
	    {"a known method and more", "GETS / HTTP/1.1\r\nHost: a\r\n\r\n", "not-implemented"},
	    {"a method in quotes", "\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"a blank for a method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request"},
	    {"TLS", "\026\003\003 hello", "bad-request"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
CONNECT_and_TRACE_are_refused(void **state)
{
	static const struct row rows[] = {
	    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "method-not-allowed"},
	    {"CONNECT /", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "method-not-allowed"},
	    {"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "method-not-allowed"},
	    {"TRACE without Host", "TRACE / HTTP/1.1\r\n\r\n", "method-not-allowed"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

static void
Expect_is_100_continue_or_refused(void **state)
{
	static const struct row rows[] = {
	    {"none", POST "\r\n", "end"},
	    {"100-continue", POST "Expect: 100-Continue\r\nContent-Length: 0\r\n\r\n", "end"},
	    {"another", POST "Expect: something\r\n\r\n", "expectation-failed"},
	    {"empty", POST "Expect:\r\n\r\n", "expectation-failed"},
	    {"two", POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
		"expectation-failed"},
	    {"another in 1.0", "GET / HTTP/1.0\r\nExpect: something\r\n\r\n", "end"},
	};

	(void)state;
	CHECK_REQUESTS(rows);
}

/* -- what a good head says -- */

static void
says(bool is_response, const char *bytes, const char *start)
{
	struct transcript t;
	struct span text;

	transcript_open(&t, is_response, &usual_limits);
	text = transcribe(&t, span_str(bytes), SIZE_MAX, SIZE_MAX);
	if (!span_starts(text, span_str(start)) || text.p[strlen(start)] != '|')
		fail_msg("%s: got %.*s", bytes, SPAN_FMT(text));
	transcript_close(&t);
}

static void
a_request_says_whether_the_connection_stays(void **state)
{
	(void)state;
	says(false, GET "Host: a\r\n\r\n", "GET / 1.1 none keep");
	says(false, GET "Host: a\r\nConnection: close\r\n\r\n", "GET / 1.1 none");
	says(false, GET "Host: a\r\nConnection: close\t\r\n\r\n", "GET / 1.1 none");
	says(false, GET "Host: a\r\nConnection: x,\tCLOSE\t,y\r\n\r\n", "GET / 1.1 none");
	says(false, GET "Host: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
	    "GET / 1.1 none");
	says(false, GET "Host: a\r\nConnection: closed\r\n\r\n", "GET / 1.1 none keep");
	says(false, "GET / HTTP/1.0\r\nX: y\r\n\r\n", "GET / 1.0 none");
	says(false, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 none keep");
	says(false, "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / 1.0 none");
}

static void
a_request_says_whether_it_waits_or_upgrades(void **state)
{
	(void)state;
	says(false, POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	    "POST / 1.1 length:0 keep expect");
	says(false, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	    "POST / 1.0 length:0");
	says(false, POST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
	    "POST / 1.1 none keep upgrade");
	says(false, POST "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
	    "POST / 1.1 length:0 keep upgrade");
	says(false,
	    POST "Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "0\r\n\r\n",
	    "POST / 1.1 chunked keep upgrade");
	says(false, POST "Upgrade: websocket\r\n\r\n", "POST / 1.1 none keep");
	says(false, POST "Connection: upgrade\r\n\r\n", "POST / 1.1 none keep");
	says(false, "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	    "GET / 1.0 none");
}

/* -- responses -- */

static void
the_length_of_a_response_is_said_once_and_plainly(void **state)
{
	static const struct row rows[] = {
	    {"length", OK "Content-Length: 2\r\n\r\n{}", "end"},
	    {"chunked", OK CHUNKED "\r\n2\r\n{}\r\n0\r\n\r\n", "end"},
	    {"neither", OK "\r\n{}", "end"},
	    {"both", OK "Content-Length: 2\r\n" CHUNKED "\r\n{}", "upstream-protocol"},
	    {"both, the other way", OK CHUNKED "Content-Length: 2\r\n\r\n{}", "upstream-protocol"},
	    {"two lengths", OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"upstream-protocol"},
	    {"a list", OK "Content-Length: 2, 2\r\n\r\n{}", "upstream-protocol"},
	    {"leading zero", OK "Content-Length: 02\r\n\r\n{}", "upstream-protocol"},
	    {"a sign", OK "Content-Length: +2\r\n\r\n{}", "upstream-protocol"},
	    {"empty", OK "Content-Length:\r\n\r\n{}", "upstream-protocol"},
	    {"2^64 - 1", OK "Content-Length: 18446744073709551615\r\n\r\n", "upstream-protocol"},
	    {"TE: gzip", OK "Transfer-Encoding: gzip\r\n\r\n{}", "upstream-protocol"},
	    {"TE: gzip, chunked", OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"upstream-protocol"},
	    {"TE: identity", OK "Transfer-Encoding: identity\r\n\r\n{}", "upstream-protocol"},
	    {"TE: empty", OK "Transfer-Encoding:\r\n\r\n{}", "upstream-protocol"},
	    {"TE: chunked twice", OK CHUNKED CHUNKED "\r\n0\r\n\r\n", "upstream-protocol"},
	    {"TE: chunked and a tab, which llhttp takes for none",
		OK "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", "upstream-protocol"},
	    {"TE in 1.0", "HTTP/1.0 200 OK\r\n" CHUNKED "\r\n0\r\n\r\n", "upstream-protocol"},
	    {"a bad chunk size", OK CHUNKED "\r\nx\r\n", "upstream-protocol"},
	    {"no CRLF behind a chunk", OK CHUNKED "\r\n1\r\nab0\r\n\r\n", "upstream-protocol"},
	};

	(void)state;
	CHECK_RESPONSES(rows, METHOD_POST);
}

static void
a_status_line_is_whole(void **state)
{
	static const struct row rows[] = {
	    {"a status nobody knows", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", "end"},
	    {"LF ends it", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "upstream-protocol"},
	    {"LF ends it, no reason", "HTTP/1.1 200\nContent-Length: 0\r\n\r\n",
		"upstream-protocol"},
	    {"CR ends it", "HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n", "upstream-protocol"},
	    {"NUL in the reason", "HTTP/1.1 200 O\001K\r\nContent-Length: 0\r\n\r\n",
		"upstream-protocol"},
	    {"ESC in the reason", "HTTP/1.1 200 O\033K\r\nContent-Length: 0\r\n\r\n",
		"upstream-protocol"},
	    {"other bytes in the reason",
		"HTTP/1.1 200 d\303\251j\303\240\tvu\r\nContent-Length: 0\r\n\r\n", "end"},
	    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", "upstream-protocol"},
	    {"four digits", "HTTP/1.1 2000 OK\r\n\r\n", "upstream-protocol"},
	    {"under 100", "HTTP/1.1 099 OK\r\n\r\n", "upstream-protocol"},
	    {"letters", "HTTP/1.1 abc OK\r\n\r\n", "upstream-protocol"},
	    {"two blanks", "HTTP/1.1  200 OK\r\n\r\n", "upstream-protocol"},
	    {"no blank", "HTTP/1.1200 OK\r\n\r\n", "upstream-protocol"},
	    {"a blank ahead", " HTTP/1.1 200 OK\r\n\r\n", "upstream-protocol"},
	    {"an empty line ahead", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"upstream-protocol"},
	    {"version 2.0", "HTTP/2.0 200 OK\r\n\r\n", "upstream-protocol"},
	    {"version 0.9", "HTTP/0.9 200 OK\r\n\r\n", "upstream-protocol"},
	    {"RTSP", "RTSP/1.0 200 OK\r\n\r\n", "upstream-protocol"},
	    {"ICE", "ICE/1.0 200 OK\r\n\r\n", "upstream-protocol"},
	    {"none at all", "{\"error\": 1}", "upstream-protocol"},
	    {"a request", "GET / HTTP/1.1\r\n\r\n", "upstream-protocol"},
	    {"a folded field", OK "X: y\r\n z\r\n\r\n", "upstream-protocol"},
	    {"a blank before the colon", OK "X : y\r\n\r\n", "upstream-protocol"},
	};

	(void)state;
	CHECK_RESPONSES(rows, METHOD_POST);
}

static void
some_responses_have_no_body_whatever_they_say(void **state)
{
	(void)state;
	says(true, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
	    "204 No Content 1.1 none keep");
	says(true, "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
	    "304 Not Modified 1.1 none keep");
	says(
	    true, "HTTP/1.1 304 Not Modified\r\n" CHUNKED "\r\n", "304 Not Modified 1.1 none keep");
	says(true, "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n",
	    "103 Early Hints 1.1 none keep");
	says(true, "HTTP/1.1 101 Switching Protocols\r\n" CHUNKED "\r\n",
	    "101 Switching Protocols 1.1 none keep");
}

static void
a_response_to_HEAD_has_no_body(void **state)
{
	static const struct row rows[] = {
	    {"length", OK "Content-Length: 1000\r\n\r\n", "end"},
	    {"chunked", OK CHUNKED "\r\n", "end"},
	    {"neither", OK "X: y\r\n\r\n", "end"},
	    {"two, one behind the other", OK "Content-Length: 5\r\n\r\n" OK CHUNKED "\r\n", "end"},
	};

	(void)state;
	CHECK_RESPONSES(rows, METHOD_HEAD);
}

static void
a_response_says_whether_the_connection_stays(void **state)
{
	(void)state;
	says(true, OK "Content-Length: 0\r\n\r\n", "200 OK 1.1 length:0 keep");
	says(true, OK "Content-Length: 0\r\nConnection: close\t\r\n\r\n", "200 OK 1.1 length:0");
	says(true, OK "Connection: keep-alive\r\n\r\n", "200 OK 1.1 close");
	says(true, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK 1.0 length:0");
	says(true, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
	    "200 OK 1.0 length:0 keep");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_length_of_a_request_is_said_once_and_plainly),
	    cmocka_unit_test(names_with_an_underscore_are_left_out_of_a_request),
	    cmocka_unit_test(names_that_were_left_out_are_counted),
	    cmocka_unit_test(a_request_is_chunked_or_it_is_not),
	    cmocka_unit_test(chunks_are_framed_strictly),
	    cmocka_unit_test(lines_end_in_CRLF_and_fields_are_whole),
	    cmocka_unit_test(a_request_names_one_host),
	    cmocka_unit_test(only_HTTP_1_0_and_1_1_are_spoken),
	    cmocka_unit_test(a_request_line_has_one_target_that_is_a_path),
	    cmocka_unit_test(CONNECT_and_TRACE_are_refused),
	    cmocka_unit_test(Expect_is_100_continue_or_refused),
	    cmocka_unit_test(a_request_says_whether_the_connection_stays),
	    cmocka_unit_test(a_request_says_whether_it_waits_or_upgrades),
	    cmocka_unit_test(the_length_of_a_response_is_said_once_and_plainly),
	    cmocka_unit_test(a_status_line_is_whole),
	    cmocka_unit_test(some_responses_have_no_body_whatever_they_say),
	    cmocka_unit_test(a_response_to_HEAD_has_no_body),
	    cmocka_unit_test(a_response_says_whether_the_connection_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
