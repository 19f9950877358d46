#include "provider/dialect_int.h"

/* Ends of paths; second NULL: whatever stands before. The longer match goes first. */
static const struct {
	const char *last, *second;
	enum endpoint_class class;
} paths[] = {
    {"completions", "chat", ENDPOINT_CHAT},
    {"chatcompletion_v2", "text", ENDPOINT_CHAT}, /* MiniMax */
    {"completions", NULL, ENDPOINT_COMPLETIONS},  /* also fim/ and engines/{model}/ */
    {"responses", NULL, ENDPOINT_RESPONSES},
    {"input_tokens", "responses", ENDPOINT_COUNT_TOKENS},
    {"embeddings", NULL, ENDPOINT_EMBEDDINGS},
    {"multimodalembeddings", NULL, ENDPOINT_EMBEDDINGS}, /* Voyage */
    {"contextualizedembeddings", NULL, ENDPOINT_EMBEDDINGS},
    {"text", "embedding", ENDPOINT_EMBEDDINGS}, /* Nomic */
    {"rerank", NULL, ENDPOINT_RERANK},
    {"moderations", NULL, ENDPOINT_MODERATIONS},
    {"generations", "images", ENDPOINT_IMAGES},
    {"edits", "images", ENDPOINT_IMAGES},
    {"variations", "images", ENDPOINT_IMAGES},
    {"generation", "image", ENDPOINT_IMAGES}, /* Hyperbolic */
    {"image_generation", NULL, ENDPOINT_IMAGES},
    {"speech", "audio", ENDPOINT_SPEECH},
    {"tts", NULL, ENDPOINT_SPEECH}, /* xAI */
    {"t2a_v2", NULL, ENDPOINT_SPEECH},
};

/* What the last event of a stream is called, where it has a name. */
static const struct {
	const char *type;
	bool is_end, is_error;
} endings[] = {
    {"response.completed", true, false},
    {"response.incomplete", true, false},
    {"response.failed", true, true},
    {"image_generation.completed", true, false},
    {"image_edit.completed", true, false},
    {"speech.audio.done", true, false},
    {"transcript.text.done", true, false},
    {"error", false, true},
};

/* "/deployments/{d}/..." and "/engines/{m}/...": the model is in the path. */
static struct span
model_behind(struct span path, struct span marker, char rare)
{
	size_t at = span_find_by(path, marker, rare);

	if (at >= path.n)
		return SPAN_LIT("");
	path = span_skip(path, at + marker.n);
	return span_head(path, span_find(path, '/'));
}

/* Workers AI: ".../run/@cf/meta/llama-3.1-8b-instruct". */
static bool
classify_run(const struct path_tail *t, struct endpoint *e)
{
	size_t at = span_find_by(t->path, SPAN_LIT("/run/@"), '@');

	if (at >= t->path.n)
		return false;
	e->class = ENDPOINT_GENERATE;
	e->model = span_skip(t->path, at + sizeof("/run/") - 1);
	return true;
}

static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (!span_eq(t->last, span_str(paths[i].last)))
			continue;
		if (paths[i].second != NULL && !span_eq(t->second, span_str(paths[i].second)))
			continue;
		e->class = paths[i].class;
		e->model = model_behind(t->path, SPAN_LIT("/deployments/"), 'y');
		if (e->model.n == 0)
			e->model = model_behind(t->path, SPAN_LIT("/engines/"), 'g');
		return true;
	}
	return classify_run(t, e);
}

static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	bool b;

	if (e->class == ENDPOINT_SPEECH && json_str_is(json_get(root, "stream_format"), "sse"))
		return true;
	return json_bool(json_get(root, "stream"), &b) && b;
}

static int64_t
first_said(int64_t a, int64_t b)
{
	return a >= 0 ? a : b;
}

static int64_t
at_most(int64_t n, int64_t limit)
{
	return n > limit ? limit : n;
}

/* The members of usage that are read. */
#define SAID_TABLE(X)                                                                              \
	X(PROMPT, "prompt_tokens")                                                                 \
	X(INPUT, "input_tokens")                                                                   \
	X(COMPLETION, "completion_tokens")                                                         \
	X(OUTPUT, "output_tokens")                                                                 \
	X(TOTAL, "total_tokens")                                                                   \
	X(PROMPT_DETAILS, "prompt_tokens_details")                                                 \
	X(INPUT_DETAILS, "input_tokens_details")                                                   \
	X(INPUT_DETAILS_TOO, "input_token_details")                                                \
	X(COMPLETION_DETAILS, "completion_tokens_details")                                         \
	X(OUTPUT_DETAILS, "output_tokens_details")                                                 \
	X(CACHE_HIT, "prompt_cache_hit_tokens") /* DeepSeek */                                     \
	X(CACHED, "cached_tokens")              /* Moonshot */

