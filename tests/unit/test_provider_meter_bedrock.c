#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider_answer.h"
#include "provider_frames.h"

#define CONVERSE "/model/us.anthropic.claude-x%3A0/converse"
#define CONVERSE_STREAM "/model/us.anthropic.claude-x%3A0/converse-stream"
#define INVOKE "/model/us.anthropic.claude-x%3A0/invoke"
#define INVOKE_STREAM "/model/us.anthropic.claude-x%3A0/invoke-with-response-stream"
#define FRAMES "application/vnd.amazon.eventstream"

static struct buf body;

static int
setup(void **state)
{
	(void)state;
	buf_init(&body, 1 << 24);
	return 0;
}

static int
teardown(void **state)
{
	buf_fini(&body);
	return forget(state);
}

static const struct meter_result *
read_json(const char *path, const char *text)
{
	return read_bytes(DIALECT_BEDROCK, path, JSON, span_str(text));
}

static void
event(const char *type, const char *payload)
{
	put_frame(&body, "event", type, span_str(payload));
}

static void
a_converse_answer(void **state)
{
	const struct meter_result *r = read_json(CONVERSE,
	    "{\"output\":{\"message\":{\"content\":[{\"text\":\"Hi\"}],\"role\":\"assistant\"}},"
	    "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":30,\"outputTokens\":628,"
	    "\"totalTokens\":658,\"cacheReadInputTokens\":100,\"cacheWriteInputTokens\":50,"
	    "\"cacheDetails\":[{\"ttl\":\"5m\",\"inputTokens\":20},{\"ttl\":\"1h\",\"inputTokens\":30}]},"
	    "\"metrics\":{\"latencyMs\":1275}}");

	(void)state;
	assert_usage(m, USAGE(30, 100, 20, 30, 628, -1, -1, -1));
	assert_true(r->is_complete && r->has_output && !r->has_error);
	assert_int_equal(usage_tokens_in(&r->usage), 180);
}

static void
invoke_answers_in_the_models_own_words(void **state)
{
	(void)state;
	read_json(INVOKE,
	    "{\"model\":\"claude-x\",\"type\":\"message\",\"usage\":{\"input_tokens\":10,"
	    "\"cache_read_input_tokens\":2,\"output_tokens\":5}}");
	assert_usage(m, USAGE(10, 2, -1, -1, 5, -1, -1, -1));
	read_json(INVOKE,
	    "{\"inputTextTokenCount\":5,\"results\":[{\"tokenCount\":61,\"outputText\":\"x\"},"
	    "{\"tokenCount\":4}]}");
	assert_usage(m, USAGE(5, -1, -1, -1, 65, -1, -1, -1));
	read_json(INVOKE,
	    "{\"generation\":\"x\",\"prompt_token_count\":12,\"generation_token_count\":34}");
	assert_usage(m, USAGE(12, -1, -1, -1, 34, -1, -1, -1));
	read_json(INVOKE,
	    "{\"usage\":{\"inputTokens\":7,\"outputTokens\":8,\"cacheReadInputTokenCount\":3,"
	    "\"cacheWriteInputTokenCount\":0}}");
	assert_usage(m, USAGE(7, 3, 0, -1, 8, -1, -1, -1));
	read_json(INVOKE, "{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":8}}");
	assert_usage(m, USAGE(7, -1, -1, -1, 8, -1, -1, -1));
	read_json("/model/amazon.titan-embed-text-v2:0/invoke",
	    "{\"embedding\":[0.1],\"inputTextTokenCount\":6}");
	assert_usage(m, USAGE(6, -1, -1, -1, -1, -1, -1, -1));
}

static void
put_converse_start(void)
{
	event("messageStart", "{\"role\":\"assistant\",\"p\":\"abc\"}");
	event("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}");
	event("contentBlockStop", "{\"contentBlockIndex\":0}");
	event("messageStop", "{\"stopReason\":\"end_turn\"}");
}

static void
a_converse_stream(void **state)
{
	const struct meter_result *r;

	(void)state;
	put_converse_start();
	event("metadata",
	    "{\"metrics\":{\"latencyMs\":1275},\"usage\":{\"inputTokens\":30,\"outputTokens\":62,"
	    "\"totalTokens\":92}}");
	r = read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body));
	assert_usage(m, USAGE(30, -1, -1, -1, 62, -1, -1, -1));
	assert_true(r->is_stream && r->is_complete && r->has_output && !r->has_error);
	assert_int_equal(r->events, 5);
}

static void
a_converse_stream_ends_with_its_metadata(void **state)
{
	(void)state;
	put_converse_start();
	assert_false(
	    read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body))->is_complete);
	event("metadata", "{\"usage\":{\"inputTokens\":30,\"outputTokens\":62}}");
	assert_true(
	    read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body))->is_complete);
	assert_false(read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES,
	    span_head(buf_view(&body), buf_len(&body) - 1))
		->is_complete);
	CHK(buf_putc(&body, 0));
	assert_false(
	    read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body))->is_complete);
}

