#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "cache/answer_head.h"
#include "cache/preimage.h"
#include "crypto/crypto.h"
#include "http/message.h"
#include "json/json.h"
#include "provider/registry.h"

/* A request in the few words that a test is about; the rest is the same for all. */
struct ask {
	const char *body, *query, *fields[6], *gateway, *path, *host, *key, *coding;
	bool is_stream, is_shared;
	char *ignore[3];
};

struct made {
	enum preimage_result result;
	struct buf bytes;
};

static struct cache_keys *keys;

static struct made
make(const struct ask *q)
{
	struct made m;
	struct arena a;
	struct headers h = {0};
	arena_init(&a, 65536);
	for (size_t i = 0; q->fields[i] != NULL; i++) {
		struct span line = span_str(q->fields[i]);
		size_t colon = span_find(line, ':');
		assert_true(headers_add(
		    &h, &a, span_head(line, colon), span_trim(span_skip(line, colon + 1))));
	}
	struct upstream_target to = {.is_tls = true,
	    .host_header = span_str(q->host == NULL ? "api.example" : q->host),
	    .path = span_str(q->path == NULL ? "/v1/chat/completions" : q->path)};
	struct json_doc *doc = json_parse(span_str(q->body));
	buf_init(&m.bytes, 65536);
	m.result = preimage_write(keys,
	    &(struct cache_request){
		.gateway = span_str(q->gateway == NULL ? "default" : q->gateway),
		.provider = SPAN_LIT("openai"),
		.method = SPAN_LIT("POST"),
		.to = &to,
		.query = span_str(q->query),
		.headers = &h,
		.coding = span_str(q->coding == NULL ? "identity" : q->coding),
		.is_shared = q->is_shared,
		.is_stream = q->is_stream,
		.custom_key = span_str(q->key),
		.body = span_str(q->body),
		.doc = doc,
		.ignore = q->ignore},
	    &m.bytes);
	json_free(doc);
	arena_fini(&a);
	return m;
}

static bool
same(struct ask a, struct ask b)
{
	struct made x = make(&a), y = make(&b);
	assert_int_equal(x.result, PREIMAGE_OK);
	assert_int_equal(y.result, PREIMAGE_OK);
	bool equal = span_eq(buf_view(&x.bytes), buf_view(&y.bytes));
	struct entry_key kx = preimage_key(keys, buf_view(&x.bytes)),
			 ky = preimage_key(keys, buf_view(&y.bytes));
	assert_int_equal(equal, memcmp(kx.b, ky.b, 16) == 0);
	buf_fini(&x.bytes);
	buf_fini(&y.bytes);
	return equal;
}

#define ASK(...) ((struct ask){.body = "{\"model\":\"m\",\"a\":1}", __VA_ARGS__})
#define KEY_A                                                                                      \
	"authorization: Bearer sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1zzzz"
#define KEY_B                                                                                      \
	"authorization: Bearer sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2zzzz"

static void
spelling_does_not_matter_but_values_do(void **state)
{
	(void)state;
	assert_true(same(ASK(.query = NULL),
	    (struct ask){.body = " { \"a\" : 1.0e0 , \"\\u006dodel\":\"m\" } "}));
	assert_false(same(ASK(.query = NULL), (struct ask){.body = "{\"model\":\"m\",\"a\":2}"}));
	assert_false(same((struct ask){.body = "[9007199254740993]"},
	    (struct ask){.body = "[9007199254740992]"}));
}

static void
callers_are_kept_apart_by_the_whole_credential(void **state)
{
	(void)state;
	assert_true(same(ASK(.fields = {KEY_A}), ASK(.fields = {KEY_A})));
	assert_false(same(ASK(.fields = {KEY_A}), ASK(.fields = {KEY_B})));
	assert_false(same(ASK(.fields = {KEY_A}), ASK(.query = NULL)));
	assert_false(
	    same(ASK(.fields = {KEY_A}), ASK(.fields = {KEY_A, "openai-organization: o"})));
	assert_false(same(ASK(.fields = {"x-api-key: k"}), ASK(.fields = {"api-key: k"})));
	assert_false(same(ASK(.query = "key=a"), ASK(.query = "key=b")));
	assert_true(same(
	    ASK(.fields = {KEY_A}, .is_shared = true), ASK(.fields = {KEY_B}, .is_shared = true)));
}

