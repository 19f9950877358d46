#include "provider/convert_openai_int.h"

/* The stream: for each choice the role, its pieces, the reason to finish; then usage, then [DONE]. */
struct writer {
	struct convert *c;
	const struct completion *a;
	struct buf prefix; /* what every chunk begins with */
	const struct choice *ch;
	bool is_begun;
};

static void
make_prefix(struct writer *w)
{
	struct convert *c = w->c;
	struct buf *out = c->out;

	buf_init(&w->prefix, c->limit + 256);
	c->out = &w->prefix;
	PUT(c, "{\"object\":\"chat.completion.chunk\"");
	for (size_t i = 0; i < n_openai_completion_members; i++) {
		const struct member *m = &openai_completion_members[i];
		if (m->rule != FIELD_NONE && m->read == NULL && strcmp(m->name, "object") != 0)
			put_named(c, m->name, field_view(m, w->a));
	}
	c->out = out;
}

static void
begin_chunk(struct writer *w)
{
	PUT(w->c, "data: ");
	put_raw(w->c, buf_view(&w->prefix));
	if (!w->is_begun)
		openai_write_groq(w->c, w->a);
	w->is_begun = true;
	put_name(w->c, "choices");
	PUT(w->c, "[");
}

static void
end_chunk(struct writer *w)
{
	PUT(w->c, "]");
	if (w->c->with_usage)
		PUT(w->c, ",\"usage\":null");
	PUT(w->c, "}\n\n");
}

static void
begin_delta(struct writer *w)
{
	begin_chunk(w);
	PUT(w->c, "{\"index\":");
	put_number(w->c, (size_t)(w->ch - w->a->choices));
	PUT(w->c, ",\"delta\":{");
}

/* Tokens of one of the two lists; SPAN_NONE where the list gets none in this chunk. */
static void
put_tokens(struct writer *w, const char *name, const struct field *list, struct span items)
{
	if (list->said == SAID_NOT)
		return;
	put_name(w->c, name);
	if (list->said == SAID_NULL) {
		PUT(w->c, "null");
		return;
	}
	PUT(w->c, "[");
	put_raw(w->c, items);
	PUT(w->c, "]");
}

enum tokens { TOKENS_NONE, TOKENS_OPEN, TOKENS_CONTENT, TOKENS_REFUSAL };

static void
put_logprobs(struct writer *w, enum tokens which, struct span items)
{
	const struct choice *ch = w->ch;

	if (ch->logprobs == SAID_NOT)
		return;
	put_name(w->c, "logprobs");
	if (ch->logprobs == SAID_NULL || which == TOKENS_NONE) {
		PUT(w->c, "null");
		return;
	}
	PUT(w->c, "{");
	put_tokens(w, "content", &ch->tokens, which == TOKENS_CONTENT ? items : SPAN_NONE);
	put_tokens(w, "refusal", &ch->refusal_tokens, which == TOKENS_REFUSAL ? items : SPAN_NONE);
	PUT(w->c, "}");
}

static void
end_delta(struct writer *w, enum tokens which, struct span items)
{
	PUT(w->c, "}");
	put_logprobs(w, which, items);
	PUT(w->c, ",\"finish_reason\":null}");
	end_chunk(w);
}

/* The first chunk says the role, and of every other member that it is null or "", where it is no more. */
static void
put_role(struct writer *w)
{
	const struct choice *ch = w->ch;
	struct convert *c = w->c;

	begin_delta(w);
	for (size_t i = 0; i < n_openai_message_members; i++) {
		const struct member *m = &openai_message_members[i];
		if (m->rule == FIELD_NONE)
			continue;
		const struct field *f = field_view(m, ch);
		bool is_text = f->rule == FIELD_TEXT && f->said == SAID_VALUE;
		if (f == &ch->role || f->said == SAID_NULL)
			put_named(c, m->name, f);
		else if (is_text && (f == &ch->content || !field_has_bytes(f))) {
			put_name(c, m->name);
			PUT(c, "\"\"");
		}
	}
	if (ch->function_call == SAID_NULL)
		openai_write_function(c, ch);
	if (ch->tool_calls != SAID_NOT && ch->n_calls == 0)
		openai_write_calls(c, ch);
	end_delta(w, TOKENS_OPEN, SPAN_NONE);
}

static void
put_piece(struct writer *w, const char *name, struct span piece)
{
	put_name(w->c, name);
	put_text(w->c, piece);
}

/* One chunk a token as long as the tokens spell the text, what is left of both in one. A character in several tokens
 * (their text is not the text then) stays whole so. */
static void
put_token_chunks(struct writer *w, const char *name, struct span *rest, struct json_val list)
{
	enum tokens which = strcmp(name, "refusal") == 0 ? TOKENS_REFUSAL : TOKENS_CONTENT;
	struct json_iter it = json_iter(list);
	struct buf items = {.max = w->c->limit};
	struct json_val item;
	struct span key, piece;
	bool is_spelt = rest->n > 0;

	while (w->c->result == CONVERT_OK && json_next(&it, &key, &item)) {
		if ((buf_len(&items) > 0 && !buf_putc(&items, ',')) || !json_write(item, &items))
			convert_full(w->c);
		is_spelt = is_spelt && json_str(json_get(item, "token"), &piece) && piece.n > 0 &&
		    span_starts(*rest, piece);
		if (!is_spelt && it.left > 0)
			continue;
		if (!is_spelt)
			piece = *rest;
		begin_delta(w);
		if (piece.n > 0)
			put_piece(w, name, piece);
		end_delta(w, which, buf_view(&items));
		*rest = span_skip(*rest, piece.n);
		buf_reset(&items);
	}
	buf_fini(&items);
}

