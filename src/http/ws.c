#include "http/ws.h"

enum { STAGE_FIRST, STAGE_SECOND, STAGE_LENGTH, STAGE_MASK, STAGE_PAYLOAD };
enum { OPCODE_CLOSE = 8 };

static void
end_frame(struct ws_scan *s)
{
	s->frames++;
	s->has_closed |= s->opcode == OPCODE_CLOSE;
	s->stage = STAGE_FIRST;
}

/* Past the stages that this frame does without. */
static void
settle(struct ws_scan *s)
{
	if (s->stage == STAGE_LENGTH && s->lengths == 0) {
		s->is_lost = s->left > INT64_MAX;
		s->stage = STAGE_MASK;
	}
	if (s->stage == STAGE_MASK && s->masks == 0)
		s->stage = STAGE_PAYLOAD;
	if (s->stage == STAGE_PAYLOAD && s->left == 0)
		end_frame(s);
}

static void
take_second(struct ws_scan *s, uint8_t c)
{
	uint8_t n = c & 0x7f;

	s->masks = (c & 0x80) != 0 ? 4 : 0;
	s->lengths = n == 126 ? 2 : n == 127 ? 8 : 0;
	s->left = s->lengths > 0 ? 0 : n;
	s->stage = STAGE_LENGTH;
}

static void
take_head_byte(struct ws_scan *s, uint8_t c)
{
	if (s->stage == STAGE_FIRST) {
		s->opcode = c & 0x0f;
		s->stage = STAGE_SECOND;
		return;
	}
	if (s->stage == STAGE_SECOND) {
		take_second(s, c);
	} else if (s->stage == STAGE_LENGTH) {
		s->left = s->left << 8 | c;
		s->lengths--;
	} else {
		s->masks--;
	}
	settle(s);
}

void
ws_scan(struct ws_scan *s, struct span bytes)
{
	while (bytes.n > 0 && !s->is_lost) {
		if (s->stage != STAGE_PAYLOAD) {
			take_head_byte(s, (uint8_t)bytes.p[0]);
			bytes = span_skip(bytes, 1);
			continue;
		}
		size_t n = s->left < bytes.n ? (size_t)s->left : bytes.n;
		s->left -= n;
		bytes = span_skip(bytes, n);
		settle(s);
	}
}
