#include "provider/dialect.h"

#include "provider/dialect_int.h"

static bool
is_true(struct json_val v)
{
	bool b;

	return json_bool(v, &b) && b;
}

static bool
is_there(struct json_val v)
{
	return json_type(v) != JSON_NONE && json_type(v) != JSON_NULL;
}

/* What ties a request to something the provider keeps, as far as the request says it itself: the
 * Responses API stores by default, but an answer that was stored unasked is a function still. */
static bool
is_stateful(struct json_val root)
{
	return is_true(json_get(root, "store")) || is_true(json_get(root, "background")) ||
	    is_there(json_get(root, "previous_response_id")) ||
	    is_there(json_get(root, "conversation")) || is_there(json_get(root, "conversation_id"));
}

static bool
is_sampling_fixed(struct json_val parameters)
{
	double temperature;
	int64_t seed;

	if (json_double(json_get(parameters, "temperature"), &temperature) && temperature == 0)
		return true;
	return json_int(json_get(parameters, "seed"), &seed);
}

bool
request_is_deterministic(const struct endpoint *e, struct json_val root)
{
	if (e->is_deterministic || is_sampling_fixed(root))
		return true;
	for (const char *const *name = dialect_ops_of(e->dialect)->sampling; *name != NULL;
	    name++) {
		if (is_sampling_fixed(json_get(root, *name)))
			return true;
	}
	return false;
}

void
request_facts_read(const struct endpoint *e, struct json_val root, struct request_facts *out)
{
	const struct dialect_ops *ops = dialect_ops_of(e->dialect);

	*out = (struct request_facts){.model = e->model};
	/* A model in the path is the one that answers; Azure and Bedrock ignore the body's. */
	if (e->model.n == 0 && !json_str(json_get(root, "model"), &out->model))
		out->model = SPAN_LIT("");
	out->is_stream = e->streams_by_path || ops->is_stream(e, root);
	out->is_stateful = is_stateful(root);
}
