#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <zlib.h>

#include "base/buf.h"
#include "provider_meter.h"

/* What all dialects have in common: content types, codings, limits. */

#define CHAT "/v1/chat/completions"
#define BODY "{\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}"
#define MB ((size_t)1 << 20)

static struct meter *m;
static struct buf body;

static int
setup(void **state)
{
	(void)state;
	buf_init(&body, 64 * MB);
	return 0;
}

static int
forget(void **state)
{
	(void)state;
	meter_free(m);
	m = NULL;
	buf_fini(&body);
	return 0;
}

static const struct meter_result *
read_answer(const struct answer *a, size_t piece)
{
	meter_free(m);
	m = read_in_pieces(a, piece);
	return meter_result(m);
}

static const struct meter_result *
read_chat(const char *type, const char *text)
{
	struct answer a = {DIALECT_OPENAI, CHAT, type, span_str(text), NULL, 0};

	return read_answer(&a, 5);
}

static void
put(const char *text)
{
	assert_true(buf_put_span(&body, span_str(text)));
}

static void
put_spaces(size_t n)
{
	char *p = buf_reserve(&body, n);

	assert_non_null(p);
	memset(p, ' ', n);
	buf_commit(&body, n);
}

/* What gzip makes of the body, in its place. */
static void
compress_body(void)
{
	z_stream z = {0};
	size_t max = buf_len(&body) + 1000, n;
	unsigned char *out = test_malloc(max);

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)body.p + body.off;
	z.avail_in = (unsigned)buf_len(&body);
	z.next_out = out;
	z.avail_out = (unsigned)max;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = z.total_out;
	deflateEnd(&z);
	buf_reset(&body);
	assert_true(buf_put(&body, out, n));
	test_free(out);
}

static void
json_has_many_names(void **state)
{
	static const char *const types[] = {"application/json", "application/json; charset=utf-8",
	    "APPLICATION/JSON", "application/problem+json", "text/json", "", " application/json "};
	static const char *const others[] = {
	    "text/plain", "application/jsonish", "json", "application/octet-stream", "+json"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++)
		assert_true(read_chat(types[i], BODY)->usage.is_present);
	for (size_t i = 0; i < COUNT_OF(others); i++)
		assert_false(read_chat(others[i], BODY)->usage.is_present);
}

static void
a_page_is_no_answer(void **state)
{
	(void)state;
	assert_false(read_chat("text/html", "<html>log in</html>")->is_complete);
	assert_true(read_chat("text/plain", "hello")->is_complete);
}

static void
an_answer_that_is_not_2xx_is_not_read(void **state)
{
	struct answer a = {DIALECT_OPENAI, CHAT, JSON, SPAN_LIT(BODY), NULL, 0};
	static const int others[] = {199, 300, 400, 429, 500};

	(void)state;
	a.status = 201;
	assert_true(read_answer(&a, 9)->usage.is_present);
	a.status = 299;
	assert_true(read_answer(&a, 9)->usage.is_present);
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		a.status = others[i];
		const struct meter_result *r = read_answer(&a, 9);
		assert_false(r->usage.is_present || r->has_error || r->has_output);
		assert_true(r->is_complete);
	}
}

static void
gzip_is_read(void **state)
{
	struct answer a = {DIALECT_OPENAI, CHAT, JSON, SPAN_NONE, "gzip", 0};

	(void)state;
	put(BODY);
	compress_body();
	a.body = buf_view(&body);
	meter_free(m);
	m = measure(&a);
	assert_true(meter_result(m)->usage.is_present);
	assert_true(meter_result(m)->is_complete);
	a.encoding = " X-GZIP";
	assert_true(read_answer(&a, 3)->usage.is_present);
}

static void
gzip_that_is_cut_or_damaged_is_not_complete(void **state)
{
	struct answer a = {DIALECT_OPENAI, CHAT, SSE, SPAN_NONE, "gzip", 0};

	(void)state;
	put("data: {\"choices\":[]}\n\ndata: [DONE]\n\n");
	compress_body();
	a.body = buf_view(&body);
	assert_true(read_answer(&a, 3)->is_complete);
	a.body = span_head(buf_view(&body), buf_len(&body) - 1);
	assert_false(read_answer(&a, 3)->is_complete);
	body.p[body.off + buf_len(&body) - 5] ^= 1;
	a.body = buf_view(&body);
	assert_false(read_answer(&a, 3)->is_complete);
	a.body = SPAN_LIT("not gzip");
	assert_false(read_answer(&a, 3)->is_complete);
}

