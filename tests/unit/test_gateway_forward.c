#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "gateway/forward.h"
#include "gateway/refuse.h"
#include "provider/registry.h"

static struct arena arena;

static struct request_head
request(const char *const *lines)
{
	struct request_head h = {
	    .method = METHOD_POST, .method_text = SPAN_LIT("POST"), .minor = 1};
	for (; *lines != NULL; lines++) {
		struct span line = span_str(*lines);
		size_t colon = span_find(line, ':');
		assert_true(headers_add(&h.headers, &arena, span_head(line, colon),
		    span_trim(span_skip(line, colon + 1))));
	}
	return h;
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static char *
forwarded(const struct request_head *h, const char *query)
{
	static const struct upstream_target to = {
	    .host_header = {"api.example:8443", 16}, .path = {"/v1/a%2Fb", 9}};
	struct buf out;
	buf_init(&out, 65536);
	assert_true(forward_request(&(struct forward_request){.head = h,
					.to = &to,
					.query = span_str(query),
					.framing = BODY_LENGTH,
					.length = 5,
					.via = "me"},
	    &out));
	char *text = span_dup(buf_view(&out));
	buf_fini(&out);
	return text;
}

static void
a_request_goes_on_as_it_came_but_for_the_hop(void **state)
{
	(void)state;
	struct request_head h = request(LINES("Host: gateway", "Authorization: Bearer k",
	    "X-Custom: 1", "x-custom: 2", "Connection: keep-alive, X-Mine", "X-Mine: gone",
	    "Keep-Alive: 5", "Transfer-Encoding: chunked", "TE: trailers", "Upgrade: h2c",
	    "Expect: 100-continue", "Content-Length: 9", "cf-aig-metadata: {}",
	    "CF-AIG-Unknown-Thing: 1", "cf-skip-cache: true", "X-Forwarded-For: 1.2.3.4",
	    "x-forwarded-server: s", "CF-Connecting-IP: 1.2.3.4", "cfg: stays",
	    "Accept-Encoding: br, gzip", "Cache-Control: no-cache",
	    "content-type: application/json"));
	char *text = forwarded(&h, "a=%20&a=b");
	assert_string_equal(text,
	    "POST /v1/a%2Fb?a=%20&a=b HTTP/1.1\r\n"
	    "host: api.example:8443\r\n"
	    "Authorization: Bearer k\r\n"
	    "X-Custom: 1\r\n"
	    "x-custom: 2\r\n"
	    "cfg: stays\r\n"
	    "content-type: application/json\r\n"
	    "accept-encoding: gzip\r\n"
	    "via: 1.1 me\r\n"
	    "content-length: 5\r\n\r\n");
	free(text);
}

static void
other_cache_control_and_an_empty_query_stay(void **state)
{
	(void)state;
	struct request_head h = request(LINES("cache-control: max-age=0"));
	char *text = forwarded(&h, "");
	assert_non_null(strstr(text, "/v1/a%2Fb? HTTP/1.1\r\n"));
	assert_non_null(strstr(text, "cache-control: max-age=0\r\n"));
	free(text);
}

static void
via_is_added_to_and_shows_loops(void **state)
{
	(void)state;
	struct request_head h = request(LINES("Via: 1.1 a", "via: 1.0 b"));
	char *text = forwarded(&h, NULL);
	assert_non_null(strstr(text, "via: 1.1 a, 1.0 b, 1.1 me\r\n"));
	free(text);
	assert_false(is_looping(&h, "me"));
	h = request(LINES("Via: 1.1 a, 1.1 me"));
	assert_true(is_looping(&h, "me"));
	h = request(LINES("CDN-Loop: a; loops=1, me"));
	assert_true(is_looping(&h, "me"));
	assert_false(is_looping(&h, "you"));
}

struct coding_row {
	const char *accept, *coding;
};

static void
codings_are_cut_to_what_we_can_read(void **state)
{
	static const struct coding_row rows[] = {{NULL, "identity"}, {"gzip", "gzip"},
	    {"gzip, deflate, br", "gzip"}, {"br;q=1, GZIP;q=0.5", "gzip"}, {"gzip;q=0", "identity"},
	    {"gzip; q=0.0", "identity"}, {"br", "identity"}, {"*", "identity"}, {"", "identity"},
	    {"x-gzip", "gzip"}};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct request_head h = {0};
		if (rows[i].accept != NULL)
			assert_true(headers_add(&h.headers, &arena, SPAN_LIT("accept-encoding"),
			    span_str(rows[i].accept)));
		assert_true(span_eq(accepted_coding(&h), span_str(rows[i].coding)));
	}
}

