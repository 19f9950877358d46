#include "gateway/upstream.h"

#include <stdlib.h>

#include "base/arena.h"
#include "gateway/upstream_int.h"
#include "http/parser.h"
#include "obs/metric.h"
#include "tls/context.h"

static void
free_upstream(struct upstream *u)
{
	struct pool *p = u->pool;
	parser_free(u->parser);
	tls_ctx_unref(u->tls);
	free(u->host);
	free(u->proxy_authority);
	free(u);
	p->n_open--;
	pool_free_if_done(p);
}

static void
free_later(void *ctx)
{
	free_upstream(ctx);
}

/* The one way out. */
void
upstream_destroy(struct upstream *u)
{
	if (u->state == UP_CLOSING)
		return;
	wait_end(u);
	if (u->state == UP_IDLE)
		u->pool->n_idle--;
	u->state = UP_CLOSING;
	u->ev = NULL;
	timer_stop(u->pool->loop, &u->idle_timer);
	defer_stop(&u->defer);
	if (u->query != NULL)
		resolve_cancel(u->query);
	u->query = NULL;
	/* Nobody wants the answer any more, so what was not asked yet is not asked. */
	if (u->stream != NULL && !stream_has_sent(u->stream) && stream_forget(u->stream))
		stream_abort(u->stream);
	else if (u->stream != NULL)
		stream_close(u->stream);
	else
		defer_start(u->pool->loop, &u->defer, free_later, u);
}

/* Nobody is told what happens to it. */
static bool
is_nobodys(const struct upstream *u)
{
	return u->state == UP_IDLE || u->state == UP_PROMISED || u->is_spare;
}

void
upstream_fail(struct upstream *u, enum err why)
{
	if (is_nobodys(u)) {
		upstream_destroy(u);
		return;
	}
	if (u->state == UP_FAILED || u->state == UP_CLOSING)
		return;
	/* Whatever happens before there is a tunnel happens to the proxy. */
	if (u->proxy != NULL && err_row(why)->blame != BLAME_TIMEOUT)
		why = E_UPSTREAM_PROXY;
	u->state = UP_FAILED;
	timer_stop(u->pool->loop, &u->idle_timer);
	u->why = why;
	if (wait_give(u))
		return;
	wait_end(u);
	if (u->ev != NULL)
		u->ev->failed(u->ctx, why);
}

/* While it is asked for by nobody, or its provider thinks, it has none: the next answer's is warm. A head may be larger than a
 * request's: providers send many fields. */
struct parser *
upstream_parser(struct upstream *u)
{
	if (u->parser != NULL)
		return u->parser;
	u->parser = parser_new_response(&(struct parser_limits){
	    .header_size = 64 * 1024, .headers = 256, .request_line = 8192});
	parser_reset(u->parser, u->head_arena, u->method);
	return u->parser;
}

/* Turns one piece of input into events. A lessee may give the connection back inside any of them. */
static void
take_input(struct upstream *u, struct span *in)
{
	struct parser *p = upstream_parser(u);
	struct span body;
	while (u->ev != NULL && !u->is_complete) {
		switch (parser_next(p, in, &body)) {
		case PARSE_MORE:
			return;
		case PARSE_HEAD:
			u->ev->head(u->ctx, parser_response(p));
			if (!u->is_tunnel)
				break;
			if (u->ev != NULL && in->n > 0)
				u->ev->body(u->ctx, *in);
			return;
		case PARSE_BODY:
			u->ev->body(u->ctx, body);
			break;
		case PARSE_END:
			if (parser_response(p)->status / 100 == 1 &&
			    parser_response(p)->status != 101) {
				parser_reset(p, u->head_arena, u->method);
				break;
			}
			u->is_complete = true;
			u->may_keep = parser_response(p)->keep_alive && in->n == 0;
			u->ev->complete(u->ctx);
			return;
		case PARSE_FAILED:
			upstream_fail(u, parser_error(p));
			return;
		}
	}
}

static size_t
on_upstream_read(void *ctx, struct span bytes)
{
	struct upstream *u = ctx;
	if (u->state == UP_TUNNELLING && u->ev != NULL) {
		proxy_tunnel_take(u, bytes);
		return bytes.n;
	}
	if (is_nobodys(u) || u->ev == NULL || u->is_complete) {
		/* Bytes that nobody asked for: whatever they are, they are not an answer (CVE-2026-48931). */
		u->may_keep = false;
		if (is_nobodys(u))
			upstream_destroy(u);
		return bytes.n;
	}
	/* Staged for whoever asks next. On a new connection it may be a refusal of the connection. */
	if (u->is_reused && !stream_has_sent(u->stream)) {
		stream_forget(u->stream);
		upstream_fail(u, E_UPSTREAM_CLOSED);
		return bytes.n;
	}
	u->has_answered = true;
	struct span in = bytes;
	if (u->is_tunnel)
		u->ev->body(u->ctx, bytes);
	else
		take_input(u, &in);
	if (u->ev != NULL)
		u->ev->batch(u->ctx);
	return bytes.n;
}

