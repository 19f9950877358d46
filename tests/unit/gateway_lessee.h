/*
 * gateway_lessee: who has a connection of the pool, and counts what it is told.
 */
#ifndef TESTS_GATEWAY_LESSEE_H
#define TESTS_GATEWAY_LESSEE_H

#include "base/arena.h"
#include "gateway/upstream.h"
#include "net_ends.h"

struct lessee {
	struct arena head;
	struct upstream *u; /* that `ready` told of, if it did */
	int ready, failed, heads, complete;
	enum err why;
};

static inline void
lessee_on_ready(void *ctx, struct upstream *u)
{
	struct lessee *l = ctx;

	l->ready++;
	l->u = u;
}

static inline void
lessee_on_failed(void *ctx, enum err why)
{
	struct lessee *l = ctx;

	l->failed++;
	l->why = why;
}

static inline void
lessee_on_head(void *ctx, const struct response_head *head)
{
	((struct lessee *)ctx)->heads++;
	assert_int_equal(head->status, 200);
}

static inline void
lessee_on_complete(void *ctx)
{
	((struct lessee *)ctx)->complete++;
}

static inline void
lessee_on_body(void *ctx, struct span bytes)
{
	UNUSED(ctx);
	UNUSED(bytes);
}

static inline void
lessee_on_other(void *ctx)
{
	UNUSED(ctx);
}

static const struct upstream_events lessee_events = {.ready = lessee_on_ready,
    .failed = lessee_on_failed,
    .head = lessee_on_head,
    .body = lessee_on_body,
    .drained = lessee_on_other,
    .complete = lessee_on_complete,
    .batch = lessee_on_other};

static inline bool
lessee_is_own(void *ctx, const struct stream *s)
{
	UNUSED(ctx);
	UNUSED(s);
	return false;
}

#endif