static void
an_answer_goes_back_with_our_fields(void **state)
{
	struct response_head r = {.status = 429, .reason = SPAN_LIT("Slow Down"), .minor = 1};
	struct buf out;
	(void)state;
	buf_init(&out, 65536);
	r.headers = request(LINES("Retry-After: 3", "Set-Cookie: a", "set-cookie: b",
				"Connection: close", "Content-Length: 4", "cf-aig-log-id: theirs",
				"x-ratelimit-remaining: 0", "Transfer-Encoding: chunked"))
			.headers;
	assert_true(forward_response(&r,
	    &(struct gateway_fields){.id = "ID",
		.event_id = SPAN_LIT("E"),
		.cache_status = "MISS",
		.age_s = -1,
		.overhead_us = 12,
		.framing = BODY_CHUNKED,
		.keep_alive = true},
	    &out));
	assert_true(span_eq(buf_view(&out),
	    SPAN_LIT(
		"HTTP/1.1 429 Slow Down\r\nRetry-After: 3\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
		"x-ratelimit-remaining: 0\r\ncf-aig-log-id: ID\r\ncf-aig-request-id: ID\r\ncf-aig-event-id: E\r\n"
		"cf-aig-step: 0\r\ncf-aig-cache-status: MISS\r\npostern-overhead-us: 12\r\n"
		"transfer-encoding: chunked\r\n\r\n")));
	buf_fini(&out);
}

static void
an_early_hint_says_nothing_of_framing_and_nothing_in_our_name(void **state)
{
	struct response_head r = {.status = 103, .reason = SPAN_LIT("Early Hints"), .minor = 1};
	struct buf out;
	(void)state;
	buf_init(&out, 65536);
	r.headers = request(LINES("Link: </a>", "Content-Length: 4", "Connection: X-Mine",
				"X-Mine: gone", "postern-error: theirs", "cf-aig-log-id: theirs"))
			.headers;
	assert_true(forward_informational(&r, &out));
	assert_true(
	    span_eq(buf_view(&out), SPAN_LIT("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")));
	buf_fini(&out);
}

static void
connection_says_what_will_happen(void **state)
{
	struct response_head r = {.status = 200, .minor = 1};
	struct gateway_fields f = {.age_s = 7,
	    .overhead_us = -1,
	    .framing = BODY_LENGTH,
	    .length = 0,
	    .keep_alive = false};
	struct buf out;
	(void)state;
	buf_init(&out, 65536);
	assert_true(forward_response(&r, &f, &out));
	assert_true(span_eq(buf_view(&out),
	    SPAN_LIT(
		"HTTP/1.1 200 OK\r\nage: 7\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")));
	buf_reset(&out);
	f.keep_alive = f.is_http10 = true;
	f.age_s = -1;
	assert_true(forward_response(&r, &f, &out));
	assert_true(span_eq(buf_view(&out),
	    SPAN_LIT("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n")));
	buf_fini(&out);
}

