#include "gateway/exchange_int.h"

#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "gateway/trust.h"
#include "gateway/tunnel.h"
#include "journal/payload.h"
#include "obs/metric.h"

#define LAST_CHUNK_MS 5000 /* for the end of an answer whose content is whole */

void
exchange_received(struct exchange *x, size_t n)
{
	x->received_bytes += n;
}

/* Who asks: the peer, or whom a proxy that the operator trusts names. */
static void
note_client(struct exchange *x)
{
	struct span peer = client_peer_text(x->client);
	struct address told;
	memcpy(x->client_text, peer.p, peer.n + 1);
	if (trust_has(x->setup->trust, client_peer(x->client)) &&
	    trust_client(x->setup->trust, &x->head.headers, &told))
		address_ip_text(&told, x->client_text);
}

void
exchange_begin(struct exchange *x, const struct request_head *head)
{
	x->head = *head;
	note_client(x);
	x->route.gateway = &x->setup->config->gateways[0];
	x->route.gateway_name = span_str(x->route.gateway->name);
	x->log_wishes.collect = x->route.gateway->log.collect;
	x->log_wishes.payload = x->route.gateway->log.payload != PAYLOAD_NONE;
	/* Without a body its end follows at once: then the answer may say keep-alive. */
	if (request_has_body(head))
		exchange_pump(x);
}

/* The body turned out larger than limits.body: it streams through from here on, uninspected. */
static void
stop_holding(struct exchange *x)
{
	x->is_held = false;
	x->body.max += HIGH_WATER + KEEP_BYTES;
	x->uploaded.max = x->log_wishes.payload ? payload_capture_max(x->route.gateway) : 0;
	if (gateway_pressure(x->g) != PRESSURE_NONE && x->uploaded.max > KEEP_BYTES)
		x->uploaded.max = KEEP_BYTES;
	struct span head = span_head(buf_view(&x->body), x->uploaded.max);
	if (!buf_put_span(&x->uploaded, head))
		buf_reset(&x->uploaded);
	x->ready_us = clock_mono_us();
	x->step = STEP_ATTEMPT;
}

static bool
may_hold(const struct exchange *x)
{
	return buf_len(&x->body) < KEEP_BYTES || gateway_pressure(x->g) == PRESSURE_NONE;
}

/* All of a held body in one piece of memory: growing would copy it, and touch three times as much. */
static void
make_room(struct exchange *x)
{
	if (buf_len(&x->body) == 0 && x->head.framing == BODY_LENGTH &&
	    x->head.length > KEEP_BYTES && gateway_pressure(x->g) == PRESSURE_NONE)
		warm_take(&x->g->warm, &x->body, x->head.length);
}

bool
exchange_body(struct exchange *x, struct span bytes)
{
	x->request_size += bytes.n;
	if (x->is_over || x->is_local || x->step == STEP_SETTLE)
		return true; /* answered already: what still comes is not wanted */
	if (x->step == STEP_TUNNEL)
		return tunnel_send(x, bytes);
	if (x->is_held) {
		make_room(x);
		if (may_hold(x) && buf_put_span(&x->body, bytes))
			return true;
		stop_holding(x);
		attempt_send_body(x, bytes);
		exchange_pump(x);
		/* On a pooled connection all of it is out by now, and nobody would call the client again. */
		return x->is_over || attempt_wants_more(x);
	}
	if (buf_len(&x->uploaded) > KEEP_BYTES && gateway_pressure(x->g) != PRESSURE_NONE)
		x->uploaded.max = buf_len(&x->uploaded);
	size_t room = x->uploaded.max - buf_len(&x->uploaded);
	if (!buf_put_span(&x->uploaded, span_head(bytes, room)))
		x->uploaded.max = buf_len(&x->uploaded);
	return attempt_send_body(x, bytes);
}

void
exchange_body_end(struct exchange *x)
{
	x->is_body_done = true;
	if (x->step == STEP_ATTEMPT || x->step == STEP_RELAY)
		attempt_end_body(x);
	else if (x->step == STEP_TUNNEL)
		tunnel_half_close(x);
	exchange_pump(x);
}

void
exchange_drained(struct exchange *x)
{
	if (x->is_over)
		return;
	if (x->step == STEP_RELAY)
		relay_batch(x);
	else if (x->step == STEP_TUNNEL)
		tunnel_flow(x);
	else
		exchange_pump(x);
}

/* The upstream's answer is wanted though nobody reads it here: for the cache, or for who follows. */
static bool
goes_on_alone(const struct exchange *x, enum err why)
{
	if (x->step != STEP_ATTEMPT && x->step != STEP_RELAY && !x->is_settling)
		return false;
	bool is_followed = x->flight != NULL && flight_is_followed(x->flight);
	bool fills_cache = x->plan.may_store && x->is_body_done && why == E_CLIENT_GONE &&
	    x->route.gateway->on_disconnect == DISCONNECT_FINISH;
	return is_followed || fills_cache;
}

/* Clients leave as soon as they have read "[DONE]", while the provider's last chunk is still on its way: the answer is
 * whole for them, and for the cache too when that chunk has come. */
static bool
has_seen_the_end(const struct exchange *x)
{
	const struct meter_result *m = x->meter.meter == NULL ? NULL : meter_result(x->meter.meter);
	return (x->step == STEP_RELAY || x->is_settling) && m != NULL && m->is_stream &&
	    m->is_complete;
}

/* While a worker reads the bodies: the last bytes are not written yet, all else is decided. */
static void
leave_at_the_end(struct exchange *x, enum err why, bool has_all)
{
	if (x->why != E_OK || (why == E_CLIENT_GONE && has_all && has_seen_the_end(x)))
		return;
	metric_add(M_CLIENT_GONE, 1);
	x->why = why;
	x->ended_in = x->step;
	if (!goes_on_alone(x, why))
		x->is_truncated = x->is_head_sent;
}

void
exchange_client_gone(struct exchange *x, enum err why)
{
	bool has_all = x->client != NULL && client_backlog(x->client) == 0;
	x->client = NULL;
	if (x->is_over)
		return;
	if (x->is_settling) {
		leave_at_the_end(x, why, has_all);
		return;
	}
	if (why == E_CLIENT_GONE && has_all && has_seen_the_end(x)) {
		relay_batch(x);
		if (!x->is_over && x->step == STEP_RELAY)
			exchange_watch_idle(x, LAST_CHUNK_MS);
		return;
	}
	if (x->step == STEP_TUNNEL) {
		tunnel_client_gone(x, why);
		return;
	}
	metric_add(M_CLIENT_GONE, 1);
	x->why = why;
	x->ended_in = x->is_working ? STEP_PREPARE : x->step;
	if (goes_on_alone(x, why)) {
		if (x->step == STEP_RELAY)
			relay_batch(x);
		return;
	}
	x->is_truncated = x->is_head_sent;
	x->step = STEP_SETTLE;
	exchange_pump(x);
}

void
exchange_body_failed(struct exchange *x, enum err why)
{
	exchange_fail(x, why, NULL);
}