#define SAID_ENUM(name, text) SAID_##name,
enum { SAID_TABLE(SAID_ENUM) SAID_COUNT };
#undef SAID_ENUM

struct said {
	struct json_val v[SAID_COUNT]; /* none: not said */
};

/* In one walk: this is read of every answer, and says three or four of them. Of a name twice the first counts. */
static struct said
said_in(struct json_val usage)
{
#define SAID_NAME(name, text) [SAID_##name] = {"" text, sizeof(text) - 1},
	static const struct span names[SAID_COUNT] = {SAID_TABLE(SAID_NAME)};
#undef SAID_NAME
	struct said s = {.v = {{NULL}}};
	struct json_iter it = json_iter(usage);
	struct json_val item;
	struct span key;

	while (json_next(&it, &key, &item))
		for (size_t i = 0; i < SAID_COUNT; i++)
			if (s.v[i].v == NULL && span_eq(key, names[i]))
				s.v[i] = item;
	return s;
}

static struct json_val
either(const struct said *s, int name, int other)
{
	enum json_type type = json_type(s->v[name]);

	return type == JSON_NONE || type == JSON_NULL ? s->v[other] : s->v[name];
}

/* The prompt's count holds what was read from and written to the cache. */
static void
read_prompt(struct reading *r, const struct said *s, int64_t prompt)
{
	struct json_val details = either(s, SAID_PROMPT_DETAILS, SAID_INPUT_DETAILS);

	if (json_type(details) != JSON_OBJECT)
		details = s->v[SAID_INPUT_DETAILS_TOO];
	int64_t cached = tokens_of(json_get(details, "cached_tokens"));
	cached = first_said(cached, tokens_of(either(s, SAID_CACHE_HIT, SAID_CACHED)));
	int64_t written =
	    tokens_of(json_either(details, "cache_write_tokens", "cache_creation_tokens"));
	reading_tokens(r, USAGE_AUDIO_IN, json_get(details, "audio_tokens"));
	if (prompt < 0)
		return;
	cached = at_most(cached, prompt);
	written = at_most(written, prompt - first_said(cached, 0));
	reading_set(r, USAGE_CACHE_READ, cached);
	reading_set(r, USAGE_CACHE_WRITE_5M, written);
	reading_set(r, USAGE_INPUT, prompt - first_said(cached, 0) - first_said(written, 0));
}

/* rest_of_total: what the total leaves beside the prompt; -1 when it is not said. */
static void
read_completion(struct reading *r, const struct said *s, int64_t completion, int64_t rest_of_total)
{
	struct json_val details = either(s, SAID_COMPLETION_DETAILS, SAID_OUTPUT_DETAILS);
	int64_t reasoning = tokens_of(json_get(details, "reasoning_tokens"));

	reading_tokens(r, USAGE_AUDIO_OUT, json_get(details, "audio_tokens"));
	if (completion < 0)
		return;
	/* OpenAI counts reasoning into the completion, xAI and Gemini's OpenAI form beside it: the total
	 * tells them apart. */
	if (reasoning > 0 && (reasoning > completion || rest_of_total == completion + reasoning))
		completion += reasoning;
	reading_set(r, USAGE_REASONING, reasoning);
	reading_set(r, USAGE_OUTPUT, completion);
}

void
openai_read_usage(struct reading *r, struct json_val usage)
{
	const struct said s = said_in(usage);
	int64_t prompt = tokens_of(either(&s, SAID_PROMPT, SAID_INPUT));
	int64_t completion = tokens_of(either(&s, SAID_COMPLETION, SAID_OUTPUT));
	int64_t total = tokens_of(s.v[SAID_TOTAL]);

	/* Embeddings and reranking of some (Voyage, Jina) say the total alone: all of it is prompt. */
	if (prompt < 0 && completion < 0)
		prompt = total;
	read_prompt(r, &s, prompt);
	read_completion(r, &s, completion, total < 0 ? -1 : total - first_said(prompt, 0));
}

/* Where usage is: at the top, in Cloudflare's "result", or in Groq's own member. */
static struct json_val
usage_in(struct json_val root)
{
	static const char *const places[] = {"usage", "x_groq.usage", "result.usage"};
	struct json_val usage = {NULL};

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		usage = json_path(root, places[i]);
		if (json_type(usage) == JSON_OBJECT)
			return usage;
	}
	return usage;
}

