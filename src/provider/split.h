/*
 * split: the frames of streams that are not SSE, cut out of bytes that come in any pieces.
 *
 *   lines    NDJSON: one event a line, empty lines skipped, a last line without LF counts
 *   frames   application/vnd.amazon.eventstream: length-prefixed, headers, payload
 *   items    a JSON array whose items come one by one (Gemini without alt=sse)
 *
 * Limits: an event longer than `max` bytes is reported with is_cut (lines and items with their first
 * max bytes, frames without data). Framing that cannot be right ends the reading: is_broken.
 * The result does not depend on the pieces.
 */
#ifndef PROVIDER_SPLIT_H
#define PROVIDER_SPLIT_H

#include "base/buf.h"
#include "provider/dialect_int.h"

enum split_kind { SPLIT_LINES, SPLIT_FRAMES, SPLIT_ITEMS };
typedef void (*split_fn)(void *ctx, const struct stream_event *ev);

struct split {
	enum split_kind kind;
	size_t max;
	split_fn fn;
	void *ctx;
	struct buf held; /* of the event that is not complete */
	bool is_cut;     /* held lost its end */
	bool is_broken;
	uint64_t skip;  /* frames: bytes of one that is too long */
	unsigned depth; /* items: open brackets, the array's own counted */
	bool in_string, is_escaped;
	bool is_closed; /* items: the array's ']' was seen */
};

void split_init(struct split *s, enum split_kind kind, size_t max, split_fn fn, void *ctx);
void split_fini(struct split *s);
void split_feed(struct split *s, struct span bytes);
/* The stream ended: true when it may end here (no half frame, array closed). */
bool split_finish(struct split *s);

#endif
