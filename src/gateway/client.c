#include "gateway/client.h"

#include <stdlib.h>

#include "base/buf.h"
#include "config/config.h"
#include "gateway/exchange.h"
#include "gateway/gateway_int.h"
#include "gateway/refuse.h"
#include "gateway/setup.h"
#include "http/parser.h"
#include "net/listener.h"
#include "net/stream.h"
#include "obs/metric.h"

#define LINGER_MS 5000
#define DRAIN_IDLE_MS 100
#define LINGER_BYTES (1024 * 1024)
#define AHEAD_MAX (64 * 1024) /* bytes of later requests held while one is answered */
#define WATCH_MS 50           /* how soon a client is missed whose bytes are not read */

enum client_rx { RX_IDLE, RX_HEAD, RX_BODY, RX_DONE, RX_TUNNEL, RX_LINGER };
enum client_wait { WAIT_NOTHING, WAIT_REQUEST, WAIT_HEAD, WAIT_BODY, WAIT_WRITE, WAIT_FIN };

/*
 * 1. x is set from a request's first byte to client_exchange_over or to the client's end; close_client
 *    is called without it.
 * 2. `ahead` holds bytes that came before those the stream has: it is parsed first.
 */
struct client {
	struct list link;
	struct client_place place;
	struct gateway *g;
	struct setup *setup; /* limits of the time it was accepted */
	struct stream *stream;
	struct parser *parser;
	struct exchange *x;
	enum client_rx rx;
	enum client_wait wait;
	enum client_next over;
	struct buf ahead;
	struct client_memos memos;
	char peer[ADDRESS_TEXT_SIZE];
	struct timer timer, watch;
	struct defer next;
	uint64_t requests;
	uint64_t body_started_ms, body_bytes, linger_bytes;
	uint64_t paused_ms; /* since when back-pressure holds the body */
	uint64_t written,
	    flushed_before; /* bytes given to the stream; gone out when the timer was set */
	bool is_admin_listener, is_closing, is_eof, is_paused;
	bool wants_continue, keep_alive, must_close;
};

static void
close_client(struct client *c, bool abort)
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

static const struct config *
limits_of(const struct client *c)
{
	return c->setup->config;
}

static enum client_wait
wanted_wait(const struct client *c)
{
	bool is_writing = stream_backlog(c->stream) > 0;
	switch (c->rx) {
	case RX_IDLE:
		return is_writing ? WAIT_WRITE : WAIT_REQUEST;
	case RX_HEAD:
		return WAIT_HEAD;
	case RX_BODY:
		return c->is_paused ? (is_writing ? WAIT_WRITE : WAIT_NOTHING) : WAIT_BODY;
	case RX_DONE:
	case RX_TUNNEL:
		return is_writing ? WAIT_WRITE : WAIT_NOTHING;
	case RX_LINGER:
		return is_writing ? WAIT_WRITE : WAIT_FIN;
	}
	return WAIT_NOTHING;
}

static uint64_t
wait_ms(const struct client *c)
{
	const struct config *cf = limits_of(c);
	switch (c->wait) {
	case WAIT_NOTHING:
		return 0;
	case WAIT_REQUEST:
		return cf->limits.keepalive_idle_ms;
	case WAIT_HEAD:
		return cf->limits.header_timeout_ms;
	case WAIT_BODY:
		return cf->limits.body_idle_ms;
	case WAIT_WRITE:
		return cf->limits.write_stall_ms;
	case WAIT_FIN:
		return LINGER_MS;
	}
	return 0;
}

static void on_client_timeout(void *ctx);
static void on_watch(void *ctx);

/* Back-pressure must not hide that the client has gone, nor its half-close that it has died: nobody announces either. */
static void
arm_watch(struct client *c)
{
	bool is_blind = c->is_paused || c->is_eof || buf_len(&c->ahead) == AHEAD_MAX;
	if (c->x == NULL || c->is_closing || !is_blind)
		timer_stop(c->g->loop, &c->watch);
	else if (c->watch.slot == 0)
		timer_start(c->g->loop, &c->watch, WATCH_MS, on_watch, c);
}

/* The one place that starts and stops the timers. Only a body's time-out moves with progress: a trickle
 * must not extend the others (writing looks at its own progress when the time is up). */
static void
arm(struct client *c)
{
	enum client_wait w = wanted_wait(c);
	arm_watch(c);
	if (c->is_closing || (w == c->wait && w != WAIT_BODY))
		return;
	c->wait = w;
	list_remove(&c->place.rest);
	if ((w == WAIT_REQUEST || w == WAIT_FIN) && !c->place.is_guest)
		list_append(&c->g->restful, &c->place.rest);
	c->flushed_before = c->written - stream_backlog(c->stream);
	if (w == WAIT_NOTHING)
		timer_stop(c->g->loop, &c->timer);
	else
		timer_start(c->g->loop, &c->timer, wait_ms(c), on_client_timeout, c);
}

