#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cache/answer_head.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/refuse.h"
#include "gateway/setup.h"
#include "gateway/tunnel.h"
#include "gateway/upstream.h"
#include "obs/metric.h"

static const struct span last_chunk = {"0\r\n\r\n", 5};

/* In the order of enum step: the second letter of a record's ending. */
static const char step_letters[] = "RBPLHFIADWS";

/* ---- an answer of our own ---- */

static const char *
verdict_word(const struct exchange *x)
{
	if (is_hit(x))
		return "HIT";
	return x->plan.may_store ? "MISS" : "BYPASS";
}

/* Who sent that may mean another thing with what follows. */
static bool
is_misunderstood(const struct exchange *x)
{
	return x->is_refusal &&
	    (x->why == E_BAD_REQUEST || x->why == E_BAD_PATH || x->why == E_BAD_HEADER);
}

static void
put_own_answer(struct exchange *x, const char *content_type, struct span body)
{
	char fields[160];
	int n = snprintf(fields, sizeof(fields), "content-type: %s\r\n%s", content_type,
	    x->is_refusal ? refusal_advice(x->why, x->is_local) : "");
	const char *word = x->is_refusal ? err_row(x->why)->word : NULL;
	x->is_kept_alive = client_may_keep(x->client) && !is_misunderstood(x);
	x->response_size = body.n;
	buf_reset(&x->out);
	bool ok = own_response(x->status, gateway_date(x->g), span_of(fields, (size_t)n),
	    &(struct gateway_fields){.id = x->is_local ? NULL : x->id_text,
		.event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
		.cache_status = x->is_local ? NULL : verdict_word(x),
		.age_s = -1,
		.overhead_us = -1,
		.error_word = word,
		.framing = BODY_LENGTH,
		.length = body.n,
		.is_http10 = x->head.minor == 0,
		.keep_alive = x->is_kept_alive},
	    &x->out);
	if (ok && x->head.method != METHOD_HEAD)
		ok = buf_put_span(&x->out, body);
	x->is_head_sent = true;
	x->replied_us = clock_mono_us();
	box_empty(x);
	if (ok)
		CHK(box_put(x, buf_view(&x->out), false));
	else
		x->is_truncated = true;
}

static enum refusal_shape
shape_of(const struct exchange *x)
{
	if (x->route.is_cloudflare_form)
		return REFUSAL_CLOUDFLARE;
	if (x->route.provider == NULL)
		return REFUSAL_OPENAI;
	return refusal_shape_of(
	    x->endpoint.class == ENDPOINT_OTHER ? x->route.provider->dialect : x->endpoint.dialect);
}

/* The table's text, then what is special here. */
static struct span
message_of(struct exchange *x)
{
	const char *text = err_row(x->why)->text;
	if (x->hint != NULL)
		return arena_printf(&x->arena, "%s: %s", text, x->hint);
	if (x->why == E_UNKNOWN_PROVIDER) {
		struct span near = registry_nearest(x->setup->registry, x->route.slug);
		if (near.n > 0)
			return arena_printf(
			    &x->arena, "%s; did you mean '%.*s'?", text, SPAN_FMT(near));
	}
	return span_str(text);
}

static void
put_refusal(struct exchange *x)
{
	struct buf *body = &x->capture.body;
	x->status = err_row(x->why)->status;
	body->max = 8192;
	buf_reset(body);
	if (!refusal_body(shape_of(x), x->why, message_of(x), body))
		buf_reset(body);
	metric_add(M_REFUSED, 1);
	put_own_answer(x, "application/json", buf_view(body));
}

