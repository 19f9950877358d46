#include <stdio.h>

#include "base/clock.h"
#include "base/reserve.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/proxy.h"
#include "gateway/setup.h"
#include "gateway/tunnel.h"
#include "gateway/upstream.h"
#include "http/writer.h"
#include "obs/log.h"
#include "obs/metric.h"

#define INFORMATIONAL_MAX 8
#define WARN_EVERY_MS 1000
#define UNREAD_MS 100 /* for us to read what has come */

#define SMALL_BODY 8192 /* with its head still held (net/hold.c) */

static bool start_attempt(struct exchange *x, bool fresh);

_Static_assert(UPSTREAM_LOW_WATER < HIGH_WATER_SHORT, "who is held back is told to go on");

static const struct span crlf = {"\r\n", 2};
static const struct span last_chunk = {"0\r\n\r\n", 5};

static void
count_failure(enum err why)
{
	static const enum metric of[ERR_COUNT] = {
	    [E_UPSTREAM_CONNECT] = M_FAILED_CONNECT,
	    [E_UPSTREAM_CONNECT_TIMEOUT] = M_FAILED_CONNECT_TIMEOUT,
	    [E_UPSTREAM_DNS] = M_FAILED_DNS,
	    [E_UPSTREAM_DNS_TIMEOUT] = M_FAILED_DNS_TIMEOUT,
	    [E_UPSTREAM_ADDRESS] = M_FAILED_ADDRESS,
	    [E_UPSTREAM_PROXY] = M_FAILED_PROXY,
	    [E_UPSTREAM_TLS] = M_FAILED_TLS,
	    [E_UPSTREAM_PROTOCOL] = M_FAILED_PROTOCOL,
	    [E_UPSTREAM_CLOSED] = M_FAILED_CLOSED,
	    [E_UPSTREAM_TIMEOUT] = M_FAILED_TIMEOUT,
	};

	metric_add(of[why] == 0 ? M_FAILED_OTHERWISE : of[why], 1); /* 0 is another room's row */
}

/* The provider failed: an old answer, if there is one and it may stand in, else the error. */
static void
fail_attempt(struct exchange *x, enum err why)
{
	x->attempt_failed = why;
	if (!serve_stale(x))
		exchange_fail(x, why, NULL);
}

static void
on_upstream_timeout(void *ctx)
{
	struct exchange *x = ctx;
	/* A process that was not run for so long (a stop, a crowded machine) finds the time-out due and the answer unread. */
	if (x->up != NULL && upstream_has_input(x->up)) {
		exchange_watch_idle(x, UNREAD_MS);
		return;
	}
	count_failure(E_UPSTREAM_TIMEOUT);
	attempt_drop(x);
	fail_attempt(x, E_UPSTREAM_TIMEOUT);
}

void
exchange_watch_idle(struct exchange *x, uint64_t after_ms)
{
	timer_start(x->g->loop, &x->timer, after_ms, on_upstream_timeout, x);
}

/* ---- the request ---- */

/* Which framing the body has towards the provider. A held body has a length whatever it came with. */
static enum body_framing
framing_upstream(const struct exchange *x, uint64_t *length)
{
	*length = x->head.length;
	if (x->is_held && x->head.framing != BODY_NONE) {
		*length = split_request(x).n;
		return BODY_LENGTH;
	}
	return x->head.framing;
}

static bool
send_request(struct exchange *x)
{
	uint64_t length;
	enum body_framing framing = framing_upstream(x, &length);
	buf_reset(&x->out);
	if (!forward_request(&(struct forward_request){.head = &x->head,
				 .to = &x->to,
				 .query = x->to.query,
				 .framing = framing,
				 .length = length,
				 .via = x->setup->via,
				 .is_websocket = x->is_websocket},
		&x->out))
		return false;
	x->is_body_chunked = framing == BODY_CHUNKED;
	struct span parts[2] = {buf_view(&x->out), split_request(x)};
	bool has_body = x->is_held && parts[1].n > 0;
	upstream_write(x->up, parts, has_body ? 2 : 1);
	x->is_request_sent = true;
	buf_reset(&x->out);
	exchange_watch_idle(x, x->setup->config->upstream.first_byte_ms);
	if (x->is_held)
		return true;
	/* What came while the connection was made. */
	struct span waiting = buf_view(&x->body);
	if (waiting.n > 0) {
		attempt_send_body(x, waiting);
		buf_fini(&x->body); /* it may be a held one that grew too large */
	}
	if (x->is_body_done)
		attempt_end_body(x);
	return true;
}

