#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "provider_answer.h"

#define CHAT "/v1/chat/completions"

static const struct meter_result *
read_answer(const char *path, const char *type, const char *body)
{
	return read_text(DIALECT_OPENAI, path, type, body);
}

static void
a_chat_answer(void **state)
{
	const struct meter_result *r = read_answer(CHAT, JSON,
	    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-2024-08-06\","
	    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},"
	    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1117,\"completion_tokens\":46,"
	    "\"total_tokens\":1163,\"prompt_tokens_details\":{\"cached_tokens\":1024,\"audio_tokens\":3},"
	    "\"completion_tokens_details\":{\"reasoning_tokens\":10,\"audio_tokens\":4,"
	    "\"accepted_prediction_tokens\":0}},\"system_fingerprint\":null}");

	(void)state;
	assert_usage(m, USAGE(93, 1024, -1, -1, 46, 10, 3, 4));
	assert_true(span_eq(r->model, SPAN_LIT("gpt-4o-2024-08-06")));
	assert_true(r->is_complete);
	assert_true(r->has_output);
	assert_false(r->is_stream || r->has_error);
	assert_int_equal(usage_tokens_in(&r->usage), 1117);
	assert_int_equal(usage_tokens_out(&r->usage), 46);
}

static void
a_cached_count_of_zero_is_a_count(void **state)
{
	(void)state;
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12,"
	    "\"prompt_tokens_details\":{\"cached_tokens\":0}}}");
	assert_usage(m, USAGE(10, 0, -1, -1, 2, -1, -1, -1));
}

static void
a_cache_write_stands_in_the_prompt(void **state)
{
	(void)state;
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":2,\"prompt_tokens_details\":"
	    "{\"cached_tokens\":30,\"cache_write_tokens\":50}}}");
	assert_usage(m, USAGE(20, 30, 50, -1, 2, -1, -1, -1));
	assert_int_equal(usage_tokens_in(&meter_result(m)->usage), 100);
}

static void
cached_counts_of_deepseek_and_moonshot(void **state)
{
	(void)state;
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":2,\"prompt_cache_hit_tokens\":64,"
	    "\"prompt_cache_miss_tokens\":36}}");
	assert_usage(m, USAGE(36, 64, -1, -1, 2, -1, -1, -1));
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":2,\"cached_tokens\":40}}");
	assert_usage(m, USAGE(60, 40, -1, -1, 2, -1, -1, -1));
}

static void
reasoning_beside_the_completion_is_added(void **state)
{
	(void)state;
	/* xAI: total = prompt + completion + reasoning */
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,"
	    "\"completion_tokens_details\":{\"reasoning_tokens\":94}}}");
	assert_usage(m, USAGE(32, -1, -1, -1, 103, 94, -1, -1));
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":100,\"total_tokens\":142,"
	    "\"completion_tokens_details\":{\"reasoning_tokens\":10}}}");
	assert_usage(m, USAGE(32, -1, -1, -1, 110, 10, -1, -1));
	/* OpenAI: it is inside */
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":103,\"total_tokens\":135,"
	    "\"completion_tokens_details\":{\"reasoning_tokens\":94}}}");
	assert_usage(m, USAGE(32, -1, -1, -1, 103, 94, -1, -1));
}

/* In whatever order; null is not said. */
static void
the_first_of_a_name_counts_and_the_other_name_where_it_says_nothing(void **state)
{
	(void)state;
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"output_tokens\":5,\"output_tokens\":9,\"input_tokens\":7,"
	    "\"prompt_tokens\":null,\"prompt_tokens\":11}}");
	assert_usage(m, USAGE(7, -1, -1, -1, 5, -1, -1, -1));
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"input_tokens\":7,\"prompt_tokens\":6,\"output_tokens\":5,"
	    "\"completion_tokens\":\"4\"}}");
	assert_usage(m, USAGE(6, -1, -1, -1, -1, -1, -1, -1));
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"input_token_details\":{\"cached_tokens\":3},\"input_tokens_details\":[],"
	    "\"input_tokens\":7}}");
	assert_usage(m, USAGE(4, 3, -1, -1, -1, -1, -1, -1));
}

