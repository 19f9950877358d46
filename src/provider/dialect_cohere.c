#include "provider/dialect_int.h"

static const struct {
	const char *last;
	enum endpoint_class class;
} paths[] = {
    {"chat", ENDPOINT_CHAT},
    {"generate", ENDPOINT_GENERATE},
    {"embed", ENDPOINT_EMBEDDINGS},
    {"rerank", ENDPOINT_RERANK},
    {"tokenize", ENDPOINT_COUNT_TOKENS},
};

static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (span_eq(t->last, span_str(paths[i].last))) {
			e->class = paths[i].class;
			return true;
		}
	}
	return false;
}

static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	bool b;

	UNUSED(e);
	return json_bool(json_get(root, "stream"), &b) && b;
}

/* What is billed, and where that is not said what was counted. */
static void
read_usage(struct reading *r, struct json_val usage)
{
	struct json_val billed = json_get(usage, "billed_units"),
			tokens = json_get(usage, "tokens");
	int64_t in = tokens_of(json_get(billed, "input_tokens"));
	int64_t out = tokens_of(json_get(billed, "output_tokens"));

	reading_set(r, USAGE_INPUT, in >= 0 ? in : tokens_of(json_get(tokens, "input_tokens")));
	reading_set(r, USAGE_OUTPUT, out >= 0 ? out : tokens_of(json_get(tokens, "output_tokens")));
}

static void
read_answer(struct reading *r, struct json_val root)
{
	reading_model(r, json_get(root, "model"));
	read_usage(r, json_either(root, "usage", "meta")); /* v2, v1 */
}

/* "ERROR", "ERROR_TOXIC", "ERROR_LIMIT" */
static bool
is_error_reason(struct json_val reason)
{
	struct span s;

	return json_str(reason, &s) && span_starts(s, SPAN_LIT("ERROR"));
}

static void
read_end(struct reading *r, struct json_val end)
{
	read_usage(r, json_either(end, "usage", "meta"));
	if (is_error_reason(json_get(end, "finish_reason")) ||
	    is_error_value(json_get(end, "error")))
		r->result.has_error = true;
	r->result.is_complete = true;
}

static bool
is_delta(struct span type)
{
	return span_ends(type, SPAN_LIT("-delta")) || span_eq(type, SPAN_LIT("text-generation"));
}

static void
read_event(struct reading *r, const struct stream_event *ev)
{
	struct span type = ev->type;
	struct json_doc *doc;

	if (is_delta(type) || ev->is_cut) {
		r->result.has_output = true;
		return;
	}
	if ((doc = json_parse(ev->data)) == NULL)
		return;
	struct json_val root = json_root(doc);
	if (type.n == 0 && !json_str(json_either(root, "type", "event_type"), &type))
		type = SPAN_LIT("");
	if (is_delta(type))
		r->result.has_output = true;
	else if (span_eq(type, SPAN_LIT("message-end"))) /* v2 */
		read_end(r, json_get(root, "delta"));
	else if (span_eq(type, SPAN_LIT("stream-end"))) { /* v1 */
		r->result.has_error |= is_error_reason(json_get(root, "finish_reason"));
		read_end(r, json_get(root, "response"));
	}
	if (span_eq(type, SPAN_LIT("error")) || is_error_value(json_get(root, "error")))
		r->result.has_error = true;
	json_free(doc);
}

static const char *const sampling[] = {NULL};

const struct dialect_ops dialect_cohere = {
    .name = "cohere",
    .refusal = REFUSAL_MESSAGE,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = read_answer,
    .read_event = read_event,
};
