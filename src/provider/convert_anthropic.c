#include "provider/convert_anthropic_int.h"

static const struct member text_members[] = {
    MEMBER(block, type, FIELD_SAME),
    MEMBER(block, text, FIELD_TEXT),
    MEMBER(block, citations, FIELD_LIST),
};
static const struct member thinking_members[] = {
    MEMBER(block, type, FIELD_SAME),
    MEMBER(block, thinking, FIELD_TEXT),
    MEMBER(block, signature, FIELD_TEXT),
};
static const struct member tool_members[] = {
    MEMBER(block, type, FIELD_SAME),
    MEMBER(block, id, FIELD_SAME),
    MEMBER(block, name, FIELD_SAME),
    MEMBER(block, server_name, FIELD_ONCE), /* mcp_tool_use */
    MEMBER(block, input, FIELD_ONCE),
    MEMBER(block, caller, FIELD_ONCE),
    MEMBER(block, toolset_name, FIELD_ONCE),
};

/* A type that is not here may have pieces of its own (compaction has). */
static const struct {
	const char *type;
	enum block_kind kind;
} types[] = {
    {"text", BLOCK_TEXT},
    {"thinking", BLOCK_THINKING},
    {"tool_use", BLOCK_TOOL},
    {"server_tool_use", BLOCK_TOOL},
    {"mcp_tool_use", BLOCK_TOOL},
    {"redacted_thinking", BLOCK_WHOLE},
    {"web_search_tool_result", BLOCK_WHOLE},
    {"web_fetch_tool_result", BLOCK_WHOLE},
    {"code_execution_tool_result", BLOCK_WHOLE},
    {"bash_code_execution_tool_result", BLOCK_WHOLE},
    {"text_editor_code_execution_tool_result", BLOCK_WHOLE},
    {"tool_search_tool_result", BLOCK_WHOLE},
    {"mcp_tool_result", BLOCK_WHOLE},
    {"container_upload", BLOCK_WHOLE},
};

const struct member *
block_members(const struct block *b, size_t *n)
{
	switch (b->kind) {
	case BLOCK_TEXT:
		*n = COUNT_OF(text_members);
		return text_members;
	case BLOCK_THINKING:
		*n = COUNT_OF(thinking_members);
		return thinking_members;
	case BLOCK_TOOL:
		*n = COUNT_OF(tool_members);
		return tool_members;
	case BLOCK_WHOLE:
		break;
	}
	*n = 0;
	return NULL;
}

static bool
find_kind(struct json_val v, enum block_kind *kind)
{
	struct span type;

	if (!json_str(json_get(v, "type"), &type))
		return false;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (span_eq(type, span_str(types[i].type))) {
			*kind = types[i].kind;
			return true;
		}
	}
	return false;
}

static void
check_block(struct convert *c, const struct block *b)
{
	switch (b->kind) {
	case BLOCK_TEXT:
		convert_require(c, b->text.said == SAID_VALUE);
		return;
	case BLOCK_THINKING:
		convert_require(c, b->thinking.said == SAID_VALUE);
		return;
	case BLOCK_TOOL:
		convert_require(c, b->id.said == SAID_VALUE && b->name.said == SAID_VALUE);
		convert_require(
		    c, field_has_bytes(&b->input) && buf_view(&b->input.value).p[0] == '{');
		return;
	case BLOCK_WHOLE:
		return;
	}
}

void
block_read(struct convert *c, struct block *b, struct json_val v)
{
	const struct member *members;
	size_t n;

	if (!find_kind(v, &b->kind)) {
		convert_unknown(c);
		return;
	}
	members = block_members(b, &n);
	if (members == NULL)
		field_read(c, &b->whole, FIELD_ONCE, v);
	else
		members_read(c, v, members, n, b);
	check_block(c, b);
}

void
block_fini(struct block *b)
{
	members_fini(text_members, COUNT_OF(text_members), b);
	members_fini(thinking_members, COUNT_OF(thinking_members), b);
	members_fini(tool_members, COUNT_OF(tool_members), b);
	field_fini(&b->partial);
	field_fini(&b->whole);
	*b = (struct block){0};
}

