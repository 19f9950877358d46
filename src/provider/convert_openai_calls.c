#include "provider/convert_openai_int.h"

#include <stdlib.h>

/* OpenAI's own limit. */
#define CALLS_MAX 128

void *
openai_grow(void *items, size_t *n, size_t at, size_t size)
{
	char *grown;

	if (at < *n)
		return items;
	grown = realloc(items, (at + 1) * size);
	if (grown == NULL)
		return NULL;
	memset(grown + *n * size, 0, (at + 1 - *n) * size);
	*n = at + 1;
	return grown;
}

static void
read_call_name(struct convert *c, void *owner, struct json_val v)
{
	field_read(c, &((struct call *)owner)->name, FIELD_SAME, v);
}

static void
read_call_text(struct convert *c, void *owner, struct json_val v)
{
	field_read(c, &((struct call *)owner)->text, FIELD_TEXT, v);
}

static const struct member function_members[] = {
    {"name", 0, FIELD_NONE, read_call_name, NULL},
    {"arguments", 0, FIELD_NONE, read_call_text, NULL},
};
static const struct member custom_members[] = {
    {"name", 0, FIELD_NONE, read_call_name, NULL},
    {"input", 0, FIELD_NONE, read_call_text, NULL},
};

static void
read_function(struct convert *c, void *owner, struct json_val v)
{
	((struct call *)owner)->is_function = true;
	members_read(c, v, function_members, COUNT_OF(function_members), owner);
}

static void
read_custom(struct convert *c, void *owner, struct json_val v)
{
	((struct call *)owner)->is_custom = true;
	members_read(c, v, custom_members, COUNT_OF(custom_members), owner);
}

/* The array's order tells it already, or openai_find_index has read it. */
void
openai_skip_index(struct convert *c, void *owner, struct json_val v)
{
	UNUSED(owner);
	convert_require(c, json_type(v) == JSON_NUMBER);
}

/* "index" is a chunk's alone and goes last. */
static const struct member call_members[] = {
    MEMBER(call, id, FIELD_SAME),
    MEMBER(call, type, FIELD_SAME),
    {"function", 0, FIELD_NONE, read_function, NULL},
    {"custom", 0, FIELD_NONE, read_custom, NULL},
    {"index", 0, FIELD_NONE, openai_skip_index, NULL},
};

size_t
openai_find_index(struct convert *c, struct json_val v, size_t max)
{
	int64_t index;

	if (json_int(json_get(v, "index"), &index) && index >= 0 && (uint64_t)index < max)
		return (size_t)index;
	convert_unknown(c);
	return 0;
}

static void
read_call(struct convert *c, struct choice *ch, struct json_val v)
{
	size_t at = c->is_stream ? openai_find_index(c, v, CALLS_MAX) : ch->n_calls;
	struct call *calls;

	/* A gap would be a call nobody made. */
	convert_require(c, at <= ch->n_calls && at < CALLS_MAX);
	if (c->result != CONVERT_OK)
		return;
	calls = openai_grow(ch->calls, &ch->n_calls, at, sizeof(*calls));
	if (calls == NULL) {
		convert_full(c);
		return;
	}
	ch->calls = calls;
	members_read(c, v, call_members, COUNT_OF(call_members) - !c->is_stream, &calls[at]);
}

void
openai_read_calls(struct convert *c, void *owner, struct json_val v)
{
	struct choice *ch = owner;
	struct json_iter it = json_iter(v);
	struct json_val item;
	struct span key;

	if (json_type(v) == JSON_NULL) {
		if (ch->tool_calls == SAID_NOT)
			ch->tool_calls = SAID_NULL;
		return;
	}
	convert_require(c, json_type(v) == JSON_ARRAY);
	ch->tool_calls = SAID_VALUE;
	while (c->result == CONVERT_OK && json_next(&it, &key, &item))
		read_call(c, ch, item);
}

static const struct member old_function_members[] = {
    {"name", offsetof(struct choice, function_name), FIELD_SAME, NULL, NULL},
    {"arguments", offsetof(struct choice, function_arguments), FIELD_TEXT, NULL, NULL},
};

void
openai_read_function(struct convert *c, void *owner, struct json_val v)
{
	struct choice *ch = owner;

	if (json_type(v) == JSON_NULL) {
		if (ch->function_call == SAID_NOT)
			ch->function_call = SAID_NULL;
		return;
	}
	ch->function_call = SAID_VALUE;
	members_read(c, v, old_function_members, COUNT_OF(old_function_members), ch);
}

/* What a whole answer has to say a stream may leave out where nothing came: then it is "". */
static void
complete_text(struct convert *c, struct field *text)
{
	convert_require(c, c->is_stream || text->said == SAID_VALUE);
	text->rule = FIELD_TEXT;
	text->said = SAID_VALUE;
}

static void
check_call(struct convert *c, struct call *call)
{
	convert_require(c, call->id.said == SAID_VALUE && call->name.said == SAID_VALUE);
	convert_require(c,
	    (field_is(&call->type, "function") && call->is_function && !call->is_custom) ||
		(field_is(&call->type, "custom") && call->is_custom && !call->is_function));
	complete_text(c, &call->text);
}

void
openai_check_calls(struct convert *c, struct choice *ch)
{
	for (size_t i = 0; i < ch->n_calls; i++)
		check_call(c, &ch->calls[i]);
	if (ch->function_call != SAID_VALUE)
		return;
	convert_require(c, ch->function_name.said == SAID_VALUE);
	complete_text(c, &ch->function_arguments);
}

void
openai_free_calls(struct choice *ch)
{
	for (size_t i = 0; i < ch->n_calls; i++) {
		members_fini(call_members, COUNT_OF(call_members), &ch->calls[i]);
		field_fini(&ch->calls[i].name);
		field_fini(&ch->calls[i].text);
	}
	free(ch->calls);
	members_fini(old_function_members, COUNT_OF(old_function_members), ch);
}