bool
attempt_wants_more(const struct exchange *x)
{
	bool is_waiting = !x->is_request_sent || x->up == NULL;
	return (is_waiting ? buf_len(&x->body) : upstream_backlog(x->up)) < high_water(x);
}

bool
attempt_send_body(struct exchange *x, struct span bytes)
{
	if (!x->is_request_sent || x->up == NULL) {
		if (!buf_put_span(&x->body, bytes))
			exchange_fail(x, E_OVERLOADED, NULL);
		return attempt_wants_more(x);
	}
	if (x->is_body_chunked && bytes.n > 0) {
		char line[CHUNK_LINE_SIZE];
		size_t n = chunk_line(bytes.n, line);
		struct span parts[3] = {span_of(line, n), bytes, crlf};
		upstream_write(x->up, parts, 3);
	} else {
		upstream_write(x->up, &bytes, 1);
	}
	if (!x->is_head_sent)
		exchange_watch_idle(x, x->setup->config->upstream.first_byte_ms);
	return attempt_wants_more(x);
}

void
attempt_end_body(struct exchange *x)
{
	if (!x->is_request_sent || x->is_held || x->up == NULL || !x->is_body_chunked)
		return;
	upstream_write(x->up, &last_chunk, 1);
	x->is_body_chunked = false;
}

/* ---- the upstream's events ---- */

static void
on_ready(void *ctx, struct upstream *u)
{
	struct exchange *x = ctx;
	x->up = u;
	x->attempt_us = clock_mono_us();
	if (!send_request(x))
		exchange_fail(x, E_OVERLOADED, NULL);
	else if (x->client != NULL && !x->is_held && buf_len(&x->body) == 0)
		client_read_more(x->client);
}

static bool
is_whole(const struct exchange *x)
{
	return x->is_held || x->head.framing == BODY_NONE;
}

/* A pooled connection may have been closed by the provider just as we wrote: once more on a fresh one,
 * if not a byte of an answer came and we still have all of the request. */
static bool
may_try_again(const struct exchange *x)
{
	return upstream_is_reused(x->up) && !upstream_has_answered(x->up) && is_whole(x) &&
	    !x->has_answer;
}

/* A provider that is away would fill the operator's disk with lines: one a second, and how many were left out. */
static void
warn(struct exchange *x, enum err why)
{
	struct gateway *g = x->g;
	uint64_t now_ms = loop_now_ms(g->loop);
	if (now_ms < g->warn_from_ms) {
		g->warnings_left_out++;
		return;
	}
	char more[64] = "";
	if (g->warnings_left_out > 0)
		snprintf(
		    more, sizeof(more), " (and %u more since the last line)", g->warnings_left_out);
	log_line(LOG_WARN, "%.*s: %s: %s%s", SPAN_FMT(x->to.host), err_row(why)->word,
	    upstream_detail(x->up), more);
	g->warn_from_ms = now_ms + WARN_EVERY_MS;
	g->warnings_left_out = 0;
}

static void
on_failed(void *ctx, enum err why)
{
	struct exchange *x = ctx;
	bool again = may_try_again(x);
	count_failure(why);
	if (why != E_UPSTREAM_CLOSED && upstream_detail(x->up)[0] != '\0')
		warn(x, why);
	if (again) {
		attempt_drop(x);
		if (start_attempt(x, true))
			return;
	}
	if (x->has_answer)
		relay_flush(x);
	attempt_drop(x);
	fail_attempt(x, why);
}

static void
on_informational(struct exchange *x, const struct response_head *head)
{
	if (++x->informational > INFORMATIONAL_MAX || head->status == 101) {
		count_failure(E_UPSTREAM_PROTOCOL);
		attempt_drop(x);
		exchange_fail(x, E_UPSTREAM_PROTOCOL, NULL);
		return;
	}
	/* 100 and 102 are between the provider and us; 103 is for the client, if it can know it. */
	if (head->status != 103 || x->head.minor == 0 || x->client == NULL)
		return;
	buf_reset(&x->out);
	if (forward_informational(head, &x->out)) {
		struct span all = buf_view(&x->out);
		client_write(x->client, &all, 1);
	}
	buf_reset(&x->out);
}

