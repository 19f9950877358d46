#include "http/sse.h"

/* A line keeps this much more than an event may hold, so that a data line which is cut still is too
 * long for its event, name and all. */
#define LINE_SLACK 64
#define TYPE_MAX 128
#define BOM "\xef\xbb\xbf"

void
sse_init(struct sse *s, size_t max, sse_fn fn, void *ctx)
{
	*s = (struct sse){.max = max, .fn = fn, .ctx = ctx};
	buf_init(&s->line, max + LINE_SLACK);
	buf_init(&s->data, max);
	buf_init(&s->type, TYPE_MAX);
}

void
sse_fini(struct sse *s)
{
	buf_fini(&s->line);
	buf_fini(&s->data);
	buf_fini(&s->type);
}

/* As much as fits. False: not all did. */
static bool
put_head(struct buf *b, struct span bytes)
{
	size_t room = b->max - buf_len(b);

	return buf_put_span(b, span_head(bytes, room)) && bytes.n <= room;
}

static void
dispatch(struct sse *s)
{
	struct sse_event e = {buf_view(&s->type), buf_view(&s->data), s->is_cut};

	if (s->has_data) {
		s->n_events++;
		s->fn(s->ctx, &e);
	}
	buf_reset(&s->type);
	buf_reset(&s->data);
	s->has_data = s->is_cut = false;
}

static void
add_data(struct sse *s, struct span value)
{
	if (s->has_data && !put_head(&s->data, SPAN_LIT("\n")))
		s->is_cut = true;
	if (!put_head(&s->data, value))
		s->is_cut = true;
	s->has_data = true;
}

static void
set_type(struct sse *s, struct span value)
{
	buf_reset(&s->type);
	if (!put_head(&s->type, value))
		buf_reset(&s->type); /* no type that anybody knows is as long */
}

static void
end_line(struct sse *s, struct span line)
{
	struct span name, value;
	size_t at;

	if (!s->started && span_starts(line, SPAN_LIT(BOM)))
		line = span_skip(line, sizeof(BOM) - 1);
	s->started = true;
	if (line.n == 0) {
		dispatch(s);
		return;
	}
	at = span_find(line, ':');
	name = span_head(line, at);
	value = span_skip(line, at + 1);
	if (value.n > 0 && value.p[0] == ' ')
		value = span_skip(value, 1);
	if (span_eq(name, SPAN_LIT("data")))
		add_data(s, value);
	else if (span_eq(name, SPAN_LIT("event")))
		set_type(s, value);
}

/* Whole lines are read where they lie, those in pieces from the buffer; both cut alike. */
static void
add_to_line(struct sse *s, struct span part, bool is_end)
{
	bool is_whole = is_end && buf_len(&s->line) == 0;

	if (is_whole) {
		end_line(s, span_head(part, s->line.max));
		return;
	}
	if (!put_head(&s->line, part) && buf_len(&s->line) < s->line.max)
		s->is_cut = true; /* no memory */
	if (!is_end)
		return;
	end_line(s, buf_view(&s->line));
	buf_reset(&s->line);
}

static size_t
line_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '\n' && s.p[n] != '\r')
		n++;
	return n;
}

void
sse_feed(struct sse *s, struct span bytes)
{
	while (bytes.n > 0) {
		size_t n;

		if (s->after_cr && bytes.p[0] == '\n')
			bytes = span_skip(bytes, 1);
		s->after_cr = false;
		if (bytes.n == 0)
			return;
		n = line_length(bytes);
		add_to_line(s, span_head(bytes, n), n < bytes.n);
		s->after_cr = n < bytes.n && bytes.p[n] == '\r';
		bytes = span_skip(bytes, n + 1);
	}
}

bool
sse_is_between_events(const struct sse *s)
{
	return buf_len(&s->line) == 0 && buf_len(&s->type) == 0 && !s->has_data;
}

void
sse_finish(struct sse *s)
{
	if (buf_len(&s->line) > 0)
		add_to_line(s, span_of("", 0), true);
	dispatch(s);
}
