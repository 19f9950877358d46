/*
 * sse: events out of a text/event-stream, whatever the pieces it comes in (WHATWG HTML 9.2).
 * A copy is read here; the bytes to the client never pass through.
 *
 * Limits: an event with more than `max` bytes of data is reported with is_cut and its first max
 * bytes.
 */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "base/buf.h"

struct sse_event {
	struct span type; /* "" when the stream gave none */
	struct span data; /* data lines joined by LF, valid during the call */
	bool is_cut;
};
typedef void (*sse_fn)(void *ctx, const struct sse_event *e);

struct sse {
	struct buf line, data, type;
	struct span lying_data, lying_type; /* where they were fed, and nowhere else yet */
	size_t max;
	sse_fn fn;
	void *ctx;
	unsigned n_events;
	bool after_cr, started, has_data, is_cut;
};

void sse_init(struct sse *s, size_t max, sse_fn fn, void *ctx);
void sse_fini(struct sse *s);
void sse_feed(struct sse *s, struct span bytes);
/* True when the stream may end here: no half line or event is pending. */
bool sse_is_between_events(const struct sse *s);
/* The stream ended. A last event without its blank line is reported (many servers end so). */
void sse_finish(struct sse *s);

#endif
