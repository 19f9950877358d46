#include "gateway/exchange_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/reserve.h"
#include "cache/answer_head.h"
#include "cache/preimage.h"
#include "cache/revoked.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "gateway/client.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "gateway/trust.h"
#include "gateway/tunnel.h"
#include "http/writer.h"
#include "journal/payload.h"
#include "json/json.h"
#include "obs/metric.h"

#define ARENA_MAX (1024 * 1024)
#define OFF_LOOP_BYTES (256 * 1024) /* bodies above are canonicalised by a worker */
#define PREPARE_FACTOR 5            /* a body as values, in canonical form and in the preimage */
#define KEEP_BYTES (64 * 1024)      /* buffers above are given back when the exchange ends */
#define SPARES_MAX 256
#define LAST_CHUNK_MS 5000 /* for the end of an answer whose content is whole */

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
	return gateway_pressure(x->g) == PRESSURE_NONE ? HIGH_WATER : HIGH_WATER / 8;
}

/* ---- route ---- */

static bool
is_json_body(const struct request_head *head)
{
	struct span type = headers_value(&head->headers, H_CONTENT_TYPE);
	if (headers_value(&head->headers, H_CONTENT_ENCODING).p != NULL)
		return false;
	return type.p == NULL || span_contains_nocase(type, SPAN_LIT("json"));
}