/* The connection carries no other request: say goodbye properly. A close with unread input would make
 * the kernel send RST, which can destroy our answer on its way. */
static void
linger(struct client *c)
{
	if (c->is_closing)
		return;
	c->rx = RX_LINGER;
	buf_reset(&c->ahead);
	stream_shutdown(c->stream);
	if (c->is_eof && stream_backlog(c->stream) == 0) {
		close_client(c, false);
		return;
	}
	stream_read_start(c->stream);
	arm(c);
}

/* An answer without an exchange: no record, and the connection ends. */
static void
refuse_bare_and_close(struct client *c, enum err why)
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
	linger(c);
}

/* A request that cannot be understood gets an answer, but no exchange and no record. */
static void
refuse_unparsed(struct client *c, enum err why)
{
	struct exchange *x = c->x;
	c->x = NULL;
	exchange_drop(x);
	refuse_bare_and_close(c, why);
}

static void
on_parse_failed(struct client *c)
{
	c->must_close = true;
	if (c->rx == RX_HEAD)
		refuse_unparsed(c, parser_error(c->parser));
	else if (c->x != NULL)
		exchange_body_failed(c->x, parser_error(c->parser));
}

static void
on_head(struct client *c)
{
	const struct request_head *head = parser_request(c->parser);
	c->rx = RX_BODY;
	c->requests++;
	/* Bytes behind an upgrade that was refused may be requests, or frames: they are not looked at. */
	c->keep_alive = head->keep_alive && !request_is_websocket(head);
	c->wants_continue = head->expects_continue;
	c->is_paused = false;
	metric_add(M_HEADERS_DROPPED, head->dropped);
	c->body_started_ms = loop_now_ms(c->g->loop);
	c->body_bytes = 0;
	exchange_begin(c->x, head);
}

/* Seldom faster than its client's line, and slow at first: the rate counts when the grace is over. */
static bool
is_too_slow(const struct client *c)
{
	const struct config *cf = limits_of(c);
	uint64_t ms = loop_now_ms(c->g->loop) - c->body_started_ms;
	uint64_t grace_ms = cf->limits.body_grace_ms;
	return ms > grace_ms && c->body_bytes * 1000 < cf->limits.body_min_rate * (ms - grace_ms);
}

static void
on_body(struct client *c, struct span bytes)
{
	c->body_bytes += bytes.n;
	if (c->x != NULL && !exchange_body(c->x, bytes)) {
		c->is_paused = true;
		c->paused_ms = loop_now_ms(c->g->loop);
	}
	if (c->x != NULL && !c->is_paused && is_too_slow(c)) {
		c->must_close = true;
		exchange_body_failed(c->x, E_BODY_STALL);
	}
}

static enum parse_event
pull(struct client *c, struct span *in, struct span *body)
{
	size_t before = in->n;
	enum parse_event e = parser_next(c->parser, in, body);
	if (c->x != NULL)
		exchange_received(c->x, before - in->n);
	return e;
}

/* Gives `in` to the parser until it is used up, a request is whole, or the exchange wants no more.
 * Returns what is left. */
static struct span
parse(struct client *c, struct span in)
{
	struct span body;
	while (!c->is_closing && !c->is_paused && c->rx != RX_DONE && c->rx != RX_LINGER) {
		if (in.n == 0)
			return in;
		if (c->rx == RX_IDLE) {
			c->x = exchange_new(c->g, c);
			if (c->x == NULL) {
				refuse_bare_and_close(c, E_NOMEM);
				return span_skip(in, in.n);
			}
			parser_reset(c->parser, exchange_arena(c->x), METHOD_OTHER);
			c->rx = RX_HEAD;
		}
		enum parse_event e = pull(c, &in, &body);
		while (e == PARSE_HEAD || e == PARSE_BODY) {
			if (e == PARSE_HEAD)
				on_head(c);
			else
				on_body(c, body);
			if (c->is_closing || c->is_paused || c->rx == RX_LINGER)
				return in;
			e = pull(c, &in, &body);
		}
		if (e == PARSE_FAILED) {
			on_parse_failed(c);
			return span_skip(in, in.n);
		}
		if (e == PARSE_END) {
			c->rx = RX_DONE;
			if (c->x != NULL)
				exchange_body_end(c->x);
		}
	}
	return in;
}

static void
parse_ahead(struct client *c)
{
	struct span all = buf_view(&c->ahead);
	struct span left = parse(c, all);
	if (c->rx != RX_LINGER)
		buf_drop(&c->ahead, all.n - left.n);
}

