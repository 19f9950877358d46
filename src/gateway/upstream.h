/*
 * upstream: connections towards providers and the pool of idle ones.
 *
 * Model      connecting -> ready -> busy (one request, one response) -> idle (pooled) -> closed.
 *            pool_lease gives the newest idle connection of that origin and TLS context, or opens one:
 *            resolve, connect (through a proxy: CONNECT), verify, `ready`.
 * Waiting    Who waits for a connection that is being made takes one that is given back meanwhile, the
 *            longest waiting first: `ready` says which it is. What was being made for him is made all
 *            the same and becomes an idle one, or the next one's (upstream_wait.c). A failure is of one
 *            who waits at most: of him it was made for, if he waits still. Of handshakes so many begin
 *            in a turn of the loop.
 * Reading    armed whenever leased or idle. While idle any byte, or the end, destroys the connection.
 * Ownership  the pool owns the connections; the lessee gives each back by upstream_return or
 *            upstream_cancel, exactly once, also after `failed`. No event comes after that.
 * Re-entrancy no event comes inside a call into this file.
 */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H

#include "base/err.h"
#include "http/message.h"
#include "net/loop.h"

struct pool;
struct upstream;
struct arena;
struct proxy_way;
struct resolver;
struct stream;
struct tls_ctx;

/* `drained` comes for a backlog that was above it: who stops writing stops no sooner. */
#define UPSTREAM_LOW_WATER (16 * 1024)

struct upstream_events {
	/* Connected; not for a pooled one (upstream_is_ready at once). u: that one is leased from now on,
	 * and the one that pool_lease gave, if it is another one, no more. */
	void (*ready)(void *ctx, struct upstream *u);
	/* The head of an answer, informational ones (1xx) too. The head lives in the arena given. */
	void (*head)(void *ctx, const struct response_head *head);
	void (*body)(void *ctx, struct span bytes); /* valid until `batch` returned */
	void (*complete)(void *ctx);                /* the answer's end was seen */
	/* After the events of one piece of input: write out what they gave. */
	void (*batch)(void *ctx);
	void (*failed)(void *ctx, enum err why); /* at most once; nothing but `batch` after it */
	void (*drained)(void *ctx); /* the request's backlog fell to the low-water mark */
};

struct origin {
	struct span host; /* lower case */
	uint16_t port;
	struct tls_ctx *tls; /* NULL: plain */
	bool allow_private;
	const struct proxy_way *proxy; /* NULL: direct; else it lives until `ready` or `failed` */
};
struct upstream_timeouts {
	unsigned connect_ms, tls_ms, idle_ms; /* idle: in the pool */
};

/* Whether that connection leads back to this very server: it fails with E_LOOP. */
typedef bool (*own_fn)(void *ctx, const struct stream *s);
struct pool *pool_new(struct loop *l, struct resolver *r, own_fn is_own, void *ctx);
/* So many idle ones at most, all origins together; 256 at least, and half the descriptor budget at most. For who gives them
 * back: as many as there may be clients, else each of these would connect anew again and again. */
void pool_keep(struct pool *p, size_t most);
void pool_close_idle(struct pool *p);
void pool_free(struct pool *p); /* all leases must be back; the connections close on their own */

/* What has come on a pooled connection before anything was asked on it is no answer. */
enum pool_choice {
	POOL_ANY, /* it fails when something comes before the request has gone out: for one that can be sent again */
	POOL_QUIET, /* the kernel is asked first whether something has come */
	POOL_FRESH  /* never a pooled one, nor one that is given back meanwhile */
};
/* head_arena receives the answer's head. */
struct upstream *pool_lease(struct pool *p, const struct origin *o,
    const struct upstream_timeouts *t, enum pool_choice which);
void upstream_attach(struct upstream *u, const struct upstream_events *ev, void *ctx,
    struct arena *head_arena, enum method method);
bool upstream_is_ready(const struct upstream *u);
bool upstream_is_reused(const struct upstream *u);
bool upstream_has_answered(const struct upstream *u); /* any byte of the answer was seen */
bool upstream_write(struct upstream *u, const struct span *parts, size_t n);
size_t upstream_backlog(const struct upstream *u);
bool upstream_has_input(const struct upstream *u); /* something has come that was not told yet */
void upstream_read_stop(struct upstream *u);       /* back-pressure */
void upstream_read_start(struct upstream *u);
/* Inside `head` of a 101: what follows are bytes without form, told to `ev` from now on: `body` and `batch`; `complete` is
 * the peer's proper end, `failed` a cut. Never pooled again. */
void upstream_tunnel(struct upstream *u, const struct upstream_events *ev);
void upstream_shutdown(struct upstream *u); /* behind the backlog: we send no more */
/* After `complete`: back to the pool if the answer allows it and request_complete, else closed. */
void upstream_return(struct upstream *u, bool request_complete);
void upstream_cancel(struct upstream *u);              /* closes it at once */
const char *upstream_detail(const struct upstream *u); /* what failed, for the program's log */

#endif