static bool
has_body_coming(const struct request_head *head)
{
	return head->framing == BODY_CHUNKED || (head->framing == BODY_LENGTH && head->length > 0);
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
	if (has_body_coming(&x->head) && x->client != NULL)
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

static struct memo *
scope_memo_of(const struct exchange *x)
{
	return x->client == NULL ? NULL : &client_memos(x->client)->scope;
}

static struct cache_request
cache_request_of(const struct exchange *x)
{
	const struct config_gateway *cg = x->route.gateway;
	return (struct cache_request){.gateway = span_str(cg->name),
	    .provider = x->route.provider->slug,
	    .method = x->head.method_text,
	    .to = &x->to,
	    .query = x->to.query,
	    .headers = &x->head.headers,
	    .coding = accepted_coding(&x->head),
	    .is_shared = cg->cache.scope == SCOPE_SHARED,
	    .is_stream = x->facts.is_stream,
	    .custom_key = x->wishes.key,
	    .body = buf_view(&x->body),
	    .doc = x->doc,
	    /* Not from a worker: the client may go meanwhile. */
	    .scope_memo = x->is_working ? NULL : scope_memo_of(x),
	    .ignore = cg->cache.ignore};
}

enum preimage_result
exchange_preimage(const struct exchange *x, struct span form, struct buf *out)
{
	struct cache_request rq = cache_request_of(x);
	rq.form = form;
	out->max = buf_len(&x->body) * 6 + KEEP_BYTES;
	return preimage_write(x->g->parts.cache_keys, &rq, out);
}

enum preimage_result
exchange_item_base(const struct exchange *x, struct buf *out)
{
	struct cache_request rq = cache_request_of(x);
	rq.is_item = true;
	rq.coding = SPAN_LIT("identity"); /* what is kept of an item is never compressed */
	return preimage_write(x->g->parts.cache_keys, &rq, out);
}

static void
prepare(void *ctx)
{
	struct exchange *x = ctx;
	if (x->is_held)
		x->doc = json_parse(buf_view(&x->body));
	x->facts.model = x->endpoint.model;
	if (x->doc == NULL && x->wishes.key.n == 0)
		return;
	struct json_val none = {NULL};
	request_facts_read(&x->endpoint, x->doc == NULL ? none : json_root(x->doc), &x->facts);
	x->plan =
	    cache_plan_make(x->route.gateway, &x->wishes, &x->endpoint, &x->facts, x->doc != NULL);
	if (!x->plan.may_store)
		return;
	x->has_preimage = exchange_preimage(x, form_of(x), &x->preimage) == PREIMAGE_OK;
	if (!x->has_preimage)
		x->plan = (struct cache_plan){0};
	else
		x->key = preimage_key(x->g->parts.cache_keys, buf_view(&x->preimage));
}

static void
prepared(void *ctx)
{
	struct exchange *x = ctx;
	x->is_working = false;
	gateway_unreserve(x->g, x->reserved);
	if (x->is_over) {
		defer_start(x->g->loop, &x->reap, x->reap.fn, x);
		return;
	}
	exchange_pump(x);
}

static enum step_result
step_prepare(struct exchange *x)
{
	x->step = STEP_LOOKUP;
	if (buf_len(&x->body) <= OFF_LOOP_BYTES) {
		prepare(x);
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

uint64_t
exchange_caller_hash(const struct exchange *x)
{
	return cache_caller_hash(x->g->parts.cache_keys,
	    &(struct cache_request){.provider = x->route.provider->slug,
		.query = x->to.query,
		.headers = &x->head.headers,
		.scope_memo = scope_memo_of(x)});
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
	if (!split_begin(x))
		follow_or_lead(x);
	return STEP_MORE;
}

static enum step_result
step_events(struct exchange *x)
{
	UNUSED(x); /* driven by the upstream's events */
	return STEP_WAIT;
}

bool
exchange_stored_head(const struct exchange *x, struct buf *out)
{
	uint64_t hash = cache_hash(x->g->parts.cache_keys, buf_view(&x->body));
	return answer_head_write(&x->answer.headers, x->response_size, hash, out);
}

/* ---- life ---- */

static void
trim(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_fini(b);
	else
		buf_reset(b);
}

static void
clear(struct exchange *x)
{
	box_empty(x);
	split_free(x);
	digest_free(x);
	json_free(x->doc);
	meter_free(x->meter.meter);
	reader_fini(&x->reader);
	zeroize(&x->seal_key, sizeof(x->seal_key));
	if (x->entry != NULL)
		entry_release(x->entry);
	if (x->stale != NULL)
		entry_release(x->stale);
	setup_unref(x->setup);
	arena_reset(&x->arena);
	trim(&x->body);
	trim(&x->uploaded);
	trim(&x->preimage);
	trim(&x->out);
	trim(&x->tail);
	trim(&x->capture.body);
}

static void
free_exchange(struct exchange *x)
{
	arena_fini(&x->arena);
	buf_fini(&x->body);
	buf_fini(&x->uploaded);
	buf_fini(&x->preimage);
	buf_fini(&x->out);
	buf_fini(&x->tail);
	buf_fini(&x->capture.body);
	free(x);
}

/* Once a turn, when no callback stands on the object any more. Its buffers stay warm for the next one. */
static void
reap(void *ctx)
{
	struct exchange *x = ctx;
	struct gateway *g = x->g;
	if (x->is_working)
		return; /* `prepared` comes back */
	list_remove(&x->link);
	gateway_moved(g, x->request_size + x->response_size);
	clear(x);
	if (g->n_spares < SPARES_MAX) {
		list_push(&g->spares, &x->link);
		g->n_spares++;
	} else {
		free_exchange(x);
	}
	metric_sub(M_EXCHANGES, 1);
	gateway_shrunk(g);
}

void
exchange_free_spares(struct gateway *g)
{
	LIST_EACH(node, &g->spares)
	{
		struct exchange *x = CONTAINER_OF(node, struct exchange, link);
		list_remove(&x->link);
		free_exchange(x);
	}
	g->n_spares = 0;
	outbox_free_spares(g);
}

static struct exchange *
take_spare(struct gateway *g)
{
	if (list_is_empty(&g->spares)) {
		struct exchange *x = reserve_is_whole() ? calloc(1, sizeof(*x)) : NULL;
		if (x == NULL)
			return NULL;
		arena_init(&x->arena, ARENA_MAX);
		buf_init(&x->out, KEEP_BYTES * 2);
		buf_init(&x->tail, 4 * HIGH_WATER);
		return x;
	}
	struct exchange *x = CONTAINER_OF(g->spares.next, struct exchange, link);
	list_remove(&x->link);
	g->n_spares--;
	/* Everything but the memory that is worth keeping starts from zero. */
	struct arena arena = x->arena;
	struct buf body = x->body, uploaded = x->uploaded, preimage = x->preimage, out = x->out,
		   tail = x->tail, captured = x->capture.body;
	memset(x, 0, sizeof(*x));
	x->arena = arena;
	x->body = body;
	x->uploaded = uploaded;
	x->preimage = preimage;
	x->out = out;
	x->tail = tail;
	x->capture.body = captured;
	return x;
}

struct exchange *
exchange_new(struct gateway *g, struct client *c)
{
	struct exchange *x = take_spare(g);
	if (x == NULL)
		return NULL;
	x->g = g;
	x->setup = setup_ref(g->setup);
	x->client = c; /* NULL: a refresh */
	x->began_us = clock_mono_us();
	x->created_ms = clock_wall_ms();
	x->id = id_new(&g->ids, x->created_ms);
	id_text(&x->id, x->id_text);
	x->reap.fn = reap;
	list_append(&g->exchanges, &x->link);
	metric_add(M_EXCHANGES, 1);
	return x;
}

struct arena *
exchange_arena(struct exchange *x)
{
	return &x->arena;
}

void
exchange_drop(struct exchange *x)
{
	x->client = NULL;
	x->is_over = true;
	defer_start(x->g->loop, &x->reap, reap, x);
}

void
exchange_cut(struct list *node)
{
	struct exchange *x = CONTAINER_OF(node, struct exchange, link);
	if (x->is_over || x->is_settling || x->client != NULL)
		return;
	x->why = E_SHUTTING_DOWN;
	x->ended_in = x->step;
	x->step = STEP_SETTLE;
	exchange_pump(x);
}

/* ---- events from the client ---- */

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
	if (has_body_coming(head))
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

bool
exchange_body(struct exchange *x, struct span bytes)
{
	x->request_size += bytes.n;
	if (x->is_over || x->is_local || x->step == STEP_SETTLE)
		return true; /* answered already: what still comes is not wanted */
	if (x->step == STEP_TUNNEL)
		return tunnel_send(x, bytes);
	if (x->is_held) {
		if (may_hold(x) && buf_put_span(&x->body, bytes))
			return true;
		stop_holding(x);
		bool wants_more = attempt_send_body(x, bytes);
		exchange_pump(x);
		return wants_more;
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
