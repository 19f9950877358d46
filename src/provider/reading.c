#include "provider/dialect_int.h"

/* More tokens than any request has; a larger number is nonsense and must not overflow a sum. */
#define TOKENS_MAX INT64_C(1000000000000)

int64_t
tokens_of(struct json_val count)
{
	int64_t n;

	return json_int(count, &n) && n >= 0 && n <= TOKENS_MAX ? n : -1;
}

void
reading_set(struct reading *r, enum usage_class c, int64_t count)
{
	if (count < 0)
		return;
	r->result.usage.tokens[c] = count;
	r->result.usage.is_present = true;
}

void
reading_tokens(struct reading *r, enum usage_class c, struct json_val count)
{
	reading_set(r, c, tokens_of(count));
}

void
reading_model(struct reading *r, struct json_val model)
{
	struct span name;

	/* A name that does not fit the buffer is nobody's model. */
	if (r->result.model.n > 0 || !json_str(model, &name) || name.n == 0 ||
	    name.n > r->model.max)
		return;
	r->model.max = name.n; /* no more than it takes: a stream holds it to its end */
	if (buf_put_span(&r->model, name))
		r->result.model = buf_view(&r->model);
}

struct json_val
json_either(struct json_val v, const char *name, const char *other)
{
	struct json_val found = json_get(v, name);

	if (other == NULL || (json_type(found) != JSON_NONE && json_type(found) != JSON_NULL))
		return found;
	return json_get(v, other);
}

bool
json_str_is(struct json_val v, const char *text)
{
	struct span s;

	return json_str(v, &s) && span_eq(s, span_str(text));
}

bool
is_error_value(struct json_val v)
{
	struct span s;
	bool b;

	switch (json_type(v)) {
	case JSON_NONE:
	case JSON_NULL:
		return false;
	case JSON_BOOL:
		return json_bool(v, &b) && b;
	case JSON_STRING:
		return json_str(v, &s) && s.n > 0;
	case JSON_ARRAY:
	case JSON_OBJECT:
		return json_size(v) > 0;
	case JSON_NUMBER:
		return true;
	}
	return false;
}

static size_t
skip_blanks(struct span s, size_t i)
{
	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\n' || s.p[i] == '\r'))
		i++;
	return i;
}

bool
has_said(struct span text, struct span name, char rare)
{
	for (;;) {
		size_t at = span_find_by(text, name, rare);
		if (at >= text.n)
			return false;
		text = span_skip(text, at + name.n);
		size_t i = skip_blanks(text, 0);
		if (i >= text.n || text.p[i] != ':')
			return true;
		i = skip_blanks(text, i + 1);
		if (!span_starts(span_skip(text, i), SPAN_LIT("null")))
			return true;
	}
}