static void
numbers_that_cannot_be_counts_are_not_said(void **state)
{
	static const char *const bodies[] = {
	    "{\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":-5}}",
	    "{\"usage\":{\"prompt_tokens\":\"12\",\"completion_tokens\":null}}",
	    "{\"usage\":{\"prompt_tokens\":1.5,\"completion_tokens\":1e300}}",
	    "{\"usage\":{\"prompt_tokens\":1000000000001}}", "{\"usage\":[1]}", "{\"usage\":null}",
	    "[]", "\"usage\""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		const struct meter_result *r = read_answer(CHAT, JSON, bodies[i]);
		assert_false(r->usage.is_present);
		assert_int_equal(usage_tokens_in(&r->usage), -1);
		assert_int_equal(usage_tokens_out(&r->usage), -1);
		assert_true(r->is_complete);
	}
	read_answer(
	    CHAT, JSON, "{\"usage\":{\"prompt_tokens\":1000000000000,\"completion_tokens\":0}}");
	assert_usage(m, USAGE(INT64_C(1000000000000), -1, -1, -1, 0, -1, -1, -1));
	read_answer(CHAT, JSON,
	    "{\"usage\":{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":9}}}");
	assert_usage(m, USAGE(0, 5, -1, -1, -1, -1, -1, -1));
}

static void
an_error_object_with_status_200_is_an_error(void **state)
{
	static const char *const errors[] = {"{\"error\":{\"message\":\"no\"}}",
	    "{\"error\":\"no\"}", "{\"error\":{\"code\":402},\"user_id\":\"u\"}", "{\"error\":[1]}",
	    "{\"base_resp\":{\"status_code\":1004,\"status_msg\":\"no\"}}",
	    "{\"status\":\"failed\"}"};
	static const char *const fine[] = {"{\"error\":null}", "{\"error\":{}}", "{\"error\":\"\"}",
	    "{\"error\":false}", "{\"choices\":[{\"error\":1}]}",
	    "{\"base_resp\":{\"status_code\":0}}", "{\"status\":\"completed\"}",
	    "{\"status\":\"incomplete\"}"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(errors); i++)
		assert_true(read_answer(CHAT, JSON, errors[i])->has_error);
	for (size_t i = 0; i < COUNT_OF(fine); i++)
		assert_false(read_answer(CHAT, JSON, fine[i])->has_error);
}

static void
json_that_is_cut_is_not_complete(void **state)
{
	(void)state;
	assert_false(
	    read_answer(CHAT, JSON, "{\"choices\":[{\"message\":{\"content\":\"Hi")->is_complete);
	assert_false(read_answer(CHAT, JSON, "")->is_complete);
	assert_false(read_answer(CHAT, JSON, "<html>")->is_complete);
}

#define CHUNK                                                                                      \
	"{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o\",\"choices\":["
#define STREAM                                                                                     \
	"data: " CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],"       \
	"\"usage\":null}\n\n"                                                                      \
	"data: " CHUNK "{\"index\":0,\"delta\":{\"content\":\"Hel\"}}],\"usage\":null}\n\n"        \
	"data: " CHUNK "{\"index\":0,\"delta\":{\"content\":\"lo \\\"usage\\\":\"}}],"             \
	"\"usage\":null}\n\n"                                                                      \
	"data: " CHUNK                                                                             \
	"{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
#define USAGE_CHUNK                                                                                \
	"data: " CHUNK "],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,"                \
	"\"total_tokens\":21,\"prompt_tokens_details\":{\"cached_tokens\":4},"                     \
	"\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n"
#define DONE "data: [DONE]\n\n"

static void
a_chat_stream_with_its_usage_chunk(void **state)
{
	const struct meter_result *r = read_answer(CHAT, SSE, STREAM USAGE_CHUNK DONE);

	(void)state;
	assert_usage(m, USAGE(5, 4, -1, -1, 12, 0, -1, -1));
	assert_true(r->is_stream && r->is_complete && r->has_output);
	assert_false(r->has_error);
	assert_int_equal(r->events, 6);
	assert_true(span_eq(r->model, SPAN_LIT("gpt-4o")));
}

