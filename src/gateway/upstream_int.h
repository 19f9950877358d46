/*
 * Inside of the pool, for upstream.c and proxy_tunnel.c: the way to the provider through a proxy.
 */
#ifndef GATEWAY_UPSTREAM_INT_H
#define GATEWAY_UPSTREAM_INT_H

#include "base/list.h"
#include "gateway/proxy.h"
#include "gateway/upstream.h"
#include "net/resolve.h"
#include "net/stream.h"

struct pool {
	struct loop *loop;
	struct resolver *resolver;
	struct list
	    idle; /* newest first; one list: origins in use are few, hits are near the front */
	own_fn is_own;
	void *own_ctx;
	size_t n_idle;
	size_t n_open;
	size_t most_open; /* from here on the longest idle one goes for each new one */
	size_t most_idle; /* likewise for each that becomes idle */
	bool is_freed;
};

/* TUNNELLING: connected to the proxy, which has not answered; CONNECTING comes again after it. */
enum upstream_state {
	UP_RESOLVING,
	UP_CONNECTING,
	UP_TUNNELLING,
	UP_READY,
	UP_FAILED,
	UP_IDLE,
	UP_CLOSING
};

struct upstream {
	/* What each exchange touches. */
	struct list link; /* while idle */
	struct pool *pool;
	struct stream *stream;
	const struct upstream_events *ev; /* NULL: nobody listens */
	void *ctx;
	struct parser *parser; /* from an answer's first byte to its last, or its end */
	enum upstream_state state;
	enum method method;
	struct arena *head_arena;
	char *host;
	struct tls_ctx *tls;
	char *proxy_authority; /* NULL: direct */
	uint16_t port;
	bool allow_private, is_reused, has_answered, is_complete, may_keep;
	bool is_tunnel;          /* a WebSocket: `parser` has no say any more */
	struct timer idle_timer; /* in the pool; until the proxy has answered */
	struct upstream_timeouts timeouts;
	/* And seldom. */
	const struct proxy_way
	    *proxy; /* until there is a tunnel through it; NULL: none, or not any more */
	char detail[PROXY_DETAIL_SIZE]; /* "": the stream's */
	struct resolve_query *query;
	struct defer defer;
	enum err why;
};

/* upstream.c */
void upstream_fail(struct upstream *u, enum err why);
struct parser *upstream_parser(struct upstream *u);

/* proxy_tunnel.c */
struct stream_target upstream_target(const struct upstream *u); /* without addresses */
void upstream_note_unresolved(struct upstream *u, enum err why);
void proxy_tunnel_ask(struct upstream *u); /* connected to the proxy */
void proxy_tunnel_take(struct upstream *u, struct span in);
void proxy_tunnel_ended(struct upstream *u); /* the proxy closed before it had answered */

#endif
