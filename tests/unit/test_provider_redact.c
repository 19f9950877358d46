#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "provider/redact.h"

static struct buf out;

static int
setup(void **state)
{
	(void)state;
	buf_init(&out, 1 << 16);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static struct header
header(const char *name)
{
	return (struct header){.name = span_str(name), .id = header_id_of(span_str(name))};
}

static void
headers_that_hold_credentials(void **state)
{
	static const char *const names[] = {"Authorization", "x-api-key", "X-API-KEY", "api-key",
	    "Api-Key", "x-goog-api-key", "xi-api-key", "x-key", "token", "cookie", "set-cookie",
	    "proxy-authorization", "cf-aig-authorization", "x-amz-security-token", "X-Amz-Date",
	    "x-amz-content-sha256", "x-amz-anything", "mj-api-secret", "ocp-apim-subscription-key",
	    "cf-access-client-secret", "cf-access-token", "cf-access-jwt-assertion", "x-auth-token",
	    "x_api_key", "helicone-auth", "x-litellm-api-key", "x-portkey-api-key",
	    "x-webhook-signature", "apikey", "x-goog-iap-jwt-assertion", "private-token",
	    "x-forwarded-authorization"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct header h = header(names[i]);
		if (!is_credential_header(&h))
			fail_msg("%s", names[i]);
		assert_false(is_loggable_header(&h));
	}
}

/* A name that changes with each request and counted as a credential would end caching. */
static void
headers_that_only_look_so(void **state)
{
	static const char *const names[] = {"content-type", "accept", "user-agent",
	    "idempotency-key", "Idempotency-Key", "sec-websocket-key", "cf-aig-cache-key",
	    "x-amzn-requestid", "openai-organization", "anthropic-version",
	    "x-stainless-retry-count", "x-request-id", "x-ratelimit-remaining-tokens",
	    "cf-aig-metadata", "keep-alive", "x-goog-user-project", "", "www-authenticate",
	    "x-snowflake-authorization-token-type", "monkey", "x-monkey"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct header h = header(names[i]);
		if (is_credential_header(&h))
			fail_msg("%s", names[i]);
	}
}

static void
a_record_keeps_an_allow_list_of_headers(void **state)
{
	static const char *const kept[] = {"content-type", "Content-Type", "user-agent", "accept",
	    "anthropic-version", "anthropic-beta", "openai-beta", "x-request-id", "request-id",
	    "x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-limit", "x-stainless-lang",
	    "retry-after", "x-amzn-requestid"};
	static const char *const left_out[] = {"x-unknown", "referer", "http-referer",
	    "x-forwarded-for", "cf-aig-cache-key", "x-amz-date", "", "x-stainless-api-key"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kept); i++) {
		struct header h = header(kept[i]);
		assert_true(is_loggable_header(&h));
	}
	for (size_t i = 0; i < COUNT_OF(left_out); i++) {
		struct header h = header(left_out[i]);
		assert_false(is_loggable_header(&h));
	}
}

static void
a_name_too_long_to_look_at_is_a_credential(void **state)
{
	char name[258];
	struct header h = {.id = H_OTHER};

	(void)state;
	memset(name, 'x', sizeof(name));
	h.name = span_of(name, 256);
	assert_false(is_credential_header(&h));
	assert_false(is_credential_param(h.name));
	h.name = span_of(name, 257);
	assert_true(is_credential_header(&h));
	assert_false(is_loggable_header(&h));
	assert_true(is_credential_param(h.name));
}

static void
parameters_that_hold_credentials(void **state)
{
	static const char *const names[] = {"key", "KEY", "api_key", "api-key", "apikey", "apiKey",
	    "token", "access_token", "auth", "sig", "signature", "code", "X-Amz-Signature",
	    "x-amz-credential", "X-Amz-Security-Token", "X-Goog-Signature", "x-goog-anything",
	    "%6bey", "k%65y", "%6B%65%79", "api%5Fkey", "api%5fkey", "x%2damz%2ddate",
	    "client_secret", "xi-api-key", "refresh_token", "authorization", "password"};
	static const char *const free_names[] = {"", "alt", "api-version", "model", "keys",
	    "monkey", "limit", "k", "%256bey", "key%00", "keyword", "output_format", "pageToken"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!is_credential_param(span_str(names[i])))
			fail_msg("%s", names[i]);
	}
	for (size_t i = 0; i < COUNT_OF(free_names); i++) {
		if (is_credential_param(span_str(free_names[i])))
			fail_msg("%s", free_names[i]);
	}
}