static void
a_chat_stream_without_usage_is_complete_and_says_none(void **state)
{
	const struct meter_result *r = read_answer(CHAT, SSE, STREAM DONE);

	(void)state;
	assert_true(r->is_complete);
	assert_false(r->usage.is_present);
}

static void
a_chat_stream_without_done_is_not_complete(void **state)
{
	(void)state;
	assert_false(read_answer(CHAT, SSE, STREAM USAGE_CHUNK)->is_complete);
	assert_false(read_answer(CHAT, SSE, STREAM USAGE_CHUNK "data: [DO")->is_complete);
	assert_usage(m, USAGE(5, 4, -1, -1, 12, 0, -1, -1));
	assert_false(read_answer(CHAT, SSE, "")->is_complete);
	/* the last blank line is often left out */
	assert_true(read_answer(CHAT, SSE, STREAM "data: [DONE]\n")->is_complete);
	assert_true(read_answer(CHAT, SSE, STREAM "data:[DONE]\r\n\r\n")->is_complete);
}

static void
the_first_content_is_seen_when_it_comes(void **state)
{
	static const char *const silent[] = {"{\"role\":\"assistant\"}",
	    "{\"role\":\"assistant\",\"content\":\"\"}", "{\"content\":null}",
	    "{\"tool_calls\":[]}"};
	static const char *const speaking[] = {"{\"content\":\"a\"}",
	    "{\"reasoning_content\":\"a\"}", "{\"reasoning\":\"a\"}",
	    "{\"tool_calls\":[{\"index\":0}]}", "{\"audio\":{\"data\":\"x\"}}",
	    "{\"refusal\":\"no\"}"};
	char body[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(silent); i++) {
		snprintf(body, sizeof(body), "data: {\"choices\":[{\"delta\":%s}]}\n\n", silent[i]);
		assert_false(read_answer(CHAT, SSE, body)->has_output);
	}
	for (size_t i = 0; i < COUNT_OF(speaking); i++) {
		snprintf(
		    body, sizeof(body), "data: {\"choices\":[{\"delta\":%s}]}\n\n", speaking[i]);
		assert_true(read_answer(CHAT, SSE, body)->has_output);
	}
	assert_true(
	    read_answer("/v1/completions", SSE, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n")
		->has_output);
}

static void
groq_says_its_usage_in_a_member_of_its_own(void **state)
{
	(void)state;
	read_answer(CHAT, SSE,
	    STREAM "data: " CHUNK
		   "{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\","
		   "\"usage\":{\"queue_time\":0.1,\"prompt_tokens\":18,\"completion_tokens\":33,"
		   "\"total_tokens\":51}}}\n\n" DONE);
	assert_usage(m, USAGE(18, -1, -1, -1, 33, -1, -1, -1));
}

static void
usage_in_every_chunk_counts_once(void **state)
{
	(void)state;
	read_answer(CHAT, SSE,
	    "data: " CHUNK "{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":7,"
	    "\"completion_tokens\":1}}\n\n"
	    "data: " CHUNK "{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":7,"
	    "\"completion_tokens\":2}}\n\n" DONE);
	assert_usage(m, USAGE(7, -1, -1, -1, 2, -1, -1, -1));
}

static void
errors_inside_a_stream_are_seen(void **state)
{
	static const char *const errors[] = {/* OpenRouter */
	    (": OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-1\",\"error\":{\"code\":502,\"message\":\"x\"},"
	     "\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n"),
	    "data: {\"error\":{\"message\":\"x\"}}\n\n",
	    "event: error\ndata: {\"message\":\"x\"}\n\n", "data: {\"error\":\"x\"}\n\n",
	    "data: {\"choices\":[{\"finish_reason\":\"error\"}]}\n\n"};
	char body[2048];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		snprintf(body, sizeof(body), "%s%s", STREAM, errors[i]);
		assert_true(read_answer(CHAT, SSE, body)->has_error);
		snprintf(body, sizeof(body), "%s%s", errors[i], DONE);
		assert_true(read_answer(CHAT, SSE, body)->has_error);
	}
	assert_false(read_answer(CHAT, SSE, STREAM "data: {\"error\":null,\"choices\":[]}\n\n" DONE)
		->has_error);
	assert_false(read_answer(CHAT, SSE,
	    STREAM "data: {\"choices\":[{\"delta\":{\"content\":"
		   "\"{\\\"error\\\":1}\"}}]}\n\n" DONE)
		->has_error);
}