/* The scope of a credential of n bytes; false: none could be made. */
static bool
scope_of(size_t n, char last, uint64_t *scope)
{
	struct arena a;
	struct headers h = {0};
	char *value = malloc(n);
	struct upstream_target to = {.host_header = SPAN_LIT("h"), .path = SPAN_LIT("/")};
	struct cache_request rq = {.to = &to, .headers = &h, .custom_key = SPAN_LIT("k")};
	struct buf bytes = {.max = 65536};

	assert_non_null(value);
	memset(value, 'a', n);
	value[n - 1] = last;
	arena_init(&a, 65536);
	assert_true(headers_add(&h, &a, SPAN_LIT("X-Api-Key"), span_of(value, n)));
	bool ok = preimage_write(keys, &rq, &bytes) == PREIMAGE_OK;
	*scope = cache_hash(keys, buf_view(&bytes));
	buf_fini(&bytes);
	arena_fini(&a);
	free(value);
	return ok;
}

/* Beside the value there are its name, of 9, and two lengths, of 4 bytes. 1,024 bytes need no memory, 256 KB are the limit. */
static void
long_credentials_count_to_the_last_byte(void **state)
{
	static const size_t sizes[] = {1024 - 17, 1024 - 16, 5000, 256 * 1024 - 17};
	uint64_t a, b, before = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(scope_of(sizes[i], 'x', &a) && scope_of(sizes[i], 'y', &b));
		assert_true(a != b && a != before);
		before = a;
		assert_true(scope_of(sizes[i], 'x', &b) && a == b);
	}
	assert_false(scope_of(256 * 1024 - 16, 'x', &a));
}

static void
what_changes_an_answer_is_in_it(void **state)
{
	(void)state;
	assert_false(same(ASK(.gateway = "a"), ASK(.gateway = "b")));
	assert_false(same(ASK(.path = "/v1/a"), ASK(.path = "/v1/b")));
	assert_false(same(ASK(.host = "a.example"), ASK(.host = "b.example")));
	assert_false(same(ASK(.query = "api-version=1"), ASK(.query = "api-version=2")));
	assert_false(
	    same(ASK(.fields = {"anthropic-beta: x"}), ASK(.fields = {"anthropic-beta: y"})));
	assert_false(same(ASK(.fields = {"anthropic-version: 1"}), ASK(.query = NULL)));
	assert_false(same(ASK(.fields = {"accept: text/event-stream"}),
	    ASK(.fields = {"accept: application/json"})));
	assert_false(same(ASK(.coding = "gzip"), ASK(.coding = "identity")));
	assert_true(same(
	    ASK(.fields = {"user-agent: a", "x-request-id: 1"}), ASK(.fields = {"user-agent: b"})));
}

static void
a_custom_key_stands_in_for_body_headers_and_query(void **state)
{
	(void)state;
	struct ask other = {
	    .body = "{}", .query = "x=1", .key = "k", .fields = {KEY_A, "anthropic-beta: z"}};
	assert_true(same(ASK(.key = "k", .fields = {KEY_A}), other));
	assert_false(same(ASK(.key = "k", .fields = {KEY_A}), ASK(.key = "k", .fields = {KEY_B})));
	assert_false(same(ASK(.key = "k"), ASK(.key = "l")));
	assert_false(same(ASK(.key = "k"), ASK(.key = "k", .is_stream = true)));
	assert_false(
	    same(ASK(.key = "k", .query = "alt=sse"), ASK(.key = "k", .query = "alt=json")));
	assert_false(same(ASK(.key = "k", .is_shared = true),
	    ASK(.key = "k", .is_shared = true, .path = "/v1/b")));
}

static void
ignored_members_do_not_count(void **state)
{
	(void)state;
	struct ask a = {.body = "{\"a\":1,\"user\":\"x\"}", .ignore = {(char[]){"user"}}};
	struct ask b = {.body = "{\"a\":1,\"user\":\"y\"}", .ignore = {(char[]){"user"}}};
	assert_true(same(a, b));
	a.ignore[0] = b.ignore[0] = NULL;
	assert_false(same(a, b));
}