/* query, without credentials, redacted */
static const char *const queries[][3] = {
    {"", "", ""},
    {"alt=sse", "alt=sse", "alt=sse"},
    {"key=AIzaX", "", "key=***"},
    {"key", "", "key"},
    {"key=", "", "key=***"},
    {"alt=sse&key=AIzaX", "alt=sse", "alt=sse&key=***"},
    {"key=AIzaX&alt=sse", "alt=sse", "key=***&alt=sse"},
    {"a=1&KEY=x&b=2&access_token=y", "a=1&b=2", "a=1&KEY=***&b=2&access_token=***"},
    {"b=2&a=1&b=%20+x%2F", "b=2&a=1&b=%20+x%2F", "b=2&a=1&b=%20+x%2F"},
    {"%6Bey=x&a", "a", "%6Bey=***&a"},
    {"a&&b", "a&&b", "a&&b"},
    {"&", "&", "&"},
    {"a=1&", "a=1&", "a=1&"},
    {"token=a=b=c&x", "x", "token=***&x"},
    {"X-Amz-Signature=ab&X-Amz-Date=c&prefix=p", "prefix=p",
	"X-Amz-Signature=***&X-Amz-Date=***&prefix=p"},
};

static void
queries_lose_or_hide_their_credentials(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(queries); i++) {
		buf_reset(&out);
		assert_true(query_without_credentials(span_str(queries[i][0]), &out));
		if (!span_eq(buf_view(&out), span_str(queries[i][1])))
			fail_msg("%s gives %.*s", queries[i][0], SPAN_FMT(buf_view(&out)));
		buf_reset(&out);
		assert_true(query_redact(span_str(queries[i][0]), &out));
		if (!span_eq(buf_view(&out), span_str(queries[i][2])))
			fail_msg("%s gives %.*s", queries[i][0], SPAN_FMT(buf_view(&out)));
	}
	buf_reset(&out);
	assert_true(query_redact(SPAN_NONE, &out));
	assert_true(query_without_credentials(SPAN_NONE, &out));
	assert_int_equal(buf_len(&out), 0);
}

static const char *const subprotocols[][2] = {
    {"realtime", "realtime"},
    {"realtime, openai-insecure-api-key.sk-abcdef, openai-beta.realtime-v1",
	"realtime, openai-insecure-api-key.***, openai-beta.realtime-v1"},
    {"cf-aig-authorization.T0", "cf-aig-authorization.***"},
    {"xi-api-key.a.b.c", "xi-api-key.***"},
    {"fal-api-key.x,realtime", "fal-api-key.***, realtime"},
    {"xai-client-secret.x", "xai-client-secret.***"},
    {"token, 0123456789abcdef", "token, ***"}, /* Deepgram */
    {"Bearer,abc", "Bearer, ***"},
    {"base64url.bearer.authorization.k8s.io.abc", "base64url.bearer.***"},
    {"realtime, sk-abcdefgh", "realtime, ***"},
    {"", ""},
    {"a,,b", "a, , b"},
};

/* A list of subprotocols, the provider's key in it. */
static const char *const subprotocol_keys[][2] = {
    {"realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1", "sk-1"},
    {"cf-aig-authorization.gate, xi-api-key.k1", "k1"},
    {"token, deep", "deep"},
    {"xi-api-key.a.b", "a.b"},
    {"cf-aig-authorization.gate", ""},
    {"realtime", ""},
    {"token", ""},
    {"", ""},
};

static void
a_key_may_come_as_a_subprotocol(void **state)
{
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < COUNT_OF(subprotocol_keys); i++) {
		struct headers h = {0};
		assert_true(headers_add(
		    &h, &a, SPAN_LIT("Sec-WebSocket-Protocol"), span_str(subprotocol_keys[i][0])));
		struct span key = credential_value(&h, SPAN_NONE);
		if (!span_eq(key, span_str(subprotocol_keys[i][1])))
			fail_msg("%s: %.*s", subprotocol_keys[i][0], SPAN_FMT(key));
		assert_true(span_eq(credential_value(&h, SPAN_LIT("a=b&key=q")), SPAN_LIT("q")));
		assert_true(headers_add(&h, &a, SPAN_LIT("Authorization"), SPAN_LIT("Bearer z")));
		assert_true(span_eq(credential_value(&h, SPAN_LIT("key=q")), SPAN_LIT("z")));
	}
	arena_fini(&a);
}