static void
put_local(struct exchange *x)
{
	struct local_reply reply = {
	    .status = 404, .content_type = "text/plain", .refused = E_NOT_FOUND};
	struct address local = client_local(x->client);
	buf_init(&reply.body, 1024 * 1024);
	x->g->parts.local(x->g->parts.local_ctx,
	    &(struct local_request){.head = &x->head,
		.target = x->target,
		.local = &local,
		.is_admin_listener = client_is_admin_listener(x->client)},
	    &reply);
	if (reply.refused != E_OK) {
		x->why = reply.refused;
		x->is_refusal = true;
		put_refusal(x);
	} else {
		x->status = reply.status;
		x->out.max = buf_len(&reply.body) + 4096;
		put_own_answer(x, reply.content_type, buf_view(&reply.body));
	}
	buf_fini(&reply.body);
}

/* ---- tokens ---- */

enum { ENTRY_STREAM = 1, ENTRY_ESTIMATED = 2 }; /* flags of an entry */

/* A stream whose provider said nothing of tokens: an event of content is about a token, and four bytes of
 * the request are. */
static bool
estimate(const struct exchange *x, const struct meter_result *m, struct usage *u)
{
	if (u->is_present || !m->is_stream || m->output_events == 0)
		return false;
	u->tokens[USAGE_OUTPUT] = m->output_events;
	if (x->is_held)
		u->tokens[USAGE_INPUT] = (int64_t)(x->request_size + 3) / 4;
	return true;
}

/* What the provider said; for a hit, what it said then. */
static struct usage
usage_of(const struct exchange *x, bool *is_estimated)
{
	struct usage u;
	usage_init(&u);
	*is_estimated = false;
	if (is_hit(x) || x->is_composed) {
		for (size_t i = 0; i < USAGE_CLASSES; i++)
			u.tokens[i] = x->found.usage[i];
		*is_estimated = x->found.flags & ENTRY_ESTIMATED;
	} else if (x->meter.meter != NULL) {
		const struct meter_result *m = meter_result(x->meter.meter);
		u = m->usage;
		*is_estimated = estimate(x, m, &u);
	}
	return u;
}

/* ---- the cache ---- */

/* An end that is only the connection's may be a cut: then the stream's own end must have come. */
static bool
is_answer_whole(const struct exchange *x)
{
	const struct meter_result *m = x->meter.meter == NULL ? NULL : meter_result(x->meter.meter);
	bool ends_itself = m != NULL && m->is_stream && m->is_complete;
	return x->is_answer_complete && !x->is_truncated && (m == NULL || m->is_complete) &&
	    (x->answer.framing != BODY_UNTIL_CLOSE || ends_itself);
}

/* Of the answer as it was: for the cache, and for the records of those who followed. */
static void
fill_meta(const struct exchange *x, struct entry_meta *meta)
{
	const struct meter_result *m = x->meter.meter == NULL ? NULL : meter_result(x->meter.meter);
	bool is_estimated;
	struct usage u = usage_of(x, &is_estimated);
	*meta = (struct entry_meta){.stored_ms = clock_wall_ms(), .status = x->status};
	meta->flags =
	    (m != NULL && m->is_stream ? ENTRY_STREAM : 0) | (is_estimated ? ENTRY_ESTIMATED : 0);
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		meta->usage[i] = u.tokens[i];
	if (x->log_wishes.collect)
		memcpy(meta->record, x->id.b, sizeof(meta->record));
}

/* How long an entry is kept past its time. */
static int64_t
stale_ms(const struct config_gateway *cg)
{
	uint64_t a = cg->cache.stale_if_error_ms, b = cg->cache.stale_while_revalidate_ms;
	return (int64_t)(a > b ? a : b);
}

