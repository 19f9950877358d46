#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider_answer.h"

#define GENERATE "/v1beta/models/gemini-3:generateContent"
#define STREAM "/v1beta/models/gemini-3:streamGenerateContent"

static const struct meter_result *
read_answer(const char *path, const char *type, const char *body)
{
	return read_text(DIALECT_GEMINI, path, type, body);
}

static void
an_answer(void **state)
{
	const struct meter_result *r = read_answer(GENERATE, "application/json; charset=UTF-8",
	    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}],\"role\":\"model\"},"
	    "\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":100,"
	    "\"cachedContentTokenCount\":60,\"toolUsePromptTokenCount\":5,\"candidatesTokenCount\":20,"
	    "\"thoughtsTokenCount\":300,\"totalTokenCount\":425,\"promptTokensDetails\":["
	    "{\"modality\":\"TEXT\",\"tokenCount\":90},{\"modality\":\"AUDIO\",\"tokenCount\":10}],"
	    "\"candidatesTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":2}]},"
	    "\"modelVersion\":\"gemini-3-pro\"}");

	(void)state;
	assert_usage(m, USAGE(45, 60, -1, -1, 320, 300, 10, 2));
	assert_int_equal(usage_tokens_in(&r->usage), 105);
	assert_true(span_eq(r->model, SPAN_LIT("gemini-3-pro")));
	assert_true(r->is_complete && r->has_output && !r->is_stream);
}

static void
thoughts_inside_the_candidates_are_not_added(void **state)
{
	(void)state;
	read_answer(GENERATE, JSON,
	    "{\"usageMetadata\":{\"promptTokenCount\":10,\"candidatesTokenCount\":50,"
	    "\"thoughtsTokenCount\":30,\"totalTokenCount\":60}}");
	assert_usage(m, USAGE(10, -1, -1, -1, 50, 30, -1, -1));
	read_answer(GENERATE, JSON,
	    "{\"usageMetadata\":{\"promptTokenCount\":10,\"thoughtsTokenCount\":30,"
	    "\"totalTokenCount\":40}}");
	assert_usage(m, USAGE(10, -1, -1, -1, 30, 30, -1, -1));
}

#define FIRST                                                                                      \
	"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"]},{\\\"\"}]}}],"                   \
	"\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":4},\"modelVersion\":\"g3\"}"
#define LAST                                                                                        \
	"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]},\"finishReason\":\"STOP\"}]," \
	"\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":9,"                     \
	"\"totalTokenCount\":13},\"modelVersion\":\"g3\"}"

static void
an_sse_stream_ends_after_a_finish_reason(void **state)
{
	const struct meter_result *r =
	    read_answer(STREAM, SSE, "data: " FIRST "\r\n\r\ndata: " LAST "\r\n\r\n");

	(void)state;
	assert_usage(m, USAGE(4, -1, -1, -1, 9, -1, -1, -1));
	assert_true(r->is_complete && r->is_stream && r->has_output);
	assert_int_equal(r->events, 2);
	assert_true(span_eq(r->model, SPAN_LIT("g3")));
	assert_true(read_answer(STREAM, SSE, "data: " LAST "\n")->is_complete);
}

static void
an_sse_stream_without_one_or_with_half_an_event_is_not_complete(void **state)
{
	(void)state;
	assert_false(read_answer(STREAM, SSE, "data: " FIRST "\n\n")->is_complete);
	assert_false(read_answer(STREAM, SSE, "data: " LAST "\n\ndata: {\"cand")->is_complete);
	assert_false(read_answer(STREAM, SSE, "data: " LAST "\n\ndata: " FIRST "\n")->is_complete);
	assert_false(read_answer(STREAM, SSE, "")->is_complete);
}

static void
a_stream_without_alt_sse_is_a_json_array(void **state)
{
	const struct meter_result *r =
	    read_answer(STREAM, JSON, "\n[" FIRST "\n,\r\n" LAST "\n]\n");

	(void)state;
	assert_usage(m, USAGE(4, -1, -1, -1, 9, -1, -1, -1));
	assert_true(r->is_complete && r->is_stream && r->has_output);
	assert_int_equal(r->events, 2);
}

static void
an_array_that_is_not_closed_is_not_complete(void **state)
{
	const struct meter_result *r = read_answer(STREAM, JSON, "[" FIRST "," LAST);

	(void)state;
	assert_false(r->is_complete);
	assert_usage(m, USAGE(4, -1, -1, -1, 9, -1, -1, -1));
	assert_false(read_answer(STREAM, JSON, "[" FIRST "]")->is_complete);
	assert_false(read_answer(STREAM, JSON, "[]")->is_complete);
	assert_false(read_answer(STREAM, JSON, "  ")->is_complete);
}

static void
an_error_where_an_array_was_expected(void **state)
{
	const struct meter_result *r = read_answer(
	    STREAM, JSON, " {\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\"}}");

	(void)state;
	assert_true(r->has_error && r->is_complete);
	assert_true(read_answer(STREAM, JSON, "[{\"error\":{\"code\":503}}]")->has_error);
	assert_true(read_answer(STREAM, SSE, "data: {\"error\":{\"code\":503}}\n\n")->has_error);
}

static void
a_blocked_prompt_is_an_end_too(void **state)
{
	(void)state;
	assert_true(read_answer(STREAM, SSE,
	    "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"usageMetadata\":"
	    "{\"promptTokenCount\":4}}\n\n")
		->is_complete);
}

static void
vertex_embeddings_say_it_with_each_prediction(void **state)
{
	(void)state;
	read_answer(
	    "/v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict", JSON,
	    "{\"predictions\":[{\"embeddings\":{\"statistics\":{\"token_count\":6},\"values\":[0]}},"
	    "{\"embeddings\":{\"statistics\":{\"token_count\":4},\"values\":[0]}}]}");
	assert_usage(m, USAGE(10, -1, -1, -1, -1, -1, -1, -1));
}

static void
counting_tokens_uses_none(void **state)
{
	(void)state;
	assert_false(read_answer("/v1beta/models/g:countTokens", JSON,
	    "{\"totalTokens\":31,\"usageMetadata\":{\"promptTokenCount\":31}}")
		->usage.is_present);
}

#define TEST(f) cmocka_unit_test_teardown(f, forget)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_answer),
	    TEST(thoughts_inside_the_candidates_are_not_added),
	    TEST(an_sse_stream_ends_after_a_finish_reason),
	    TEST(an_sse_stream_without_one_or_with_half_an_event_is_not_complete),
	    TEST(a_stream_without_alt_sse_is_a_json_array),
	    TEST(an_array_that_is_not_closed_is_not_complete),
	    TEST(an_error_where_an_array_was_expected),
	    TEST(a_blocked_prompt_is_an_end_too),
	    TEST(vertex_embeddings_say_it_with_each_prediction),
	    TEST(counting_tokens_uses_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