/* Of a stream the first event has an empty list and the blocks follow. */
static void
read_content(struct convert *c, void *owner, struct json_val v)
{
	struct message *m = owner;

	convert_require(c, json_type(v) == JSON_ARRAY && (!c->is_stream || json_size(v) == 0));
	m->content = v;
}

const struct member usage_members[] = {
    MEMBER(message, input_tokens, FIELD_LAST),
    MEMBER(message, cache_creation_input_tokens, FIELD_LAST),
    MEMBER(message, cache_read_input_tokens, FIELD_LAST),
    MEMBER(message, output_tokens, FIELD_LAST),
    MEMBER(message, server_tool_use, FIELD_LAST),
    MEMBER(message, output_tokens_details, FIELD_LAST),
    MEMBER(message, iterations, FIELD_LAST),
    MEMBER(message, cache_creation, FIELD_LAST),
    MEMBER(message, service_tier, FIELD_LAST),
    MEMBER(message, inference_geo, FIELD_LAST),
    MEMBER(message, speed, FIELD_LAST),
};
const size_t n_usage_members = COUNT_OF(usage_members);

static bool
is_count(struct json_val v)
{
	int64_t n;

	return json_int(v, &n) && n >= 0;
}

/* Counts are totals so far: each replaces the one before. */
static void
read_usage(struct convert *c, void *owner, struct json_val v)
{
	struct json_val in = json_get(v, "input_tokens"), out = json_get(v, "output_tokens");

	convert_require(
	    c, json_type(in) == JSON_NONE || json_type(in) == JSON_NULL || is_count(in));
	convert_require(c, is_count(out));
	members_read(c, v, usage_members, COUNT_OF(usage_members), owner);
}

const struct member message_fields[] = {
    MEMBER(message, id, FIELD_SAME),
    MEMBER(message, type, FIELD_SAME),
    MEMBER(message, role, FIELD_SAME),
    MEMBER(message, model, FIELD_SAME),
    {"content", 0, FIELD_NONE, read_content, anthropic_write_content},
    MEMBER(message, stop_reason, FIELD_SAME),
    MEMBER(message, stop_sequence, FIELD_LAST),
    MEMBER(message, stop_details, FIELD_LAST),
    MEMBER(message, container, FIELD_LAST),
    MEMBER(message, context_management, FIELD_LAST),
    MEMBER(message, diagnostics, FIELD_LAST),
    {"usage", 0, FIELD_NONE, read_usage, anthropic_write_usage},
};
const size_t n_message_fields = COUNT_OF(message_fields);

static void
message_fini(struct message *m)
{
	members_fini(message_fields, COUNT_OF(message_fields), m);
	members_fini(usage_members, COUNT_OF(usage_members), m);
	block_fini(&m->block);
	buf_fini(&m->blocks);
}

static void
check(struct convert *c, const struct message *m)
{
	convert_require(c, m->id.said == SAID_VALUE && m->model.said == SAID_VALUE);
	convert_require(c, field_is(&m->type, "message") && field_is(&m->role, "assistant"));
	convert_require(c, m->stop_reason.said == SAID_VALUE);
	convert_require(
	    c, m->input_tokens.said == SAID_VALUE && m->output_tokens.said == SAID_VALUE);
	convert_require(c, json_type(m->content) != JSON_NONE || c->is_stream);
}

static void
require_stage(struct convert *c, const struct message *m, enum message_stage stage)
{
	convert_require(c, m->stage == stage);
}

/* The event or delta has "type", these members, and no other. */
static void
require_members(struct convert *c, struct json_val v, const char *a, const char *b)
{
	size_t n = 1;

	n += a != NULL && json_type(json_get(v, a)) != JSON_NONE;
	n += b != NULL && json_type(json_get(v, b)) != JSON_NONE;
	convert_require(c, json_size(v) == n);
}

static void
require_index(struct convert *c, const struct message *m, struct json_val root)
{
	int64_t index;

	convert_require(c,
	    json_int(json_get(root, "index"), &index) && index >= 0 &&
		(uint64_t)index == m->n_blocks);
}

