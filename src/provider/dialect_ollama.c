#include "provider/dialect_int.h"

static const struct {
	const char *last;
	enum endpoint_class class;
} paths[] = {
    {"chat", ENDPOINT_CHAT},
    {"generate", ENDPOINT_GENERATE},
    {"embed", ENDPOINT_EMBEDDINGS},
    {"embeddings", ENDPOINT_EMBEDDINGS},
};

static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	if (!span_eq(t->second, SPAN_LIT("api")))
		return false;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (span_eq(t->last, span_str(paths[i].last))) {
			e->class = paths[i].class;
			return true;
		}
	}
	return false;
}

/* A stream unless the request says no. */
static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	bool b;

	if (json_bool(json_get(root, "stream"), &b))
		return b;
	return e->class == ENDPOINT_CHAT || e->class == ENDPOINT_GENERATE;
}

static void
read_answer(struct reading *r, struct json_val root)
{
	reading_model(r, json_get(root, "model"));
	reading_tokens(r, USAGE_INPUT, json_get(root, "prompt_eval_count"));
	reading_tokens(r, USAGE_OUTPUT, json_get(root, "eval_count"));
}

static bool
is_text(struct json_val v)
{
	struct span s;

	return json_str(v, &s) && s.n > 0;
}

static void
read_event(struct reading *r, const struct stream_event *ev)
{
	struct json_doc *doc = ev->is_cut ? NULL : json_parse(ev->data);
	bool b;

	if (doc == NULL)
		return;
	struct json_val root = json_root(doc), message = json_get(root, "message");
	read_answer(r, root);
	if (is_text(json_get(root, "response")) || is_text(json_get(root, "thinking")) ||
	    is_text(json_get(message, "content")) || is_text(json_get(message, "thinking")) ||
	    json_size(json_get(message, "tool_calls")) > 0)
		r->result.has_output = true;
	if (is_error_value(json_get(root, "error")))
		r->result.has_error = true;
	if (json_bool(json_get(root, "done"), &b) && b)
		r->result.is_complete = true;
	json_free(doc);
}

static const char *const sampling[] = {"options", NULL};

const struct dialect_ops dialect_ollama = {
    .name = "ollama",
    .refusal = REFUSAL_ERROR,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = read_answer,
    .read_event = read_event,
};
