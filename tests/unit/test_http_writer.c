#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http/writer.h"
#include "http_transcript.h"

static void
lines_and_fields_are_written_as_given(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	assert_true(head_put_request_line(&b, SPAN_LIT("POST"), SPAN_LIT("/x?y=%20")));
	assert_true(head_put_field(&b, SPAN_LIT("Host"), SPAN_LIT("a")));
	assert_true(head_put_field(&b, SPAN_LIT("X-None"), SPAN_NONE));
	assert_true(head_put_field_u64(&b, SPAN_LIT("content-length"), UINT64_MAX));
	assert_true(head_put_field_u64(&b, SPAN_LIT("age"), 0));
	assert_true(head_put_end(&b));
	assert_true(span_eq(buf_view(&b),
	    SPAN_LIT("POST /x?y=%20 HTTP/1.1\r\nHost: a\r\nX-None: \r\n"
		     "content-length: 18446744073709551615\r\nage: 0\r\n\r\n")));
	buf_fini(&b);
}

static void
check_status_line(int status, struct span reason, const char *line)
{
	struct buf b;

	buf_init(&b, 1024);
	assert_true(head_put_status_line(&b, status, reason));
	assert_true(span_eq(buf_view(&b), span_str(line)));
	buf_fini(&b);
}

static void
a_status_line_has_the_reason_given_or_the_registered_one(void **state)
{
	(void)state;
	check_status_line(200, SPAN_LIT("Fine"), "HTTP/1.1 200 Fine\r\n");
	check_status_line(200, SPAN_NONE, "HTTP/1.1 200 OK\r\n");
	check_status_line(431, SPAN_NONE, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	check_status_line(100, SPAN_NONE, "HTTP/1.1 100 Continue\r\n");
	check_status_line(599, SPAN_NONE, "HTTP/1.1 599 \r\n");
	check_status_line(999, SPAN_LIT("x"), "HTTP/1.1 999 x\r\n");
	check_status_line(502, SPAN_LIT("a\r\nSet-Cookie: b"), "HTTP/1.1 502 Bad Gateway\r\n");
	assert_int_equal(status_reason(599).n, 0);
	assert_int_equal(status_reason(-1).n, 0);
}

static const struct span line_breakers[] = {{"a\rb", 3}, {"a\nb", 3}, {"a\0b", 3}, {"\r\n\r\n", 4}};

#ifdef CHK_PARANOID
static bool
aborts(struct span name, struct span value)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct buf b;

		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		close(STDERR_FILENO);
		buf_init(&b, 1024);
		_exit(head_put_field(&b, name, value));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
what_would_split_a_head_aborts_a_paranoid_build(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(line_breakers); i++) {
		assert_true(aborts(SPAN_LIT("name"), line_breakers[i]));
		assert_true(aborts(line_breakers[i], SPAN_LIT("value")));
	}
	assert_false(aborts(SPAN_LIT("name"), SPAN_LIT("value")));
}
#define what_would_split_a_head_never_gets_out what_would_split_a_head_aborts_a_paranoid_build
#else
static void
what_would_split_a_head_never_gets_out(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (size_t i = 0; i < COUNT_OF(line_breakers); i++) {
		assert_true(head_put_field(&b, SPAN_LIT("name"), line_breakers[i]));
		assert_true(head_put_field(&b, line_breakers[i], SPAN_LIT("value")));
	}
	assert_true(head_put_field(&b, SPAN_NONE, SPAN_LIT("value")));
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}
#endif

static void
a_request_line_of_more_than_words_is_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	assert_false(head_put_request_line(&b, SPAN_LIT("GET"), SPAN_LIT("/a b")));
	assert_false(head_put_request_line(&b, SPAN_LIT("GET"), SPAN_LIT("/a\r\nX: y")));
	assert_false(head_put_request_line(&b, SPAN_LIT("G T"), SPAN_LIT("/")));
	assert_false(head_put_request_line(&b, SPAN_LIT("GET"), SPAN_NONE));
	assert_false(head_put_request_line(&b, SPAN_NONE, SPAN_LIT("/")));
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

