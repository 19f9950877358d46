#include "provider/embeddings.h"

#include <stdlib.h>

#include "provider/dialect_int.h"

/* More tokens are no count to be shared out: the sums below must fit. */
#define TOKENS_MAX INT64_C(1000000000)

/* ---- the request ---- */

/* Members that mean the same for each input alone: OpenAI's, and those that others have beside them. */
static const char *const known_members[] = {"input", "model", "user", "encoding_format",
    "dimensions", "safety_identifier", "metadata", "input_type", "truncation", "output_dimension",
    "output_dtype",                                      /* Voyage, Mistral */
    "task", "normalized", "embedding_type", "truncate"}; /* Jina, NVIDIA */

static bool
is_named(struct span name, char *const *list)
{
	for (; list != NULL && *list != NULL; list++)
		if (span_eq(name, span_str(*list)))
			return true;
	return false;
}

static bool
is_known(struct span name)
{
	for (size_t i = 0; i < COUNT_OF(known_members); i++)
		if (span_eq(name, span_str(known_members[i])))
			return true;
	return false;
}

static bool
is_all_numbers(struct json_val v)
{
	struct json_iter it = json_iter(v);
	struct json_val item;
	struct span key;

	while (json_next(&it, &key, &item))
		if (json_type(item) != JSON_NUMBER)
			return false;
	return json_type(v) == JSON_ARRAY && json_size(v) > 0;
}

/* Strings only, or arrays of tokens only. */
static bool
is_batch(struct json_val input)
{
	struct json_iter it = json_iter(input);
	enum json_type type = json_type(json_at(input, 0));
	struct json_val item;
	struct span key;

	while (json_next(&it, &key, &item))
		if (json_type(item) != type || (type != JSON_STRING && !is_all_numbers(item)))
			return false;
	return true;
}

size_t
embeddings_count(struct json_val request, char *const *ignore)
{
	struct json_val input = json_get(request, "input"), item;
	struct json_iter it = json_iter(request);
	size_t n = json_type(input) == JSON_ARRAY ? json_size(input) : 0;
	struct span key;

	if (n < 2 || n > EMBEDDINGS_ITEMS_MAX || !is_batch(input))
		return 0;
	while (json_next(&it, &key, &item))
		if (!is_known(key) && !is_named(key, ignore))
			return 0;
	return n;
}

void
embeddings_inputs(struct json_val request, struct json_val *inputs)
{
	struct json_iter it = json_iter(json_get(request, "input"));
	struct span key;

	while (json_next(&it, &key, inputs))
		inputs++;
}

static bool
put_wanted(struct json_val input, const bool *is_wanted, struct buf *out)
{
	struct json_iter it = json_iter(input);
	struct json_val item;
	struct span key;
	char before = '[';
	bool ok = true;

	for (size_t i = 0; ok && json_next(&it, &key, &item); i++) {
		if (!is_wanted[i])
			continue;
		ok = buf_putc(out, before) && json_write(item, out);
		before = ',';
	}
	return ok && (before == ',' || buf_putc(out, '[')) && buf_putc(out, ']');
}

bool
embeddings_reduce(struct json_val request, const bool *is_wanted, struct buf *out)
{
	struct json_iter it = json_iter(request);
	struct json_val item;
	struct span key;
	char before = '{';
	bool ok = true;

	for (; ok && json_next(&it, &key, &item); before = ',') {
		ok = buf_putc(out, before) && json_put_str(out, key) && buf_putc(out, ':');
		if (ok && span_eq(key, SPAN_LIT("input")))
			ok = put_wanted(item, is_wanted, out);
		else
			ok = ok && json_write(item, out);
	}
	return ok && buf_putc(out, '}');
}

/* ---- the answer ---- */

static bool
is_embedding(struct json_val v)
{
	struct span text;

	return json_str(v, &text) ? text.n > 0 : is_all_numbers(v);
}