static void
put_with_tokens(struct writer *w, const char *name, struct span *rest, const struct field *tokens)
{
	struct json_doc *doc = field_items(w->c, tokens);

	if (doc != NULL)
		put_token_chunks(w, name, rest, json_root(doc));
	json_free(doc);
}

static void
put_texts(struct writer *w, const char *name, const struct field *text, const struct field *tokens)
{
	struct span rest = text->said == SAID_VALUE ? buf_view(&text->value) : SPAN_LIT("");

	if (field_has_bytes(tokens))
		put_with_tokens(w, name, &rest, tokens);
	while (rest.n > 0 && w->c->result == CONVERT_OK) {
		begin_delta(w);
		put_piece(w, name, convert_piece(&rest));
		end_delta(w, TOKENS_NONE, SPAN_NONE);
	}
}

/* Content that is "" beside calls or a refusal is told from the "" of the first chunk by being said once more. */
static void
put_content(struct writer *w)
{
	const struct choice *ch = w->ch;

	if (ch->content.said == SAID_VALUE && !field_has_bytes(&ch->content) &&
	    (ch->n_calls > 0 || ch->function_call == SAID_VALUE || field_has_bytes(&ch->refusal))) {
		begin_delta(w);
		PUT(w->c, "\"content\":\"\"");
		end_delta(w, TOKENS_NONE, SPAN_NONE);
	}
	put_texts(w, "content", &ch->content, &ch->tokens);
}

static void
begin_call(struct writer *w, size_t i)
{
	begin_delta(w);
	PUT(w->c, "\"tool_calls\":[{\"index\":");
	put_number(w->c, i);
}

static void
put_call_chunks(struct writer *w, size_t i)
{
	const struct call *call = &w->ch->calls[i];
	const char *text = call->is_custom ? "input" : "arguments";
	const char *kind = call->is_custom ? "custom" : "function";
	struct span rest = buf_view(&call->text.value);

	begin_call(w, i);
	put_named(w->c, "id", &call->id);
	put_named(w->c, "type", &call->type);
	put_name(w->c, kind);
	PUT(w->c, "{");
	put_named(w->c, "name", &call->name);
	put_piece(w, text, SPAN_LIT(""));
	PUT(w->c, "}}]");
	end_delta(w, TOKENS_NONE, SPAN_NONE);
	while (rest.n > 0 && w->c->result == CONVERT_OK) {
		begin_call(w, i);
		put_name(w->c, kind);
		PUT(w->c, "{");
		put_piece(w, text, convert_piece(&rest));
		PUT(w->c, "}}]");
		end_delta(w, TOKENS_NONE, SPAN_NONE);
	}
}

static void
put_function_chunks(struct writer *w)
{
	const struct choice *ch = w->ch;
	struct span rest = buf_view(&ch->function_arguments.value);

	begin_delta(w);
	PUT(w->c, "\"function_call\":{");
	put_named(w->c, "name", &ch->function_name);
	put_piece(w, "arguments", SPAN_LIT(""));
	PUT(w->c, "}");
	end_delta(w, TOKENS_NONE, SPAN_NONE);
	while (rest.n > 0 && w->c->result == CONVERT_OK) {
		begin_delta(w);
		PUT(w->c, "\"function_call\":{");
		put_piece(w, "arguments", convert_piece(&rest));
		PUT(w->c, "}");
		end_delta(w, TOKENS_NONE, SPAN_NONE);
	}
}

static void
put_finish(struct writer *w)
{
	begin_delta(w);
	PUT(w->c, "}");
	put_logprobs(w, TOKENS_NONE, SPAN_NONE);
	for (size_t i = 0; i < n_openai_choice_members; i++) {
		if (openai_choice_members[i].rule != FIELD_NONE)
			put_named(w->c, openai_choice_members[i].name,
			    field_view(&openai_choice_members[i], w->ch));
	}
	PUT(w->c, "}");
	end_chunk(w);
}

/* In one piece: OpenAI's own clients do not know these members, and keep the last one that they see. */
static void
put_once(struct writer *w, const char *name, const struct field *f)
{
	bool is_text = f->rule == FIELD_TEXT;

	if (f->said != SAID_VALUE || (is_text && !field_has_bytes(f)))
		return;
	begin_delta(w);
	put_named(w->c, name, f);
	end_delta(w, TOKENS_NONE, SPAN_NONE);
}

static void
put_choice(struct writer *w)
{
	const struct choice *ch = w->ch;

	put_role(w);
	put_once(w, "reasoning_content", &ch->reasoning_content);
	put_once(w, "reasoning", &ch->reasoning);
	put_content(w);
	put_texts(w, "refusal", &ch->refusal, &ch->refusal_tokens);
	if (ch->function_call == SAID_VALUE)
		put_function_chunks(w);
	for (size_t i = 0; i < ch->n_calls; i++)
		put_call_chunks(w, i);
	put_once(w, "annotations", &ch->annotations);
	put_finish(w);
}

void
openai_write_stream(struct convert *c, const struct completion *a)
{
	struct writer w = {.c = c, .a = a};

	make_prefix(&w);
	for (size_t i = 0; i < a->n_choices; i++) {
		w.ch = &a->choices[i];
		put_choice(&w);
	}
	if (c->with_usage) {
		begin_chunk(&w);
		PUT(c, "]");
		put_named(c, "usage", &a->usage);
		PUT(c, "}\n\n");
	}
	PUT(c, "data: [DONE]\n\n");
	buf_fini(&w.prefix);
}
