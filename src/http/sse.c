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

/* What lies in the caller's bytes has to be copied when more comes behind it, or those bytes go. */
static void
keep_data(struct sse *s)
{
	struct span lying = s->lying_data;

	s->lying_data = SPAN_NONE;
	if (lying.n > 0 && !put_head(&s->data, lying))
		s->is_cut = true;
}

static void
set_type(struct sse *s, struct span value)
{
	buf_reset(&s->type);
	if (!put_head(&s->type, value))
		buf_reset(&s->type); /* no type that anybody knows is as long */
}

static void
keep_type(struct sse *s)
{
	struct span lying = s->lying_type;

	s->lying_type = SPAN_NONE;
	if (lying.n > 0)
		set_type(s, lying);
}

static void
dispatch(struct sse *s)
{
	struct sse_event e = {buf_view(&s->type), buf_view(&s->data), s->is_cut};

	if (s->lying_type.n > 0)
		e.type = s->lying_type;
	if (s->lying_data.n > 0)
		e.data = s->lying_data;
	if (s->has_data) {
		s->n_events++;
		s->fn(s->ctx, &e);
	}
	s->lying_type = s->lying_data = SPAN_NONE;
	buf_reset(&s->type);
	buf_reset(&s->data);
	s->has_data = s->is_cut = false;
}

static void
add_data(struct sse *s, struct span value, bool is_lying)
{
	if (is_lying && !s->has_data && value.n <= s->max) {
		s->lying_data = value;
	} else {
		keep_data(s);
		if (s->has_data && !put_head(&s->data, SPAN_LIT("\n")))
			s->is_cut = true;
		if (!put_head(&s->data, value))
			s->is_cut = true;
	}
	s->has_data = true;
}

static void
note_type(struct sse *s, struct span value, bool is_lying)
{
	s->lying_type = SPAN_NONE;
	if (is_lying && value.n <= TYPE_MAX) {
		buf_reset(&s->type);
		s->lying_type = value;
	} else {
		set_type(s, value);
	}
}

static void
end_line(struct sse *s, struct span line, bool is_lying)
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
		add_data(s, value, is_lying);
	else if (span_eq(name, SPAN_LIT("event")))
		note_type(s, value, is_lying);
}

/* Whole lines are read where they lie, those in pieces from the buffer; both cut alike. */
static void
add_to_line(struct sse *s, struct span part, bool is_end)
{
	bool is_whole = is_end && buf_len(&s->line) == 0;

	if (is_whole) {
		end_line(s, span_head(part, s->line.max), true);
		return;
	}
	if (!put_head(&s->line, part) && buf_len(&s->line) < s->line.max)
		s->is_cut = true; /* no memory */
	if (!is_end)
		return;
	end_line(s, buf_view(&s->line), false);
	buf_reset(&s->line);
}

/* Up to the first CR or LF. `lf`: how far the next LF is, as far as that is known: it is looked for once, however many
 * CRs stand before it. */
static size_t
line_length(struct span s, size_t lf)
{
	return lf == 0 ? 0 : span_find(span_head(s, lf), '\r');
}

/* Half of all lines are the empty one behind an event. */
static size_t
next_lf(struct span s)
{
	return s.n > 0 && s.p[0] == '\n' ? 0 : span_find(s, '\n');
}

static void
feed_lines(struct sse *s, struct span bytes)
{
	size_t lf = next_lf(bytes), n;

	while (bytes.n > 0) {
		if (s->after_cr && lf == 0) {
			s->after_cr = false;
			bytes = span_skip(bytes, 1);
			lf = next_lf(bytes);
			continue;
		}
		n = line_length(bytes, lf);
		add_to_line(s, span_head(bytes, n), n < bytes.n);
		s->after_cr = n < bytes.n && bytes.p[n] == '\r';
		bytes = span_skip(bytes, n + 1);
		lf = n < lf ? lf - n - 1 : next_lf(bytes);
	}
}

/* Streams wait for most of their time: then they hold no empty buffers. */
static void
give_back(struct buf *b)
{
	if (buf_len(b) == 0 && b->p != NULL)
		buf_fini(b);
}

void
sse_feed(struct sse *s, struct span bytes)
{
	feed_lines(s, bytes);
	keep_type(s);
	keep_data(s);
	give_back(&s->line);
	give_back(&s->type);
	give_back(&s->data);
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
