#include "base/clock.h"
#include "cache/answer_head.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"

/* After so many flights that failed under it an exchange goes alone. */
#define FLIGHTS_MAX 2
#define PART_BYTES (64 * 1024)

static void
on_moved(void *ctx)
{
	exchange_pump(ctx);
}

/* Nobody follows any more, and the client that began it has gone: the answer is for nobody. */
static void
on_lonely(void *ctx)
{
	struct exchange *x = ctx;
	if (x->client != NULL || x->is_refresh || x->is_over || x->step == STEP_SETTLE ||
	    (x->plan.may_store && x->route.gateway->on_disconnect == DISCONNECT_FINISH))
		return;
	x->is_truncated = x->is_head_sent;
	x->step = STEP_SETTLE;
	exchange_pump(x);
}

static struct span
seen(void *ctx)
{
	const struct exchange *x = ctx;
	return x->capture.is_full ? SPAN_NONE : buf_view(&x->capture.body);
}

void
follow_or_lead(struct exchange *x)
{
	x->step = STEP_ATTEMPT;
	const struct config_gateway *cg = x->route.gateway;
	if (!(x->plan.may_read || x->is_refresh) || !cg->cache.coalesce ||
	    x->flights_failed >= FLIGHTS_MAX)
		return;
	struct flight *f = flight_find(x->g->flights, &x->key, buf_view(&x->preimage));
	if (f == NULL && gateway_pressure(x->g) != PRESSURE_NONE)
		return;
	if (f == NULL) {
		x->flight =
		    flight_open(x->g->flights, &x->key, buf_view(&x->preimage), cg->cache.max_entry,
			&(struct leader){.lonely = on_lonely, .seen = seen, .ctx = x});
		return;
	}
	flight_join(f, &x->follow, on_moved, x);
	x->step = STEP_FOLLOW;
}

static enum step_result
settle(struct exchange *x, enum err why)
{
	x->why = why;
	x->ended_in = STEP_FOLLOW;
	x->is_truncated = why != E_OK;
	x->step = STEP_SETTLE;
	return STEP_MORE;
}

static bool
put_head(struct exchange *x, const struct flight *f)
{
	struct answer_head stored;
	bool is_whole = flight_state(f) == FLIGHT_COMPLETE;
	if (!answer_head_read(flight_fields(f), &stored))
		return false;
	x->status = flight_status(f);
	x->out_framing = is_whole ? BODY_LENGTH
	    : x->head.minor == 0  ? BODY_UNTIL_CLOSE
				  : BODY_CHUNKED;
	x->is_kept_alive = x->out_framing != BODY_UNTIL_CLOSE && client_may_keep(x->client);
	x->replied_us = clock_mono_us();
	buf_reset(&x->out);
	return own_response(x->status, gateway_date(x->g), stored.fields,
	    &(struct gateway_fields){.id = x->id_text,
		.event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
		.cache_status = "HIT",
		.age_s = 0,
		.overhead_us = (int64_t)(x->replied_us - x->ready_us),
		.framing = x->out_framing,
		.length = flight_size(f),
		.is_http10 = x->head.minor == 0,
		.keep_alive = x->is_kept_alive},
	    &x->out);
}

/* The leader failed before anything was sent here: the first of us leads now, in the end each goes alone. */
static enum step_result
go_on_without(struct exchange *x)
{
	flight_leave(&x->follow);
	x->flights_failed++;
	x->step = STEP_LOOKUP;
	return STEP_MORE;
}

/* What has arrived and was not taken yet, as far as the client keeps up. The last piece of a whole answer stays in the
 * box: it goes out behind the record, when the client has read the rest. False: the client lagged and is cut. */
static bool
take(struct exchange *x, const struct flight *f)
{
	struct span piece;
	if (!flight_view(f, x->followed, &piece))
		return false;
	bool is_whole = flight_state(f) == FLIGHT_COMPLETE;
	uint64_t begun = x->followed;
	while (piece.n > 0 && client_backlog(x->client) <= high_water(x)) {
		struct span part = span_head(piece, PART_BYTES);
		if (x->followed - begun >= TURN_BYTES) {
			exchange_yield(x);
			break;
		}
		bool is_last = is_whole && part.n == piece.n;
		if (is_last && client_backlog(x->client) > 0)
			break;
		x->followed += part.n;
		relay_body(x, part);
		if (is_last)
			return true;
		relay_flush(x);
		piece = span_skip(piece, part.n);
	}
	relay_flush(x);
	return true;
}

enum step_result
step_follow(struct exchange *x)
{
	const struct flight *f = x->follow.flight;
	enum flight_state state = flight_state(f);
	if (state == FLIGHT_OPEN)
		return STEP_WAIT;
	if (state == FLIGHT_FAILED)
		return x->is_head_sent ? settle(x, E_UPSTREAM_CLOSED) : go_on_without(x);
	if (!x->is_head_sent) {
		if (!put_head(x, f))
			return go_on_without(x);
		x->is_head_sent = x->is_shared_hit = true;
		CHK(box_put(x, buf_view(&x->out), false));
	}
	if (!take(x, f))
		return settle(x, E_OVERLOADED);
	/* The last bytes wait for the rest to be read, and go out behind the record. */
	if (state != FLIGHT_COMPLETE || x->followed < flight_size(f) ||
	    client_backlog(x->client) > 0)
		return STEP_WAIT;
	x->found = *flight_meta(f);
	return settle(x, E_OK);
}
