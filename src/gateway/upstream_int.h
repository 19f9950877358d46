/*
 * Inside of the pool, for upstream.c, upstream_pool.c, upstream_wait.c and proxy_tunnel.c: the way to the provider
 * through a proxy.
 *
 * Invariants
 * 1. link is in one list of the pool at most, which one the state and the flags say.
 * 2. given and taker point at each other, or are NULL; both are set and nulled in upstream_wait.c only.
 * 3. who is in `waiting`, `promised` or `queue` is leased and not connected; who is in `spare` or `idle` is nobody's.
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
	struct list
	    waiting; /* leased, being made, and another one would do; longest waiting first */
	struct list
	    promised;      /* likewise, with `given`, which they are told at the end of the turn */
	struct list queue; /* by turn_link: for their turn to begin */
	struct list spare; /* being made for nobody any more; the longest first */
	struct defer turn;
	unsigned begun; /* since `turn` was last called */
	size_t n_spare;
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
	UP_QUEUED, /* nothing was done yet */
	UP_RESOLVING,
	UP_CONNECTING,
	UP_TUNNELLING,
	UP_READY,
	UP_FAILED,
	UP_IDLE,
	UP_PROMISED, /* idle, and `taker` will have it */
	UP_CLOSING
};

struct upstream {
	/* What each exchange touches. */
	struct list link;
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
	bool is_tunnel; /* a WebSocket: `parser` has no say any more */
	bool is_spare;
	struct upstream *given, *taker;
	struct timer idle_timer; /* in the pool; until the proxy has answered */
	struct upstream_timeouts timeouts;
	/* And seldom. */
	struct list turn_link;
	enum pool_choice which; /* of those that are given back */
	uint64_t asked_ms;      /* for its turn to begin */
	const struct proxy_way
	    *proxy; /* until there is a tunnel through it; NULL: none, or not any more */
	char detail[PROXY_DETAIL_SIZE]; /* "": the stream's */
	struct resolve_query *query;
	struct defer defer;
	enum err why;
};

/* What two connections agree in when the one will do for the other. */
struct way {
	struct span host, proxy; /* "": direct */
	const struct tls_ctx *tls;
	uint16_t port;
	bool allow_private;
};

/* upstream.c */
void upstream_fail(struct upstream *u, enum err why);
struct parser *upstream_parser(struct upstream *u);
void upstream_dial(struct upstream *u);    /* begins to make it */
void upstream_destroy(struct upstream *u); /* forgets the lessee and closes what is open */

/* upstream_pool.c */
struct way upstream_way(const struct upstream *u); /* a view */
bool upstream_goes(const struct upstream *u, const struct way *w);
/* False: it was to be quiet, and something has come; it is destroyed. */
bool upstream_is_fit(struct upstream *u, enum pool_choice which);
void upstream_take(struct upstream *u);    /* out of the pool, for another request */
void upstream_free_up(struct upstream *u); /* connected, and nobody's: for who waits, else idle */
void pool_free_if_done(struct pool *p);    /* a connection of its is gone */

/* upstream_wait.c */
void wait_init(struct pool *p);
void wait_begin(struct upstream *u); /* leased just now; is dialled now or later */
/* Out of all of it: connected, failed or destroyed. What was promised to it is another one's. */
void wait_end(struct upstream *u);
/* To who waits longest for one like it; false: nobody does. */
bool wait_promise(struct upstream *u);
/* Its lessee has what was promised to it, and it is spare or destroyed; false: nothing was, or it is not good any more. */
bool wait_give(struct upstream *u);
void wait_close_spares(struct pool *p, size_t n); /* the longest ones, n at most */

/* proxy_tunnel.c */
struct stream_target upstream_target(const struct upstream *u); /* without addresses */
void upstream_note_unresolved(struct upstream *u, enum err why);
void proxy_tunnel_ask(struct upstream *u); /* connected to the proxy */
void proxy_tunnel_take(struct upstream *u, struct span in);
void proxy_tunnel_ended(struct upstream *u); /* the proxy closed before it had answered */

#endif
