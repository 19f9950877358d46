#include "provider/convert_openai_int.h"

#include <stdlib.h>

/* OpenAI's own limit of n. */
#define CHOICES_MAX 128

/* A chunk's alone. */
static void
drop(struct convert *c, void *owner, struct json_val v)
{
	UNUSED(owner);
	convert_require(c, c->is_stream && json_type(v) == JSON_STRING);
}

/* A stream opens with content "" whatever follows. That is no content yet; "" said in any other place is. */
static void
read_content(struct convert *c, void *owner, struct json_val v)
{
	struct choice *ch = owner;
	bool is_blank = c->is_stream && ch->has_role_here && json_type(v) == JSON_STRING;
	bool was_blank = ch->content.said != SAID_VALUE || ch->is_content_blank;

	field_read(c, &ch->content, FIELD_TEXT, v);
	ch->is_content_blank = was_blank && buf_len(&ch->content.value) == 0 &&
	    (is_blank || (ch->is_content_blank && json_type(v) == JSON_NULL));
}

const struct member openai_message_members[] = {
    MEMBER(choice, role, FIELD_SAME),
    {"content", offsetof(struct choice, content), FIELD_TEXT, read_content, NULL},
    MEMBER(choice, refusal, FIELD_TEXT),
    MEMBER(choice, reasoning_content, FIELD_TEXT), /* DeepSeek and many after it */
    MEMBER(choice, reasoning, FIELD_TEXT),         /* OpenRouter, Groq */
    MEMBER(choice, annotations, FIELD_ONCE),
    MEMBER(choice, audio, FIELD_NULL),
    {"function_call", 0, FIELD_NONE, openai_read_function, openai_write_function},
    {"tool_calls", 0, FIELD_NONE, openai_read_calls, openai_write_calls},
};
const size_t n_openai_message_members = COUNT_OF(openai_message_members);

static void
read_message(struct convert *c, void *owner, struct json_val v)
{
	struct choice *ch = owner;

	convert_require(c, !c->is_stream);
	members_read(c, v, openai_message_members, COUNT_OF(openai_message_members), ch);
}

static void
read_delta(struct convert *c, void *owner, struct json_val v)
{
	struct choice *ch = owner;

	convert_require(c, c->is_stream);
	ch->has_role_here = json_type(json_get(v, "role")) == JSON_STRING;
	/* After the reason to finish there is nothing left to say but "". */
	size_t said = buf_len(&ch->content.value);
	bool was_over = ch->finish_reason.said == SAID_VALUE;
	members_read(c, v, openai_message_members, COUNT_OF(openai_message_members), ch);
	convert_require(c, !was_over || buf_len(&ch->content.value) == said);
}

static const struct member logprobs_members[] = {
    {"content", offsetof(struct choice, tokens), FIELD_LIST, NULL, NULL},
    {"refusal", offsetof(struct choice, refusal_tokens), FIELD_LIST, NULL, NULL},
};

static void
read_logprobs(struct convert *c, void *owner, struct json_val v)
{
	struct choice *ch = owner;

	if (json_type(v) == JSON_NULL) {
		if (ch->logprobs == SAID_NOT)
			ch->logprobs = SAID_NULL;
		return;
	}
	ch->logprobs = SAID_VALUE;
	members_read(c, v, logprobs_members, COUNT_OF(logprobs_members), ch);
}

const struct member openai_choice_members[] = {
    {"index", 0, FIELD_NONE, openai_skip_index, NULL},
    {"message", 0, FIELD_NONE, read_message, openai_write_message},
    {"delta", 0, FIELD_NONE, read_delta, NULL},
    {"logprobs", 0, FIELD_NONE, read_logprobs, openai_write_logprobs},
    MEMBER(choice, finish_reason, FIELD_SAME),
    MEMBER(choice, native_finish_reason, FIELD_LAST), /* OpenRouter */
    MEMBER(choice, stop_reason, FIELD_LAST),          /* vLLM, with the next */
    MEMBER(choice, token_ids, FIELD_NULL),
};
const size_t n_openai_choice_members = COUNT_OF(openai_choice_members);

static void
read_choice(struct convert *c, struct completion *a, struct json_val v)
{
	size_t at = openai_find_index(c, v, CHOICES_MAX);
	struct choice *choices;

	convert_require(c, c->is_stream || at == a->n_choices);
	if (c->result != CONVERT_OK)
		return;
	choices = openai_grow(a->choices, &a->n_choices, at, sizeof(*choices));
	if (choices == NULL) {
		convert_full(c);
		return;
	}
	a->choices = choices;
	choices[at].is_seen = true;
	members_read(c, v, openai_choice_members, COUNT_OF(openai_choice_members), &choices[at]);
}

static void
read_choices(struct convert *c, void *owner, struct json_val v)
{
	struct json_iter it = json_iter(v);
	struct json_val item;
	struct span key;

	convert_require(c, json_type(v) == JSON_ARRAY);
	while (c->result == CONVERT_OK && json_next(&it, &key, &item))
		read_choice(c, owner, item);
}

static bool
is_usage(struct json_val v)
{
	int64_t prompt, completion;

	return json_int(json_get(v, "prompt_tokens"), &prompt) && prompt >= 0 &&
	    json_int(json_get(v, "completion_tokens"), &completion) && completion >= 0;
}

static void
read_usage(struct convert *c, void *owner, struct json_val v)
{
	struct completion *a = owner;

	convert_require(c, json_type(v) == JSON_NULL || is_usage(v));
	field_read(c, &a->usage, FIELD_LAST, v);
}

