/*
 * A WebSocket: behind the provider's 101 the two connections are one, byte for byte, until either side ends.
 *
 *   client  -> exchange_body  -> tunnel_send -> upstream_write     held back above high_water, both ways
 *   client  <- client_write   <- on_bytes    <- upstream
 *
 * Ending   whoever ends, the other is ended at once, behind what is still on its way to him: the client by client.c's
 *          lingering, the provider here, for LAST_MS. With limits.half_close a client's FIN is passed on instead.
 *          A close frame, of whichever side, makes it an orderly end; without one it is a cut.
 * Silence  upstream.idle counts while neither side sends a byte: who listens for long sends pings.
 */
#include "gateway/tunnel.h"

#include "base/clock.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "gateway/upstream.h"
#include "obs/metric.h"

#define LAST_MS 5000 /* for the provider to take the last bytes of a client that has gone */

static void
end(struct exchange *x, enum err why)
{
	const struct tunnel *t = x->tunnel;
	bool is_peers = why == E_CLIENT_GONE || why == E_UPSTREAM_CLOSED;
	x->why = is_peers && (t->in.has_closed || t->out.has_closed) ? E_OK : why;
	x->is_truncated = x->why != E_OK;
	x->ended_in = STEP_TUNNEL;
	x->step = STEP_SETTLE;
	if (x->why == E_UPSTREAM_CLOSED)
		metric_add(M_FAILED_CLOSED, 1);
	else if (x->why != E_OK)
		metric_add(M_CLIENT_GONE, 1);
	exchange_pump(x);
}

static void
watch(struct exchange *x)
{
	if (!x->tunnel->is_ending)
		exchange_watch_idle(x, x->setup->config->upstream.idle_ms);
}

/* ---- from the provider ---- */

static void
on_bytes(void *ctx, struct span bytes)
{
	struct exchange *x = ctx;
	if (x->client == NULL)
		return;
	ws_scan(&x->tunnel->out, bytes);
	x->response_size += bytes.n;
	x->sent_bytes += bytes.n;
	client_write(x->client, &bytes, 1);
}

void
tunnel_flow(struct exchange *x)
{
	if (x->up == NULL)
		return;
	if (x->client != NULL && client_backlog(x->client) > high_water(x)) {
		/* limits.write_stall is for a client that does not read. */
		timer_stop(x->g->loop, &x->timer);
		upstream_read_stop(x->up);
		return;
	}
	watch(x);
	upstream_read_start(x->up);
}

static void
on_batch(void *ctx)
{
	tunnel_flow(ctx);
}

static void
on_ended(void *ctx)
{
	struct exchange *x = ctx;
	end(x, x->tunnel->is_ending ? E_CLIENT_GONE : E_UPSTREAM_CLOSED);
}

static void
on_failed(void *ctx, enum err why)
{
	UNUSED(why);
	on_ended(ctx);
}

/* ---- from the client ---- */

bool
tunnel_send(struct exchange *x, struct span bytes)
{
	if (x->up == NULL)
		return true;
	ws_scan(&x->tunnel->in, bytes);
	upstream_write(x->up, &bytes, 1);
	watch(x);
	return upstream_backlog(x->up) < high_water(x);
}

static void
on_drained(void *ctx)
{
	struct exchange *x = ctx;
	if (x->client == NULL)
		return;
	watch(x);
	client_read_more(x->client);
}

void
tunnel_half_close(struct exchange *x)
{
	if (x->up != NULL)
		upstream_shutdown(x->up);
}

static void
on_last_over(void *ctx)
{
	end(ctx, E_CLIENT_GONE);
}

void
tunnel_client_gone(struct exchange *x, enum err why)
{
	if (why != E_CLIENT_GONE || upstream_backlog(x->up) == 0) {
		end(x, why);
		return;
	}
	x->tunnel->is_ending = true;
	upstream_shutdown(x->up);
	upstream_read_start(x->up);
	timer_start(x->g->loop, &x->timer, LAST_MS, on_last_over, x);
}

/* ---- the beginning ---- */

static const struct upstream_events tunnel_ops = {
    .body = on_bytes,
    .complete = on_ended,
    .batch = on_batch,
    .failed = on_failed,
    .drained = on_drained,
};

static bool
write_head(struct exchange *x)
{
	buf_reset(&x->out);
	if (!forward_response(&x->answer,
		&(struct gateway_fields){.id = x->id_text,
		    .event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
		    .cache_status = "BYPASS",
		    .age_s = -1,
		    .overhead_us = -1,
		    .subprotocol = subprotocol_for_us(&x->head.headers, &x->answer.headers),
		    .framing = BODY_NONE,
		    .is_websocket = true},
		&x->out))
		return false;
	struct span head = buf_view(&x->out);
	x->sent_bytes += head.n;
	client_write(x->client, &head, 1);
	buf_reset(&x->out);
	return true;
}

bool
tunnel_open(struct exchange *x, const struct response_head *head)
{
	struct tunnel *t = arena_zalloc(&x->arena, sizeof(*t));
	x->answer = *head;
	if (t == NULL || x->client == NULL ||
	    !headers_has_token(&head->headers, H_UPGRADE, SPAN_LIT("websocket")) || !write_head(x))
		return false;
	x->tunnel = t;
	x->has_answer = x->is_head_sent = true;
	x->status = head->status;
	x->out_framing = BODY_NONE;
	x->answer_us = x->replied_us = clock_mono_us();
	x->step = STEP_TUNNEL;
	upstream_tunnel(x->up, &tunnel_ops);
	watch(x);
	client_tunnel(x->client);
	return true;
}
