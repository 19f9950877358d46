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

void
event_require(struct convert *c, struct json_val v, const char *a, const char *b)
{
	size_t n = 1;

	n += a != NULL && json_type(json_get(v, a)) != JSON_NONE;
	n += b != NULL && json_type(json_get(v, b)) != JSON_NONE;
	convert_require(c, json_size(v) == n);
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

void
block_read_delta(struct convert *c, struct block *b, struct json_val delta)
{
	struct span type;
	size_t i = 0;

	if (!json_str(json_get(delta, "type"), &type)) {
		convert_unknown(c);
		return;
	}
	while (i < COUNT_OF(deltas) && !span_eq(type, span_str(deltas[i].type)))
		i++;
	if (i == COUNT_OF(deltas)) {
		convert_unknown(c);
		return;
	}
	struct json_val value = json_get(delta, deltas[i].member);
	event_require(c, delta, deltas[i].member, deltas[i].also);
	convert_require(c, b->kind == deltas[i].kind && json_type(value) == deltas[i].value);
	if (c->result == CONVERT_OK)
		deltas[i].add(c, b, value);
}

/* The pieces of a tool's input make one object, in place of the {} of the first event. */
void
block_end(struct convert *c, struct block *b)
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
