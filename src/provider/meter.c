#include "provider/dialect.h"

#include <stdlib.h>
#include <string.h>

#include "http/gunzip.h"
#include "http/sse.h"
#include "provider/dialect_int.h"
#include "provider/split.h"

#define ANSWER_MAX METER_BORROW_MAX
#define EVENT_MAX ((size_t)4 << 20)
/* Answers of endpoints that nobody knows: enough for a usage object, not for a file. */
#define OTHER_MAX ((size_t)1 << 20)
/* Of a compressed stream: nothing of it is kept, so this only ends what never ends. */
#define STREAM_MAX ((size_t)1 << 30)
#define MODEL_MAX 256

enum mode {
	MODE_OPAQUE, /* audio, images, not 2xx: nothing to read */
	MODE_JSON,
	MODE_SSE,
	MODE_SPLIT,
};

struct meter {
	struct reading reading;
	struct endpoint endpoint; /* reading points here */
	enum mode mode;
	bool is_2xx;
	bool is_page;     /* text/html: no provider's answer */
	bool is_over;     /* a JSON answer longer than is held */
	bool may_be_json; /* an array of items was expected: the first byte decides */
	bool is_borrowed; /* the body is the caller's */
	bool is_skimmed;
	bool is_finished;
	struct buf body;
	union {
		struct sse sse;     /* MODE_SSE */
		struct split split; /* MODE_SPLIT */
	};
	struct gunzip *gunzip; /* NULL: not compressed */
	bool is_damaged;       /* the compressed bytes were */
};

static struct span
media_type(struct span content_type)
{
	return span_trim(span_head(content_type, span_find(content_type, ';')));
}

static bool
is_one_of(struct span s, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (span_eq_nocase(s, span_str(*list)))
			return true;
	}
	return false;
}

static bool
is_other_json_type(struct span type)
{
	return span_eq_nocase(type, SPAN_LIT("text/json")) ||
	    (type.n > 5 && span_eq_nocase(span_skip(type, type.n - 5), SPAN_LIT("+json")));
}

static bool
is_lines_type(struct span type)
{
	static const char *const names[] = {"application/x-ndjson", "application/ndjson",
	    "application/jsonl", "application/x-jsonlines", "application/json-lines",
	    "application/stream+json", "application/x-json-stream", NULL};

	return is_one_of(type, names);
}

static void
read_event(struct meter *m, const struct stream_event *ev)
{
	m->reading.result.events++;
	dialect_ops_of(m->endpoint.dialect)->read_event(&m->reading, ev);
	/* From the first content to the end: the few events between that say nothing do not matter to
	 * an estimate. */
	if (m->reading.result.has_output && !m->reading.result.is_complete)
		m->reading.result.output_events++;
}

static void
on_sse_event(void *ctx, const struct sse_event *e)
{
	struct stream_event ev = {.type = e->type, .data = e->data, .is_cut = e->is_cut};

	read_event(ctx, &ev);
}

static void
on_split_event(void *ctx, const struct stream_event *ev)
{
	read_event(ctx, ev);
}

static void
start_split(struct meter *m, enum split_kind kind)
{
	m->mode = MODE_SPLIT;
	split_init(&m->split, kind, EVENT_MAX, on_split_event, m);
	m->reading.result.is_stream = true;
}

static void
start_json(struct meter *m)
{
	m->mode = MODE_JSON;
	m->may_be_json = m->endpoint.dialect == DIALECT_GEMINI && m->endpoint.streams_by_path;
}

static void
choose_mode(struct meter *m, struct span type)
{
	bool is_json = span_eq_nocase(type, SPAN_LIT("application/json")); /* most are */
	m->is_page = !is_json && span_eq_nocase(type, SPAN_LIT("text/html"));
	m->mode = MODE_OPAQUE;
	if (!m->is_2xx)
		return;
	if (is_json) {
		start_json(m);
	} else if (span_eq_nocase(type, SPAN_LIT("text/event-stream"))) {
		m->mode = MODE_SSE;
		sse_init(&m->sse, EVENT_MAX, on_sse_event, m);
		m->reading.result.is_stream = true;
	} else if (span_eq_nocase(type, SPAN_LIT("application/vnd.amazon.eventstream"))) {
		start_split(m, SPLIT_FRAMES);
	} else if (is_lines_type(type)) {
		start_split(m, SPLIT_LINES);
	} else if (is_other_json_type(type) ||
	    (type.n == 0 && m->endpoint.class != ENDPOINT_OTHER &&
		m->endpoint.class != ENDPOINT_SPEECH)) {
		start_json(m);
	}
}

/* False: compressed in a way that cannot be read here. */
static bool
start_decoding(struct meter *m, struct span coding)
{
	coding = span_trim(coding);
	if (m->mode == MODE_OPAQUE || coding.n == 0 || span_eq_nocase(coding, SPAN_LIT("identity")))
		return true;
	if (!span_eq_nocase(coding, SPAN_LIT("gzip")) &&
	    !span_eq_nocase(coding, SPAN_LIT("x-gzip")))
		return false;
	m->gunzip = gunzip_new(m->mode == MODE_JSON ? ANSWER_MAX + 1 : STREAM_MAX);
	return m->gunzip != NULL;
}