static void
an_exception_frame_is_an_error(void **state)
{
	const struct meter_result *r;

	(void)state;
	put_converse_start();
	put_frame(&body, "exception", "throttlingException", SPAN_LIT("{\"message\":\"x\"}"));
	r = read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body));
	assert_true(r->has_error && !r->is_complete);
}

/* {"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":10}}} */
#define INNER_START                                                                                \
	"eyJ0eXBlIjoibWVzc2FnZV9zdGFydCIsIm1lc3NhZ2UiOnsibW9kZWwiOiJjbGF1ZGUteCIsInVzYWdlIjp7Imlu" \
	"cHV0X3Rva2VucyI6MTB9fX0="
/* {"type":"content_block_delta","delta":{"text":"Hi"}} */
#define INNER_DELTA "eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIsImRlbHRhIjp7InRleHQiOiJIaSJ9fQ=="
/* {"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":11,"outputTokenCount":13,
 * "invocationLatency":1,"cacheReadInputTokenCount":2,"cacheWriteInputTokenCount":3}} */
#define INNER_STOP                                                                                 \
	"eyJ0eXBlIjoibWVzc2FnZV9zdG9wIiwiYW1hem9uLWJlZHJvY2staW52b2NhdGlvbk1ldHJpY3MiOnsiaW5wdXRU" \
	"b2tlbkNvdW50IjoxMSwib3V0cHV0VG9rZW5Db3VudCI6MTMsImludm9jYXRpb25MYXRlbmN5IjoxLCJjYWNoZVJl" \
	"YWRJbnB1dFRva2VuQ291bnQiOjIsImNhY2hlV3JpdGVJbnB1dFRva2VuQ291bnQiOjN9fQ=="

static void
an_invoke_stream_wraps_the_models_events(void **state)
{
	const struct meter_result *r;

	(void)state;
	event("chunk", "{\"bytes\":\"" INNER_START "\",\"p\":\"abcdef\"}");
	assert_false(
	    read_bytes(DIALECT_BEDROCK, INVOKE_STREAM, FRAMES, buf_view(&body))->has_output);
	event("chunk", "{\"bytes\":\"" INNER_DELTA "\",\"p\":\"ab\"}");
	r = read_bytes(DIALECT_BEDROCK, INVOKE_STREAM, FRAMES, buf_view(&body));
	assert_true(r->has_output && !r->is_complete);
	event("chunk", "{\"bytes\":\"" INNER_STOP "\"}");
	r = read_bytes(DIALECT_BEDROCK, INVOKE_STREAM, FRAMES, buf_view(&body));
	assert_usage(m, USAGE(11, 2, 3, -1, 13, -1, -1, -1));
	assert_true(r->is_complete);
	assert_true(span_eq(r->model, SPAN_LIT("claude-x")));
}

static void
frames_that_cannot_be_right_end_the_reading(void **state)
{
	static const size_t places[] = {0, 3, 5, 7, 8, 11}; /* lengths and their sum */

	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		buf_reset(&body);
		event("messageStop", "{}");
		body.p[body.off + places[i]] ^= 0x40;
		event("metadata", "{\"usage\":{\"inputTokens\":30,\"outputTokens\":62}}");
		const struct meter_result *r =
		    read_bytes(DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body));
		assert_false(r->is_complete);
		assert_false(r->usage.is_present);
	}
}

static void
a_frame_over_four_megabytes_is_passed_over(void **state)
{
	size_t n = 5 << 20;
	char *p = test_malloc(n);
	const struct meter_result *r;

	(void)state;
	memset(p, ' ', n);
	put_frame(&body, "event", "contentBlockDelta", span_of(p, n));
	event("metadata", "{\"usage\":{\"inputTokens\":30,\"outputTokens\":62}}");
	test_free(p);
	struct answer a = {DIALECT_BEDROCK, CONVERSE_STREAM, FRAMES, buf_view(&body), NULL, 0};
	m = read_in_pieces(&a, 65536);
	r = meter_result(m);
	assert_usage(m, USAGE(30, -1, -1, -1, 62, -1, -1, -1));
	assert_true(r->is_complete);
	assert_int_equal(r->events, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_converse_answer),
	    TEST(invoke_answers_in_the_models_own_words),
	    TEST(a_converse_stream),
	    TEST(a_converse_stream_ends_with_its_metadata),
	    TEST(an_exception_frame_is_an_error),
	    TEST(an_invoke_stream_wraps_the_models_events),
	    TEST(frames_that_cannot_be_right_end_the_reading),
	    TEST(a_frame_over_four_megabytes_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