#define RESPONSE "{\"id\":\"resp_1\",\"object\":\"response\",\"model\":\"gpt-5\",\"error\":null,"
#define RESPONSE_USAGE                                                                             \
	"\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":16},"          \
	"\"output_tokens\":87,\"output_tokens_details\":{\"reasoning_tokens\":64},"                \
	"\"total_tokens\":123}}"
#define RESPONSE_STREAM                                                                            \
	"event: response.created\ndata: {\"type\":\"response.created\",\"response\":" RESPONSE     \
	"\"status\":\"in_progress\",\"usage\":null}}\n\n"                                          \
	"event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\"}\n\n"   \
	"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","       \
	"\"delta\":\"response.completed\"}\n\n"                                                    \
	"event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\"}\n\n"
#define RESPONSE_END(type)                                                                         \
	"event: " type "\ndata: {\"type\":\"" type "\",\"response\":" RESPONSE                     \
	"\"status\":\"x\"," RESPONSE_USAGE "}\n\n"

static void
a_responses_answer(void **state)
{
	const struct meter_result *r = read_answer("/v1/responses", JSON,
	    RESPONSE "\"status\":\"completed\",\"output\":[]," RESPONSE_USAGE);

	(void)state;
	assert_usage(m, USAGE(20, 16, -1, -1, 87, 64, -1, -1));
	assert_true(r->is_complete);
	assert_false(r->has_error);
}

static void
a_responses_stream_ends_with_its_completion(void **state)
{
	const struct meter_result *r =
	    read_answer("/v1/responses", SSE, RESPONSE_STREAM RESPONSE_END("response.completed"));

	(void)state;
	assert_usage(m, USAGE(20, 16, -1, -1, 87, 64, -1, -1));
	assert_true(r->is_complete && r->has_output && !r->has_error);
	assert_true(span_eq(r->model, SPAN_LIT("gpt-5")));
	assert_int_equal(r->events, 5);
}

static void
a_responses_stream_may_end_badly(void **state)
{
	const struct meter_result *r;

	(void)state;
	r = read_answer("/v1/responses", SSE, RESPONSE_STREAM);
	assert_false(r->is_complete || r->has_error);
	r = read_answer("/v1/responses", SSE, RESPONSE_STREAM DONE);
	assert_false(r->is_complete);
	r = read_answer("/v1/responses", SSE, RESPONSE_STREAM RESPONSE_END("response.incomplete"));
	assert_true(r->is_complete && !r->has_error);
	r = read_answer("/v1/responses", SSE, RESPONSE_STREAM RESPONSE_END("response.failed"));
	assert_true(r->has_error);
	assert_usage(m, USAGE(20, 16, -1, -1, 87, 64, -1, -1));
	r = read_answer("/v1/responses", SSE,
	    RESPONSE_STREAM "event: error\ndata: {\"type\":\"error\",\"message\":\"x\"}\n\n");
	assert_true(r->has_error && !r->is_complete);
}

static void
a_responses_stream_without_event_names_is_read_by_its_types(void **state)
{
	const struct meter_result *r = read_answer("/v1/responses", SSE,
	    "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"
	    "data: {\"type\":\"response.completed\",\"response\":" RESPONSE RESPONSE_USAGE "}\n\n");

	(void)state;
	assert_usage(m, USAGE(20, 16, -1, -1, 87, 64, -1, -1));
	assert_true(r->is_complete && r->has_output);
}

