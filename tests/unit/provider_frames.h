/*
 * Writes application/vnd.amazon.eventstream frames, for tests and fuzz targets.
 */
#ifndef TESTS_UNIT_PROVIDER_FRAMES_H
#define TESTS_UNIT_PROVIDER_FRAMES_H

#include "base/buf.h"

static inline uint32_t
frame_crc(struct span s)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned char)s.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static inline void
put_u32(struct buf *b, uint32_t n)
{
	unsigned char bytes[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
	    (unsigned char)(n >> 8), (unsigned char)n};

	CHK(buf_put(b, bytes, 4));
}

static inline void
put_frame_header(struct buf *b, const char *name, const char *text)
{
	struct span n = span_str(name), t = span_str(text);

	CHK(buf_putc(b, (char)n.n) && buf_put_span(b, n) && buf_putc(b, 7));
	CHK(buf_putc(b, (char)(t.n >> 8)) && buf_putc(b, (char)t.n) && buf_put_span(b, t));
}

/* With the headers that AWS sends; kind: "event" or "exception". */
static inline void
put_frame(struct buf *b, const char *kind, const char *type, struct span payload)
{
	struct buf headers;
	size_t start = buf_len(b);

	buf_init(&headers, 4096);
	put_frame_header(&headers, kind[1] == 'v' ? ":event-type" : ":exception-type", type);
	put_frame_header(&headers, ":content-type", "application/json");
	put_frame_header(&headers, ":message-type", kind);
	put_u32(b, (uint32_t)(buf_len(&headers) + payload.n + 16));
	put_u32(b, (uint32_t)buf_len(&headers));
	put_u32(b, frame_crc(span_skip(buf_view(b), start)));
	CHK(buf_put_span(b, buf_view(&headers)) && buf_put_span(b, payload));
	put_u32(b, frame_crc(span_skip(buf_view(b), start)));
	buf_fini(&headers);
}

#endif
