#include "gateway/exchange_int.h"

#include "base/clock.h"
#include "base/reserve.h"
#include "cache/revoked.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "http/writer.h"
#include "journal/payload.h"
#include "json/json.h"
#include "obs/metric.h"

#define OFF_LOOP_BYTES (256 * 1024) /* bodies above are canonicalised by a worker */
#define PREPARE_FACTOR 5            /* a body as values, in canonical form and in the preimage */

static enum step_result step_route(struct exchange *x);
static enum step_result step_receive(struct exchange *x);
static enum step_result step_prepare(struct exchange *x);
static enum step_result step_lookup(struct exchange *x);
static enum step_result step_events(struct exchange *x);

/* In the order of enum step. */
static enum step_result (*const steps[STEP_COUNT])(struct exchange *) = {
    step_route,
    step_receive,
    step_prepare,
    step_lookup,
    step_replay,
    step_follow,
    step_items,
    step_attempt,
    step_events,
    step_events,
    step_settle,
};

/* A step that returns STEP_MORE has set x->step to the next one. */
void
exchange_pump(struct exchange *x)
{
	if (x->is_pumping || x->is_over)
		return;
	x->is_pumping = true;
	while (!x->is_over && !x->is_working && steps[x->step](x) == STEP_MORE)
		continue;
	x->is_pumping = false;
}

static void
on_turn(void *ctx)
{
	exchange_pump(ctx);
}

enum step_result
exchange_yield(struct exchange *x)
{
	timer_start(x->g->loop, &x->timer, 0, on_turn, x);
	return STEP_WAIT;
}

static enum step_result
next(struct exchange *x, enum step step)
{
	x->step = step;
	return STEP_MORE;
}

void
exchange_fail(struct exchange *x, enum err why, const char *hint)
{
	if (x->is_over || x->step == STEP_SETTLE)
		return;
	x->why = why;
	x->hint = hint;
	x->ended_in = x->step;
	x->is_refusal = !x->is_head_sent;
	x->is_truncated = x->is_head_sent;
	x->step = STEP_SETTLE;
	exchange_pump(x);
}

static enum step_result
refuse(struct exchange *x, enum err why, const char *hint)
{
	x->why = why;
	x->hint = hint;
	x->ended_in = x->step;
	x->is_refusal = true;
	return next(x, STEP_SETTLE);
}

size_t
high_water(const struct exchange *x)
{
	return gateway_pressure(x->g) == PRESSURE_NONE ? HIGH_WATER : HIGH_WATER_SHORT;
}

/* ---- route ---- */

static bool
is_json_body(const struct request_head *head)
{
	struct span type = headers_value(&head->headers, H_CONTENT_TYPE);
	if (headers_value(&head->headers, H_CONTENT_ENCODING).p != NULL)
		return false;
	return type.p == NULL || span_eq(type, SPAN_LIT("application/json")) ||
	    span_contains_nocase(type, SPAN_LIT("json"));
}

static enum err
check_head(struct exchange *x)
{
	if (span_eq(x->head.target, SPAN_LIT("*"))) { /* of OPTIONS: nothing that we could ask */
		x->target.path = x->head.target;
		return E_NOT_FOUND;
	}
	enum err e = target_parse(x->head.target, &x->target);
	if (e != E_OK)
		return e;
	if (connection_nominates_forbidden(&x->head.headers))
		return E_BAD_HEADER;
	return is_looping(&x->head, x->setup->via) ? E_LOOP : E_OK;
}

static enum err
read_wishes(struct exchange *x)
{
	const struct config_gateway *cg = x->route.gateway;
	x->log_wishes.collect = cg->log.collect;
	x->log_wishes.payload = cg->log.payload != PAYLOAD_NONE;
	enum err e = journal_wishes_read(&x->head.headers, &x->log_wishes, &x->hint);
	/* The gateway's settings are a lid: a caller may ask for less, not for more. */
	x->log_wishes.payload = x->log_wishes.payload && cg->log.payload != PAYLOAD_NONE;
	return e != E_OK ? e : cache_wishes_read(&x->head.headers, &x->wishes, &x->hint);
}

