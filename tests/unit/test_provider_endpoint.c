#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/dialect.h"

/* Which endpoint a POST to a path is, under a provider of a dialect. */
static const struct {
	enum dialect provider;
	const char *path;
	enum endpoint_class class;
	enum dialect dialect;
	const char *model;
} paths[] = {
    {DIALECT_OPENAI, "/v1/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/openai/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/api/v3/bots/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/text/chatcompletion_v2", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/completions", ENDPOINT_COMPLETIONS, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/fim/completions", ENDPOINT_COMPLETIONS, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/engines/ada/completions", ENDPOINT_COMPLETIONS, DIALECT_OPENAI, "ada"},
    {DIALECT_OPENAI, "/v1/engines/ada/embeddings", ENDPOINT_EMBEDDINGS, DIALECT_OPENAI, "ada"},
    {DIALECT_OPENAI, "/v1/responses", ENDPOINT_RESPONSES, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/responses/input_tokens", ENDPOINT_COUNT_TOKENS, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/embeddings", ENDPOINT_EMBEDDINGS, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/rerank", ENDPOINT_RERANK, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/moderations", ENDPOINT_MODERATIONS, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/images/generations", ENDPOINT_IMAGES, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1/audio/speech", ENDPOINT_SPEECH, DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/openai/deployments/gpt-4o/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI,
	"gpt-4o"},
    {DIALECT_OPENAI, "/openai/deployments/ada-2/embeddings", ENDPOINT_EMBEDDINGS, DIALECT_OPENAI,
	"ada-2"},
    {DIALECT_OPENAI, "/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b", ENDPOINT_GENERATE,
	DIALECT_OPENAI, "@cf/meta/llama-3.1-8b"},
    /* a path tells its dialect under any provider */
    {DIALECT_OPENAI, "/v1/messages", ENDPOINT_MESSAGES, DIALECT_ANTHROPIC, ""},
    {DIALECT_OPENAI, "/v1/messages/count_tokens", ENDPOINT_COUNT_TOKENS, DIALECT_ANTHROPIC, ""},
    {DIALECT_OTHER, "/anthropic/v1/messages", ENDPOINT_MESSAGES, DIALECT_ANTHROPIC, ""},
    {DIALECT_OTHER, "/compatible-mode/v1/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_ANTHROPIC, "/v1/messages", ENDPOINT_MESSAGES, DIALECT_ANTHROPIC, ""},
    {DIALECT_ANTHROPIC, "/v1/messages/count_tokens", ENDPOINT_COUNT_TOKENS, DIALECT_ANTHROPIC, ""},
    {DIALECT_ANTHROPIC, "/v1/complete", ENDPOINT_COMPLETIONS, DIALECT_ANTHROPIC, ""},
    {DIALECT_ANTHROPIC, "/v1/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    /* Gemini and Vertex: the last segment is model and method */
    {DIALECT_GEMINI, "/v1beta/models/gemini-3:generateContent", ENDPOINT_GENERATE, DIALECT_GEMINI,
	"gemini-3"},
    {DIALECT_GEMINI, "/v1beta/models/gemini-3%3AgenerateContent", ENDPOINT_GENERATE, DIALECT_GEMINI,
	"gemini-3"},
    {DIALECT_GEMINI, "/v1beta/models/g:countTokens", ENDPOINT_COUNT_TOKENS, DIALECT_GEMINI, "g"},
    {DIALECT_GEMINI, "/v1beta/models/e:embedContent", ENDPOINT_EMBEDDINGS, DIALECT_GEMINI, "e"},
    {DIALECT_GEMINI, "/v1beta/models/e:batchEmbedContents", ENDPOINT_EMBEDDINGS, DIALECT_GEMINI,
	"e"},
    {DIALECT_GEMINI, "/v1beta/openai/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_GEMINI,
	"/v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict",
	ENDPOINT_EMBEDDINGS, DIALECT_GEMINI, "text-embedding-005"},
    {DIALECT_GEMINI, "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict",
	ENDPOINT_IMAGES, DIALECT_GEMINI, "imagen-4"},
    {DIALECT_GEMINI, "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict",
	ENDPOINT_MESSAGES, DIALECT_ANTHROPIC, "claude-x"},
    {DIALECT_GEMINI,
	"/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
	ENDPOINT_COUNT_TOKENS, DIALECT_ANTHROPIC, ""},
    {DIALECT_GEMINI, "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict",
	ENDPOINT_CHAT, DIALECT_OPENAI, "m"},
    {DIALECT_GEMINI, "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", ENDPOINT_CHAT,
	DIALECT_OPENAI, ""},
    {DIALECT_OPENAI, "/v1beta/models/g:generateContent", ENDPOINT_GENERATE, DIALECT_GEMINI, "g"},
    /* Bedrock */
    {DIALECT_BEDROCK, "/model/us.anthropic.claude-x%3A0/converse", ENDPOINT_CHAT, DIALECT_BEDROCK,
	"us.anthropic.claude-x%3A0"},
    {DIALECT_BEDROCK, "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile/a/invoke",
	ENDPOINT_GENERATE, DIALECT_BEDROCK,
	"arn:aws:bedrock:us-east-1:1:application-inference-profile/a"},
    {DIALECT_BEDROCK, "/model/amazon.titan-embed-text-v2:0/invoke", ENDPOINT_EMBEDDINGS,
	DIALECT_BEDROCK, "amazon.titan-embed-text-v2:0"},
    {DIALECT_BEDROCK, "/model/m/count-tokens", ENDPOINT_COUNT_TOKENS, DIALECT_BEDROCK, "m"},
    {DIALECT_BEDROCK, "/anthropic/v1/messages", ENDPOINT_MESSAGES, DIALECT_ANTHROPIC, ""},
    {DIALECT_BEDROCK, "/openai/v1/responses", ENDPOINT_RESPONSES, DIALECT_OPENAI, ""},
    /* Cohere */
    {DIALECT_COHERE, "/v2/chat", ENDPOINT_CHAT, DIALECT_COHERE, ""},
    {DIALECT_COHERE, "/v1/embed", ENDPOINT_EMBEDDINGS, DIALECT_COHERE, ""},
    {DIALECT_COHERE, "/v2/rerank", ENDPOINT_RERANK, DIALECT_COHERE, ""},
    {DIALECT_COHERE, "/v1/tokenize", ENDPOINT_COUNT_TOKENS, DIALECT_COHERE, ""},
    {DIALECT_COHERE, "/compatibility/v1/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    /* Ollama */
    {DIALECT_OLLAMA, "/api/chat", ENDPOINT_CHAT, DIALECT_OLLAMA, ""},
    {DIALECT_OLLAMA, "/api/generate", ENDPOINT_GENERATE, DIALECT_OLLAMA, ""},
    {DIALECT_OLLAMA, "/api/embed", ENDPOINT_EMBEDDINGS, DIALECT_OLLAMA, ""},
    {DIALECT_OLLAMA, "/api/embeddings", ENDPOINT_EMBEDDINGS, DIALECT_OLLAMA, ""},
    {DIALECT_OLLAMA, "/v1/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI, ""},
    {DIALECT_OLLAMA, "/v1/messages", ENDPOINT_MESSAGES, DIALECT_ANTHROPIC, ""},
    {DIALECT_OPENAI, "/api/chat", ENDPOINT_CHAT, DIALECT_OLLAMA, ""},
    /* speech of others */
    {DIALECT_OTHER, "/v1/text-to-speech/voice", ENDPOINT_SPEECH, DIALECT_OTHER, ""},
    {DIALECT_OTHER, "/v1/text-to-speech/voice/stream", ENDPOINT_SPEECH, DIALECT_OTHER, ""},
    {DIALECT_OTHER, "/v1/speak", ENDPOINT_SPEECH, DIALECT_OTHER, ""},
    {DIALECT_OTHER, "/tts/bytes", ENDPOINT_SPEECH, DIALECT_OTHER, ""},
};

static void
a_path_says_which_endpoint_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct endpoint e =
		    endpoint_classify(paths[i].provider, true, span_str(paths[i].path));
		if (e.class != paths[i].class || e.dialect != paths[i].dialect ||
		    !span_eq(e.model, span_str(paths[i].model)))
			fail_msg("%s: %s, %s, \"%.*s\"", paths[i].path,
			    endpoint_class_name(e.class), dialect_name(e.dialect),
			    SPAN_FMT(e.model));
		assert_true(e.is_held);
		assert_true(e.is_cacheable);
	}
}

/* Stateful, uploads, administration, and paths that only resemble. */
static void
everything_else_passes_unread(void **state)
{
	static const char *const others[] = {"", "/", "/v1/models", "/v1/files", "/v1/batches",
	    "/v1/fine_tuning/jobs", "/v1/threads", "/v1/threads/thread_1/messages",
	    "/v1/threads/t/runs", "/v1/assistants", "/v1/realtime/sessions",
	    "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/responses/resp_1/cancel",
	    "/v1/messages/batches", "/v1/vector_stores", "/v1/videos",
	    "/v1/chat/completions/chatcmpl-1", "/v1/chat/completions/", "/v1/conversations",
	    "/v1beta/models/g:batchGenerateContent", "/v1beta/cachedContents",
	    "/v1beta/models/veo-3:predictLongRunning",
	    "/v1/projects/p/locations/l/endpoints/1:predict",
	    "/v1/projects/p/locations/l/publishers/x/models/m:rawPredict", "/model//converse",
	    "/model/converse", "/async-invoke", "/v1/predictions", "/v1/chat", "/mycompletions",
	    "/v1/text-to-speech", "/mj/submit/imagine"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		struct endpoint e = endpoint_classify(DIALECT_OPENAI, true, span_str(others[i]));
		if (e.class != ENDPOINT_OTHER)
			fail_msg("%s is %s", others[i], endpoint_class_name(e.class));
		assert_int_equal(e.dialect, DIALECT_OPENAI);
		assert_false(
		    e.is_held || e.is_cacheable || e.is_deterministic || e.streams_by_path);
		assert_int_equal(e.model.n, 0);
	}
}

static void
only_post_is_held(void **state)
{
	struct endpoint e =
	    endpoint_classify(DIALECT_OPENAI, false, SPAN_LIT("/v1/chat/completions"));

	(void)state;
	assert_int_equal(e.class, ENDPOINT_OTHER);
	assert_false(e.is_held || e.is_cacheable);
}

static void
image_uploads_are_known_but_not_held(void **state)
{
	struct endpoint e = endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/images/edits"));

	(void)state;
	assert_int_equal(e.class, ENDPOINT_IMAGES);
	assert_false(e.is_held || e.is_cacheable);
	e = endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/images/variations"));
	assert_false(e.is_held || e.is_cacheable);
}

static void
some_are_deterministic_by_nature(void **state)
{
	(void)state;
	assert_true(
	    endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/embeddings")).is_deterministic);
	assert_true(
	    endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/moderations")).is_deterministic);
	assert_true(
	    endpoint_classify(DIALECT_ANTHROPIC, true, SPAN_LIT("/v1/messages/count_tokens"))
		.is_deterministic);
	assert_false(
	    endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/rerank")).is_deterministic);
	assert_false(endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/chat/completions"))
		.is_deterministic);
}

static void
some_stream_by_their_path(void **state)
{
	static const char *const streams[] = {"/v1beta/models/g:streamGenerateContent",
	    "/model/m/converse-stream", "/model/m/invoke-with-response-stream",
	    "/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(streams); i++)
		assert_true(
		    endpoint_classify(DIALECT_GEMINI, true, span_str(streams[i])).streams_by_path);
	assert_false(
	    endpoint_classify(DIALECT_GEMINI, true, SPAN_LIT("/v1beta/models/g:generateContent"))
		.streams_by_path);
}

static struct request_facts facts;
static struct json_doc *doc;

static int
forget(void **state)
{
	(void)state;
	json_free(doc);
	doc = NULL;
	return 0;
}

static const struct request_facts *
read_facts(enum dialect d, const char *path, const char *body)
{
	struct endpoint e = endpoint_classify(d, true, span_str(path));

	json_free(doc);
	doc = json_parse(span_str(body));
	assert_non_null(doc);
	request_facts_read(&e, json_root(doc), &facts);
	assert_false(facts.is_deterministic); /* not asked yet */
	facts.is_deterministic = request_is_deterministic(&e, json_root(doc));
	return &facts;
}

static const struct request_facts *
chat(const char *body)
{
	return read_facts(DIALECT_OPENAI, "/v1/chat/completions", body);
}

static void
the_model_is_the_paths_or_the_bodys(void **state)
{
	(void)state;
	assert_true(span_eq(chat("{\"model\":\"gpt-x\"}")->model, SPAN_LIT("gpt-x")));
	assert_int_equal(chat("{}")->model.n, 0);
	assert_int_equal(chat("{\"model\":1}")->model.n, 0);
	assert_int_equal(chat("[]")->model.n, 0);
	assert_true(span_eq(read_facts(DIALECT_OPENAI, "/openai/deployments/d/chat/completions",
				"{\"model\":\"ignored\"}")
				->model,
	    SPAN_LIT("d")));
	assert_true(
	    span_eq(read_facts(DIALECT_GEMINI, "/v1beta/models/g:generateContent", "{}")->model,
		SPAN_LIT("g")));
}

static void
a_stream_is_asked_for_in_each_dialects_way(void **state)
{
	(void)state;
	assert_true(chat("{\"stream\":true}")->is_stream);
	assert_false(chat("{\"stream\":false}")->is_stream);
	assert_false(chat("{\"stream\":\"true\"}")->is_stream);
	assert_false(chat("{}")->is_stream);
	assert_true(read_facts(DIALECT_OLLAMA, "/api/chat", "{}")->is_stream);
	assert_false(read_facts(DIALECT_OLLAMA, "/api/chat", "{\"stream\":false}")->is_stream);
	assert_false(read_facts(DIALECT_OLLAMA, "/api/embed", "{}")->is_stream);
	assert_true(
	    read_facts(DIALECT_GEMINI, "/v1beta/models/g:streamGenerateContent", "{}")->is_stream);
	assert_true(read_facts(DIALECT_BEDROCK, "/model/m/converse-stream", "{}")->is_stream);
	assert_true(read_facts(DIALECT_OPENAI, "/v1/audio/speech", "{\"stream_format\":\"sse\"}")
		->is_stream);
}

static void
a_request_is_stateful_when_it_says_so(void **state)
{
	static const char *const stateful[] = {"{\"store\":true}", "{\"background\":true}",
	    "{\"previous_response_id\":\"resp_1\"}", "{\"conversation\":\"conv_1\"}",
	    "{\"conversation\":{\"id\":\"conv_1\"}}", "{\"conversation_id\":\"c\"}"};
	static const char *const free_ones[] = {"{}", "{\"store\":false}", "{\"store\":null}",
	    "{\"background\":false}", "{\"previous_response_id\":null}", "{\"conversation\":null}",
	    "{\"tools\":[{\"type\":\"web_search\"}]}", "{\"n\":3}", "{\"prompt\":{\"id\":\"p\"}}"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(stateful); i++)
		assert_true(read_facts(DIALECT_OPENAI, "/v1/responses", stateful[i])->is_stateful);
	for (size_t i = 0; i < COUNT_OF(free_ones); i++)
		assert_false(
		    read_facts(DIALECT_OPENAI, "/v1/responses", free_ones[i])->is_stateful);
}

static void
a_request_is_deterministic_at_temperature_zero_or_with_a_seed(void **state)
{
	(void)state;
	assert_true(chat("{\"temperature\":0}")->is_deterministic);
	assert_true(chat("{\"temperature\":0.0}")->is_deterministic);
	assert_true(chat("{\"temperature\":1,\"seed\":0}")->is_deterministic);
	assert_true(chat("{\"seed\":-7}")->is_deterministic);
	assert_false(chat("{}")->is_deterministic);
	assert_false(chat("{\"temperature\":0.01}")->is_deterministic);
	assert_false(chat("{\"temperature\":null,\"seed\":null}")->is_deterministic);
	assert_false(chat("{\"seed\":\"7\"}")->is_deterministic);
	assert_true(read_facts(DIALECT_GEMINI, "/v1beta/models/g:generateContent",
	    "{\"generationConfig\":{\"temperature\":0}}")
		->is_deterministic);
	assert_true(read_facts(DIALECT_GEMINI, "/v1beta/models/g:generateContent",
	    "{\"generationConfig\":{\"seed\":5}}")
		->is_deterministic);
	assert_false(read_facts(DIALECT_GEMINI, "/v1beta/models/g:generateContent",
	    "{\"generationConfig\":{\"temperature\":1}}")
		->is_deterministic);
	assert_true(read_facts(
	    DIALECT_BEDROCK, "/model/m/converse", "{\"inferenceConfig\":{\"temperature\":0}}")
		->is_deterministic);
	assert_true(read_facts(DIALECT_OLLAMA, "/api/chat", "{\"options\":{\"seed\":1}}")
		->is_deterministic);
	assert_true(read_facts(DIALECT_OPENAI, "/v1/embeddings", "{}")->is_deterministic);
}

static void
classes_have_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENDPOINT_CLASS_COUNT; i++) {
		assert_non_null(endpoint_class_name((enum endpoint_class)i));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(endpoint_class_name((enum endpoint_class)i),
			    endpoint_class_name((enum endpoint_class)j));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_path_says_which_endpoint_it_is),
	    cmocka_unit_test(everything_else_passes_unread),
	    cmocka_unit_test(only_post_is_held),
	    cmocka_unit_test(image_uploads_are_known_but_not_held),
	    cmocka_unit_test(some_are_deterministic_by_nature),
	    cmocka_unit_test(some_stream_by_their_path),
	    cmocka_unit_test_teardown(the_model_is_the_paths_or_the_bodys, forget),
	    cmocka_unit_test_teardown(a_stream_is_asked_for_in_each_dialects_way, forget),
	    cmocka_unit_test_teardown(a_request_is_stateful_when_it_says_so, forget),
	    cmocka_unit_test_teardown(
		a_request_is_deterministic_at_temperature_zero_or_with_a_seed, forget),
	    cmocka_unit_test(classes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