/* Groq's streams say the usage here, besides or instead. */
static void
read_groq_usage(struct convert *c, void *owner, struct json_val v)
{
	struct completion *a = owner;

	convert_require(c, c->is_stream && is_usage(v));
	field_read(c, &a->groq_usage, FIELD_LAST, v);
}

static const struct member groq_members[] = {
    {"id", offsetof(struct completion, groq_id), FIELD_SAME, NULL, NULL},
    {"seed", offsetof(struct completion, groq_seed), FIELD_LAST, NULL, NULL},
    {"usage", 0, FIELD_NONE, read_groq_usage, NULL},
};

static void
read_groq(struct convert *c, void *owner, struct json_val v)
{
	struct completion *a = owner;

	a->has_groq = true;
	members_read(c, v, groq_members, COUNT_OF(groq_members), a);
	convert_require(c, a->groq_id.said == SAID_VALUE);
}

const struct member openai_completion_members[] = {
    MEMBER(completion, id, FIELD_SAME), MEMBER(completion, object, FIELD_SAME),
    MEMBER(completion, created, FIELD_FIRST), MEMBER(completion, model, FIELD_SAME),
    MEMBER(completion, provider, FIELD_LAST), /* OpenRouter */
    {"choices", 0, FIELD_NONE, read_choices, openai_write_choices},
    {"usage", offsetof(struct completion, usage), FIELD_LAST, read_usage, NULL},
    MEMBER(completion, service_tier, FIELD_LAST),
    MEMBER(completion, system_fingerprint, FIELD_LAST), MEMBER(completion, moderation, FIELD_NULL),
    {"x_groq", 0, FIELD_NONE, read_groq, openai_write_groq},
    MEMBER(completion, usage_breakdown, FIELD_NULL), /* Groq */
    MEMBER(completion, prompt_logprobs, FIELD_NULL), /* vLLM, with the next two */
    MEMBER(completion, prompt_token_ids, FIELD_NULL),
    MEMBER(completion, kv_transfer_params, FIELD_NULL),
    {"obfuscation", 0, FIELD_NONE, drop, NULL}, /* padding of OpenAI's chunks */
};
const size_t n_openai_completion_members = COUNT_OF(openai_completion_members);

static void
free_choice(struct choice *ch)
{
	openai_free_calls(ch);
	members_fini(logprobs_members, COUNT_OF(logprobs_members), ch);
	members_fini(openai_message_members, COUNT_OF(openai_message_members), ch);
	members_fini(openai_choice_members, COUNT_OF(openai_choice_members), ch);
}

static void
completion_fini(struct completion *a)
{
	for (size_t i = 0; i < a->n_choices; i++)
		free_choice(&a->choices[i]);
	free(a->choices);
	members_fini(groq_members, COUNT_OF(groq_members), a);
	members_fini(openai_completion_members, COUNT_OF(openai_completion_members), a);
	field_fini(&a->groq_usage);
}

/* A whole answer with calls may leave content out (Groq, Gemini); every other says at least null. */
static void
check_content(struct convert *c, struct choice *ch)
{
	bool has_more = ch->n_calls > 0 || ch->function_call == SAID_VALUE;

	if (ch->content.said == SAID_NOT && ch->n_calls == 0) {
		convert_require(c, c->is_stream);
		ch->content.said = SAID_NULL;
	}
	if (ch->is_content_blank && (has_more || field_has_bytes(&ch->refusal)))
		ch->content.said = SAID_NULL;
}

static void
check_choice(struct convert *c, struct choice *ch)
{
	convert_require(c, ch->is_seen && field_is(&ch->role, "assistant"));
	convert_require(c, ch->finish_reason.said == SAID_VALUE);
	check_content(c, ch);
	openai_check_calls(c, ch);
}

static void
check(struct convert *c, struct completion *a)
{
	convert_require(
	    c, field_is(&a->object, c->is_stream ? "chat.completion.chunk" : "chat.completion"));
	convert_require(c, a->id.said == SAID_VALUE && a->model.said == SAID_VALUE);
	convert_require(c, a->created.said == SAID_VALUE && a->usage.said == SAID_VALUE);
	convert_require(c, a->n_choices > 0);
	for (size_t i = 0; i < a->n_choices; i++)
		check_choice(c, &a->choices[i]);
}

static void
read_chunk(struct convert *c, void *owner, struct span type, struct json_val root)
{
	struct completion *a = owner;

	convert_require(c, !a->is_done && (type.n == 0 || span_eq(type, SPAN_LIT("message"))));
	if (json_type(root) == JSON_NONE)
		a->is_done = true;
	else
		members_read(
		    c, root, openai_completion_members, COUNT_OF(openai_completion_members), a);
}

void
openai_stream_to_json(struct convert *c, struct span stream)
{
	struct completion a = {0};

	convert_events(c, stream, read_chunk, &a);
	convert_require(c, a.is_done);
	if (a.usage.said != SAID_VALUE && a.groq_usage.said == SAID_VALUE) {
		struct field none = a.usage;
		a.usage = a.groq_usage;
		a.groq_usage = none;
	}
	check(c, &a);
	if (c->result == CONVERT_OK)
		openai_write_json(c, &a);
	completion_fini(&a);
}

void
openai_json_to_stream(struct convert *c, struct json_val root)
{
	struct completion a = {0};

	members_read(c, root, openai_completion_members, COUNT_OF(openai_completion_members), &a);
	check(c, &a);
	if (c->result == CONVERT_OK)
		openai_write_stream(c, &a);
	completion_fini(&a);
}
