#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider_answer.h"

/* Cohere, Ollama, and vendors' own. */

static void
cohere_bills_units(void **state)
{
	(void)state;
	read_text(DIALECT_COHERE, "/v2/chat", JSON,
	    "{\"id\":\"1\",\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\"},"
	    "\"usage\":{\"billed_units\":{\"input_tokens\":5,\"output_tokens\":418},"
	    "\"tokens\":{\"input_tokens\":71,\"output_tokens\":418}}}");
	assert_usage(m, USAGE(5, -1, -1, -1, 418, -1, -1, -1));
	read_text(DIALECT_COHERE, "/v1/chat", JSON,
	    "{\"text\":\"x\",\"meta\":{\"tokens\":{\"input_tokens\":71,\"output_tokens\":4}}}");
	assert_usage(m, USAGE(71, -1, -1, -1, 4, -1, -1, -1));
	read_text(DIALECT_COHERE, "/v2/embed", JSON,
	    "{\"embeddings\":{},\"meta\":{\"billed_units\":{\"input_tokens\":2}}}");
	assert_usage(m, USAGE(2, -1, -1, -1, -1, -1, -1, -1));
	assert_false(read_text(DIALECT_COHERE, "/v2/rerank", JSON,
	    "{\"results\":[],\"meta\":{\"billed_units\":{\"search_units\":1}}}")
		->usage.is_present);
}

#define COHERE_STREAM                                                                              \
	"event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"1\"}\n\n"                \
	"event: content-delta\ndata: {\"type\":\"content-delta\",\"delta\":{}}\n\n"

static void
a_cohere_stream_ends_with_message_end(void **state)
{
	const struct meter_result *r;

	(void)state;
	assert_false(read_text(DIALECT_COHERE, "/v2/chat", SSE, COHERE_STREAM)->is_complete);
	r = read_text(DIALECT_COHERE, "/v2/chat", SSE,
	    COHERE_STREAM "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":"
			  "{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":"
			  "{\"input_tokens\":3,\"output_tokens\":7}}}}\n\ndata: [DONE]\n\n");
	assert_usage(m, USAGE(3, -1, -1, -1, 7, -1, -1, -1));
	assert_true(r->is_complete && r->has_output && !r->has_error);
	r = read_text(DIALECT_COHERE, "/v2/chat", SSE,
	    COHERE_STREAM "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":"
			  "{\"finish_reason\":\"ERROR\"}}\n\n");
	assert_true(r->has_error);
}

static void
an_old_cohere_stream_is_lines(void **state)
{
	const struct meter_result *r = read_text(DIALECT_COHERE, "/v1/chat",
	    "application/stream+json",
	    "{\"is_finished\":false,\"event_type\":\"stream-start\"}\n"
	    "{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"a\"}\n"
	    "{\"is_finished\":true,\"event_type\":\"stream-end\",\"finish_reason\":\"COMPLETE\","
	    "\"response\":{\"meta\":{\"billed_units\":{\"input_tokens\":3,\"output_tokens\":7}}}}\n");

	(void)state;
	assert_usage(m, USAGE(3, -1, -1, -1, 7, -1, -1, -1));
	assert_true(r->is_complete && r->has_output && r->is_stream);
	assert_int_equal(r->events, 3);
}

static void
an_ollama_answer(void **state)
{
	const struct meter_result *r = read_text(DIALECT_OLLAMA, "/api/chat", JSON,
	    "{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},"
	    "\"done\":true,\"prompt_eval_count\":26,\"eval_count\":298}");

	(void)state;
	assert_usage(m, USAGE(26, -1, -1, -1, 298, -1, -1, -1));
	assert_true(r->is_complete && !r->is_stream);
	read_text(DIALECT_OLLAMA, "/api/embed", JSON,
	    "{\"model\":\"e\",\"embeddings\":[[0.1]],\"prompt_eval_count\":8}");
	assert_usage(m, USAGE(8, -1, -1, -1, -1, -1, -1, -1));
}

#define OLLAMA_LINE(text)                                                                          \
	"{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"" text "\"},"   \
	"\"done\":false}\n"
#define OLLAMA_DONE                                                                                \
	"{\"model\":\"llama3.2\",\"message\":{\"content\":\"\"},\"done\":true,"                    \
	"\"done_reason\":\"stop\",\"prompt_eval_count\":26,\"eval_count\":3}"

static void
an_ollama_stream_ends_with_a_line_that_is_done(void **state)
{
	const struct meter_result *r =
	    read_text(DIALECT_OLLAMA, "/api/chat", "application/x-ndjson",
		OLLAMA_LINE("a") "\n" OLLAMA_LINE("\\\"done\\\":true") OLLAMA_DONE "\n");

	(void)state;
	assert_usage(m, USAGE(26, -1, -1, -1, 3, -1, -1, -1));
	assert_true(r->is_complete && r->has_output && r->is_stream && !r->has_error);
	assert_int_equal(r->events, 3);
	assert_true(span_eq(r->model, SPAN_LIT("llama3.2")));
	assert_true(read_text(
	    DIALECT_OLLAMA, "/api/chat", "application/x-ndjson", OLLAMA_LINE("a") OLLAMA_DONE)
		->is_complete);
	assert_false(read_text(
	    DIALECT_OLLAMA, "/api/chat", "application/x-ndjson", OLLAMA_LINE("a") OLLAMA_LINE("b"))
		->is_complete);
	assert_true(read_text(DIALECT_OLLAMA, "/api/chat", "application/x-ndjson",
	    OLLAMA_LINE("a") "{\"error\":\"out of memory\"}\n")
		->has_error);
}

static void
an_unknown_endpoint_is_complete_by_its_framing(void **state)
{
	const struct meter_result *r;

	(void)state;
	r = read_text(DIALECT_OPENAI, "/v1/audio/transcriptions", JSON,
	    "{\"text\":\"x\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
	    "\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":14},\"output_tokens\":45,"
	    "\"total_tokens\":59}}");
	assert_usage(m, USAGE(14, -1, -1, -1, 45, -1, 14, -1));
	assert_true(r->is_complete);
	assert_true(read_text(DIALECT_OTHER, "/v1/predictions", JSON, "{half")->is_complete);
	assert_true(read_text(DIALECT_OTHER, "/v3/chat", SSE, "data: {}\n\n")->is_complete);
	assert_true(read_text(DIALECT_OTHER, "/f", "application/octet-stream", "abc")->is_complete);
	assert_true(read_text(DIALECT_OTHER, "/f", "application/octet-stream", "")->is_complete);
}

static void
speech_of_others_is_complete_by_its_framing(void **state)
{
	const struct meter_result *r =
	    read_text(DIALECT_OTHER, "/v1/text-to-speech/v", "audio/mpeg", "\xff\xfb");

	(void)state;
	assert_true(r->is_complete && r->has_output && !r->has_error);
}

#define TEST(f) cmocka_unit_test_teardown(f, forget)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(cohere_bills_units),
	    TEST(a_cohere_stream_ends_with_message_end),
	    TEST(an_old_cohere_stream_is_lines),
	    TEST(an_ollama_answer),
	    TEST(an_ollama_stream_ends_with_a_line_that_is_done),
	    TEST(an_unknown_endpoint_is_complete_by_its_framing),
	    TEST(speech_of_others_is_complete_by_its_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
