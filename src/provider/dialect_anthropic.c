#include "provider/dialect_int.h"

static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	/* OpenAI's assistants have /threads/{id}/messages, which is another thing and stateful. */
	if (span_eq(t->last, SPAN_LIT("messages")) && !span_eq(t->third, SPAN_LIT("threads")))
		e->class = ENDPOINT_MESSAGES;
	else if (span_eq(t->last, SPAN_LIT("count_tokens")) &&
	    span_eq(t->second, SPAN_LIT("messages")))
		e->class = ENDPOINT_COUNT_TOKENS;
	else if (span_eq(t->last, SPAN_LIT("complete")) && e->dialect == DIALECT_ANTHROPIC &&
	    span_eq(t->second, SPAN_LIT("v1")))
		e->class = ENDPOINT_COMPLETIONS;
	else
		return false;
	return true;
}

static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	bool b;

	UNUSED(e);
	return json_bool(json_get(root, "stream"), &b) && b;
}

/* Cache writes: split by lifetime where the answer does so. message_delta often repeats the sum
 * alone; what message_start said of one hour must not be counted again inside it. */
static void
read_cache_writes(struct reading *r, struct json_val usage)
{
	struct json_val split = json_get(usage, "cache_creation");
	int64_t sum = tokens_of(json_get(usage, "cache_creation_input_tokens"));

	if (json_type(split) == JSON_OBJECT) {
		reading_tokens(
		    r, USAGE_CACHE_WRITE_5M, json_get(split, "ephemeral_5m_input_tokens"));
		reading_tokens(
		    r, USAGE_CACHE_WRITE_1H, json_get(split, "ephemeral_1h_input_tokens"));
		return;
	}
	if (sum < 0)
		return;
	int64_t hour = r->result.usage.tokens[USAGE_CACHE_WRITE_1H];
	if (hour > sum)
		hour = sum;
	reading_set(r, USAGE_CACHE_WRITE_1H, hour);
	reading_set(r, USAGE_CACHE_WRITE_5M, sum - (hour > 0 ? hour : 0));
}

/* Counts in a stream are totals so far: each replaces the one before. */
void
anthropic_read_usage(struct reading *r, struct json_val usage)
{
	reading_tokens(r, USAGE_INPUT, json_get(usage, "input_tokens"));
	reading_tokens(r, USAGE_CACHE_READ, json_get(usage, "cache_read_input_tokens"));
	reading_tokens(r, USAGE_OUTPUT, json_get(usage, "output_tokens"));
	read_cache_writes(r, usage);
}

static void
read_answer(struct reading *r, struct json_val root)
{
	reading_model(r, json_get(root, "model"));
	anthropic_read_usage(r, json_get(root, "usage"));
	if (json_str_is(json_get(root, "type"), "error"))
		r->result.has_error = true;
}

/* True when the type says all there is to know of the event. */
static bool
read_type(struct reading *r, struct span type)
{
	if (span_eq(type, SPAN_LIT("content_block_delta")))
		r->result.has_output = true;
	else if (span_eq(type, SPAN_LIT("message_stop")))
		r->result.is_complete = true;
	else if (span_eq(type, SPAN_LIT("error")))
		r->result.has_error = true;
	else
		return span_eq(type, SPAN_LIT("ping")) ||
		    span_starts(type, SPAN_LIT("content_block_"));
	return true;
}

static void
read_event(struct reading *r, const struct stream_event *ev)
{
	struct json_doc *doc;
	struct span type;

	if (read_type(r, ev->type) || ev->is_cut || (doc = json_parse(ev->data)) == NULL)
		return;
	struct json_val root = json_root(doc), message = json_get(root, "message");
	/* Servers that name no events put the type into the data as well. */
	if (json_str(json_get(root, "type"), &type))
		read_type(r, type);
	if (is_error_value(json_get(root, "error")))
		r->result.has_error = true;
	reading_model(r, json_get(message, "model"));
	anthropic_read_usage(r, json_get(message, "usage"));
	anthropic_read_usage(r, json_get(root, "usage"));
	json_free(doc);
}

static const char *const sampling[] = {NULL};

const struct dialect_ops dialect_anthropic = {
    .name = "anthropic",
    .refusal = REFUSAL_ANTHROPIC,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = read_answer,
    .read_event = read_event,
    .read_usage = anthropic_read_usage,
};
