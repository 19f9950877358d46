#include "provider/convert.h"

#include "provider/convert_int.h"

#define PIECE 256

struct span
convert_piece(struct span *rest)
{
	size_t n = rest->n;

	if (n > PIECE) {
		n = PIECE;
		while (n > 1 && ((unsigned char)rest->p[n] & 0xc0) == 0x80)
			n--;
	}
	struct span piece = span_head(*rest, n);
	*rest = span_skip(*rest, n);
	return piece;
}

struct reader {
	struct convert *c;
	convert_event_fn fn;
	void *owner;
};

static void
on_event(void *ctx, const struct sse_event *ev)
{
	const struct reader *r = ctx;
	struct json_doc *doc;

	convert_require(r->c, !ev->is_cut);
	if (r->c->result != CONVERT_OK)
		return;
	if (span_eq(ev->data, SPAN_LIT("[DONE]"))) {
		r->fn(r->c, r->owner, ev->type, (struct json_val){NULL});
		return;
	}
	doc = json_parse(ev->data);
	if (doc == NULL) {
		convert_unknown(r->c);
		return;
	}
	r->fn(r->c, r->owner, ev->type, json_root(doc));
	json_free(doc);
}

void
convert_events(struct convert *c, struct span stream, convert_event_fn fn, void *owner)
{
	struct reader r = {c, fn, owner};
	struct sse sse;

	sse_init(&sse, stream.n, on_event, &r);
	sse_feed(&sse, stream);
	sse_finish(&sse);
	sse_fini(&sse);
}

static bool
is_chat(const struct endpoint *e)
{
	return e->class == ENDPOINT_CHAT && e->dialect == DIALECT_OPENAI;
}

static bool
is_messages(const struct endpoint *e)
{
	return e->class == ENDPOINT_MESSAGES && e->dialect == DIALECT_ANTHROPIC;
}

bool
convert_knows(const struct endpoint *e)
{
	return is_chat(e) || is_messages(e);
}

static struct convert
convert_of(struct span text, struct buf *out)
{
	/* A value is never longer than it was written; commas between joined items come on top. */
	return (struct convert){.out = out, .limit = 2 * text.n + 64, .result = CONVERT_OK};
}

static enum convert_result
end(const struct convert *c, size_t before)
{
	if (c->result != CONVERT_OK)
		buf_cut(c->out, before);
	return c->result;
}

enum convert_result
convert_stream_to_json(const struct endpoint *e, struct span stream, struct buf *out)
{
	struct convert c = convert_of(stream, out);
	size_t before = buf_len(out);

	c.is_stream = true;
	if (is_chat(e))
		openai_stream_to_json(&c, stream);
	else if (is_messages(e))
		anthropic_stream_to_json(&c, stream);
	else
		convert_unknown(&c);
	return end(&c, before);
}

enum convert_result
convert_json_to_stream(const struct endpoint *e, struct span json, bool with_usage, struct buf *out)
{
	struct convert c = convert_of(json, out);
	struct json_doc *doc = json_parse(json);
	size_t before = buf_len(out);

	c.with_usage = with_usage;
	if (doc != NULL && is_chat(e))
		openai_json_to_stream(&c, json_root(doc));
	else if (doc != NULL && is_messages(e))
		anthropic_json_to_stream(&c, json_root(doc));
	else
		convert_unknown(&c);
	json_free(doc);
	return end(&c, before);
}
