#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "cache/revoked.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "gateway/upstream.h"
#include "http/writer.h"
#include "journal/payload.h"

#define CAPTURE_SPARED (64 * 1024)

/* ---- the head ---- */

static bool
has_no_body(const struct exchange *x, int status)
{
	return x->head.method == METHOD_HEAD || status == 204 || status == 304;
}

static enum body_framing
framing_downstream(const struct exchange *x, const struct response_head *head)
{
	if (has_no_body(x, head->status))
		return BODY_NONE;
	if (head->framing == BODY_LENGTH)
		return BODY_LENGTH;
	return x->head.minor == 0 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
}

/* Growing step by step would map and move the memory of a large answer again and again; what is not written to takes none. */
static void
expect_length(struct exchange *x, const struct response_head *head)
{
	struct buf *b = &x->capture.body;
	uint64_t n = head->framing == BODY_LENGTH ? head->length : 0;
	if (n > b->max)
		n = b->max;
	if (n > b->cap && buf_reserve(b, n) == NULL)
		capture_tap_stop(&x->capture);
}

/* Who looks on: the meter always, the capture when the cache or the log wants the bytes. */
static void
hang_taps(struct exchange *x, const struct response_head *head)
{
	const struct config_gateway *cg = x->route.gateway;
	struct tap **last = &x->taps;
	struct meter *m =
	    meter_new(&x->endpoint, head->status, headers_value(&head->headers, H_CONTENT_TYPE),
		headers_value(&head->headers, H_CONTENT_ENCODING));
	if (m != NULL) {
		/* No cache asks whether the answer is a good one, and no log which model gave it. */
		if (!x->plan.may_store && x->facts.model.n > 0)
			meter_skim(m);
		meter_tap_init(&x->meter, m);
		*last = &x->meter.tap;
		last = &x->meter.tap.next;
	}
	uint64_t keep =
	    x->log_wishes.collect && x->log_wishes.payload ? payload_capture_max(cg) : 0;
	if (x->plan.may_store && cg->cache.max_entry > keep)
		keep = cg->cache.max_entry;
	if (x->plan.may_store && split_capture_max(x) > keep)
		keep = split_capture_max(x);
	if (gateway_pressure(x->g) != PRESSURE_NONE)
		keep = 0;
	x->meter.is_borrowing = m != NULL && keep > 0 && meter_borrow(m);
	capture_tap_init(&x->capture, keep,
	    x->meter.is_borrowing && keep < METER_BORROW_MAX ? METER_BORROW_MAX : keep);
	if (keep > 0) {
		expect_length(x, head);
		*last = &x->capture.tap;
		last = &x->capture.tap.next;
	} else {
		capture_tap_stop(&x->capture); /* what is not looked at is not whole */
	}
	if (x->flight != NULL) {
		flight_tap_init(&x->flight_tap, x->flight);
		*last = &x->flight_tap.tap;
	}
}

/* HEAD and 304 carry the length that a GET would have had. */
static bool
has_stated_length(const struct response_head *head, uint64_t *length)
{
	return head->status != 204 &&
	    num_u64(headers_value(&head->headers, H_CONTENT_LENGTH), length);
}

static const char *
verdict_word(const struct exchange *x)
{
	return x->plan.may_store ? "MISS" : "BYPASS";
}

static int64_t
overhead_us(const struct exchange *x, uint64_t now)
{
	uint64_t before = x->attempt_us > x->ready_us ? x->attempt_us - x->ready_us : 0;
	return (int64_t)(before + (now - x->answer_us));
}

/* Who follows is told the head of a good answer that may have a body, and writes it with one; with any other he goes his own way. */
static void
lead(struct exchange *x)
{
	struct buf head;
	struct flight *f = x->flight;
	buf_init(&head, 8192);
	if (x->status / 100 == 2 && x->status != 204 && exchange_stored_head(x, &head)) {
		flight_answer(f, x->status, buf_view(&head),
		    x->log_wishes.collect ? x->id.b : (const uint8_t[16]){0});
	} else {
		x->flight = NULL;
		flight_fail(f);
	}
	buf_fini(&head);
}

/* What the provider thinks of the caller's credential decides whether the cache may serve it. */
static void
note_credential(const struct exchange *x)
{
	if (x->status == 401 || x->status == 403)
		revoked_add(x->g->revoked, exchange_caller_hash(x));
	else if (x->status / 100 == 2 && revoked_count(x->g->revoked) > 0)
		revoked_remove(x->g->revoked, exchange_caller_hash(x));
}

void
relay_head(struct exchange *x, const struct response_head *head)
{
	x->answer = *head;
	x->has_answer = true;
	x->status = head->status;
	x->out_framing = framing_downstream(x, head);
	note_credential(x);
	if (split_captures(x))
		return;
	if (x->flight != NULL)
		lead(x);
	hang_taps(x, head);
	if (x->client == NULL)
		return;
	bool is_delimited = x->out_framing != BODY_UNTIL_CLOSE;
	x->is_kept_alive = is_delimited && client_may_keep(x->client);
	uint64_t length = head->length;
	bool has_length = x->out_framing == BODY_LENGTH ||
	    (x->out_framing == BODY_NONE && has_stated_length(head, &length));
	buf_reset(&x->out);
	uint64_t now = clock_mono_us();
	bool ok = forward_response(head,
	    &(struct gateway_fields){.id = x->id_text,
		.event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
		.cache_status = verdict_word(x),
		.age_s = -1,
		.overhead_us = overhead_us(x, now),
		.framing = has_length ? BODY_LENGTH : x->out_framing,
		.length = length,
		.is_http10 = x->head.minor == 0,
		.keep_alive = x->is_kept_alive},
	    &x->out);
	if (!ok) {
		attempt_drop(x);
		exchange_fail(x, E_UPSTREAM_PROTOCOL,
		    "the head of the answer is larger than the gateway takes");
		return;
	}
	x->is_head_sent = true;
	x->replied_us = now;
	CHK(box_put(x, buf_view(&x->out), false));
}