static void
on_message_start(struct convert *c, struct message *m, struct json_val root)
{
	require_stage(c, m, STAGE_BEFORE);
	require_members(c, root, "message", NULL);
	members_read(c, json_get(root, "message"), message_fields, COUNT_OF(message_fields), m);
	m->content.v = NULL; /* dies with the event */
	m->stage = STAGE_OPEN;
}

static void
on_block_start(struct convert *c, struct message *m, struct json_val root)
{
	require_stage(c, m, STAGE_OPEN);
	require_members(c, root, "index", "content_block");
	require_index(c, m, root);
	if (c->result == CONVERT_OK)
		block_read(c, &m->block, json_get(root, "content_block"));
	m->stage = STAGE_BLOCK;
}

static void
add_text(struct convert *c, struct block *b, struct json_val v)
{
	field_read(c, &b->text, FIELD_TEXT, v);
}

static void
add_thinking(struct convert *c, struct block *b, struct json_val v)
{
	field_read(c, &b->thinking, FIELD_TEXT, v);
}

/* Clients let a second one replace the first, and nobody says what it would mean. */
static void
add_signature(struct convert *c, struct block *b, struct json_val v)
{
	convert_require(c, !field_has_bytes(&b->signature));
	field_read(c, &b->signature, FIELD_TEXT, v);
}

static void
add_input(struct convert *c, struct block *b, struct json_val v)
{
	field_read(c, &b->partial, FIELD_TEXT, v);
}

static void
add_citation(struct convert *c, struct block *b, struct json_val v)
{
	struct buf *list = &b->citations.value;

	/* The list that starts empty, grown by one item. */
	b->citations.said = SAID_VALUE;
	b->citations.rule = FIELD_LIST;
	list->max = c->limit;
	if ((buf_len(list) > 0 && !buf_putc(list, ',')) || !json_write(v, list))
		convert_full(c);
}

/* `also`: known, and of the stream alone. */
static const struct {
	const char *type, *member, *also;
	enum block_kind kind;
	enum json_type value;
	void (*add)(struct convert *c, struct block *b, struct json_val v);
} deltas[] = {
    {"text_delta", "text", NULL, BLOCK_TEXT, JSON_STRING, add_text},
    {"citations_delta", "citation", NULL, BLOCK_TEXT, JSON_OBJECT, add_citation},
    {"thinking_delta", "thinking", "estimated_tokens", BLOCK_THINKING, JSON_STRING, add_thinking},
    {"signature_delta", "signature", NULL, BLOCK_THINKING, JSON_STRING, add_signature},
    {"input_json_delta", "partial_json", NULL, BLOCK_TOOL, JSON_STRING, add_input},
};

static void
on_block_delta(struct convert *c, struct message *m, struct json_val root)
{
	struct json_val delta = json_get(root, "delta");
	struct span type = SPAN_LIT("");
	size_t i = 0;

	require_stage(c, m, STAGE_BLOCK);
	require_members(c, root, "index", "delta");
	require_index(c, m, root);
	convert_require(c, json_str(json_get(delta, "type"), &type));
	while (i < COUNT_OF(deltas) && !span_eq(type, span_str(deltas[i].type)))
		i++;
	if (i == COUNT_OF(deltas) || c->result != CONVERT_OK) {
		convert_unknown(c);
		return;
	}
	struct json_val value = json_get(delta, deltas[i].member);
	require_members(c, delta, deltas[i].member, deltas[i].also);
	convert_require(c, m->block.kind == deltas[i].kind && json_type(value) == deltas[i].value);
	if (c->result == CONVERT_OK)
		deltas[i].add(c, &m->block, value);
}

/* The pieces of a tool's input make one object, in place of the {} of the first event. */
static void
join_input(struct convert *c, struct block *b)
{
	struct json_doc *doc;

	if (!field_has_bytes(&b->partial))
		return;
	doc = json_parse(buf_view(&b->partial.value));
	convert_require(c, doc != NULL && span_eq(buf_view(&b->input.value), SPAN_LIT("{}")));
	if (c->result == CONVERT_OK)
		field_read(c, &b->input, FIELD_LAST, json_root(doc));
	json_free(doc);
	check_block(c, b);
}