/* The gateway's own pages are answered also when there is no room for anything else. */
static enum err
check_room(struct exchange *x)
{
	if (x->client != NULL && client_is_guest(x->client)) {
		metric_add(M_LIMIT_CONNECTIONS, 1);
		x->hint = "limits.connections";
		return E_OVERLOADED;
	}
	if (!reserve_is_whole())
		return E_NOMEM;
	if (gateway_pressure(x->g) == PRESSURE_SHED) {
		metric_add(M_LIMIT_MEMORY, 1);
		x->hint = "limits.memory";
		return E_OVERLOADED;
	}
	return E_OK;
}

static void
decide_hold(struct exchange *x)
{
	uint64_t limit = x->setup->config->limits.body;
	if (gateway_pressure(x->g) != PRESSURE_NONE && limit > KEEP_BYTES)
		limit = KEEP_BYTES;
	x->is_held = x->endpoint.is_held && is_json_body(&x->head) &&
	    x->head.framing != BODY_NONE &&
	    !(x->head.framing == BODY_LENGTH && x->head.length > limit);
	x->body.max = x->is_held ? limit : HIGH_WATER + KEEP_BYTES;
}

/* No body will say which model is meant: OpenAI's query does. */
static void
read_websocket(struct exchange *x)
{
	struct span query = x->target.query, name, value;
	x->route.rest = provider_realtime_rest(x->route.provider, x->route.rest);
	while (query_next(&query, &name, &value))
		if (span_eq(name, SPAN_LIT("model")))
			x->facts.model = value;
}

static enum step_result
step_route(struct exchange *x)
{
	enum err e = check_head(x);
	if (e != E_OK)
		return refuse(x, e, x->hint);
	e = route_find(x->setup, x->target.path, &x->route);
	if (e == E_OK && x->route.is_local) {
		x->is_local = true;
		return next(x, STEP_RECEIVE);
	}
	if (e != E_OK)
		return refuse(x, e, x->route.hint);
	e = check_room(x);
	if (e != E_OK)
		return refuse(x, e, x->hint);
	const struct provider *p = x->route.provider;
	struct span fal = headers_value(&x->head.headers, H_X_FAL_TARGET_URL);
	x->is_websocket = request_is_websocket(&x->head);
	if (x->is_websocket)
		read_websocket(x);
	struct span rest =
	    provider_rest_with_account(p, x->route.account, x->route.rest, &x->arena);
	e = rest.p == NULL && x->route.rest.p != NULL
	    ? E_NOMEM
	    : provider_join(p, rest, fal, &x->arena, &x->to);
	if (e == E_OK && x->to.query.p == NULL)
		x->to.query = x->target.query;
	if (e == E_OK &&
	    span_starts_nocase(
		headers_value(&x->head.headers, H_AUTHORIZATION), SPAN_LIT("AWS4-HMAC-")) &&
	    span_ends(x->to.host, SPAN_LIT(".amazonaws.com")))
		e = E_SIGV4_CLIENT;
	if (e == E_OK)
		e = read_wishes(x);
	if (e != E_OK)
		return refuse(x, e, x->hint);
	x->endpoint = endpoint_classify(p->dialect, x->head.method == METHOD_POST, x->to.path);
	decide_hold(x);
	if (request_has_body(&x->head) && x->client != NULL)
		client_continue(x->client);
	if (x->is_held || x->head.framing == BODY_NONE)
		return next(x, STEP_RECEIVE);
	x->uploaded.max = x->log_wishes.payload ? payload_capture_max(x->route.gateway) : 0;
	x->ready_us = clock_mono_us();
	return next(x, STEP_ATTEMPT);
}

/* ---- receive ---- */

static enum step_result
step_receive(struct exchange *x)
{
	if (!x->is_body_done)
		return STEP_WAIT;
	x->ready_us = clock_mono_us();
	if (x->is_local)
		return next(x, STEP_SETTLE);
	return next(x, x->is_websocket ? STEP_ATTEMPT : STEP_PREPARE);
}

/* ---- prepare: what the body says, and the cache's preimage ---- */