static void
on_answer_head(void *ctx, const struct response_head *head)
{
	struct exchange *x = ctx;
	if (head->status == 101 && x->is_websocket) {
		if (!tunnel_open(x, head)) {
			attempt_drop(x);
			exchange_fail(x, E_UPSTREAM_PROTOCOL, NULL);
		}
		return;
	}
	if (head->status / 100 == 1) {
		on_informational(x, head);
		return;
	}
	if (head->status >= 500 && x->stale != NULL) {
		attempt_drop(x);
		fail_attempt(x, E_UPSTREAM_CLOSED);
		return;
	}
	x->is_request_out = x->is_body_done && upstream_backlog(x->up) == 0;
	x->step = STEP_RELAY;
	x->answer_us = clock_mono_us();
	relay_head(x, head);
}

static void
on_answer_body(void *ctx, struct span bytes)
{
	relay_body(ctx, bytes);
}

static void
on_answer_complete(void *ctx)
{
	struct exchange *x = ctx;
	x->is_answer_complete = true;
}

static void
on_answer_batch(void *ctx)
{
	struct exchange *x = ctx;
	if (x->has_answer)
		relay_batch(x);
}

static void
on_request_drained(void *ctx)
{
	struct exchange *x = ctx;
	if (x->client != NULL)
		client_read_more(x->client);
}

static const struct upstream_events upstream_ops = {
    .ready = on_ready,
    .head = on_answer_head,
    .body = on_answer_body,
    .complete = on_answer_complete,
    .batch = on_answer_batch,
    .failed = on_failed,
    .drained = on_request_drained,
};

/* ---- the step ---- */

/* A small request that is whole waits for the end of the turn before it goes out, and can be sent again. */
static enum pool_choice
choose(const struct exchange *x, bool fresh)
{
	if (fresh || x->is_websocket)
		return POOL_FRESH;
	return is_whole(x) && buf_len(&x->body) <= SMALL_BODY ? POOL_ANY : POOL_QUIET;
}

static bool
start_attempt(struct exchange *x, bool fresh)
{
	const struct provider *p = x->route.provider;
	const struct config *cf = x->setup->config;
	struct tls_ctx *tls = x->to.is_tls ? setup_tls(x->setup, p) : NULL;
	if (x->to.is_tls && tls == NULL) {
		exchange_fail(
		    x, E_UPSTREAM_TLS, "no root certificates were found; set upstream.ca");
		return false;
	}
	if (!reserve_is_whole()) {
		exchange_fail(x, E_NOMEM, NULL);
		return false;
	}
	bool is_proxied = x->to.is_tls && proxy_way_is_for(x->setup->proxy, x->to.host, x->to.port);
	x->attempts++;
	x->is_request_sent = false;
	x->attempt_us = clock_mono_us();
	x->up = pool_lease(x->g->pool,
	    &(struct origin){.host = x->to.host,
		.port = x->to.port,
		.tls = tls,
		.allow_private = p->allow_private,
		.proxy = is_proxied ? x->setup->proxy : NULL},
	    &(struct upstream_timeouts){.connect_ms = (unsigned)cf->upstream.connect_ms,
		.tls_ms = (unsigned)cf->upstream.tls_ms,
		.idle_ms = (unsigned)cf->upstream.pool_idle_ms},
	    choose(x, fresh));
	upstream_attach(x->up, &upstream_ops, x, &x->arena, x->head.method);
	if (upstream_is_ready(x->up) && !send_request(x)) {
		exchange_fail(x, E_OVERLOADED, NULL);
		return false;
	}
	return true;
}

enum step_result
step_attempt(struct exchange *x)
{
	if (x->up == NULL && (x->attempts == 0 || split_is_again(x)) && !start_attempt(x, false))
		return STEP_MORE;
	return STEP_WAIT;
}

void
attempt_drop(struct exchange *x)
{
	timer_stop(x->g->loop, &x->timer);
	if (x->up != NULL)
		upstream_cancel(x->up);
	x->up = NULL;
}

/* Behind an answer that came early the provider may read the rest of our request as another one:
 * CVE-2025-4366 and "HTTP/1.1 must die". */
void
attempt_leave(struct exchange *x)
{
	if (!x->is_answer_complete) {
		attempt_drop(x);
		return;
	}
	timer_stop(x->g->loop, &x->timer);
	if (x->up != NULL)
		upstream_return(x->up, x->is_request_out && !x->is_websocket);
	x->up = NULL;
}
