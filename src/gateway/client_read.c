#include "gateway/client_int.h"

#include "config/config.h"
#include "gateway/exchange.h"
#include "http/parser.h"
#include "net/stream.h"
#include "obs/metric.h"

#define LINGER_BYTES (1024 * 1024)

static void
on_parse_failed(struct client *c)
{
	c->must_close = true;
	if (c->rx == RX_HEAD)
		client_refuse_unparsed(c, parser_error(c->parser));
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
	const struct config *cf = client_config(c);
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

/* Connections that wait for a request, or for its answer, have none: the next one's is warm. */
static void
start_parser(struct client *c)
{
	const struct config *cf = client_config(c);
	parser_free(c->parser);
	c->parser =
	    parser_new_request(&(struct parser_limits){.header_size = cf->limits.header_size,
		.headers = cf->limits.headers,
		.request_line = cf->limits.request_line});
	parser_reset(c->parser, exchange_arena(c->x), METHOD_OTHER);
}

static void
end_parser(struct client *c)
{
	parser_free(c->parser);
	c->parser = NULL;
}

/* Gives `in` to the parser until it is used up, a request is whole, or the exchange wants no more. Returns what is left. */
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
				client_refuse(c, E_NOMEM);
				return span_skip(in, in.n);
			}
			start_parser(c);
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
			end_parser(c);
			if (c->x != NULL)
				exchange_body_end(c->x);
		}
	}
	return in;
}

void
client_parse_ahead(struct client *c)
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

size_t
client_take(void *ctx, struct span bytes)
{
	struct client *c = ctx;
	size_t used;
	if (c->rx == RX_TUNNEL) {
		pass_on(c, bytes);
		client_arm(c);
		return bytes.n;
	}
	if (c->rx == RX_LINGER) {
		c->linger_bytes += bytes.n;
		if (c->linger_bytes > LINGER_BYTES)
			client_end(c, false);
		return bytes.n;
	}
	if (buf_len(&c->ahead) > 0) {
		used = hold(c, bytes);
		client_parse_ahead(c);
	} else {
		struct span left = parse(c, bytes);
		used = bytes.n - left.n;
		if (c->rx == RX_DONE && left.n > 0)
			used += hold(c, left);
	}
	if (c->is_closing || c->rx == RX_LINGER)
		return bytes.n;
	client_arm(c);
	return used;
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
		client_parse_ahead(c);
	if (!c->is_closing && !c->is_paused)
		stream_read_start(c->stream);
	client_arm(c);
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
	client_arm(c);
}
