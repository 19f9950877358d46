/* Which connection a request gets, and what becomes of one that is given back. */
#include <stdlib.h>

#include "gateway/upstream_int.h"
#include "http/parser.h"
#include "obs/metric.h"
#include "tls/context.h"

#define KEPT_LEAST 256 /* however few clients there may be: their providers may be many */

void
pool_free_if_done(struct pool *p)
{
	if (!p->is_freed || p->n_open > 0)
		return;
	defer_stop(&p->turn);
	free(p);
}

struct pool *
pool_new(struct loop *l, struct resolver *r, own_fn is_own, void *ctx)
{
	struct pool *p = xcalloc(1, sizeof(*p));
	p->loop = l;
	p->resolver = r;
	p->is_own = is_own;
	p->own_ctx = ctx;
	p->most_open = loop_descriptor_budget() / 2;
	list_init(&p->idle);
	wait_init(p);
	pool_keep(p, KEPT_LEAST);
	return p;
}

void
pool_keep(struct pool *p, size_t most)
{
	if (most < KEPT_LEAST)
		most = KEPT_LEAST;
	p->most_idle = most < p->most_open ? most : p->most_open;
}

void
pool_close_idle(struct pool *p)
{
	LIST_EACH(node, &p->idle)
	upstream_destroy(CONTAINER_OF(node, struct upstream, link));
	wait_close_spares(p, SIZE_MAX);
}

void
pool_free(struct pool *p)
{
	pool_close_idle(p);
	p->is_freed = true;
	pool_free_if_done(p);
}

static void
destroy_longest_idle(struct pool *p)
{
	if (!list_is_empty(&p->idle))
		upstream_destroy(CONTAINER_OF(p->idle.prev, struct upstream, link));
}

static struct span
proxy_named(const char *authority)
{
	return span_str(authority == NULL ? "" : authority);
}

struct way
upstream_way(const struct upstream *u)
{
	return (struct way){.host = span_str(u->host),
	    .proxy = proxy_named(u->proxy_authority),
	    .tls = u->tls,
	    .port = u->port,
	    .allow_private = u->allow_private};
}

bool
upstream_goes(const struct upstream *u, const struct way *w)
{
	return u->port == w->port && u->tls == w->tls && u->allow_private == w->allow_private &&
	    span_eq(span_str(u->host), w->host) &&
	    span_eq(proxy_named(u->proxy_authority), w->proxy);
}

bool
upstream_is_fit(struct upstream *u, enum pool_choice which)
{
	if (which != POOL_QUIET || !stream_has_input(u->stream))
		return true;
	upstream_destroy(u);
	return false;
}

void
upstream_take(struct upstream *u)
{
	timer_park(&u->idle_timer);
	u->state = UP_READY;
	u->is_reused = true;
	stream_mark(u->stream);
	u->has_answered = u->is_complete = u->may_keep = false;
	metric_add(M_UPSTREAM_REUSED, 1);
}

static struct upstream *
take_idle(struct pool *p, const struct origin *o, enum pool_choice which)
{
	const struct way to = {.host = o->host,
	    .proxy = proxy_named(o->proxy == NULL ? NULL : o->proxy->authority),
	    .tls = o->tls,
	    .port = o->port,
	    .allow_private = o->allow_private};

	LIST_EACH(node, &p->idle)
	{
		struct upstream *u = CONTAINER_OF(node, struct upstream, link);
		if (!upstream_goes(u, &to) || !upstream_is_fit(u, which))
			continue;
		list_remove(&u->link);
		p->n_idle--;
		upstream_take(u);
		return u;
	}
	return NULL;
}

/* One has to go for each that is made: who is of use to nobody first. */
static void
make_room(struct pool *p)
{
	if (p->n_open < p->most_open)
		return;
	if (p->n_spare > 0)
		wait_close_spares(p, 1);
	else
		destroy_longest_idle(p);
}

struct upstream *
pool_lease(struct pool *p, const struct origin *o, const struct upstream_timeouts *t,
    enum pool_choice which)
{
	struct upstream *u = which == POOL_FRESH ? NULL : take_idle(p, o, which);
	if (u != NULL)
		return u;
	make_room(p);
	u = xcalloc_lines(sizeof(*u));
	u->pool = p;
	p->n_open++;
	u->host = span_dup(o->host);
	u->port = o->port;
	u->tls = o->tls == NULL ? NULL : tls_ctx_ref(o->tls);
	u->allow_private = o->allow_private;
	u->timeouts = *t;
	u->which = which;
	u->proxy = o->proxy;
	u->proxy_authority = o->proxy == NULL ? NULL : xstrdup(o->proxy->authority);
	wait_begin(u);
	return u;
}

static void
on_idle_timeout(void *ctx)
{
	upstream_destroy(ctx);
}

void
upstream_free_up(struct upstream *u)
{
	struct pool *p = u->pool;

	u->ev = NULL;
	parser_free(u->parser);
	u->parser = NULL;
	stream_read_start(u->stream);
	if (wait_promise(u))
		return;
	if (p->n_idle >= p->most_idle)
		destroy_longest_idle(p);
	u->state = UP_IDLE;
	list_push(&p->idle, &u->link);
	p->n_idle++;
	timer_start(p->loop, &u->idle_timer, u->timeouts.idle_ms, on_idle_timeout, u);
}

void
upstream_return(struct upstream *u, bool request_complete)
{
	if (u->state != UP_READY || u->is_tunnel || !u->is_complete || !u->may_keep ||
	    !request_complete || u->pool->is_freed)
		upstream_destroy(u);
	else
		upstream_free_up(u);
}
