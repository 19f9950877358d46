#include "provider/split.h"

void
split_init(struct split *s, enum split_kind kind, size_t max, split_fn fn, void *ctx)
{
	*s = (struct split){.kind = kind, .max = max, .fn = fn, .ctx = ctx};
	buf_init(&s->held, max);
}

void
split_fini(struct split *s)
{
	buf_fini(&s->held);
}

/* As much as the cap allows. Without memory the event counts as cut, too. */
static void
hold(struct split *s, struct span bytes)
{
	size_t room = s->max - buf_len(&s->held);
	struct span head = span_head(bytes, room);

	if (s->is_cut)
		return;
	s->is_cut = head.n < bytes.n || (head.n > 0 && !buf_put_span(&s->held, head));
}

static void
emit(struct split *s, struct span data, bool is_cut)
{
	struct stream_event ev = {.type = SPAN_LIT(""), .data = data, .is_cut = is_cut};

	s->fn(s->ctx, &ev);
}

static void
emit_held(struct split *s)
{
	emit(s, buf_view(&s->held), s->is_cut);
	buf_reset(&s->held);
	s->is_cut = false;
}

static bool
is_blank(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
			return false;
	}
	return true;
}

static void
end_line(struct split *s)
{
	if (!is_blank(buf_view(&s->held))) {
		emit_held(s);
		return;
	}
	buf_reset(&s->held);
	s->is_cut = false;
}

static void
feed_lines(struct split *s, struct span bytes)
{
	while (bytes.n > 0) {
		size_t lf = span_find(bytes, '\n');
		struct span line = span_head(bytes, lf);
		bool is_whole = lf < bytes.n && buf_len(&s->held) == 0 && line.n <= s->max;
		bytes = span_skip(bytes, lf + 1);
		if (is_whole) { /* the usual case: nothing to copy */
			if (!is_blank(line))
				emit(s, line, false);
			continue;
		}
		hold(s, line);
		if (line.p + line.n < bytes.p)
			end_line(s);
	}
}

#define PRELUDE 12
#define TRAILER 4

static uint32_t
u32_at(struct span s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned
u16_at(struct span s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at;

	return (unsigned)p[0] << 8 | p[1];
}

/* CRC-32 (IEEE), bit by bit: it is run over eight bytes a frame. Only the prelude is checked, because a
 * wrong length would have us wait forever; the payload's sum is the client's business. */
static uint32_t
crc32_of(struct span s)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned char)s.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* Bytes of a header's value by its type; for the two with a length of their own (6: bytes, 7: text)
 * its two length bytes included. More than there are: broken. */
static size_t
header_value_length(struct span rest, unsigned type)
{
	static const unsigned char fixed[] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

	if (type >= COUNT_OF(fixed))
		return rest.n + 1;
	if (type != 6 && type != 7)
		return fixed[type];
	return rest.n < 2 ? rest.n + 1 : 2 + u16_at(rest, 0);
}

/* Cuts one header off: u8 name length, name, u8 type, value. */
static bool
next_header(struct span *rest, struct span *name, struct span *text)
{
	if (rest->n == 0)
		return false;
	size_t n = (unsigned char)rest->p[0];
	if (rest->n < n + 2)
		return false;
	unsigned type = (unsigned char)rest->p[n + 1];
	*name = span_of(rest->p + 1, n);
	*rest = span_skip(*rest, n + 2);
	size_t length = header_value_length(*rest, type);
	if (length > rest->n)
		return false;
	*text = type == 7 ? span_of(rest->p + 2, length - 2) : SPAN_LIT("");
	*rest = span_skip(*rest, length);
	return true;
}

static void
emit_frame(struct split *s, struct span frame)
{
	size_t n_headers = u32_at(frame, 4);
	struct span headers = span_of(frame.p + PRELUDE, n_headers), name, text;
	struct stream_event ev = {.type = SPAN_LIT("")};

	ev.data = span_of(frame.p + PRELUDE + n_headers, frame.n - PRELUDE - TRAILER - n_headers);
	while (next_header(&headers, &name, &text)) {
		if (span_eq(name, SPAN_LIT(":event-type")))
			ev.type = text;
		else if (span_eq(name, SPAN_LIT(":message-type")))
			ev.is_exception = !span_eq(text, SPAN_LIT("event"));
	}
	s->fn(s->ctx, &ev);
}

