#include "provider/convert_anthropic_int.h"

void
anthropic_write_block(struct convert *c, const struct block *b)
{
	size_t n;
	const struct member *members = block_members(b, &n);

	if (members == NULL) {
		put_field(c, &b->whole);
		return;
	}
	PUT(c, "{");
	members_write(c, members, n, b);
	PUT(c, "}");
}

void
anthropic_write_content(struct convert *c, const void *owner)
{
	const struct message *m = owner;

	put_name(c, "content");
	PUT(c, "[");
	put_raw(c, buf_view(&m->blocks));
	PUT(c, "]");
}

void
anthropic_write_usage(struct convert *c, const void *owner)
{
	put_name(c, "usage");
	PUT(c, "{");
	members_write(c, anthropic_usage_members, n_anthropic_usage_members, owner);
	PUT(c, "}");
}

void
anthropic_write_json(struct convert *c, const struct message *m)
{
	PUT(c, "{");
	members_write(c, anthropic_message_fields, n_anthropic_message_fields, m);
	PUT(c, "}");
}

/* The stream: message_start, the blocks, message_delta, message_stop. */
static void
begin_event(struct convert *c, const char *type)
{
	PUT(c, "event: ");
	put_raw(c, span_str(type));
	PUT(c, "\ndata: {\"type\":");
	put_text(c, span_str(type));
}

static void
end_event(struct convert *c)
{
	PUT(c, "}\n\n");
}

static void
begin_block_event(struct convert *c, const char *type, size_t index)
{
	begin_event(c, type);
	PUT(c, ",\"index\":");
	put_number(c, index);
}

static void
put_null(struct convert *c, const char *name, const struct field *f)
{
	if (f->said == SAID_NOT)
		return;
	put_name(c, name);
	PUT(c, "null");
}

/* As at the start of an answer: one token is written, and the rest will be counted by message_delta. */
static void
put_first_usage(struct convert *c, const struct message *m)
{
	put_name(c, "usage");
	PUT(c, "{");
	for (size_t i = 0; i < n_anthropic_usage_members; i++) {
		const struct field *f = field_view(&anthropic_usage_members[i], m);
		if (f == &m->output_tokens)
			PUT(c, ",\"output_tokens\":1");
		else
			put_named(c, anthropic_usage_members[i].name, f);
	}
	PUT(c, "}");
}

static void
put_message_start(struct convert *c, const struct message *m)
{
	begin_event(c, "message_start");
	PUT(c, ",\"message\":{");
	put_named(c, "id", &m->id);
	put_named(c, "type", &m->type);
	put_named(c, "role", &m->role);
	put_named(c, "model", &m->model);
	PUT(c, ",\"content\":[]");
	put_null(c, "stop_reason", &m->stop_reason);
	put_null(c, "stop_sequence", &m->stop_sequence);
	put_null(c, "stop_details", &m->stop_details);
	put_null(c, "container", &m->container);
	put_null(c, "context_management", &m->context_management);
	put_named(c, "diagnostics", &m->diagnostics);
	put_first_usage(c, m);
	PUT(c, "}");
	end_event(c);
}

/* A text or thinking, with nothing in it yet. */
static void
put_empty(struct convert *c, const char *name, const struct field *f)
{
	if (f->said != SAID_VALUE) {
		put_named(c, name, f);
		return;
	}
	put_name(c, name);
	if (f->rule == FIELD_LIST)
		PUT(c, "[]");
	else if (f->rule == FIELD_TEXT)
		PUT(c, "\"\"");
	else
		PUT(c, "{}");
}

static void
put_block_start(struct convert *c, const struct block *b, size_t index)
{
	size_t n;
	const struct member *members = block_members(b, &n);

	begin_block_event(c, "content_block_start", index);
	put_name(c, "content_block");
	if (members == NULL) {
		put_field(c, &b->whole);
		end_event(c);
		return;
	}
	PUT(c, "{");
	for (size_t i = 0; i < n; i++) {
		const struct field *f = field_view(&members[i], b);
		if (members[i].rule == FIELD_TEXT || members[i].rule == FIELD_LIST ||
		    f == &b->input)
			put_empty(c, members[i].name, f);
		else
			put_named(c, members[i].name, f);
	}
	PUT(c, "}");
	end_event(c);
}

