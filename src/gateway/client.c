#include "gateway/client_int.h"

#include <stdlib.h>

#include "config/config.h"
#include "gateway/exchange.h"
#include "gateway/refuse.h"
#include "http/parser.h"
#include "net/listener.h"
#include "net/stream.h"
#include "obs/metric.h"

void
client_end(struct client *c, bool abort)
{
	if (c->is_closing)
		return;
	CHK(c->x == NULL);
	c->is_closing = true;
	list_remove(&c->place.rest);
	timer_stop(c->g->loop, &c->timer);
	timer_stop(c->g->loop, &c->watch);
	defer_stop(&c->next);
	if (abort)
		stream_abort(c->stream);
	else
		stream_close(c->stream);
}

/* The connection carries no other request: say goodbye properly. A close with unread input would make
 * the kernel send RST, which can destroy our answer on its way. */
void
client_linger(struct client *c)
{
	if (c->is_closing)
		return;
	c->rx = RX_LINGER;
	buf_reset(&c->ahead);
	stream_shutdown(c->stream);
	if (c->is_eof && stream_backlog(c->stream) == 0) {
		client_end(c, false);
		return;
	}
	stream_read_start(c->stream);
	client_arm(c);
}

/* An answer without an exchange: no record, and the connection ends. */
void
client_refuse(struct client *c, enum err why)
{
	struct buf out;
	buf_init(&out, 8192);
	if (refuse_bare(why, &out)) {
		struct span all = buf_view(&out);
		client_write(c, &all, 1);
	}
	buf_fini(&out);
	metric_add(M_REFUSED, 1);
	refusal_count_limit(why);
	client_linger(c);
}

/* A request that cannot be understood gets an answer, but no exchange and no record. */
void
client_refuse_unparsed(struct client *c, enum err why)
{
	struct exchange *x = c->x;
	c->x = NULL;
	exchange_drop(x);
	client_refuse(c, why);
}

/* The client cannot be answered any more. */
void
client_lose(struct client *c, enum err why, bool abort)
{
	struct exchange *x = c->x;
	c->x = NULL;
	if (x != NULL && c->rx == RX_HEAD)
		exchange_drop(x);
	else if (x != NULL)
		exchange_client_gone(x, why);
	client_end(c, abort);
}

static void
on_client_ended(void *ctx, enum err why)
{
	struct client *c = ctx;
	c->is_eof = true;
	stream_flush(c->stream);
	if (c->rx == RX_LINGER) {
		if (why != E_EOF || stream_backlog(c->stream) == 0)
			client_end(c, false);
		return;
	}
	/* A whole request and then FIN is how clients leave; a few only say that nothing follows. */
	if (why == E_EOF && c->rx == RX_DONE && client_config(c)->limits.half_close) {
		c->must_close = true;
		client_arm(c);
		return;
	}
	if (why == E_EOF && c->rx == RX_TUNNEL && c->x != NULL &&
	    client_config(c)->limits.half_close) {
		exchange_body_end(c->x);
		client_arm(c);
		return;
	}
	/* Between requests with bytes still on their way out: let them go. */
	if (why == E_EOF && c->x == NULL && stream_backlog(c->stream) > 0) {
		client_linger(c);
		return;
	}
	client_lose(c, E_CLIENT_GONE, false);
}

static void
on_client_drained(void *ctx)
{
	struct client *c = ctx;
	if (c->rx == RX_LINGER && c->is_eof) {
		client_end(c, false);
		return;
	}
	client_arm(c);
	if (c->g->is_draining)
		client_drain(c);
	if (c->x != NULL)
		exchange_drained(c->x);
}

/* The last words of an answer were thought to be out. */
static void
on_client_clogged(void *ctx)
{
	client_arm(ctx);
}

static void
on_client_closed(void *ctx)
{
	struct client *c = ctx;
	struct gateway *g = c->g;
	list_remove(&c->link);
	parser_free(c->parser);
	buf_fini(&c->ahead);
	memo_fini(&c->memos.scope);
	memo_fini(&c->memos.key_id);
	setup_unref(c->setup);
	gateway_client_closed(g, &c->place);
	free(c);
}