static void
fields_cannot_run_into_each_other(void **state)
{
	(void)state;
	assert_false(
	    same(ASK(.path = "/v1/ab", .gateway = "c"), ASK(.path = "/v1/a", .gateway = "bc")));
	assert_false(same(ASK(.fields = {"x-api-key: ab", "token: c"}),
	    ASK(.fields = {"x-api-key: a", "token: bc"})));
}

static void
a_body_with_two_meanings_has_no_preimage(void **state)
{
	(void)state;
	struct made m = make(&(struct ask){.body = "{\"a\":1,\"\\u0061\":2}"});
	assert_int_equal(m.result, PREIMAGE_NONE);
	buf_fini(&m.bytes);
	m = make(&(struct ask){.body = "{not json"});
	assert_int_equal(m.result, PREIMAGE_NONE);
	buf_fini(&m.bytes);
}

static void
a_credential_is_never_in_it(void **state)
{
	(void)state;
	struct ask q =
	    ASK(.fields = {"authorization: Bearer CANARY", "x-api-key: CANARY", "cookie: CANARY"},
		.query = "key=CANARY&a=b&access_token=CANARY");
	struct made m = make(&q);
	assert_int_equal(m.result, PREIMAGE_OK);
	assert_int_equal(span_find_span(buf_view(&m.bytes), SPAN_LIT("CANARY")), buf_len(&m.bytes));
	assert_true(span_find_span(buf_view(&m.bytes), SPAN_LIT("a=b")) < buf_len(&m.bytes));
	buf_fini(&m.bytes);
	q.body = "{\"a\":\"CANARY\"}"; /* the control: this search finds what is there */
	m = make(&q);
	assert_true(span_find_span(buf_view(&m.bytes), SPAN_LIT("CANARY")) < buf_len(&m.bytes));
	buf_fini(&m.bytes);
}

static void
an_entry_keeps_three_fields(void **state)
{
	struct arena a;
	struct buf b;
	struct headers h = {0};
	struct answer_head e;
	(void)state;
	arena_init(&a, 65536);
	buf_init(&b, 8192);
	assert_true(headers_add(&h, &a, SPAN_LIT("Set-Cookie"), SPAN_LIT("a=b")));
	assert_true(headers_add(&h, &a, SPAN_LIT("Content-Type"), SPAN_LIT("text/event-stream")));
	assert_true(headers_add(&h, &a, SPAN_LIT("x-request-id"), SPAN_LIT("r")));
	assert_true(headers_add(&h, &a, SPAN_LIT("Content-Encoding"), SPAN_LIT("gzip")));
	assert_true(answer_head_write(&h, 7, 42, &b));
	assert_true(answer_head_read(buf_view(&b), &e));
	assert_int_equal(e.size, 7);
	assert_int_equal(e.request_hash, 42);
	assert_true(span_eq(
	    e.fields, SPAN_LIT("content-type: text/event-stream\r\ncontent-encoding: gzip\r\n")));
	assert_false(answer_head_read(span_head(buf_view(&b), 15), &e));
	assert_false(answer_head_read(span_head(buf_view(&b), buf_len(&b) - 1), &e));
	buf_fini(&b);
	arena_fini(&a);
}

static int
setup(void **state)
{
	uint8_t one[32] = {1}, two[32] = {2};
	(void)state;
	if (!crypto_init())
		return -1;
	keys = cache_keys_new(one, two);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cache_keys_free(keys);
	crypto_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(spelling_does_not_matter_but_values_do),
	    cmocka_unit_test(callers_are_kept_apart_by_the_whole_credential),
	    cmocka_unit_test(long_credentials_count_to_the_last_byte),
	    cmocka_unit_test(what_changes_an_answer_is_in_it),
	    cmocka_unit_test(a_custom_key_stands_in_for_body_headers_and_query),
	    cmocka_unit_test(ignored_members_do_not_count),
	    cmocka_unit_test(fields_cannot_run_into_each_other),
	    cmocka_unit_test(a_body_with_two_meanings_has_no_preimage),
	    cmocka_unit_test(a_credential_is_never_in_it),
	    cmocka_unit_test(an_entry_keeps_three_fields),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
