#include <stdio.h>

#include "gateway/upstream_int.h"
#include "http/parser.h"

struct stream_target
upstream_target(const struct upstream *u)
{
	return (struct stream_target){.name = u->host,
	    .tls = u->tls,
	    .connect_ms = u->timeouts.connect_ms,
	    .tls_ms = u->timeouts.tls_ms};
}

static void
fail_tunnel(struct upstream *u, enum err why, const char *detail)
{
	if (detail != u->detail)
		(void)snprintf(u->detail, sizeof(u->detail), "%s", detail);
	upstream_fail(u, why);
}

static void
on_tunnel_late(void *ctx)
{
	fail_tunnel(ctx, E_UPSTREAM_CONNECT_TIMEOUT, "the proxy did not answer CONNECT in time");
}

void
proxy_tunnel_ask(struct upstream *u)
{
	struct buf head;
	bool ok;

	u->state = UP_TUNNELLING;
	buf_init(&head, 16384);
	ok = proxy_request(u->proxy, span_str(u->host), u->port, &head);
	proxy_reset(upstream_parser(u), u->head_arena);
	timer_start(u->pool->loop, &u->idle_timer, u->timeouts.connect_ms, on_tunnel_late, u);
	stream_read_start(u->stream);
	if (ok) {
		struct span all = buf_view(&head);

		(void)stream_write(u->stream, &all, 1); /* if not, `ended` comes */
	}
	buf_fini(&head);
	if (!ok)
		fail_tunnel(
		    u, E_UPSTREAM_PROXY, "user and password in upstream.proxy are too long");
}

void
proxy_tunnel_take(struct upstream *u, struct span in)
{
	struct stream_target to = upstream_target(u);

	switch (proxy_take(u->parser, u->head_arena, in, u->detail)) {
	case PROXY_MORE:
		return;
	case PROXY_REFUSED:
		fail_tunnel(u, E_UPSTREAM_PROXY, u->detail);
		return;
	case PROXY_OPEN:
		break;
	}
	if (stream_backlog(u->stream) > 0) {
		fail_tunnel(u, E_UPSTREAM_PROXY, "the proxy answered before it had read CONNECT");
		return;
	}
	timer_stop(u->pool->loop, &u->idle_timer);
	u->proxy = NULL;
	u->state = UP_CONNECTING;
	parser_reset(u->parser, u->head_arena, u->method);
	stream_secure(u->stream, &to);
}

void
proxy_tunnel_ended(struct upstream *u)
{
	fail_tunnel(u, E_UPSTREAM_PROXY, "the proxy closed the connection instead of an answer");
}

static const char *
unresolved(enum err why)
{
	if (why == E_UPSTREAM_DNS_TIMEOUT)
		return "no DNS server answered in time";
	if (why == E_UPSTREAM_ADDRESS)
		return "all of its addresses are private";
	return "there is no such name, or no DNS server could say";
}

void
upstream_note_unresolved(struct upstream *u, enum err why)
{
	(void)snprintf(u->detail, sizeof(u->detail), "%s%s",
	    u->proxy != NULL ? "the proxy's name: " : "", unresolved(why));
}