static const struct stream_events client_stream_events = {
    .read = client_take,
    .ended = on_client_ended,
    .drained = on_client_drained,
    .clogged = on_client_clogged,
    .closed = on_client_closed,
};

/* After an exchange: the next request, from what was sent ahead, then from the stream. */
static void
on_next(void *ctx)
{
	struct client *c = ctx;
	if (c->is_closing)
		return;
	if (c->over == CLIENT_ABORT) {
		client_end(c, true);
		return;
	}
	/* A drain that came while the answer was on its way, and told to keep: its client may be sending. */
	bool must_close = c->must_close && !c->g->is_draining;
	if (c->over == CLIENT_LINGER || c->rx != RX_DONE || c->is_eof || must_close) {
		client_linger(c);
		return;
	}
	c->rx = RX_IDLE;
	client_parse_ahead(c);
	if (c->is_closing || c->rx == RX_LINGER)
		return;
	if (!c->is_paused)
		stream_read_start(c->stream);
	client_arm(c);
	if (c->g->is_draining)
		client_drain(c);
}

void
client_new(
    struct gateway *g, struct stream *s, bool is_admin_listener, const struct client_place *place)
{
	struct client *c = xcalloc_lines(sizeof(*c));
	c->g = g;
	c->setup = setup_ref(g->setup);
	c->stream = s;
	c->place = *place;
	if (place->is_guest)
		list_append(&g->guests, &c->place.guest);
	c->is_admin_listener = is_admin_listener;
	buf_init(&c->ahead, AHEAD_MAX);
	address_ip_text(stream_peer(s), c->peer);
	memo_init(&c->memos.scope);
	memo_init(&c->memos.key_id);
	list_append(&g->clients, &c->link);
	stream_adopt(s, &client_stream_events, c);
	stream_set_low_water(s, 0);
	stream_read_start(s);
	client_arm(c);
}

struct client *
client_of(struct list *node)
{
	return CONTAINER_OF(node, struct client, link);
}

struct client *
client_of_rest(struct list *node)
{
	return CONTAINER_OF(node, struct client, place.rest);
}

struct client *
client_of_guest(struct list *node)
{
	return CONTAINER_OF(node, struct client, place.guest);
}

struct client_place *
client_place(struct client *c)
{
	return &c->place;
}

void
client_dismiss(struct client *c)
{
	metric_add(M_LIMIT_CONNECTIONS, 1);
	if (!c->is_closing)
		client_lose(c, E_OVERLOADED, c->x != NULL);
}

void
client_cut(struct client *c)
{
	if (!c->is_closing)
		client_lose(c, E_SHUTTING_DOWN, true);
}

struct span
client_peer_text(const struct client *c)
{
	return span_str(c->peer);
}

const struct address *
client_peer(const struct client *c)
{
	return stream_peer(c->stream);
}

bool
client_is_guest(const struct client *c)
{
	return c->place.is_guest;
}

struct address
client_local(const struct client *c)
{
	return stream_local(c->stream);
}

struct client_memos *
client_memos(struct client *c)
{
	return &c->memos;
}

bool
client_is_admin_listener(const struct client *c)
{
	return c->is_admin_listener;
}

bool
client_write(struct client *c, const struct span *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		c->written += parts[i].n;
	bool ok = stream_write(c->stream, parts, n);
	if (stream_backlog(c->stream) > 0)
		client_arm(c);
	return ok;
}

void
client_hurry(struct client *c)
{
	stream_hurry(c->stream);
}

size_t
client_backlog(const struct client *c)
{
	return stream_backlog(c->stream);
}

void
client_continue(struct client *c)
{
	if (!c->wants_continue)
		return;
	c->wants_continue = false;
	struct span text = SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n");
	client_write(c, &text, 1);
}

void
client_exchange_over(struct client *c, enum client_next next)
{
	c->x = NULL;
	c->over = next;
	c->is_paused = false;
	defer_soon(c->g->loop, &c->next, on_next, c);
}

bool
client_may_keep(const struct client *c)
{
	/* An unread body behind a final answer: the client may send it or not (Expect). Do not guess. */
	return c->keep_alive && !c->must_close && !c->is_eof && !c->g->is_draining &&
	    !c->place.is_guest && c->rx == RX_DONE &&
	    c->requests < client_config(c)->limits.keepalive_requests;
}