static void
store_answer(struct exchange *x)
{
	const struct meter_result *m = x->meter.meter == NULL ? NULL : meter_result(x->meter.meter);
	const struct cache_answer answer = {.head = &x->answer,
	    .is_complete = is_answer_whole(x) && !x->capture.is_cut,
	    .has_error = m != NULL && m->has_error,
	    .size = x->response_size};
	uint64_t ttl_ms = cache_answer_ttl_ms(x->route.gateway, &x->plan, &answer);
	if (ttl_ms == 0)
		return;
	struct buf head;
	buf_init(&head, 8192);
	struct entry_new n = {.key = x->key,
	    .preimage = buf_view(&x->preimage),
	    .preimage_buf = &x->preimage,
	    .gateway = span_str(x->route.gateway->name),
	    .provider = x->route.provider->slug,
	    .model = x->facts.model,
	    .body = buf_view(&x->capture.body),
	    .body_buf = x->split == NULL ? &x->capture.body : NULL};
	fill_meta(x, &n.meta);
	n.meta.fresh_ms = n.meta.stored_ms + (int64_t)ttl_ms;
	n.meta.expires_ms = n.meta.fresh_ms + stale_ms(x->route.gateway);
	if (exchange_stored_head(x, &head)) {
		if (x->flight != NULL)
			flight_close(x->flight); /* the store may take the preimage */
		n.headers = buf_view(&head);
		put_entry(x, &n);
	}
	buf_fini(&head);
}

/* Who follows gets the end of the answer, or goes on without this exchange. */
static void
end_flight(struct exchange *x)
{
	struct flight *f = x->flight;
	struct entry_meta meta;
	x->flight = NULL;
	if (f == NULL)
		return;
	if (x->is_answer_complete && x->has_answer) {
		fill_meta(x, &meta);
		flight_complete(f, &meta);
	} else {
		flight_fail(f);
	}
}

/* ---- the record ---- */

static void
fill_usage(const struct exchange *x, struct record *r)
{
	struct usage u = usage_of(x, &r->is_estimated);
	if (is_hit(x))
		r->cost_usd12 = 0;
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		r->usage[i] = u.tokens[i];
	r->tokens_in = usage_tokens_in(&u);
	r->tokens_out = usage_tokens_out(&u);
}

static int64_t
span_us(uint64_t from, uint64_t to)
{
	return from == 0 || to < from ? -1 : (int64_t)(to - from);
}

static void
fill_times(const struct exchange *x, struct record *r)
{
	r->duration_us = span_us(x->began_us, clock_mono_us());
	if (is_hit(x)) {
		r->ttfb_us = span_us(x->began_us, x->replied_us);
		r->overhead_us = span_us(x->ready_us, x->replied_us);
		return;
	}
	r->ttfb_us = span_us(x->attempt_us, x->answer_us);
	r->ttft_us = span_us(x->attempt_us, x->meter.first_output_us);
	if (x->has_answer && x->replied_us != 0 && x->attempt_us >= x->ready_us)
		r->overhead_us =
		    (int64_t)((x->attempt_us - x->ready_us) + (x->replied_us - x->answer_us));
}

static char
who_ended(enum err why)
{
	switch (err_row(why)->blame) {
	case BLAME_NONE:
		return '-';
	case BLAME_CLIENT:
		return 'C';
	case BLAME_UPSTREAM:
		return 'U';
	case BLAME_GATEWAY:
		return 'G';
	case BLAME_TIMEOUT:
		return 'T';
	}
	return '-';
}

static enum record_cache
verdict(const struct exchange *x)
{
	if (is_hit(x))
		return x->is_stale ? RECORD_STALE : RECORD_HIT;
	return x->plan.may_store ? RECORD_MISS : RECORD_BYPASS;
}

static bool
has_last_chunk(const struct exchange *x)
{
	return x->out_framing == BODY_CHUNKED && x->is_head_sent && !x->is_truncated;
}

/* What write_last will write: the record comes before it. */
static size_t
last_bytes(const struct exchange *x)
{
	if (x->client == NULL)
		return 0;
	return buf_len(&x->tail) + box_bytes(x) + (has_last_chunk(x) ? last_chunk.n : 0);
}

