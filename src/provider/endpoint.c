#include "provider/dialect.h"

#include "provider/dialect_int.h"

static const struct {
	const char *name;
	bool is_held; /* and cacheable: an answer of these is a function of the request */
	bool is_deterministic;
} classes[ENDPOINT_CLASS_COUNT] = {
    [ENDPOINT_OTHER] = {"other", false, false},
    [ENDPOINT_CHAT] = {"chat", true, false},
    [ENDPOINT_COMPLETIONS] = {"completions", true, false},
    [ENDPOINT_RESPONSES] = {"responses", true, false},
    [ENDPOINT_MESSAGES] = {"messages", true, false},
    [ENDPOINT_GENERATE] = {"generate", true, false},
    [ENDPOINT_EMBEDDINGS] = {"embeddings", true, true},
    [ENDPOINT_RERANK] = {"rerank", true, false},
    [ENDPOINT_MODERATIONS] = {"moderations", true, true},
    [ENDPOINT_COUNT_TOKENS] = {"count_tokens", true, true},
    [ENDPOINT_IMAGES] = {"images", true, false},
    [ENDPOINT_SPEECH] = {"speech", true, false},
};

/* After the provider's own dialect: a path tells its dialect under any provider, in this order.
 * Cohere's "/v1/chat" says too little for that; it is asked only for Cohere itself. */
static const enum dialect by_path[] = {DIALECT_GEMINI, DIALECT_BEDROCK, DIALECT_ANTHROPIC,
    DIALECT_OPENAI, DIALECT_OLLAMA, DIALECT_OTHER};

static struct span
last_segment(struct span *path)
{
	size_t slash = path->n;

	while (slash > 0 && path->p[slash - 1] != '/')
		slash--;
	struct span segment = span_skip(*path, slash);
	*path = span_head(*path, slash > 0 ? slash - 1 : 0);
	return segment;
}

static struct path_tail
path_tail_of(struct span path)
{
	struct path_tail t = {.path = path};

	t.last = last_segment(&path);
	t.second = last_segment(&path);
	t.third = last_segment(&path);
	return t;
}

static bool
classify_as(enum dialect d, const struct path_tail *t, struct endpoint *e)
{
	*e = (struct endpoint){.dialect = d, .model = SPAN_LIT("")};
	return dialect_ops_of(d)->classify(t, e);
}

static bool
classify_by_path(enum dialect d, const struct path_tail *t, struct endpoint *e)
{
	if (classify_as(d, t, e))
		return true;
	for (size_t i = 0; i < COUNT_OF(by_path); i++) {
		if (by_path[i] != d && classify_as(by_path[i], t, e))
			return true;
	}
	return false;
}

/* Multipart as a rule: the class is known for the answer's sake, the request passes unread. */
static bool
is_upload(const struct path_tail *t)
{
	return span_eq(t->last, SPAN_LIT("edits")) || span_eq(t->last, SPAN_LIT("variations"));
}

struct endpoint
endpoint_classify(enum dialect d, bool method_is_post, struct span path)
{
	struct endpoint e = {.dialect = d, .model = SPAN_LIT("")};
	struct path_tail t = path_tail_of(path);

	if (!method_is_post || !classify_by_path(d, &t, &e))
		return (struct endpoint){.dialect = d, .model = SPAN_LIT("")};
	e.is_held = e.is_cacheable = classes[e.class].is_held && !is_upload(&t);
	e.is_deterministic = classes[e.class].is_deterministic;
	return e;
}

const char *
endpoint_class_name(enum endpoint_class c)
{
	CHK(c < ENDPOINT_CLASS_COUNT);
	return classes[c].name;
}
