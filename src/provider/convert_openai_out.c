#include "provider/convert_openai_int.h"

static void
put_call(struct convert *c, const struct call *call)
{
	PUT(c, "{");
	put_named(c, "id", &call->id);
	put_named(c, "type", &call->type);
	put_name(c, call->is_custom ? "custom" : "function");
	PUT(c, "{");
	put_named(c, "name", &call->name);
	put_named(c, call->is_custom ? "input" : "arguments", &call->text);
	PUT(c, "}}");
}

void
openai_write_calls(struct convert *c, const void *owner)
{
	const struct choice *ch = owner;

	if (ch->tool_calls == SAID_NOT)
		return;
	put_name(c, "tool_calls");
	if (ch->tool_calls == SAID_NULL) {
		PUT(c, "null");
		return;
	}
	PUT(c, "[");
	for (size_t i = 0; i < ch->n_calls; i++) {
		if (i > 0)
			PUT(c, ",");
		put_call(c, &ch->calls[i]);
	}
	PUT(c, "]");
}

void
openai_write_function(struct convert *c, const void *owner)
{
	const struct choice *ch = owner;

	if (ch->function_call == SAID_NOT)
		return;
	put_name(c, "function_call");
	if (ch->function_call == SAID_NULL) {
		PUT(c, "null");
		return;
	}
	PUT(c, "{");
	put_named(c, "name", &ch->function_name);
	put_named(c, "arguments", &ch->function_arguments);
	PUT(c, "}");
}

void
openai_write_message(struct convert *c, const void *owner)
{
	PUT(c, ",\"message\":{");
	members_write(c, openai_message_members, n_openai_message_members, owner);
	PUT(c, "}");
}

void
openai_write_logprobs(struct convert *c, const void *owner)
{
	const struct choice *ch = owner;

	if (ch->logprobs == SAID_NOT)
		return;
	put_name(c, "logprobs");
	if (ch->logprobs == SAID_NULL) {
		PUT(c, "null");
		return;
	}
	PUT(c, "{");
	put_named(c, "content", &ch->tokens);
	put_named(c, "refusal", &ch->refusal_tokens);
	PUT(c, "}");
}

void
openai_write_choices(struct convert *c, const void *owner)
{
	const struct completion *a = owner;

	put_name(c, "choices");
	PUT(c, "[");
	for (size_t i = 0; i < a->n_choices; i++) {
		if (i > 0)
			PUT(c, ",");
		PUT(c, "{\"index\":");
		put_number(c, i);
		members_write(c, openai_choice_members, n_openai_choice_members, &a->choices[i]);
		PUT(c, "}");
	}
	PUT(c, "]");
}

void
openai_write_groq(struct convert *c, const void *owner)
{
	const struct completion *a = owner;

	if (!a->has_groq)
		return;
	put_name(c, "x_groq");
	PUT(c, "{");
	put_named(c, "id", &a->groq_id);
	put_named(c, "seed", &a->groq_seed);
	PUT(c, "}");
}

void
openai_write_json(struct convert *c, struct completion *a)
{
	buf_reset(&a->object.value);
	if (!buf_put_span(&a->object.value, SPAN_LIT("chat.completion")))
		convert_full(c);
	PUT(c, "{");
	members_write(c, openai_completion_members, n_openai_completion_members, a);
	PUT(c, "}");
}
