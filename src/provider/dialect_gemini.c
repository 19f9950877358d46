#include "provider/dialect_int.h"

static const struct {
	const char *method;
	enum endpoint_class class;
	bool streams;
} methods[] = {
    {"generateContent", ENDPOINT_GENERATE, false},
    {"streamGenerateContent", ENDPOINT_GENERATE, true},
    {"countTokens", ENDPOINT_COUNT_TOKENS, false},
    {"computeTokens", ENDPOINT_COUNT_TOKENS, false},
    {"embedContent", ENDPOINT_EMBEDDINGS, false},
    {"batchEmbedContents", ENDPOINT_EMBEDDINGS, false},
};

/* Vertex passes other vendors' bodies through under .../publishers/{vendor}/models/{m}:rawPredict. */
static bool
classify_raw(const struct path_tail *t, struct span method, struct endpoint *e)
{
	e->streams_by_path = span_eq(method, SPAN_LIT("streamRawPredict"));
	if (!e->streams_by_path && !span_eq(method, SPAN_LIT("rawPredict")))
		return false;
	if (span_eq(t->third, SPAN_LIT("anthropic"))) {
		bool counts = span_eq(e->model, SPAN_LIT("count-tokens"));
		e->class = counts ? ENDPOINT_COUNT_TOKENS : ENDPOINT_MESSAGES;
		e->dialect = DIALECT_ANTHROPIC;
		if (counts)
			e->model = SPAN_LIT("");
		return true;
	}
	if (!span_eq(t->third, SPAN_LIT("mistralai")))
		return false;
	e->class = ENDPOINT_CHAT;
	e->dialect = DIALECT_OPENAI;
	return true;
}

/* Vertex's ":predict" serves anything; only what the model's name tells is known to be a function. */
static bool
classify_predict(struct span method, struct endpoint *e)
{
	if (!span_eq(method, SPAN_LIT("predict")))
		return false;
	if (span_contains_nocase(e->model, SPAN_LIT("embedding")))
		e->class = ENDPOINT_EMBEDDINGS;
	else if (span_contains_nocase(e->model, SPAN_LIT("imagen")))
		e->class = ENDPOINT_IMAGES;
	else
		return false;
	return true;
}

static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	size_t colon = span_find(t->last, ':'), skip = 1;

	if (colon == t->last.n) {
		colon = span_find_span(t->last, SPAN_LIT("%3A"));
		skip = 3;
	}
	if (colon >= t->last.n)
		return false;
	struct span method = span_skip(t->last, colon + skip);
	e->model = span_head(t->last, colon);
	for (size_t i = 0; i < COUNT_OF(methods); i++) {
		if (!span_eq(method, span_str(methods[i].method)))
			continue;
		e->class = methods[i].class;
		e->streams_by_path = methods[i].streams;
		return true;
	}
	return classify_raw(t, method, e) || classify_predict(method, e);
}

static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	UNUSED(root);
	return e->streams_by_path;
}

/* The count of one modality in [{"modality":"AUDIO","tokenCount":n}, ...]; -1 when it is not there. */
static int64_t
modality_tokens(struct json_val details, const char *modality)
{
	struct json_iter it = json_iter(details);
	struct json_val item;
	struct span key;

	while (json_next(&it, &key, &item)) {
		if (json_str_is(json_get(item, "modality"), modality))
			return tokens_of(json_get(item, "tokenCount"));
	}
	return -1;
}

static int64_t
or_zero(int64_t n)
{
	return n < 0 ? 0 : n;
}

/* The prompt's count holds the cached part; what tools put into it comes on top. */
static void
read_prompt(struct reading *r, struct json_val u, int64_t prompt, int64_t tools)
{
	int64_t cached = tokens_of(json_get(u, "cachedContentTokenCount"));

	reading_set(
	    r, USAGE_AUDIO_IN, modality_tokens(json_get(u, "promptTokensDetails"), "AUDIO"));
	if (prompt < 0)
		return;
	if (cached > prompt)
		cached = prompt;
	reading_set(r, USAGE_CACHE_READ, cached);
	reading_set(r, USAGE_INPUT, prompt - or_zero(cached) + or_zero(tools));
}

static void
read_usage(struct reading *r, struct json_val u)
{
	int64_t prompt = tokens_of(json_get(u, "promptTokenCount"));
	int64_t tools = tokens_of(json_get(u, "toolUsePromptTokenCount"));
	int64_t candidates =
	    tokens_of(json_either(u, "candidatesTokenCount", "responseTokenCount"));
	int64_t thoughts = tokens_of(json_get(u, "thoughtsTokenCount"));
	int64_t total = tokens_of(json_get(u, "totalTokenCount"));

	read_prompt(r, u, prompt, tools);
	reading_set(
	    r, USAGE_AUDIO_OUT, modality_tokens(json_get(u, "candidatesTokensDetails"), "AUDIO"));
	reading_set(r, USAGE_REASONING, thoughts);
	if (candidates < 0 && thoughts < 0)
		return;
	/* Thoughts stand beside the candidates, unless the total shows that they are inside. */
	bool is_inside = candidates >= or_zero(thoughts) &&
	    total == or_zero(prompt) + or_zero(tools) + candidates;
	int64_t output = or_zero(candidates) + (is_inside ? 0 : or_zero(thoughts));
	reading_set(r, USAGE_OUTPUT, output);
}

/* Vertex embeddings: each prediction says what it took. */
static void
read_predictions(struct reading *r, struct json_val predictions)
{
	struct json_iter it = json_iter(predictions);
	struct json_val item;
	struct span key;
	int64_t sum = -1;

	while (json_next(&it, &key, &item)) {
		int64_t n = tokens_of(json_path(item, "embeddings.statistics.token_count"));
		if (n >= 0 && sum < INT64_MAX / 2)
			sum = or_zero(sum) + n;
	}
	reading_set(r, USAGE_INPUT, sum);
}

static void
read_answer(struct reading *r, struct json_val root)
{
	reading_model(r, json_get(root, "modelVersion"));
	read_usage(r, json_get(root, "usageMetadata"));
	if (json_type(json_get(root, "predictions")) == JSON_ARRAY)
		read_predictions(r, json_get(root, "predictions"));
}

static void
read_candidate(struct reading *r, struct json_val candidate)
{
	if (json_type(json_get(candidate, "finishReason")) == JSON_STRING)
		r->may_end = true;
	if (json_size(json_path(candidate, "content.parts")) > 0)
		r->result.has_output = true;
}

static void
read_event(struct reading *r, const struct stream_event *ev)
{
	struct json_doc *doc = ev->is_cut ? NULL : json_parse(ev->data);
	struct json_val candidate;
	struct span key;

	if (doc == NULL) /* cut off, or no answer of Gemini's: no end that could be trusted */
		return;
	struct json_val root = json_root(doc);
	struct json_iter it = json_iter(json_get(root, "candidates"));
	read_answer(r, root);
	while (json_next(&it, &key, &candidate))
		read_candidate(r, candidate);
	if (json_type(json_path(root, "promptFeedback.blockReason")) == JSON_STRING)
		r->may_end = true;
	if (is_error_value(json_get(root, "error")))
		r->result.has_error = true;
	json_free(doc);
}

static const char *const sampling[] = {"generationConfig", "generation_config", NULL};

const struct dialect_ops dialect_gemini = {
    .name = "gemini",
    .refusal = REFUSAL_GEMINI,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = read_answer,
    .read_event = read_event,
};