/* What may not be parsed yet is held up to a bound, so that reading stays armed and the client's end
 * is noticed. */
static size_t
hold(struct client *c, struct span bytes)
{
	size_t room = AHEAD_MAX - buf_len(&c->ahead);
	size_t n = bytes.n < room ? bytes.n : room;
	return buf_put(&c->ahead, bytes.p, n) ? n : 0;
}

/* In a tunnel. */
static void
pass_on(struct client *c, struct span bytes)
{
	if (c->x == NULL || bytes.n == 0)
		return;
	exchange_received(c->x, bytes.n);
	if (exchange_body(c->x, bytes))
		return;
	c->is_paused = true;
	stream_read_stop(c->stream);
}

static size_t
on_client_read(void *ctx, struct span bytes)
{
	struct client *c = ctx;
	size_t used;
	if (c->rx == RX_TUNNEL) {
		pass_on(c, bytes);
		arm(c);
		return bytes.n;
	}
	if (c->rx == RX_LINGER) {
		c->linger_bytes += bytes.n;
		if (c->linger_bytes > LINGER_BYTES)
			close_client(c, false);
		return bytes.n;
	}
	if (buf_len(&c->ahead) > 0) {
		used = hold(c, bytes);
		parse_ahead(c);
	} else {
		struct span left = parse(c, bytes);
		used = bytes.n - left.n;
		if (c->rx == RX_DONE && left.n > 0)
			used += hold(c, left);
	}
	if (c->is_closing || c->rx == RX_LINGER)
		return bytes.n;
	arm(c);
	return used;
}

/* The client cannot be answered any more. */
static void
lose(struct client *c, enum err why, bool abort)
{
	struct exchange *x = c->x;
	c->x = NULL;
	if (x != NULL && c->rx == RX_HEAD)
		exchange_drop(x);
	else if (x != NULL)
		exchange_client_gone(x, why);
	close_client(c, abort);
}

/* A FIN behind bytes that nobody has read says what one says that was read: in a tunnel, that these are the last ones. */
static void
on_watch(void *ctx)
{
	struct client *c = ctx;
	enum stream_peer peer = stream_peer_now(c->stream);
	bool may_finish = c->is_eof || c->rx == RX_TUNNEL || limits_of(c)->limits.half_close;
	if (c->x != NULL && (peer == PEER_DEAD || (peer == PEER_FINISHED && !may_finish)))
		lose(c, E_CLIENT_GONE, false);
	else
		arm_watch(c);
}

static void
on_client_ended(void *ctx, enum err why)
{
	struct client *c = ctx;
	c->is_eof = true;
	stream_flush(c->stream);
	if (c->rx == RX_LINGER) {
		if (why != E_EOF || stream_backlog(c->stream) == 0)
			close_client(c, false);
		return;
	}
	/* A whole request and then FIN is how clients leave; a few only say that nothing follows. */
	if (why == E_EOF && c->rx == RX_DONE && limits_of(c)->limits.half_close) {
		c->must_close = true;
		arm(c);
		return;
	}
	if (why == E_EOF && c->rx == RX_TUNNEL && c->x != NULL && limits_of(c)->limits.half_close) {
		exchange_body_end(c->x);
		arm(c);
		return;
	}
	/* Between requests with bytes still on their way out: let them go. */
	if (why == E_EOF && c->x == NULL && stream_backlog(c->stream) > 0) {
		linger(c);
		return;
	}
	lose(c, E_CLIENT_GONE, false);
}

static void
on_client_drained(void *ctx)
{
	struct client *c = ctx;
	if (c->rx == RX_LINGER && c->is_eof) {
		close_client(c, false);
		return;
	}
	arm(c);
	if (c->g->is_draining)
		client_drain(c);
	if (c->x != NULL)
		exchange_drained(c->x);
}

/* The last words of an answer were thought to be out. */
static void
on_client_clogged(void *ctx)
{
	arm(ctx);
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
    .read = on_client_read,
    .ended = on_client_ended,
    .drained = on_client_drained,
    .clogged = on_client_clogged,
    .closed = on_client_closed,
};

