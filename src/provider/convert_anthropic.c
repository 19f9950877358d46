#include "provider/convert_anthropic_int.h"

/* Of a stream the first event has an empty list and the blocks follow. */
static void
read_content(struct convert *c, void *owner, struct json_val v)
{
	struct message *m = owner;

	convert_require(c, json_type(v) == JSON_ARRAY && (!c->is_stream || json_size(v) == 0));
	m->content = v;
}

const struct member anthropic_usage_members[] = {
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
const size_t n_anthropic_usage_members = COUNT_OF(anthropic_usage_members);

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
	members_read(c, v, anthropic_usage_members, COUNT_OF(anthropic_usage_members), owner);
}

const struct member anthropic_message_fields[] = {
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
const size_t n_anthropic_message_fields = COUNT_OF(anthropic_message_fields);

static void
message_fini(struct message *m)
{
	members_fini(anthropic_message_fields, COUNT_OF(anthropic_message_fields), m);
	members_fini(anthropic_usage_members, COUNT_OF(anthropic_usage_members), m);
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
	event_require(c, root, "message", NULL);
	members_read(c, json_get(root, "message"), anthropic_message_fields,
	    COUNT_OF(anthropic_message_fields), m);
	m->content.v = NULL; /* dies with the event */
	m->stage = STAGE_OPEN;
}

static void
on_block_start(struct convert *c, struct message *m, struct json_val root)
{
	require_stage(c, m, STAGE_OPEN);
	event_require(c, root, "index", "content_block");
	require_index(c, m, root);
	if (c->result == CONVERT_OK)
		block_read(c, &m->block, json_get(root, "content_block"));
	m->stage = STAGE_BLOCK;
}

static void
on_block_delta(struct convert *c, struct message *m, struct json_val root)
{
	require_stage(c, m, STAGE_BLOCK);
	event_require(c, root, "index", "delta");
	require_index(c, m, root);
	if (c->result == CONVERT_OK)
		block_read_delta(c, &m->block, json_get(root, "delta"));
}

static void
on_block_stop(struct convert *c, struct message *m, struct json_val root)
{
	struct buf *out = c->out;

	require_stage(c, m, STAGE_BLOCK);
	event_require(c, root, "index", NULL);
	require_index(c, m, root);
	block_end(c, &m->block);
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
	event_require(c, root, NULL, NULL);
	m->stage = STAGE_DONE;
}

static void
on_ping(struct convert *c, struct message *m, struct json_val root)
{
	convert_require(c, m->stage != STAGE_DONE);
	event_require(c, root, NULL, NULL);
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

	members_read(c, root, anthropic_message_fields, COUNT_OF(anthropic_message_fields), &m);
	check(c, &m);
	if (c->result == CONVERT_OK)
		anthropic_write_stream(c, &m);
	message_fini(&m);
}