struct meter *
meter_new(
    const struct endpoint *e, int status, struct span content_type, struct span content_encoding)
{
	struct meter *m = malloc_zeroed(sizeof(*m));

	if (m == NULL)
		return NULL;
	m->endpoint = *e;
	m->endpoint.model = SPAN_NONE; /* a view that may not live as long */
	m->is_2xx = status >= 200 && status < 300;
	m->reading.endpoint = &m->endpoint;
	m->reading.result.model = SPAN_LIT("");
	usage_init(&m->reading.result.usage);
	buf_init(&m->reading.model, MODEL_MAX);
	buf_init(&m->body, e->class == ENDPOINT_OTHER ? OTHER_MAX : ANSWER_MAX);
	choose_mode(m, media_type(content_type));
	if (start_decoding(m, content_encoding))
		return m;
	meter_free(m);
	return NULL;
}

void
meter_free(struct meter *m)
{
	if (m == NULL)
		return;
	if (m->mode == MODE_SSE)
		sse_fini(&m->sse);
	if (m->mode == MODE_SPLIT)
		split_fini(&m->split);
	gunzip_free(m->gunzip);
	buf_fini(&m->body);
	buf_fini(&m->reading.model);
	free(m);
}

/* Gemini streams a JSON array where SSE was not asked for; an error comes as an object all the same. */
static void
decide_by_first_byte(struct meter *m, struct span plain)
{
	for (size_t i = 0; i < plain.n; i++) {
		char c = plain.p[i];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		m->may_be_json = false;
		if (c == '[')
			start_split(m, SPLIT_ITEMS);
		return;
	}
}

static void
hold_answer(struct meter *m, struct span plain)
{
	if (m->is_borrowed || m->is_over || buf_put_span(&m->body, plain))
		return;
	m->is_over = true;
	buf_fini(&m->body); /* a prefix is of no use */
}

static void
read_plain(void *ctx, struct span plain)
{
	struct meter *m = ctx;

	if (m->may_be_json)
		decide_by_first_byte(m, plain);
	switch (m->mode) {
	case MODE_OPAQUE:
		m->reading.result.has_output |= m->is_2xx && plain.n > 0;
		break;
	case MODE_JSON:
		hold_answer(m, plain);
		break;
	case MODE_SSE:
		sse_feed(&m->sse, plain);
		break;
	case MODE_SPLIT:
		split_feed(&m->split, plain);
		break;
	}
}

void
meter_feed(struct meter *m, struct span bytes)
{
	if (m->is_finished || m->is_damaged || bytes.n == 0)
		return;
	if (m->gunzip == NULL)
		read_plain(m, bytes);
	else
		m->is_damaged = !gunzip_feed(m->gunzip, bytes, read_plain, m);
}

bool
meter_borrow(struct meter *m)
{
	m->is_borrowed = m->mode == MODE_JSON && !m->may_be_json && m->gunzip == NULL;
	return m->is_borrowed;
}

void
meter_skim(struct meter *m)
{
	m->is_skimmed = true;
}

/* False: nothing was read. */
static bool
skim(struct meter *m, struct span body)
{
	const struct dialect_ops *ops = dialect_ops_of(m->endpoint.dialect);
	struct span usage;

	if (!m->is_skimmed || ops->read_usage == NULL ||
	    !json_peek_object(body, SPAN_LIT("usage"), &usage))
		return false;
	struct json_doc *doc = json_parse(usage);
	if (doc == NULL)
		return false;
	ops->read_usage(&m->reading, json_root(doc));
	json_free(doc);
	return true;
}

static void
finish_json(struct meter *m, struct span body)
{
	struct meter_result *result = &m->reading.result;

	if (m->is_over || skim(m, body))
		return;
	struct json_doc *doc = json_parse_view(body, false);
	if (doc == NULL)
		return;
	dialect_ops_of(m->endpoint.dialect)->read_answer(&m->reading, json_root(doc));
	result->has_error |= is_error_value(json_get(json_root(doc), "error"));
	result->has_output = !result->has_error;
	result->is_complete = true;
	json_free(doc);
}

/* An end that is only "nothing follows": the event that allowed it must be whole, and the last. */
static void
finish_sse(struct meter *m)
{
	if (!sse_is_between_events(&m->sse))
		m->reading.may_end = false;
	sse_finish(&m->sse);
	m->reading.result.is_complete |= m->reading.may_end;
}

static void
finish_split(struct meter *m)
{
	bool is_clean = split_finish(&m->split);

	m->reading.result.is_complete =
	    is_clean && (m->reading.result.is_complete || m->reading.may_end);
}

static void
finish(struct meter *m, struct span body)
{
	struct meter_result *result = &m->reading.result;

	if (m->is_finished)
		return;
	m->is_finished = true;
	switch (m->mode) {
	case MODE_OPAQUE:
		result->is_complete = !m->is_page;
		break;
	case MODE_JSON:
		finish_json(m, body);
		break;
	case MODE_SSE:
		finish_sse(m);
		break;
	case MODE_SPLIT:
		finish_split(m);
		break;
	}
	if (m->gunzip != NULL && (m->is_damaged || !gunzip_is_complete(m->gunzip)))
		result->is_complete = false;
	if (m->endpoint.class == ENDPOINT_OTHER)
		result->is_complete = true;
	if (m->endpoint.class == ENDPOINT_COUNT_TOKENS)
		usage_init(&result->usage);
}

void
meter_finish(struct meter *m)
{
	finish(m, buf_view(&m->body));
}

void
meter_finish_with(struct meter *m, struct span body, bool is_cut)
{
	m->is_over = m->is_over || is_cut || body.n > m->body.max;
	finish(m, body);
}

const struct meter_result *
meter_result(const struct meter *m)
{
	return &m->reading.result;
}