static void
subprotocols_hide_their_credentials(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(subprotocols); i++) {
		buf_reset(&out);
		assert_true(subprotocols_redact(span_str(subprotocols[i][0]), &out));
		if (!span_eq(buf_view(&out), span_str(subprotocols[i][1])))
			fail_msg("%s gives %.*s", subprotocols[i][0], SPAN_FMT(buf_view(&out)));
	}
}

static const char *const texts[][2] = {
    {"", ""},
    {"nothing here", "nothing here"},
    {"Incorrect API key provided: sk-proj-abc_DEF-123.", "Incorrect API key provided: ***."},
    {"sk-ant-api03-AAAA-bbbb", "***"},
    {"(sk-or-v1-0123456789)", "(***)"},
    {"sk-abc", "sk-abc"},
    {"sk-abcd", "***"},
    {"ask-someone, risk-averse", "ask-someone, risk-averse"},
    {"/v1/models?key=anything&alt=sse", "/v1/models?key=***&alt=sse"},
    {"https://x/y?alt=sse&access_token=t0k, then", "https://x/y?alt=sse&access_token=***, then"},
    {"AIzaSyA1234567890_abcdefghijklmnopqrstu", "***"},
    {"key AKIAIOSFODNN7EXAMPLE used", "key *** used"},
    {"ghp_0123456789abcdef", "***"},
    {"xoxb-123-456-abc", "***"},
    {"hf_abcdefgh1 gsk_abcdefgh1 r8_abcdefgh1", "*** *** ***"},
    {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "***"},
    {"Authorization: Bearer abc.def~1+/=", "Authorization: Bearer ***"},
    {"authorization: bearer   x", "authorization: bearer   ***"},
    {"Bearer%20secret", "Bearer%20***"},
    {"Basic dXNlcjpwdw==", "Basic ***"},
    {"?key=x(Bearer abc) and sk-abcdef-bearer abc", "?key=***) and ***"},
    {"Bearer Bearer abc", "Bearer Bearer ***"},
    {"/x?key=Bearer%20abc&a=1", "/x?key=Bearer%20***&a=1"},
    {"the bearer", "the bearer"},
    {"forbearer x", "forbearer x"},
    {"{\"auth\":\"Bearer abc\",\"x\":1}", "{\"auth\":\"Bearer ***\",\"x\":1}"},
    {"key%3Dsk-abcdef", "key%3D***"},
    {"***", "***"},
    {"Bearer ***", "Bearer ***"},
    {"sk-ab\xc3\xa4 caf\xc3\xa9", "sk-ab\xc3\xa4 caf\xc3\xa9"},
};

static void
texts_hide_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		buf_reset(&out);
		assert_true(text_redact(span_str(texts[i][0]), &out));
		if (!span_eq(buf_view(&out), span_str(texts[i][1])))
			fail_msg("%s gives %.*s", texts[i][0], SPAN_FMT(buf_view(&out)));
	}
}