static void
embeddings_and_reranking(void **state)
{
	(void)state;
	read_answer("/v1/embeddings", JSON,
	    "{\"object\":\"list\",\"data\":[{\"embedding\":[0.1,-2e-3]}],\"model\":\"e\","
	    "\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}");
	assert_usage(m, USAGE(8, -1, -1, -1, -1, -1, -1, -1));
	read_answer("/v1/rerank", JSON, "{\"data\":[],\"usage\":{\"total_tokens\":26}}");
	assert_usage(m, USAGE(26, -1, -1, -1, -1, -1, -1, -1));
}

static void
images_and_speech(void **state)
{
	const struct meter_result *r;

	(void)state;
	r = read_answer("/v1/images/generations", JSON,
	    "{\"data\":[{\"b64_json\":\"AAAA\"}],\"usage\":{\"input_tokens\":50,"
	    "\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40},\"output_tokens\":4160,"
	    "\"total_tokens\":4210}}");
	assert_usage(m, USAGE(50, -1, -1, -1, 4160, -1, -1, -1));
	r = read_answer("/v1/images/generations", SSE,
	    "event: image_generation.partial_image\ndata: {\"b64_json\":\"AA\"}\n\n"
	    "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\","
	    "\"usage\":{\"input_tokens\":5,\"output_tokens\":7}}\n\n");
	assert_usage(m, USAGE(5, -1, -1, -1, 7, -1, -1, -1));
	assert_true(r->is_complete);
	r = read_answer("/v1/audio/speech", SSE,
	    "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AA\"}\n\n"
	    "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":5,\"output_tokens\":7}}\n\n");
	assert_usage(m, USAGE(5, -1, -1, -1, 7, -1, -1, -1));
	assert_true(r->is_complete && r->has_output);
	r = read_answer("/v1/audio/speech", "audio/mpeg", "\xff\xf3\x01\x02");
	assert_true(r->is_complete && r->has_output);
	assert_false(r->usage.is_present || r->is_stream);
}

static void
workers_ai(void **state)
{
	const char *path = "/client/v4/accounts/a/ai/run/@cf/meta/llama";
	const struct meter_result *r;

	(void)state;
	read_answer(path, JSON,
	    "{\"result\":{\"response\":\"Hi\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,"
	    "\"total_tokens\":5}},\"success\":true,\"errors\":[],\"messages\":[]}");
	assert_usage(m, USAGE(3, -1, -1, -1, 2, -1, -1, -1));
	r = read_answer(path, SSE,
	    "data: {\"response\":\"Hi\",\"p\":\"ab\"}\n\n"
	    "data: {\"response\":\"\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n" DONE);
	assert_usage(m, USAGE(3, -1, -1, -1, 2, -1, -1, -1));
	assert_true(r->is_complete && r->has_output);
}

#define TEST(f) cmocka_unit_test_teardown(f, forget)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_chat_answer),
	    TEST(a_cached_count_of_zero_is_a_count),
	    TEST(a_cache_write_stands_in_the_prompt),
	    TEST(cached_counts_of_deepseek_and_moonshot),
	    TEST(reasoning_beside_the_completion_is_added),
	    TEST(the_first_of_a_name_counts_and_the_other_name_where_it_says_nothing),
	    TEST(numbers_that_cannot_be_counts_are_not_said),
	    TEST(an_error_object_with_status_200_is_an_error),
	    TEST(json_that_is_cut_is_not_complete),
	    TEST(a_chat_stream_with_its_usage_chunk),
	    TEST(a_chat_stream_without_usage_is_complete_and_says_none),
	    TEST(a_chat_stream_without_done_is_not_complete),
	    TEST(the_first_content_is_seen_when_it_comes),
	    TEST(groq_says_its_usage_in_a_member_of_its_own),
	    TEST(usage_in_every_chunk_counts_once),
	    TEST(errors_inside_a_stream_are_seen),
	    TEST(a_responses_answer),
	    TEST(a_responses_stream_ends_with_its_completion),
	    TEST(a_responses_stream_may_end_badly),
	    TEST(a_responses_stream_without_event_names_is_read_by_its_types),
	    TEST(embeddings_and_reranking),
	    TEST(images_and_speech),
	    TEST(workers_ai),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