static void
other_codings_cannot_be_read(void **state)
{
	static const char *const codings[] = {"br", "deflate", "zstd", "gzip, gzip", "nonsense"};
	struct endpoint e = endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT(CHAT));

	(void)state;
	for (size_t i = 0; i < COUNT_OF(codings); i++)
		assert_null(meter_new(&e, 200, SPAN_LIT(JSON), span_str(codings[i])));
	meter_free(NULL);
	m = meter_new(&e, 200, SPAN_LIT(JSON), SPAN_LIT("identity"));
	assert_non_null(m);
}

static void
an_answer_of_32_megabytes_is_read_and_a_longer_one_is_not(void **state)
{
	struct answer a = {DIALECT_OPENAI, CHAT, JSON, SPAN_NONE, NULL, 0};

	(void)state;
	put(BODY);
	put_spaces(32 * MB - buf_len(&body));
	a.body = buf_view(&body);
	assert_true(read_answer(&a, 1 << 16)->usage.is_present);
	assert_true(meter_result(m)->is_complete);
	put_spaces(1);
	a.body = buf_view(&body);
	assert_false(read_answer(&a, 1 << 16)->usage.is_present);
	assert_false(meter_result(m)->is_complete);
}

static void
an_answer_of_an_unknown_endpoint_is_read_up_to_a_megabyte(void **state)
{
	struct answer a = {DIALECT_OPENAI, "/v1/unknown", JSON, SPAN_NONE, NULL, 0};

	(void)state;
	put(BODY);
	put_spaces(MB - buf_len(&body));
	a.body = buf_view(&body);
	assert_true(read_answer(&a, 1 << 16)->usage.is_present);
	put_spaces(1);
	a.body = buf_view(&body);
	assert_false(read_answer(&a, 1 << 16)->usage.is_present);
	assert_true(meter_result(m)->is_complete);
}

static void
an_event_over_four_megabytes_is_not_read_and_the_next_is(void **state)
{
	struct answer a = {DIALECT_OPENAI, CHAT, SSE, SPAN_NONE, NULL, 0};

	(void)state;
	put("data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[");
	put_spaces(4 * MB);
	put("]}\n\ndata: {\"usage\":{\"prompt_tokens\":2}}\n\ndata: [DONE]\n\n");
	a.body = buf_view(&body);
	assert_int_equal(read_answer(&a, 1 << 16)->usage.tokens[USAGE_INPUT], 2);
	assert_true(meter_result(m)->is_complete);
	assert_int_equal(meter_result(m)->events, 3);
}

static void
a_line_at_four_megabytes_is_read_and_a_longer_one_is_not(void **state)
{
	struct answer a = {DIALECT_OLLAMA, "/api/chat", "application/x-ndjson", SPAN_NONE, NULL, 0};
	static const char end[] = "{\"eval_count\":5}";

	(void)state;
	put_spaces(4 * MB - (sizeof(end) - 1));
	put(end);
	put("\n");
	a.body = buf_view(&body);
	assert_int_equal(read_answer(&a, 1 << 16)->usage.tokens[USAGE_OUTPUT], 5);
	assert_int_equal(read_answer(&a, 64 * MB)->usage.tokens[USAGE_OUTPUT], 5);
	buf_reset(&body);
	put_spaces(4 * MB - (sizeof(end) - 1) + 1);
	put(end);
	put("\n{\"done\":true}\n");
	a.body = buf_view(&body);
	assert_int_equal(read_answer(&a, 1 << 16)->usage.tokens[USAGE_OUTPUT], -1);
	assert_int_equal(read_answer(&a, 64 * MB)->usage.tokens[USAGE_OUTPUT], -1);
	assert_true(meter_result(m)->is_complete);
}

static void
a_model_name_of_256_bytes_is_kept_and_a_longer_one_is_not(void **state)
{
	char text[400], name[258];

	(void)state;
	memset(name, 'm', sizeof(name));
	name[256] = '\0';
	snprintf(text, sizeof(text), "{\"model\":\"%s\"}", name);
	assert_int_equal(read_chat(JSON, text)->model.n, 256);
	name[256] = 'm';
	name[257] = '\0';
	snprintf(text, sizeof(text), "{\"model\":\"%s\"}", name);
	assert_int_equal(read_chat(JSON, text)->model.n, 0);
}