static void
on_upstream_ended(void *ctx, enum err why)
{
	struct upstream *u = ctx;
	if (is_nobodys(u)) {
		upstream_destroy(u);
		return;
	}
	u->may_keep = false;
	if (u->ev == NULL || u->is_complete)
		return;
	if (u->state == UP_TUNNELLING) {
		proxy_tunnel_ended(u);
		return;
	}
	if (u->state == UP_CONNECTING) {
		upstream_fail(u, why == E_EOF || why == E_RESET ? E_UPSTREAM_CONNECT : why);
		return;
	}
	if (why == E_EOF && (u->is_tunnel || parser_finish(upstream_parser(u)) == PARSE_END)) {
		u->is_complete = true;
		u->ev->complete(u->ctx);
		if (u->ev != NULL)
			u->ev->batch(u->ctx);
		return;
	}
	upstream_fail(u, E_UPSTREAM_CLOSED);
}

static void
on_upstream_opened(void *ctx)
{
	struct upstream *u = ctx;
	if (u->pool->is_own(u->pool->own_ctx, u->stream)) {
		upstream_fail(u, E_LOOP);
		return;
	}
	if (u->proxy != NULL) {
		proxy_tunnel_ask(u);
		return;
	}
	u->state = UP_READY;
	stream_mark(u->stream);
	metric_add(M_UPSTREAM_CONNECTS, 1);
	bool is_spare = u->is_spare;
	wait_end(u);
	if (is_spare) {
		upstream_free_up(u);
		return;
	}
	stream_read_start(u->stream);
	if (u->ev != NULL)
		u->ev->ready(u->ctx, u);
}

static void
on_upstream_drained(void *ctx)
{
	struct upstream *u = ctx;
	if (u->ev != NULL)
		u->ev->drained(u->ctx);
}

static void
on_upstream_closed(void *ctx)
{
	free_upstream(ctx);
}

static const struct stream_events stream_ops = {
    .opened = on_upstream_opened,
    .read = on_upstream_read,
    .ended = on_upstream_ended,
    .drained = on_upstream_drained,
    .closed = on_upstream_closed,
};

static void
on_resolved(void *ctx, enum err why, const struct address *addresses, size_t n)
{
	struct upstream *u = ctx;
	struct stream_target to = upstream_target(u);
	u->query = NULL;
	if (n == 0) {
		upstream_note_unresolved(u, why);
		upstream_fail(u, why);
		return;
	}
	u->state = UP_CONNECTING;
	to.addresses = addresses;
	to.n_addresses = n;
	if (u->proxy != NULL)
		to.tls = NULL; /* begins inside the tunnel */
	u->stream = stream_connect(u->pool->loop, &to, &stream_ops, u);
	stream_set_low_water(u->stream, UPSTREAM_LOW_WATER);
}

/* Through a proxy it is the proxy that looks the name up. The operator chose where the proxy is. */
void
upstream_dial(struct upstream *u)
{
	struct resolver *r = u->pool->resolver;

	u->state = UP_RESOLVING;
	if (u->proxy == NULL)
		u->query = resolve_start(r, u->host, u->port, u->allow_private, on_resolved, u);
	else
		u->query = resolve_start(r, u->proxy->host, u->proxy->port, true, on_resolved, u);
}

void
upstream_attach(struct upstream *u, const struct upstream_events *ev, void *ctx,
    struct arena *head_arena, enum method method)
{
	u->ev = ev;
	u->ctx = ctx;
	u->head_arena = head_arena;
	u->method = method;
}

bool
upstream_is_ready(const struct upstream *u)
{
	return u->state == UP_READY;
}

bool
upstream_is_reused(const struct upstream *u)
{
	return u->is_reused;
}

bool
upstream_has_answered(const struct upstream *u)
{
	return u->has_answered;
}

bool
upstream_write(struct upstream *u, const struct span *parts, size_t n)
{
	return u->state == UP_READY && stream_write(u->stream, parts, n);
}

size_t
upstream_backlog(const struct upstream *u)
{
	return u->stream == NULL ? 0 : stream_backlog(u->stream);
}

bool
upstream_has_input(const struct upstream *u)
{
	return u->state == UP_READY && stream_has_input(u->stream);
}

void
upstream_read_stop(struct upstream *u)
{
	if (u->state == UP_READY)
		stream_read_stop(u->stream);
}

void
upstream_read_start(struct upstream *u)
{
	if (u->state == UP_READY)
		stream_read_start(u->stream);
}

void
upstream_tunnel(struct upstream *u, const struct upstream_events *ev)
{
	u->is_tunnel = true;
	u->ev = ev;
}

void
upstream_shutdown(struct upstream *u)
{
	if (u->state == UP_READY)
		stream_shutdown(u->stream);
}

void
upstream_cancel(struct upstream *u)
{
	upstream_destroy(u);
}

const char *
upstream_detail(const struct upstream *u)
{
	if (u->detail[0] != '\0')
		return u->detail;
	return u->stream == NULL ? "" : stream_detail(u->stream);
}