static void
prepare(void *ctx)
{
	struct exchange *x = ctx;
	if (x->is_held)
		x->doc =
		    json_parse_view(buf_view(&x->body), x->endpoint.class != ENDPOINT_EMBEDDINGS);
	x->facts.model = x->endpoint.model;
	if (x->doc == NULL && x->wishes.key.n == 0)
		return;
	struct json_val root = {NULL};
	if (x->doc != NULL)
		root = json_root(x->doc);
	request_facts_read(&x->endpoint, root, &x->facts);
	if (x->route.gateway->cache.mode == CACHE_DETERMINISTIC)
		x->facts.is_deterministic = request_is_deterministic(&x->endpoint, root);
	x->plan =
	    cache_plan_make(x->route.gateway, &x->wishes, &x->endpoint, &x->facts, x->doc != NULL);
	if (!x->plan.may_store)
		return;
	x->has_preimage = exchange_preimage(x, form_of(x), &x->preimage) == PREIMAGE_OK;
	if (!x->has_preimage)
		x->plan = (struct cache_plan){0};
	else
		x->key = preimage_key(x->g->parts.cache_keys, buf_view(&x->preimage));
	if (x->has_preimage && x->is_working)
		(void)exchange_body_hash(x); /* so that the loop need not */
}

/* The record names it when the body may be gone. */
static void
keep_model(struct exchange *x)
{
	x->facts.model = arena_dup(&x->arena, x->facts.model);
}

static void
prepared(void *ctx)
{
	struct exchange *x = ctx;
	x->is_working = false;
	keep_model(x);
	gateway_unreserve(x->g, x->reserved);
	if (x->is_over) {
		defer_start(x->g->loop, &x->reap, x->reap.fn, x);
		return;
	}
	exchange_pump(x);
}

/* Where the cache has no part in it the log wants to know the model, and nobody anything else. */
static bool
is_soon_prepared(struct exchange *x)
{
	if (cache_may_plan(x->route.gateway, &x->wishes, &x->endpoint))
		return false;
	x->facts.model = x->endpoint.model;
	return !x->is_held || x->facts.model.n > 0 ||
	    json_peek_str(
		span_head(buf_view(&x->body), OFF_LOOP_BYTES), SPAN_LIT("model"), &x->facts.model);
}

static enum step_result
step_prepare(struct exchange *x)
{
	x->step = STEP_LOOKUP;
	if (is_soon_prepared(x))
		return STEP_MORE;
	if (buf_len(&x->body) <= OFF_LOOP_BYTES) {
		prepare(x);
		keep_model(x);
		return STEP_MORE;
	}
	/* Where that does not fit any more the body goes on unread. */
	x->reserved = buf_len(&x->body) * PREPARE_FACTOR;
	if (!gateway_reserve(x->g, x->reserved)) {
		x->facts.model = x->endpoint.model;
		return STEP_MORE;
	}
	x->is_working = true;
	work_start(x->g->loop, prepare, prepared, x);
	return STEP_WAIT;
}

/* ---- look up ---- */

/* Nobody asks the request again what it says, and a stream may be open for minutes. Before the way to the provider is
 * opened: else what that takes is put behind this, and leaves a hole. */
static void
forget_document(struct exchange *x)
{
	if (x->split != NULL)
		return;
	x->facts.model = arena_dup(&x->arena, x->facts.model);
	json_free(x->doc);
	x->doc = NULL;
}

static enum step_result
step_lookup(struct exchange *x)
{
	if (x->is_refresh)
		x->plan.may_read = false;
	if (gateway_pressure(x->g) != PRESSURE_NONE)
		x->plan.may_store = false;
	if (x->plan.may_read && revoked_count(x->g->revoked) > 0 &&
	    revoked_has(x->g->revoked, exchange_caller_hash(x)))
		x->plan.may_read = false;
	if (x->plan.may_store && x->route.gateway->cache.seal && !seal_begin(x))
		x->plan = (struct cache_plan){0}; /* no credential, nobody to seal it for */
	if (x->plan.may_read)
		look_up(x);
	if (x->entry != NULL)
		return next(x, STEP_REPLAY);
	if (x->plan.may_read && x->stale == NULL && look_up_other_form(x))
		return next(x, STEP_SETTLE);
	if (split_begin(x))
		return STEP_MORE;
	follow_or_lead(x);
	if (x->step == STEP_ATTEMPT)
		forget_document(x);
	return STEP_MORE;
}

static enum step_result
step_events(struct exchange *x)
{
	UNUSED(x); /* driven by the upstream's events */
	return STEP_WAIT;
}