static void
on_client_timeout(void *ctx)
{
	struct client *c = ctx;
	enum client_wait w = c->wait;
	c->wait = WAIT_NOTHING;
	uint64_t flushed = c->written - stream_backlog(c->stream);
	switch (w) {
	case WAIT_NOTHING:
		return;
	case WAIT_REQUEST:
	case WAIT_FIN:
		close_client(c, false);
		return;
	case WAIT_HEAD:
		if (parser_has_begun(c->parser))
			refuse_unparsed(c, E_REQUEST_TIMEOUT);
		else /* an empty line behind the last request: nothing was asked */
			lose(c, E_REQUEST_TIMEOUT, false);
		return;
	case WAIT_BODY:
		c->must_close = true;
		if (c->x != NULL)
			exchange_body_failed(c->x, E_BODY_STALL);
		else
			linger(c);
		return;
	case WAIT_WRITE:
		if (flushed > c->flushed_before) {
			arm(c);
			return;
		}
		metric_add(M_LIMIT_WRITE_STALL, 1);
		lose(c, E_WRITE_STALL, true);
		return;
	}
}

/* After an exchange: the next request, from what was sent ahead, then from the stream. */
static void
on_next(void *ctx)
{
	struct client *c = ctx;
	if (c->is_closing)
		return;
	if (c->over == CLIENT_ABORT) {
		close_client(c, true);
		return;
	}
	/* A drain that came while the answer was on its way, and told to keep: its client may be sending. */
	bool must_close = c->must_close && !c->g->is_draining;
	if (c->over == CLIENT_LINGER || c->rx != RX_DONE || c->is_eof || must_close) {
		linger(c);
		return;
	}
	c->rx = RX_IDLE;
	parse_ahead(c);
	if (c->is_closing || c->rx == RX_LINGER)
		return;
	if (!c->is_paused)
		stream_read_start(c->stream);
	arm(c);
	if (c->g->is_draining)
		client_drain(c);
}

void
client_new(
    struct gateway *g, struct stream *s, bool is_admin_listener, const struct client_place *place)
{
	struct client *c = xcalloc(1, sizeof(*c));
	c->g = g;
	c->setup = setup_ref(g->setup);
	c->stream = s;
	c->place = *place;
	if (place->is_guest)
		list_append(&g->guests, &c->place.guest);
	c->is_admin_listener = is_admin_listener;
	const struct config *cf = limits_of(c);
	c->parser =
	    parser_new_request(&(struct parser_limits){.header_size = cf->limits.header_size,
		.headers = cf->limits.headers,
		.request_line = cf->limits.request_line});
	buf_init(&c->ahead, AHEAD_MAX);
	address_ip_text(stream_peer(s), c->peer);
	memo_init(&c->memos.scope);
	memo_init(&c->memos.key_id);
	list_append(&g->clients, &c->link);
	stream_adopt(s, &client_stream_events, c);
	stream_set_low_water(s, 0);
	stream_read_start(s);
	arm(c);
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
		lose(c, E_OVERLOADED, c->x != NULL);
}

void
client_drain(struct client *c)
{
	c->must_close = true;
	if (c->g->is_leaving || c->is_closing || c->x != NULL || c->rx != RX_IDLE ||
	    stream_backlog(c->stream) > 0)
		return;
	/* A request may be on its way already: it is still answered, and the connection closes behind it. */
	c->wait = WAIT_REQUEST;
	timer_start(c->g->loop, &c->timer, DRAIN_IDLE_MS, on_client_timeout, c);
}

void
client_cut(struct client *c)
{
	if (!c->is_closing)
		lose(c, E_SHUTTING_DOWN, true);
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

const struct address *
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
		arm(c);
	return ok;
}

size_t
client_backlog(const struct client *c)
{
	return stream_backlog(c->stream);
}

void
client_read_more(struct client *c)
{
	if (c->is_closing || !c->is_paused)
		return;
	c->is_paused = false;
	/* The time that a provider did not read is not the client's. */
	c->body_started_ms += loop_now_ms(c->g->loop) - c->paused_ms;
	/* Parsing happens in the stream's read event; bytes held ahead go first, there. */
	if (buf_len(&c->ahead) > 0)
		parse_ahead(c);
	if (!c->is_closing && !c->is_paused)
		stream_read_start(c->stream);
	arm(c);
}

void
client_tunnel(struct client *c)
{
	CHK(c->rx == RX_DONE);
	c->rx = RX_TUNNEL;
	c->is_paused = false;
	pass_on(c, buf_view(&c->ahead));
	buf_fini(&c->ahead);
	if (c->is_eof)
		exchange_body_end(c->x);
	else if (!c->is_paused)
		stream_read_start(c->stream);
	arm(c);
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
	defer_start(c->g->loop, &c->next, on_next, c);
}

bool
client_may_keep(const struct client *c)
{
	/* An unread body behind a final answer: the client may send it or not (Expect). Do not guess. */
	return c->keep_alive && !c->must_close && !c->is_eof && !c->g->is_draining &&
	    !c->place.is_guest && c->rx == RX_DONE &&
	    c->requests < limits_of(c)->limits.keepalive_requests;
}