/* Words are looked through eight bytes at a time. */
static void
a_word_is_safe_or_not_by_each_of_its_bytes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (size_t n = 1; n <= 20; n++)
		for (size_t i = 0; i < n * 256; i++) {
			char text[20];
			int c = (int)(i % 256);
			bool is_fine = c != ' ' && c != '\r' && c != '\n' && c != '\0';

			memset(text, 'x', n);
			text[i / 256] = (char)c;
			assert_int_equal(
			    head_put_request_line(&b, span_of(text, n), SPAN_LIT("/")), is_fine);
			buf_reset(&b);
		}
	buf_fini(&b);
}

static void
a_part_that_does_not_fit_is_not_begun(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_false(head_put_field(&b, SPAN_LIT("name"), SPAN_LIT("val")));
	assert_int_equal(buf_len(&b), 0);
	assert_true(head_put_field(&b, SPAN_LIT("name"), SPAN_LIT("va")));
	assert_false(head_put_end(&b));
	assert_false(head_put_status_line(&b, 200, SPAN_NONE));
	assert_int_equal(buf_len(&b), 10);
	buf_fini(&b);
}

static void
a_chunk_line_is_hex_and_CRLF(void **state)
{
	static const struct {
		size_t n;
		const char *line;
	} rows[] = {{1, "1\r\n"}, {15, "f\r\n"}, {16, "10\r\n"}, {255, "ff\r\n"},
	    {4096, "1000\r\n"}, {SIZE_MAX, "ffffffffffffffff\r\n"}};
	char line[CHUNK_LINE_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t n = chunk_line(rows[i].n, line);

		assert_true(span_eq(span_of(line, n), span_str(rows[i].line)));
	}
}

static void
check_round_trip(bool is_response, const char *bytes)
{
	struct transcript t;
	struct arena a;
	struct buf out;
	struct span first;

	arena_init(&a, 1 << 16);
	buf_init(&out, 1 << 16);
	transcript_open(&t, is_response, &usual_limits);
	t.emit = &out;
	first = arena_dup(&a, transcribe(&t, span_str(bytes), SIZE_MAX, SIZE_MAX));
	assert_true(span_ends(first, SPAN_LIT("|end\n")));
	t.emit = NULL;
	assert_true(span_eq(transcribe(&t, buf_view(&out), SIZE_MAX, SIZE_MAX), first));
	transcript_close(&t);
	buf_fini(&out);
	arena_fini(&a);
}