/* Moves up to n bytes over; false while there are not that many. */
static bool
hold_up_to(struct split *s, struct span *bytes, size_t n)
{
	size_t have = buf_len(&s->held);

	if (have < n) {
		struct span head = span_head(*bytes, n - have);
		hold(s, head);
		*bytes = span_skip(*bytes, head.n);
	}
	s->is_broken |= s->is_cut; /* no memory: the place in the stream is lost */
	return !s->is_broken && buf_len(&s->held) >= n;
}

static bool
skip_frame(struct split *s, struct span *bytes)
{
	size_t n = bytes->n < s->skip ? bytes->n : (size_t)s->skip;

	*bytes = span_skip(*bytes, n);
	s->skip -= n;
	return s->skip == 0;
}

/* With the prelude held: the frame's length, or 0 when it cannot be one. */
static size_t
frame_length(struct span prelude)
{
	size_t total = u32_at(prelude, 0), headers = u32_at(prelude, 4);

	if (total < PRELUDE + TRAILER || headers > total - PRELUDE - TRAILER)
		return 0;
	return crc32_of(span_head(prelude, 8)) == u32_at(prelude, 8) ? total : 0;
}

static void
feed_frames(struct split *s, struct span bytes)
{
	while (bytes.n > 0 && !s->is_broken) {
		if (s->skip > 0 && !skip_frame(s, &bytes))
			return;
		if (!hold_up_to(s, &bytes, PRELUDE))
			return;
		size_t total = frame_length(buf_view(&s->held));
		if (total == 0) {
			s->is_broken = true;
			return;
		}
		if (total > s->max) {
			s->skip = total - buf_len(&s->held);
			buf_reset(&s->held);
			emit(s, SPAN_LIT(""), true);
			continue;
		}
		if (!hold_up_to(s, &bytes, total))
			return;
		emit_frame(s, buf_view(&s->held));
		buf_reset(&s->held);
	}
}

/* One byte of an item, or of what is between items. True when it belongs to an item. */
static bool
step_item(struct split *s, char c)
{
	if (s->in_string) {
		s->in_string = s->is_escaped || c != '"';
		s->is_escaped = !s->is_escaped && c == '\\';
		return s->depth > 1;
	}
	if (c == '"') {
		s->in_string = true;
		return s->depth > 1;
	}
	if (c == '{' || c == '[')
		return ++s->depth > 1;
	if ((c == '}' || c == ']') && s->depth > 0)
		s->is_closed = --s->depth == 0;
	else
		return s->depth > 1;
	return s->depth > 0;
}

static void
feed_items(struct split *s, struct span bytes)
{
	size_t start = 0; /* of the part of an item in these bytes */
	bool in_item = s->depth > 1;

	for (size_t i = 0; i < bytes.n && !s->is_closed; i++) {
		bool belongs = step_item(s, bytes.p[i]);
		if (belongs && !in_item)
			start = i;
		bool is_end = belongs && s->depth == 1 && !s->in_string;
		if (is_end) {
			hold(s, span_of(bytes.p + start, i + 1 - start));
			emit_held(s);
		}
		in_item = belongs && !is_end;
	}
	if (in_item)
		hold(s, span_skip(bytes, start));
}

void
split_feed(struct split *s, struct span bytes)
{
	switch (s->kind) {
	case SPLIT_LINES:
		feed_lines(s, bytes);
		break;
	case SPLIT_FRAMES:
		feed_frames(s, bytes);
		break;
	case SPLIT_ITEMS:
		feed_items(s, bytes);
		break;
	}
}

bool
split_finish(struct split *s)
{
	switch (s->kind) {
	case SPLIT_LINES:
		if (buf_len(&s->held) > 0)
			end_line(s);
		return true;
	case SPLIT_FRAMES:
		return !s->is_broken && s->skip == 0 && buf_len(&s->held) == 0;
	case SPLIT_ITEMS:
		return s->is_closed;
	}
	return false;
}
