#include "provider/dialect_int.h"

#include <stdlib.h>

static const struct {
	const char *operation;
	enum endpoint_class class;
	bool streams;
} operations[] = {
    {"converse", ENDPOINT_CHAT, false},
    {"converse-stream", ENDPOINT_CHAT, true},
    {"invoke", ENDPOINT_GENERATE, false},
    {"invoke-with-response-stream", ENDPOINT_GENERATE, true},
    {"count-tokens", ENDPOINT_COUNT_TOKENS, false},
};

/* ".../model/{id}/{operation}"; the id of a profile is an ARN and may hold '/', escaped or not. */
static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	struct span marker = SPAN_LIT("/model/");
	size_t at = span_find_span(t->path, marker), head = at + marker.n + t->last.n + 1;

	if (at >= t->path.n || head >= t->path.n)
		return false;
	for (size_t i = 0; i < COUNT_OF(operations); i++) {
		if (!span_eq(t->last, span_str(operations[i].operation)))
			continue;
		e->model = span_of(t->path.p + at + marker.n, t->path.n - head);
		e->class = operations[i].class;
		if (e->class == ENDPOINT_GENERATE &&
		    span_contains_nocase(e->model, SPAN_LIT("embed")))
			e->class = ENDPOINT_EMBEDDINGS;
		e->streams_by_path = operations[i].streams;
		return true;
	}
	return false;
}

static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	UNUSED(root);
	return e->streams_by_path;
}

/* Converse and Nova: input without the cached part. The hour's writes are told apart in a list. */
static void
read_converse_usage(struct reading *r, struct json_val u)
{
	int64_t written =
	    tokens_of(json_either(u, "cacheWriteInputTokens", "cacheWriteInputTokenCount"));
	struct json_iter it = json_iter(json_get(u, "cacheDetails"));
	struct json_val item;
	struct span key;
	int64_t hour = -1;

	while (json_next(&it, &key, &item)) {
		if (json_str_is(json_get(item, "ttl"), "1h"))
			hour = tokens_of(json_get(item, "inputTokens"));
	}
	if (hour > written)
		hour = written;
	reading_tokens(r, USAGE_INPUT, json_get(u, "inputTokens"));
	reading_tokens(r, USAGE_OUTPUT, json_get(u, "outputTokens"));
	reading_tokens(r, USAGE_CACHE_READ,
	    json_either(u, "cacheReadInputTokens", "cacheReadInputTokenCount"));
	reading_set(r, USAGE_CACHE_WRITE_1H, hour);
	reading_set(r, USAGE_CACHE_WRITE_5M, written - (hour > 0 ? hour : 0));
}

/* What the runtime adds to the last event of an invoke stream. */
static void
read_metrics(struct reading *r, struct json_val m)
{
	reading_tokens(r, USAGE_INPUT, json_get(m, "inputTokenCount"));
	reading_tokens(r, USAGE_OUTPUT, json_get(m, "outputTokenCount"));
	reading_tokens(r, USAGE_CACHE_READ, json_get(m, "cacheReadInputTokenCount"));
	reading_tokens(r, USAGE_CACHE_WRITE_5M, json_get(m, "cacheWriteInputTokenCount"));
}

/* Titan says what it took at the top and what it gave in each result; Llama both at the top. */
static void
read_old_models(struct reading *r, struct json_val root)
{
	struct json_iter it = json_iter(json_get(root, "results"));
	struct json_val item;
	struct span key;
	int64_t sum = -1;

	while (json_next(&it, &key, &item)) {
		int64_t n = tokens_of(json_get(item, "tokenCount"));
		if (n >= 0 && sum < INT64_MAX / 2)
			sum = (sum < 0 ? 0 : sum) + n;
	}
	reading_tokens(
	    r, USAGE_INPUT, json_either(root, "inputTextTokenCount", "prompt_token_count"));
	reading_set(r, USAGE_OUTPUT, sum);
	reading_tokens(r, USAGE_OUTPUT, json_get(root, "generation_token_count"));
}

static void
read_answer(struct reading *r, struct json_val root)
{
	struct json_val usage = json_get(root, "usage");

	reading_model(r, json_get(root, "model"));
	if (json_type(json_get(usage, "inputTokens")) == JSON_NUMBER)
		read_converse_usage(r, usage);
	else if (json_str_is(json_get(root, "type"), "message"))
		anthropic_read_usage(r, usage);
	else if (json_type(usage) == JSON_OBJECT)
		openai_read_usage(r, usage);
	else
		read_old_models(r, root);
}

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

/* Up to the first character that is no digit. out has room for 3/4 of in. */
static size_t
base64_decode(struct span in, char *out)
{
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		int digit = base64_digit(in.p[i]);
		if (digit < 0)
			break;
		bits = (bits << 6 | (unsigned)digit) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[n++] = (char)(bits >> n_bits & 0xff);
		}
	}
	return n;
}

/* The model's own event. Only the last one, which carries the runtime's counts, and the first are
 * worth parsing. */
static void
read_inner(struct reading *r, struct span text)
{
	bool is_last = has_said(text, SPAN_LIT("\"amazon-bedrock-invocationMetrics\""), 'M');
	bool is_start = has_said(text, SPAN_LIT("\"message_start\""), '_');
	struct json_doc *doc;

	r->result.has_output |=
	    !is_start && !is_last && !has_said(text, SPAN_LIT("\"content_block_start\""), '_');
	if ((!is_last && !is_start) || (doc = json_parse(text)) == NULL)
		return;
	struct json_val root = json_root(doc);
	reading_model(r, json_path(root, "message.model"));
	read_metrics(r, json_get(root, "amazon-bedrock-invocationMetrics"));
	r->result.is_complete |= is_last;
	json_free(doc);
}

static void
read_chunk(struct reading *r, struct json_val root)
{
	struct span bytes;
	char *text;

	if (!json_str(json_get(root, "bytes"), &bytes) || bytes.n == 0)
		return;
	if ((text = malloc(bytes.n)) == NULL) /* an event's worth: capped by the splitter */
		return;
	read_inner(r, span_of(text, base64_decode(bytes, text)));
	free(text);
}

static void
read_event(struct reading *r, const struct stream_event *ev)
{
	bool is_chunk = span_eq(ev->type, SPAN_LIT("chunk"));
	bool is_end = span_eq(ev->type, SPAN_LIT("metadata"));
	struct json_doc *doc;

	r->result.has_error |= ev->is_exception;
	r->result.has_output |= span_eq(ev->type, SPAN_LIT("contentBlockDelta"));
	if ((!is_chunk && !is_end) || ev->is_exception || ev->is_cut ||
	    (doc = json_parse(ev->data)) == NULL)
		return;
	if (is_chunk) {
		read_chunk(r, json_root(doc));
	} else {
		read_converse_usage(r, json_get(json_root(doc), "usage"));
		r->result.is_complete = true;
	}
	json_free(doc);
}

static const char *const sampling[] = {"inferenceConfig", "textGenerationConfig", NULL};

const struct dialect_ops dialect_bedrock = {
    .name = "bedrock",
    .refusal = REFUSAL_MESSAGE,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = read_answer,
    .read_event = read_event,
};