static void
record(struct exchange *x)
{
	if (x->is_recorded || x->is_local)
		return;
	x->is_recorded = true;
	char ending[3] = {who_ended(x->why), x->why == E_OK ? '-' : step_letters[x->ended_in], 0};
	struct journal_entry e;
	struct record *r = &e.record;
	digest_entry(x, &e);
	r->created_ms = x->created_ms;
	r->gateway = x->route.gateway_name;
	r->account = x->route.account;
	r->provider = x->route.provider == NULL ? x->route.slug : x->route.provider->slug;
	r->host = x->to.host;
	r->client = span_str(x->client_text);
	r->ending = span_of(ending, 2);
	r->end_reason = span_str(err_row(x->why)->word);
	r->status = x->is_head_sent ? x->status : err_row(x->why)->status;
	r->cache = verdict(x);
	r->is_truncated = x->is_truncated;
	r->success = x->why == E_OK && (r->status / 100 == 2 || r->status / 100 == 3 || x->tunnel);
	if (x->tunnel != NULL) {
		r->frames_in = (int64_t)x->tunnel->in.frames;
		r->frames_out = (int64_t)x->tunnel->out.frames;
	}
	r->attempts = x->attempts;
	r->bytes_in = (int64_t)x->received_bytes;
	r->bytes_out = (int64_t)(x->sent_bytes + last_bytes(x));
	fill_times(x, r);
	fill_usage(x, r);
	r->is_stream =
	    is_hit(x) && (x->is_converted ? x->facts.is_stream : x->found.flags & ENTRY_STREAM);
	e.model = x->facts.model;
	if (x->meter.meter != NULL) {
		const struct meter_result *m = meter_result(x->meter.meter);
		r->is_stream = m->is_stream;
		if (e.model.n == 0)
			e.model = m->model;
	}
	e.key_memo = x->client == NULL ? NULL : &client_memos(x->client)->key_id;
	if (x->log_wishes.collect)
		journal_write(x->g->parts.journal, &e, &x->arena);
	else
		journal_count(r);
}

/* ---- the end ---- */

static enum client_next
next_of(const struct exchange *x)
{
	if (x->is_truncated)
		return x->out_framing == BODY_UNTIL_CLOSE ? CLIENT_ABORT : CLIENT_LINGER;
	return x->is_kept_alive ? CLIENT_KEEP : CLIENT_LINGER;
}

static void
write_last(struct exchange *x)
{
	struct span parts[PIECES + 2];
	size_t n = 0;
	if (x->client == NULL)
		return;
	if (buf_len(&x->tail) > 0)
		parts[n++] = buf_view(&x->tail);
	for (size_t i = 0; i < box_parts(x); i++)
		parts[n++] = x->box->parts[i];
	if (has_last_chunk(x))
		parts[n++] = last_chunk;
	if (n > 0)
		client_write(x->client, parts, n);
	box_empty(x);
}

static void
let_go(struct exchange *x)
{
	attempt_leave(x);
	flight_leave(&x->follow);
	x->is_over = true;
	defer_soon(x->g->loop, &x->reap, x->reap.fn, x); /* first, for the client's next one */
	if (x->client != NULL)
		client_exchange_over(x->client, next_of(x));
	x->client = NULL;
}

/* Once. True: a worker has large bodies to read first. */
static bool
begin(struct exchange *x)
{
	x->is_settling = true;
	if (x->is_local && !x->is_refusal && x->client != NULL)
		put_local(x);
	else if (x->is_refusal && x->client != NULL)
		put_refusal(x);
	refusal_count_limit(x->why);
	return !x->is_local && digest_start(x);
}

/* The record first, then the last bytes: whoever saw a whole answer finds it in the log. */
enum step_result
step_settle(struct exchange *x)
{
	if (!x->is_settling && begin(x))
		return STEP_WAIT;
	record(x);
	split_store(x);
	if (x->has_answer && x->is_answer_complete && x->has_preimage && !split_is_part(x))
		store_answer(x);
	write_last(x);
	end_flight(x);
	let_go(x);
	return STEP_WAIT;
}