static void
what_is_written_reads_back_the_same(void **state)
{
	(void)state;
	check_round_trip(false,
	    "PATCH /a%2Fb?c=d HTTP/1.1\r\nhost:a:80\r\nX-Blank:   \r\n"
	    "x-two:  b  c \t\r\ncontent-length: 2\r\n\r\n{}"
	    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
	check_round_trip(false,
	    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3;x=y\r\nabc\r\n010\r\n0123456789abcdef\r\n0\r\nT: x\r\n\r\n");
	check_round_trip(true,
	    "HTTP/1.1 200 Very Well\r\nContent-Length: 2\r\n\r\n{}"
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end");
}

/* Wherever in a value it stands. */
static void
only_CR_LF_and_NUL_keep_a_reason_from_being_written(void **state)
{
	char text[20];
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (size_t at = 0; at < sizeof(text); at++)
		for (int c = 0; c < 256; c++) {
			bool is_bad = c == '\r' || c == '\n' || c == '\0';

			memset(text, 'x', sizeof(text));
			text[at] = (char)c;
			buf_reset(&b);
			assert_true(head_put_status_line(&b, 200, span_of(text, sizeof(text))));
			assert_int_equal(
			    span_eq(buf_view(&b), SPAN_LIT("HTTP/1.1 200 OK\r\n")), is_bad);
		}
	buf_fini(&b);
}

/* -- fields that end here -- */

static struct headers
headers_of(struct arena *a, const char *connection)
{
	struct headers h = {0};

	assert_true(headers_add(&h, a, SPAN_LIT("Connection"), span_str(connection)));
	return h;
}

static bool
is_dropped(const char *connection, const char *name)
{
	struct arena a;
	struct headers h;
	bool yes;

	arena_init(&a, 1 << 16);
	h = headers_of(&a, connection);
	assert_true(headers_add(&h, &a, span_str(name), SPAN_LIT("x")));
	yes = is_hop_by_hop(&h, &h.items[1]);
	arena_fini(&a);
	return yes;
}

static void
fields_of_the_hop_are_dropped(void **state)
{
	static const char *const names[] = {"Connection", "Keep-Alive", "Proxy-Connection",
	    "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "TE",
	    "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_true(is_dropped("close", names[i]));
	assert_false(is_dropped("close", "Content-Length"));
	assert_false(is_dropped("close", "X-Close"));
	assert_false(is_dropped("", "X"));
}

static void
fields_that_Connection_names_are_dropped_but_for_those_that_matter(void **state)
{
	(void)state;
	assert_true(is_dropped("close, X-Hop", "x-hop"));
	assert_false(is_dropped("close, X-Hop", "x-hop2"));
	assert_false(is_dropped("authorization", "Authorization"));
	assert_false(is_dropped("content-length", "Content-Length"));
	assert_true(is_dropped("transfer-encoding", "Transfer-Encoding"));
}

static bool
is_forbidden(const char *connection)
{
	struct arena a;
	struct headers h;
	bool yes;

	arena_init(&a, 1 << 16);
	h = headers_of(&a, "close");
	assert_true(headers_add(&h, &a, SPAN_LIT("connection"), span_str(connection)));
	yes = connection_nominates_forbidden(&h);
	arena_fini(&a);
	return yes;
}

static void
a_Connection_that_names_what_must_stay_is_told(void **state)
{
	static const char *const bad[] = {"Host", "Content-Length", "transfer-encoding",
	    "Authorization", "x-api-key", "API-Key", "x-goog-api-key", "cookie", "Cache-Control",
	    "content-type", "anthropic-version", "anthropic-dangerous-new", "OpenAI-Organization",
	    "cf-aig-cache-key", "cf-aig-anything", "cf-skip-cache", "postern-x"};
	static const char *const fine[] = {"", "close", "keep-alive", "Upgrade, HTTP2-Settings",
	    "TE", "X-Anthropic", "x-host", "te , trailers"};
	char list[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		snprintf(list, sizeof(list), "keep-alive,\t%s ", bad[i]);
		if (!is_forbidden(list) || !is_forbidden(bad[i]))
			fail_msg("'%s' may be dropped", bad[i]);
	}
	for (size_t i = 0; i < COUNT_OF(fine); i++)
		assert_false(is_forbidden(fine[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_and_fields_are_written_as_given),
	    cmocka_unit_test(a_status_line_has_the_reason_given_or_the_registered_one),
	    cmocka_unit_test(what_would_split_a_head_never_gets_out),
	    cmocka_unit_test(only_CR_LF_and_NUL_keep_a_reason_from_being_written),
	    cmocka_unit_test(a_request_line_of_more_than_words_is_refused),
	    cmocka_unit_test(a_word_is_safe_or_not_by_each_of_its_bytes),
	    cmocka_unit_test(a_part_that_does_not_fit_is_not_begun),
	    cmocka_unit_test(a_chunk_line_is_hex_and_CRLF),
	    cmocka_unit_test(what_is_written_reads_back_the_same),
	    cmocka_unit_test(fields_of_the_hop_are_dropped),
	    cmocka_unit_test(fields_that_Connection_names_are_dropped_but_for_those_that_matter),
	    cmocka_unit_test(a_Connection_that_names_what_must_stay_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