static void
a_full_buffer_is_said(void **state)
{
	struct buf tiny;

	(void)state;
	buf_init(&tiny, 3);
	assert_false(query_redact(SPAN_LIT("key=abc"), &tiny));
	buf_reset(&tiny);
	assert_false(query_without_credentials(SPAN_LIT("alt=sse"), &tiny));
	buf_reset(&tiny);
	assert_false(subprotocols_redact(SPAN_LIT("realtime"), &tiny));
	buf_reset(&tiny);
	assert_false(text_redact(SPAN_LIT("four"), &tiny));
	buf_reset(&tiny);
	assert_true(text_redact(SPAN_LIT("sk-abcdefghij"), &tiny));
	buf_fini(&tiny);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
names_with_an_id_are_judged_as_without_one(void **state)
{
	(void)state;
	for (int id = H_OTHER + 1; id < H_CF_AIG_ANY; id++) {
		struct header with = {
		    .name = header_name((enum header_id)id), .id = (enum header_id)id};
		struct header without = {.name = with.name, .id = H_OTHER};

		assert_int_equal(is_credential_header(&with), is_credential_header(&without));
	}
}

static void
assert_body(const char *body, const char *expected)
{
	buf_reset(&out);
	assert_true(body_redact(span_str(body), strlen(body), &out));
	if (!span_eq(buf_view(&out), span_str(expected)))
		fail_msg("%s: %.*s", body, SPAN_FMT(buf_view(&out)));
	assert_int_equal(body_has_credential(span_str(body)), strcmp(body, expected) != 0);
}

/* Each form behind each kind of separator, at the beginning and at the end: the quick look misses none. */
static void
every_form_is_found_wherever_it_stands(void **state)
{
	static const char *const forms[] = {"sk-", "sk_", "AIza", "AQ.", "ya29.", "AKIA", "ASIA",
	    "ABSK", "bedrock-api-key-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
	    "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "xoxe-", "xoxe.", "xapp-", "gsk_", "xai-",
	    "hf_", "r8_", "pplx-", "nvapi-", "csk-", "fw_", "tgp_v1_", "dapi"};
	static const char *const before[] = {
	    "", " ", "\"", "abcdefg ", "\\n", "\\t", "\\u0022", "\\\\n", "%20", "="};
	char body[128], expected[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		for (size_t k = 0; k < COUNT_OF(before); k++) {
			snprintf(
			    body, sizeof(body), "%s%sABCDEFGH0123456789XY", before[k], forms[i]);
			snprintf(expected, sizeof(expected), "%s***", before[k]);
			assert_body(body, expected);
			snprintf(body, sizeof(body), "%s%sABCDEFGH0123456789XY and more", before[k],
			    forms[i]);
			snprintf(expected, sizeof(expected), "%s*** and more", before[k]);
			assert_body(body, expected);
		}
	}
}

static void
a_body_loses_its_keys_and_keeps_its_words(void **state)
{
	(void)state;
	assert_body("explain the basic idea of sk-learn, and bearer bonds",
	    "explain the basic idea of sk-learn, and bearer bonds");
	assert_body("see https://h/x?key=1&code=print and ?token=abc",
	    "see https://h/x?key=1&code=print and ?token=abc");
	assert_body("see https://h/x?key=0123456789ab", "see https://h/x?key=***");
	assert_body("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***");
	assert_body("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***");
	assert_body("Bearer sk-abcdefgh1", "Bearer ***");
	/* a JWT has dots, a picture in base64 has none */
	assert_body("/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x-y_z", "/***");
	assert_body("/eyJhbGciOiJIUzI1NiJ9AAAA", "/eyJhbGciOiJIUzI1NiJ9AAAA");
}

static void
json_stays_json(void **state)
{
	(void)state;
	assert_body("{\"a\":\"\\r8_0123456789ab\"}", "{\"a\":\"\\r***\"}");
	assert_body(
	    "{\"a\":\"Bearer ab\\/cd0123456789\",\"b\":1}", "{\"a\":\"Bearer ***\",\"b\":1}");
	assert_body("{\"a\":\"sk-0123456789\\nx\"}", "{\"a\":\"***\\nx\"}");
	assert_body("{\"sk-0123456789\":1}", "{\"***\":1}");
}

static void
only_what_begins_within_is_shown(void **state)
{
	static const char body[] = "0123 sk-0123456789 more";
	static const struct {
		size_t shown;
		const char *text;
	} rows[] = {{4, "0123"}, {5, "0123 "}, {6, "0123 ***"}, {18, "0123 ***"}, {19, "0123 *** "},
	    {23, "0123 *** more"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&out);
		assert_true(body_redact(span_str(body), rows[i].shown, &out));
		assert_true(span_eq(buf_view(&out), span_str(rows[i].text)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_with_an_id_are_judged_as_without_one),
	    TEST(headers_that_hold_credentials),
	    TEST(headers_that_only_look_so),
	    TEST(a_record_keeps_an_allow_list_of_headers),
	    TEST(a_name_too_long_to_look_at_is_a_credential),
	    TEST(parameters_that_hold_credentials),
	    TEST(queries_lose_or_hide_their_credentials),
	    TEST(subprotocols_hide_their_credentials),
	    cmocka_unit_test(a_key_may_come_as_a_subprotocol),
	    TEST(texts_hide_keys),
	    TEST(a_full_buffer_is_said),
	    TEST(every_form_is_found_wherever_it_stands),
	    TEST(a_body_loses_its_keys_and_keeps_its_words),
	    TEST(json_stays_json),
	    TEST(only_what_begins_within_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