static void
an_upgrade_goes_on_without_what_is_for_us(void **state)
{
	static const struct upstream_target to = {.host_header = {"a", 1}, .path = {"/r", 2}};
	struct buf out;
	(void)state;
	buf_init(&out, 65536);
	struct request_head h =
	    request(LINES("Connection: keep-alive, Upgrade", "Upgrade: h2c, websocket",
		"Sec-WebSocket-Key: k==", "Sec-WebSocket-Protocol: realtime , x.y",
		"sec-websocket-protocol: cf-aig-authorization.t, a,CF-AIG-x.y ,b",
		"Sec-WebSocket-Protocol: cf-aig-authorization.u",
		"Sec-WebSocket-Extensions: permessage-deflate"));
	assert_true(forward_request(
	    &(struct forward_request){.head = &h, .to = &to, .via = "me", .is_websocket = true},
	    &out));
	char *text = span_dup(buf_view(&out));
	assert_string_equal(text,
	    "POST /r HTTP/1.1\r\nhost: a\r\nSec-WebSocket-Key: k==\r\n"
	    "Sec-WebSocket-Protocol: realtime , x.y\r\nsec-websocket-protocol: a, b\r\n"
	    "Sec-WebSocket-Extensions: permessage-deflate\r\nconnection: Upgrade\r\n"
	    "upgrade: websocket\r\naccept-encoding: identity\r\nvia: 1.1 me\r\n\r\n");
	free(text);
	buf_fini(&out);
}

static void
a_switch_goes_back_as_one(void **state)
{
	struct response_head r = {.status = 101, .minor = 1};
	struct buf out;
	(void)state;
	buf_init(&out, 65536);
	struct request_head only_ours =
	    request(LINES("Sec-WebSocket-Protocol: cf-aig-authorization.t, cf-aig-x"));
	struct request_head others =
	    request(LINES("Sec-WebSocket-Protocol: cf-aig-authorization.t, realtime"));
	struct request_head none = request(LINES("Accept: x"));
	assert_true(span_eq(subprotocol_for_us(&only_ours.headers, &r.headers),
	    SPAN_LIT("cf-aig-authorization.t")));
	assert_int_equal(subprotocol_for_us(&others.headers, &r.headers).n, 0);
	assert_int_equal(subprotocol_for_us(&none.headers, &r.headers).n, 0);
	assert_int_equal(subprotocol_for_us(&only_ours.headers, &others.headers).n, 0);
	assert_true(headers_add(&r.headers, &arena, SPAN_LIT("Connection"), SPAN_LIT("Upgrade")));
	assert_true(
	    headers_add(&r.headers, &arena, SPAN_LIT("Sec-WebSocket-Accept"), SPAN_LIT("a=")));
	assert_true(forward_response(&r,
	    &(struct gateway_fields){
		.age_s = -1, .overhead_us = -1, .subprotocol = SPAN_LIT("p"), .is_websocket = true},
	    &out));
	assert_true(span_eq(buf_view(&out),
	    SPAN_LIT(
		"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a=\r\n"
		"sec-websocket-protocol: p\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")));
	buf_fini(&out);
}

static void
an_answer_to_nonsense_is_whole(void **state)
{
	struct buf out;
	(void)state;
	clock_fake(1, 1795305600000);
	buf_init(&out, 8192);
	assert_true(refuse_bare(E_HEADERS_TOO_LARGE, &out));
	struct span text = buf_view(&out);
	assert_true(span_starts(text,
	    SPAN_LIT("HTTP/1.1 431 Request Header Fields Too Large\r\n"
		     "date: Sun, 22 Nov 2026 00:00:00 GMT\r\ncontent-type: application/json\r\n"
		     "postern-error: headers-too-large\r\nconnection: close\r\ncontent-length: ")));
	assert_true(span_ends(text, SPAN_LIT("}")));
	assert_true(span_find_span(text, SPAN_LIT("limits.headers")) < text.n);
	buf_fini(&out);
	clock_fake(0, 0);
}

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_goes_on_as_it_came_but_for_the_hop),
	    cmocka_unit_test(other_cache_control_and_an_empty_query_stay),
	    cmocka_unit_test(via_is_added_to_and_shows_loops),
	    cmocka_unit_test(codings_are_cut_to_what_we_can_read),
	    cmocka_unit_test(an_answer_goes_back_with_our_fields),
	    cmocka_unit_test(an_early_hint_says_nothing_of_framing_and_nothing_in_our_name),
	    cmocka_unit_test(connection_says_what_will_happen),
	    cmocka_unit_test(an_upgrade_goes_on_without_what_is_for_us),
	    cmocka_unit_test(a_switch_goes_back_as_one),
	    cmocka_unit_test(an_answer_to_nonsense_is_whole),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