static void
what_comes_after_the_finish_is_not_read(void **state)
{
	(void)state;
	read_chat(JSON, BODY);
	meter_feed(m, SPAN_LIT("garbage"));
	meter_finish(m);
	assert_true(meter_result(m)->is_complete);
	assert_int_equal(meter_result(m)->usage.tokens[USAGE_INPUT], 3);
}

/* The rest is nobody's business: it need not even be JSON. Where the usage is not where it is looked for, all is read. */
static void
a_skimmed_answer_says_its_usage(void **state)
{
	static const char *const elsewhere[] = {
	    "{\"model\":\"m\",\"result\":{\"usage\":{\"prompt_tokens\":3}}}",
	    "{\"model\":\"m\",\"usage\":null,\"x_groq\":{\"usage\":{\"prompt_tokens\":3}}}",
	    "{\"a name with \\u0061n escape\":1,\"model\":\"m\",\"usage\":{\"prompt_tokens\":3}}",
	};
	struct endpoint e = endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT(CHAT));

	(void)state;
	m = meter_new(&e, 200, SPAN_LIT(JSON), SPAN_NONE);
	meter_skim(m);
	meter_feed(m,
	    SPAN_LIT("{\"choices\":[{\"text\":\"\\\"usage\\\":\",\"usage\":{}}],\"usage\":"
		     "{\"prompt_tokens\":3},\"model\":oops"));
	meter_finish(m);
	assert_int_equal(meter_result(m)->usage.tokens[USAGE_INPUT], 3);
	assert_false(meter_result(m)->is_complete);
	for (size_t i = 0; i < COUNT_OF(elsewhere); i++) {
		meter_free(m);
		m = meter_new(&e, 200, SPAN_LIT(JSON), SPAN_NONE);
		meter_skim(m);
		meter_feed(m, span_str(elsewhere[i]));
		meter_finish(m);
		assert_int_equal(meter_result(m)->usage.tokens[USAGE_INPUT], 3);
		assert_true(meter_result(m)->is_complete);
		assert_true(span_eq(meter_result(m)->model, SPAN_LIT("m")));
	}
}

static void
totals_add_what_was_said(void **state)
{
	struct usage u;

	(void)state;
	usage_init(&u);
	assert_false(u.is_present);
	assert_int_equal(usage_tokens_in(&u), -1);
	assert_int_equal(usage_tokens_out(&u), -1);
	u.tokens[USAGE_CACHE_READ] = 0;
	assert_int_equal(usage_tokens_in(&u), 0);
	u.tokens[USAGE_INPUT] = 1;
	u.tokens[USAGE_CACHE_WRITE_5M] = 10;
	u.tokens[USAGE_CACHE_WRITE_1H] = 100;
	u.tokens[USAGE_AUDIO_IN] = 1000; /* a part of the others */
	assert_int_equal(usage_tokens_in(&u), 111);
	u.tokens[USAGE_OUTPUT] = 7;
	u.tokens[USAGE_REASONING] = 5;
	assert_int_equal(usage_tokens_out(&u), 7);
	assert_string_equal(usage_class_name(USAGE_INPUT), "input");
	assert_string_equal(usage_class_name(USAGE_CACHE_READ), "cache_read");
	assert_string_equal(usage_class_name(USAGE_AUDIO_OUT), "audio_out");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, forget)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(json_has_many_names),
	    TEST(a_page_is_no_answer),
	    TEST(an_answer_that_is_not_2xx_is_not_read),
	    TEST(gzip_is_read),
	    TEST(gzip_that_is_cut_or_damaged_is_not_complete),
	    TEST(other_codings_cannot_be_read),
	    TEST(an_answer_of_32_megabytes_is_read_and_a_longer_one_is_not),
	    TEST(an_answer_of_an_unknown_endpoint_is_read_up_to_a_megabyte),
	    TEST(an_event_over_four_megabytes_is_not_read_and_the_next_is),
	    TEST(a_line_at_four_megabytes_is_read_and_a_longer_one_is_not),
	    TEST(a_model_name_of_256_bytes_is_kept_and_a_longer_one_is_not),
	    TEST(what_comes_after_the_finish_is_not_read),
	    TEST(a_skimmed_answer_says_its_usage),
	    TEST(totals_add_what_was_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