static void
on_block_stop(struct convert *c, struct message *m, struct json_val root)
{
	struct buf *out = c->out;

	require_stage(c, m, STAGE_BLOCK);
	require_members(c, root, "index", NULL);
	require_index(c, m, root);
	join_input(c, &m->block);
	c->out = &m->blocks;
	m->blocks.max = c->limit;
	if (m->n_blocks > 0)
		PUT(c, ",");
	anthropic_write_block(c, &m->block);
	c->out = out;
	block_fini(&m->block);
	m->n_blocks++;
	m->stage = STAGE_OPEN;
}

static const struct member end_members[] = {
    MEMBER(message, stop_reason, FIELD_SAME),
    MEMBER(message, stop_sequence, FIELD_LAST),
    MEMBER(message, stop_details, FIELD_LAST),
    MEMBER(message, container, FIELD_LAST),
};

static void
read_end(struct convert *c, void *owner, struct json_val v)
{
	members_read(c, v, end_members, COUNT_OF(end_members), owner);
}

static void
skip_type(struct convert *c, void *owner, struct json_val v)
{
	UNUSED(owner);
	convert_require(c, json_type(v) == JSON_STRING); /* read already */
}

static const struct member message_delta_members[] = {
    {"type", 0, FIELD_NONE, skip_type, NULL},
    {"delta", 0, FIELD_NONE, read_end, NULL},
    {"usage", 0, FIELD_NONE, read_usage, NULL},
    MEMBER(message, context_management, FIELD_LAST),
};

/* Only here the output is counted to its end. */
static void
on_message_delta(struct convert *c, struct message *m, struct json_val root)
{
	convert_require(c, m->stage == STAGE_OPEN || m->stage == STAGE_ENDING);
	convert_require(c, json_type(json_get(root, "usage")) == JSON_OBJECT);
	members_read(c, root, message_delta_members, COUNT_OF(message_delta_members), m);
	m->stage = STAGE_ENDING;
}

static void
on_message_stop(struct convert *c, struct message *m, struct json_val root)
{
	require_stage(c, m, STAGE_ENDING);
	require_members(c, root, NULL, NULL);
	m->stage = STAGE_DONE;
}

static void
on_ping(struct convert *c, struct message *m, struct json_val root)
{
	convert_require(c, m->stage != STAGE_DONE);
	require_members(c, root, NULL, NULL);
}

static const struct {
	const char *type;
	void (*on)(struct convert *c, struct message *m, struct json_val root);
} events[] = {
    {"message_start", on_message_start},
    {"content_block_start", on_block_start},
    {"content_block_delta", on_block_delta},
    {"content_block_stop", on_block_stop},
    {"message_delta", on_message_delta},
    {"message_stop", on_message_stop},
    {"ping", on_ping},
};

/* Some servers name no events; the data tells the type. */
static void
read_event(struct convert *c, void *owner, struct span name, struct json_val root)
{
	struct span type;

	if (!json_str(json_get(root, "type"), &type) || (name.n > 0 && !span_eq(name, type))) {
		convert_unknown(c);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (span_eq(type, span_str(events[i].type))) {
			events[i].on(c, owner, root);
			return;
		}
	}
	convert_unknown(c);
}

void
anthropic_stream_to_json(struct convert *c, struct span stream)
{
	struct message m = {0};

	convert_events(c, stream, read_event, &m);
	require_stage(c, &m, STAGE_DONE);
	check(c, &m);
	if (c->result == CONVERT_OK)
		anthropic_write_json(c, &m);
	message_fini(&m);
}

void
anthropic_json_to_stream(struct convert *c, struct json_val root)
{
	struct message m = {0};

	members_read(c, root, message_fields, COUNT_OF(message_fields), &m);
	check(c, &m);
	if (c->result == CONVERT_OK)
		anthropic_write_stream(c, &m);
	message_fini(&m);
}
