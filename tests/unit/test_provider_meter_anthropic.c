#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider_answer.h"

#define MESSAGES "/v1/messages"

static const struct meter_result *
read_answer(const char *path, const char *type, const char *body)
{
	return read_text(DIALECT_ANTHROPIC, path, type, body);
}

static void
a_message(void **state)
{
	const struct meter_result *r = read_answer(MESSAGES, JSON,
	    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\","
	    "\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\","
	    "\"usage\":{\"input_tokens\":21,\"cache_creation_input_tokens\":188086,"
	    "\"cache_read_input_tokens\":7,\"cache_creation\":{\"ephemeral_5m_input_tokens\":88086,"
	    "\"ephemeral_1h_input_tokens\":100000},\"output_tokens\":393,"
	    "\"service_tier\":\"standard\"}}");

	(void)state;
	assert_usage(m, USAGE(21, 7, 88086, 100000, 393, -1, -1, -1));
	assert_int_equal(usage_tokens_in(&r->usage), 21 + 7 + 188086);
	assert_true(r->is_complete && r->has_output && !r->has_error);
	assert_true(span_eq(r->model, SPAN_LIT("claude-x")));
}

static void
cache_writes_of_unsaid_lifetime_are_five_minutes(void **state)
{
	(void)state;
	read_answer(MESSAGES, JSON,
	    "{\"type\":\"message\",\"usage\":{\"input_tokens\":1,\"cache_creation_input_tokens\":50,"
	    "\"cache_read_input_tokens\":0,\"output_tokens\":2}}");
	assert_usage(m, USAGE(1, 0, 50, -1, 2, -1, -1, -1));
}

static void
an_error_is_an_error(void **state)
{
	(void)state;
	assert_true(read_answer(MESSAGES, JSON,
	    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}")
		->has_error);
}

#define START(usage)                                                                               \
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\","   \
	"\"type\":\"message\",\"model\":\"claude-x\",\"content\":[],\"usage\":{" usage "}}}\n\n"   \
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0}\n\n"     \
	"event: ping\ndata: {\"type\": \"ping\"}\n\n"
#define DELTA                                                                                      \
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"         \
	"\"delta\":{\"type\":\"text_delta\",\"text\":\"message_stop \\\"error\\\"\"}}\n\n"         \
	"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
#define MESSAGE_DELTA(usage)                                                                       \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"      \
	"\"end_turn\"},\"usage\":{" usage "}}\n\n"
#define STOP "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

static void
a_stream_takes_the_last_of_each_count(void **state)
{
	const struct meter_result *r = read_answer(MESSAGES, SSE,
	    START("\"input_tokens\":25,\"cache_read_input_tokens\":10,\"output_tokens\":1")
		DELTA MESSAGE_DELTA("\"output_tokens\":7") MESSAGE_DELTA("\"output_tokens\":15")
		    STOP);

	(void)state;
	assert_usage(m, USAGE(25, 10, -1, -1, 15, -1, -1, -1));
	assert_true(r->is_stream && r->is_complete && r->has_output && !r->has_error);
	assert_int_equal(r->events, 8);
	assert_true(span_eq(r->model, SPAN_LIT("claude-x")));
}

static void
a_delta_may_repeat_the_whole_usage(void **state)
{
	(void)state;
	read_answer(MESSAGES, SSE,
	    START("\"input_tokens\":3,\"cache_creation_input_tokens\":300,\"cache_creation\":{"
		  "\"ephemeral_5m_input_tokens\":100,\"ephemeral_1h_input_tokens\":200},"
		  "\"output_tokens\":1")
		DELTA MESSAGE_DELTA("\"input_tokens\":4,\"cache_creation_input_tokens\":300,"
				    "\"cache_read_input_tokens\":0,\"output_tokens\":9") STOP);
	assert_usage(m, USAGE(4, 0, 100, 200, 9, -1, -1, -1));
}

static void
a_stream_is_complete_with_message_stop_only(void **state)
{
	(void)state;
	assert_false(read_answer(MESSAGES, SSE, START("\"input_tokens\":1") DELTA)->is_complete);
	assert_false(read_answer(
	    MESSAGES, SSE, START("\"input_tokens\":1") DELTA MESSAGE_DELTA("\"output_tokens\":2"))
		->is_complete);
	assert_false(read_answer(MESSAGES, SSE, START("\"input_tokens\":1"))->has_output);
}

static void
an_error_event_is_an_error(void **state)
{
	const struct meter_result *r = read_answer(MESSAGES, SSE,
	    START("\"input_tokens\":1") DELTA
	    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n");

	(void)state;
	assert_true(r->has_error && !r->is_complete);
	assert_usage(m, USAGE(1, -1, -1, -1, -1, -1, -1, -1));
}

static void
events_without_names_are_read_by_their_types(void **state)
{
	const struct meter_result *r = read_answer(MESSAGES, SSE,
	    "data: {\"type\":\"message_start\",\"message\":{\"model\":\"c\",\"usage\":"
	    "{\"input_tokens\":2}}}\n\ndata: {\"type\":\"content_block_delta\"}\n\n"
	    "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":3}}\n\n"
	    "data: {\"type\":\"message_stop\"}\n\n");

	(void)state;
	assert_usage(m, USAGE(2, -1, -1, -1, 3, -1, -1, -1));
	assert_true(r->is_complete && r->has_output);
}

static void
counting_tokens_uses_none(void **state)
{
	const struct meter_result *r =
	    read_answer("/v1/messages/count_tokens", JSON, "{\"input_tokens\":2095}");

	(void)state;
	assert_true(r->is_complete);
	assert_false(r->usage.is_present);
	assert_int_equal(usage_tokens_in(&r->usage), -1);
}

#define TEST(f) cmocka_unit_test_teardown(f, forget)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_message),
	    TEST(cache_writes_of_unsaid_lifetime_are_five_minutes),
	    TEST(an_error_is_an_error),
	    TEST(a_stream_takes_the_last_of_each_count),
	    TEST(a_delta_may_repeat_the_whole_usage),
	    TEST(a_stream_is_complete_with_message_stop_only),
	    TEST(an_error_event_is_an_error),
	    TEST(events_without_names_are_read_by_their_types),
	    TEST(counting_tokens_uses_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