/* A delta but for its value. */
static void
begin_delta(struct convert *c, size_t index, const char *type, const char *member)
{
	begin_block_event(c, "content_block_delta", index);
	PUT(c, ",\"delta\":{");
	put_name(c, "type");
	put_text(c, span_str(type));
	put_name(c, member);
}

static void
end_delta(struct convert *c)
{
	PUT(c, "}");
	end_event(c);
}

struct delta {
	size_t index;
	const char *type, *member;
};

static void
put_piece(struct convert *c, const struct delta *d, struct span piece)
{
	begin_delta(c, d->index, d->type, d->member);
	put_text(c, piece);
	end_delta(c);
}

static void
put_pieces(struct convert *c, const struct delta *d, struct span rest)
{
	while (rest.n > 0 && c->result == CONVERT_OK)
		put_piece(c, d, convert_piece(&rest));
}

static void
put_citations(struct convert *c, size_t index, const struct block *b)
{
	struct json_doc *doc = field_items(c, &b->citations);
	struct json_iter it;
	struct json_val item;
	struct span key;

	if (doc == NULL)
		return;
	it = json_iter(json_root(doc));
	while (c->result == CONVERT_OK && json_next(&it, &key, &item)) {
		begin_delta(c, index, "citations_delta", "citation");
		convert_require(c, json_type(item) == JSON_OBJECT);
		if (!json_write(item, c->out))
			convert_full(c);
		end_delta(c);
	}
	json_free(doc);
}

static void
put_block_deltas(struct convert *c, const struct block *b, size_t index)
{
	const struct delta text = {index, "text_delta", "text"},
			   thinking = {index, "thinking_delta", "thinking"},
			   signature = {index, "signature_delta", "signature"},
			   input = {index, "input_json_delta", "partial_json"};

	switch (b->kind) {
	case BLOCK_TEXT:
		put_pieces(c, &text, buf_view(&b->text.value));
		if (field_has_bytes(&b->citations))
			put_citations(c, index, b);
		return;
	case BLOCK_THINKING:
		put_pieces(c, &thinking, buf_view(&b->thinking.value));
		if (field_has_bytes(&b->signature))
			put_piece(c, &signature, buf_view(&b->signature.value));
		return;
	case BLOCK_TOOL:
		put_piece(c, &input, SPAN_LIT("")); /* Anthropic's first is empty, too */
		if (!span_eq(buf_view(&b->input.value), SPAN_LIT("{}")))
			put_pieces(c, &input, buf_view(&b->input.value));
		return;
	case BLOCK_WHOLE:
		return;
	}
}

static void
put_block(struct convert *c, struct json_val v, size_t index)
{
	struct block b = {0};

	block_read(c, &b, v);
	if (c->result == CONVERT_OK) {
		put_block_start(c, &b, index);
		put_block_deltas(c, &b, index);
		begin_block_event(c, "content_block_stop", index);
		end_event(c);
	}
	block_fini(&b);
}

static void
put_message_delta(struct convert *c, const struct message *m)
{
	begin_event(c, "message_delta");
	PUT(c, ",\"delta\":{");
	put_named(c, "stop_reason", &m->stop_reason);
	put_named(c, "stop_sequence", &m->stop_sequence);
	put_named(c, "stop_details", &m->stop_details);
	put_named(c, "container", &m->container);
	PUT(c, "},\"usage\":{");
	members_write(c, anthropic_usage_members, USAGE_TOTALS, m);
	PUT(c, "}");
	put_named(c, "context_management", &m->context_management);
	end_event(c);
}

void
anthropic_write_stream(struct convert *c, const struct message *m)
{
	struct json_iter it = json_iter(m->content);
	struct json_val item;
	struct span key;
	size_t index = 0;

	put_message_start(c, m);
	while (c->result == CONVERT_OK && json_next(&it, &key, &item))
		put_block(c, item, index++);
	put_message_delta(c, m);
	begin_event(c, "message_stop");
	end_event(c);
}