/* ---- the body ---- */

/* Of what is wanted for cache and log the beginning is enough, when memory is short. */
static void
spare_memory(struct exchange *x)
{
	if (buf_len(&x->capture.body) > CAPTURE_SPARED && gateway_pressure(x->g) != PRESSURE_NONE)
		capture_tap_stop(&x->capture);
}

static void
shorten(struct buf *b)
{
	if (buf_len(b) <= CAPTURE_SPARED)
		return;
	buf_cut(b, CAPTURE_SPARED);
	buf_shrink(b);
	b->max = CAPTURE_SPARED;
}

void
exchange_spare(struct list *node)
{
	struct exchange *x = CONTAINER_OF(node, struct exchange, link);
	if (x->is_over || (x->step != STEP_RELAY && x->step != STEP_ATTEMPT))
		return;
	shorten(&x->uploaded);
	if (x->step == STEP_ATTEMPT || buf_len(&x->capture.body) <= CAPTURE_SPARED)
		return;
	capture_tap_stop(&x->capture);
	shorten(&x->capture.body);
}

static void
feed_taps(struct exchange *x)
{
	spare_memory(x);
	for (size_t i = 0; i < box_parts(x); i++)
		for (struct tap *t = x->box->is_body[i] ? x->taps : NULL; t != NULL; t = t->next)
			t->bytes(t, x->box->parts[i]);
}

/* The client first, then who looks on. */
void
relay_flush(struct exchange *x)
{
	if (box_parts(x) == 0)
		return;
	if (x->client != NULL) {
		x->sent_bytes += box_bytes(x);
		client_write(x->client, x->box->parts, x->box->n);
		client_hurry(x->client);
	}
	feed_taps(x);
	box_empty(x);
}

static bool
put_body(struct exchange *x, struct span bytes)
{
	return x->out_framing == BODY_CHUNKED ? box_put_chunk(x, bytes) : box_put(x, bytes, true);
}

void
relay_body(struct exchange *x, struct span bytes)
{
	if (x->is_over || (x->step != STEP_RELAY && x->step != STEP_FOLLOW))
		return;
	if (split_is_capturing(x)) {
		split_body(x, bytes);
		return;
	}
	x->response_size += bytes.n;
	if (put_body(x, bytes))
		return;
	relay_flush(x);
	CHK(put_body(x, bytes));
}

void
relay_hold(struct exchange *x)
{
	for (size_t i = 0; i < box_parts(x); i++)
		if (!buf_put_span(&x->tail, x->box->parts[i]))
			x->is_truncated = true;
	box_empty(x);
}

/* The answer is whole. Its last write waits until the client has read the rest: the record goes out
 * before it, and says how the exchange really ended. */
static void
finish(struct exchange *x)
{
	if (!x->has_tail) {
		feed_taps(x);
		for (struct tap *t = x->taps; t != NULL; t = t->next)
			t->end(t);
		x->has_tail = true;
		timer_stop(x->g->loop, &x->timer);
	}
	if (x->client == NULL || client_backlog(x->client) == 0) {
		x->step = STEP_SETTLE;
		exchange_pump(x);
		return;
	}
	relay_hold(x);
	/* The provider's connection need not wait for a client that reads slowly. */
	attempt_leave(x);
}

/* A stream may be open for minutes. Behind the head of an answer no other attempt follows, so only the log may ask for
 * the request's body again. */
static void
slim(struct exchange *x)
{
	x->is_slim = true;
	buf_fini(&x->out);
	if (x->doc == NULL) /* else it borrows from the body */
		buf_shrink(&x->body);
	if (x->flight == NULL) /* else who looks for it reads the preimage here */
		buf_shrink(&x->preimage);
	if (x->is_held && x->doc == NULL && !x->log_wishes.payload)
		warm_give(&x->g->warm, &x->body);
}

void
relay_batch(struct exchange *x)
{
	if (x->is_over || x->step != STEP_RELAY)
		return;
	if (split_is_capturing(x)) {
		split_batch(x);
		return;
	}
	if (x->is_answer_complete) {
		finish(x);
		return;
	}
	relay_flush(x);
	if (x->up == NULL)
		return;
	if (!x->is_slim && x->out_framing != BODY_LENGTH)
		slim(x);
	if (x->client != NULL && client_backlog(x->client) > high_water(x)) {
		/* The provider may not be blamed for a client that reads slowly. */
		timer_stop(x->g->loop, &x->timer);
		upstream_read_stop(x->up);
		return;
	}
	exchange_watch_idle(x, x->setup->config->upstream.idle_ms);
	upstream_read_start(x->up);
}
