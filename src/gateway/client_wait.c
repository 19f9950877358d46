#include "gateway/client_int.h"

#include "config/config.h"
#include "gateway/exchange.h"
#include "http/parser.h"
#include "net/stream.h"
#include "obs/metric.h"

#define LINGER_MS 5000
#define DRAIN_IDLE_MS 100
#define WATCH_MS 50 /* how soon a client is missed whose bytes are not read */

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
	const struct config *cf = client_config(c);
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
void
client_arm(struct client *c)
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
		timer_park(&c->timer);
	else
		timer_start(c->g->loop, &c->timer, wait_ms(c), on_client_timeout, c);
}

/* A FIN behind bytes that nobody has read says what one says that was read: in a tunnel, that these are the last ones. */
static void
on_watch(void *ctx)
{
	struct client *c = ctx;
	enum stream_peer peer = stream_peer_now(c->stream);
	bool may_finish = c->is_eof || c->rx == RX_TUNNEL || client_config(c)->limits.half_close;
	if (c->x != NULL && (peer == PEER_DEAD || (peer == PEER_FINISHED && !may_finish)))
		client_lose(c, E_CLIENT_GONE, false);
	else
		arm_watch(c);
}

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
		client_end(c, false);
		return;
	case WAIT_HEAD:
		if (parser_has_begun(c->parser))
			client_refuse_unparsed(c, E_REQUEST_TIMEOUT);
		else /* an empty line behind the last request: nothing was asked */
			client_lose(c, E_REQUEST_TIMEOUT, false);
		return;
	case WAIT_BODY:
		c->must_close = true;
		if (c->x != NULL)
			exchange_body_failed(c->x, E_BODY_STALL);
		else
			client_linger(c);
		return;
	case WAIT_WRITE:
		if (flushed > c->flushed_before) {
			client_arm(c);
			return;
		}
		metric_add(M_LIMIT_WRITE_STALL, 1);
		client_lose(c, E_WRITE_STALL, true);
		return;
	}
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