/* Three members and no other: what else stands here belongs to one input, and would be lost. */
static bool
read_item(struct json_val item, struct json_val *values, size_t n)
{
	int64_t index;

	if (json_type(item) != JSON_OBJECT || json_size(item) != 3 ||
	    !json_str_is(json_get(item, "object"), "embedding") ||
	    !json_int(json_get(item, "index"), &index) || index < 0 || (size_t)index >= n ||
	    values[index].v != NULL || !is_embedding(json_get(item, "embedding")))
		return false;
	values[index] = json_get(item, "embedding");
	return true;
}

static bool
read_data(struct json_val data, struct json_val *values, size_t n)
{
	struct json_iter it = json_iter(data);
	struct json_val item;
	struct span key;

	if (json_type(data) != JSON_ARRAY || json_size(data) != n)
		return false;
	while (json_next(&it, &key, &item))
		if (!read_item(item, values, n))
			return false;
	return true;
}

static void
read_usage(struct json_val usage, struct embeddings *out)
{
	struct reading r = {.result.model = SPAN_NONE};

	usage_init(&r.result.usage);
	openai_read_usage(&r, usage);
	out->usage = r.result.usage;
	out->tokens = usage_tokens_in(&out->usage);
	out->usage_said = json_type(usage) == JSON_OBJECT ? usage : (struct json_val){NULL};
}

bool
embeddings_read(struct span answer, size_t n, struct embeddings *out)
{
	struct json_val root;

	*out = (struct embeddings){.doc = json_parse(answer), .tokens = -1};
	if (out->doc == NULL)
		return false;
	root = json_root(out->doc);
	out->values = calloc(n, sizeof(*out->values));
	if (out->values == NULL || !json_str_is(json_get(root, "object"), "list") ||
	    is_error_value(json_get(root, "error")) ||
	    !read_data(json_get(root, "data"), out->values, n)) {
		embeddings_free(out);
		return false;
	}
	if (!json_str(json_get(root, "model"), &out->model))
		out->model = SPAN_NONE;
	read_usage(json_get(root, "usage"), out);
	return true;
}

void
embeddings_free(struct embeddings *e)
{
	json_free(e->doc);
	free(e->values);
	*e = (struct embeddings){.tokens = -1};
}

/* ---- shares ---- */

/* Bytes or tokens; at least one, so that nothing is without a share of something. */
static uint64_t
length_of(struct json_val input)
{
	struct span text;
	size_t n = json_str(input, &text) ? text.n : json_size(input);

	return n == 0 ? 1 : n;
}

void
embeddings_shares(int64_t tokens, const struct json_val *inputs, size_t n, int64_t *shares)
{
	uint64_t all = 0, upto = 0, given = 0;

	for (size_t i = 0; i < n; i++)
		all += length_of(inputs[i]);
	for (size_t i = 0; i < n; i++) {
		if (tokens < 0 || tokens > TOKENS_MAX || all > UINT32_MAX) {
			shares[i] = -1;
			continue;
		}
		upto += length_of(inputs[i]);
		shares[i] = (int64_t)((uint64_t)tokens * upto / all - given);
		given += (uint64_t)shares[i];
	}
}

/* ---- an answer put together ---- */

bool
embeddings_write(const struct embeddings_parts *p, struct buf *out)
{
	bool ok = buf_printf(out, "{\"object\":\"list\",\"data\":[");

	for (size_t i = 0; ok && i < p->n; i++)
		ok = buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
			 i == 0 ? "" : ",", i) &&
		    buf_put_span(out, p->values[i]) && buf_putc(out, '}');
	ok = ok && buf_putc(out, ']');
	if (ok && p->model.n > 0)
		ok = buf_printf(out, ",\"model\":") && json_put_str(out, p->model);
	if (ok && p->usage.n > 0)
		ok = buf_printf(out, ",\"usage\":") && buf_put_span(out, p->usage);
	return ok && buf_putc(out, '}');
}