void
openai_read_answer(struct reading *r, struct json_val root)
{
	int64_t code;

	reading_model(r, json_get(root, "model"));
	openai_read_usage(r, usage_in(root));
	if (json_str_is(json_get(root, "status"), "failed"))
		r->result.has_error = true;
	/* MiniMax refuses with status 200. */
	if (json_int(json_path(root, "base_resp.status_code"), &code) && code != 0)
		r->result.has_error = true;
}

static bool
is_content(struct json_val v)
{
	struct span s;

	if (json_str(v, &s))
		return s.n > 0;
	return (json_type(v) == JSON_ARRAY || json_type(v) == JSON_OBJECT) && json_size(v) > 0;
}

/* A delta says something when any member but the role is not empty: content, reasoning, tool calls,
 * audio, and whatever comes next. */
static bool
is_delta_content(struct json_val delta)
{
	struct json_iter it = json_iter(delta);
	struct json_val item;
	struct span key;

	while (json_next(&it, &key, &item)) {
		if (!span_eq(key, SPAN_LIT("role")) && is_content(item))
			return true;
	}
	return false;
}

static void
read_choice(struct reading *r, struct json_val choice)
{
	struct json_val delta = json_get(choice, "delta");

	if (is_content(json_get(choice, "text")) ||
	    (json_type(delta) == JSON_OBJECT && is_delta_content(delta)))
		r->result.has_output = true;
	if (json_str_is(json_get(choice, "finish_reason"), "error"))
		r->result.has_error = true;
}

static void
read_ending(struct reading *r, struct span type)
{
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		if (!span_eq(type, span_str(endings[i].type)))
			continue;
		r->result.is_complete |= endings[i].is_end;
		r->result.has_error |= endings[i].is_error;
	}
}

static void
read_chunk(struct reading *r, struct json_val root)
{
	struct json_val response = json_get(root, "response");
	struct json_val body = json_type(response) == JSON_OBJECT ? response : root;
	struct json_iter it = json_iter(json_get(root, "choices"));
	struct json_val choice;
	struct span key;

	reading_model(r, json_get(body, "model"));
	openai_read_usage(r, usage_in(body));
	if (is_error_value(json_get(root, "error")))
		r->result.has_error = true;
	while (json_next(&it, &key, &choice))
		read_choice(r, choice);
	if (json_type(response) == JSON_STRING && is_content(response)) /* Workers AI */
		r->result.has_output = true;
}

/* The hot path: nearly every event of a stream is a piece of text. Once the model is known and the
 * first text was seen, such a piece tells nothing, and a search for two strings says that it is one. */
static bool
is_worth_parsing(const struct reading *r, const struct stream_event *ev)
{
	if (!r->result.has_output || r->result.model.n == 0 ||
	    has_said(ev->data, SPAN_LIT("\"usage\""), 'g') ||
	    has_said(ev->data, SPAN_LIT("\"error\""), 'r'))
		return true;
	/* Where events have types and no names, the end can only be seen in the data. */
	return ev->type.n == 0 && r->endpoint->class != ENDPOINT_CHAT &&
	    has_said(ev->data, SPAN_LIT("\"type\""), 'y');
}

void
openai_read_event(struct reading *r, const struct stream_event *ev)
{
	struct json_doc *doc;

	if (span_eq(span_trim(ev->data), SPAN_LIT("[DONE]"))) {
		/* The Responses API says how it went in an event; [DONE] behind it adds nothing. */
		r->result.is_complete |= r->endpoint->class != ENDPOINT_RESPONSES;
		return;
	}
	if (ev->type.n > 0)
		read_ending(r, ev->type);
	if (span_ends(ev->type, SPAN_LIT(".delta")) ||
	    span_ends(ev->type, SPAN_LIT(".partial_image")) || ev->is_cut) {
		r->result.has_output = true;
		return;
	}
	if (!is_worth_parsing(r, ev) || (doc = json_parse(ev->data)) == NULL)
		return;
	struct json_val root = json_root(doc);
	struct span type;
	if (ev->type.n == 0 && json_str(json_get(root, "type"), &type)) {
		read_ending(r, type);
		r->result.has_output |= span_ends(type, SPAN_LIT(".delta"));
	}
	read_chunk(r, root);
	json_free(doc);
}

static const char *const sampling[] = {NULL};

const struct dialect_ops dialect_openai = {
    .name = "openai",
    .refusal = REFUSAL_OPENAI,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = openai_read_answer,
    .read_event = openai_read_event,
    .read_usage = openai_read_usage,
};
