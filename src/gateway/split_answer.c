#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/gateway_int.h"
#include "gateway/split_int.h"
#include "http/gunzip.h"

#define PIECE_BYTES (64 * 1024)
#define AROUND 64 /* bytes around a value in an answer, at most */

/* ---- the answer read ---- */

/* The bytes that were captured, without their compression: in *plain, if they had one. p == NULL: not to be read. */
static struct span
decode(const struct headers *h, struct span body, struct buf *plain)
{
	struct span coding = headers_value(h, H_CONTENT_ENCODING);
	if (coding.n == 0 || span_eq_nocase(coding, SPAN_LIT("identity")))
		return body;
	if (!span_eq_nocase(coding, SPAN_LIT("gzip")) &&
	    !span_eq_nocase(coding, SPAN_LIT("x-gzip")))
		return SPAN_NONE;
	return gunzip_whole(body, plain) ? buf_view(plain) : SPAN_NONE;
}

/* The answer's values, in order, to the inputs that were not found. */
static bool
keep_values(struct split *s, const struct embeddings *e)
{
	size_t n = s->n - s->hits, j = 0;
	struct json_val *inputs = calloc(n, sizeof(*inputs));
	int64_t *shares = calloc(n, sizeof(*shares));
	bool ok = inputs != NULL && shares != NULL;
	for (size_t i = 0; ok && i < s->n; i++)
		if (!s->items[i].is_hit)
			inputs[j++] = s->inputs[i];
	if (ok)
		embeddings_shares(e->tokens, inputs, n, shares);
	j = 0;
	for (size_t i = 0; ok && i < s->n; i++) {
		struct split_item *it = &s->items[i];
		if (it->is_hit)
			continue;
		it->at = buf_len(&s->held);
		ok = json_write(e->values[j], &s->held);
		it->n = buf_len(&s->held) - it->at;
		it->tokens = shares[j++];
	}
	free(inputs);
	free(shares);
	return ok;
}

/* All values in order, into the buffer that an answer's capture has. */
static bool
compose(struct exchange *x, struct span usage)
{
	struct split *s = x->split;
	struct buf *out = &x->capture.body;
	struct span *values = calloc(s->n, sizeof(*values));
	if (values == NULL)
		return false;
	for (size_t i = 0; i < s->n; i++)
		values[i] = span_of(buf_view(&s->held).p + s->items[i].at, s->items[i].n);
	buf_reset(out);
	out->max = buf_len(&s->held) + s->n * AROUND + buf_len(&s->model) * 6 + usage.n + 256;
	bool ok = embeddings_write(
	    &(struct embeddings_parts){
		.values = values, .n = s->n, .model = buf_view(&s->model), .usage = usage},
	    out);
	free(values);
	return ok;
}

static bool
compose_fresh(struct exchange *x, const struct embeddings *e)
{
	struct buf usage;
	buf_init(&usage, 64 * 1024);
	bool ok = (e->usage_said.v == NULL || json_write(e->usage_said, &usage)) &&
	    compose(x, buf_view(&usage));
	buf_fini(&usage);
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		x->found.usage[i] = e->usage.tokens[i];
	return ok;
}

void
split_read(void *ctx)
{
	struct exchange *x = ctx;
	struct split *s = x->split;
	struct embeddings e;
	struct buf plain;
	buf_init(&plain, SPLIT_MAX);
	struct span body =
	    buf_len(&s->answer) > 0 ? buf_view(&s->answer) : buf_view(&x->capture.body);
	struct span text = decode(&x->answer.headers, body, &plain);
	s->is_good = false;
	if (text.p != NULL && embeddings_read(text, s->n - s->hits, &e)) {
		/* Values of two models do not belong together. */
		s->is_good = split_same_model(s, e.model) && keep_values(s, &e) &&
		    (!s->is_part || compose_fresh(x, &e));
		embeddings_free(&e);
	}
	buf_fini(&plain);
	s->is_read = s->is_good;
}

/* What each input had, together; not known when that of one is not. */
static int64_t
tokens_of_all(const struct split *s)
{
	int64_t sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (s->items[i].tokens < 0)
			return -1;
		sum += s->items[i].tokens;
	}
	return sum;
}

void
split_join(void *ctx)
{
	struct exchange *x = ctx;
	char usage[96] = "";
	int64_t tokens = tokens_of_all(x->split);
	if (tokens >= 0)
		snprintf(usage, sizeof(usage),
		    "{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}", tokens, tokens);
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		x->found.usage[i] = -1;
	x->found.usage[USAGE_INPUT] = tokens;
	x->found.status = x->status = 200;
	x->split->is_good = compose(x, span_str(usage));
}

/* ---- the answer written ---- */

/* What is said of the bytes that came, and is not true of those that go. */
static void
strip(struct headers *h)
{
	static const char *const names[] = {"content-encoding", "etag", "content-md5", "digest",
	    "content-digest", "repr-digest", "accept-ranges"};
	size_t n = 0;
	for (size_t i = 0; i < h->n; i++) {
		bool is_kept = true;
		for (size_t j = 0; j < COUNT_OF(names); j++)
			is_kept = is_kept && !span_eq_nocase(h->items[i].name, span_str(names[j]));
		if (is_kept)
			h->items[n++] = h->items[i];
	}
	h->n = n;
}

bool
split_put_head(struct exchange *x)
{
	const struct split *s = x->split;
	char items[32];
	int64_t age_s = (clock_wall_ms() - s->oldest_ms) / 1000;
	uint64_t now = clock_mono_us();
	snprintf(items, sizeof(items), "%zu/%zu", s->hits, s->n);
	x->replied_us = now;
	x->out_framing = BODY_LENGTH;
	x->is_kept_alive = client_may_keep(x->client);
	struct gateway_fields f = {.id = x->id_text,
	    .event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
	    .cache_status = x->has_answer ? "MISS" : "HIT",
	    .cache_items = items,
	    .age_s = -1,
	    .framing = BODY_LENGTH,
	    .length = buf_len(&x->capture.body),
	    .is_http10 = x->head.minor == 0,
	    .keep_alive = x->is_kept_alive};
	buf_reset(&x->out);
	if (x->has_answer) {
		uint64_t before = x->attempt_us > x->ready_us ? x->attempt_us - x->ready_us : 0;
		f.overhead_us = (int64_t)(before + (now - x->answer_us));
		strip(&x->answer.headers);
		return forward_response(&x->answer, &f, &x->out);
	}
	f.age_s = age_s > 0 ? age_s : 0;
	f.overhead_us = (int64_t)(now - x->ready_us);
	return own_response(
	    200, gateway_date(x->g), SPAN_LIT("content-type: application/json\r\n"), &f, &x->out);
}

/* Piece by piece, never more than the high-water mark ahead of the client; the last one goes out behind the record, when
 * the client has read the rest. */
enum step_result
split_write(struct exchange *x)
{
	struct span rest = span_skip(buf_view(&x->capture.body), x->response_size);
	uint64_t begun = x->response_size;
	while (rest.n > 0) {
		if (x->response_size - begun >= TURN_BYTES)
			return exchange_yield(x);
		struct span piece = span_head(rest, PIECE_BYTES);
		bool is_last = piece.n == rest.n;
		if (client_backlog(x->client) > (is_last ? 0 : high_water(x)))
			return STEP_WAIT;
		CHK(box_put(x, piece, true));
		x->response_size += piece.n;
		if (!is_last)
			relay_flush(x);
		rest = span_skip(rest, piece.n);
	}
	x->step = STEP_SETTLE;
	return STEP_MORE;
}

/* ---- the store ---- */

static void
put_item(struct exchange *x, size_t i)
{
	struct split *s = x->split;
	const struct split_item *it = &s->items[i];
	struct span preimage = split_preimage(x, i);
	uint64_t size = it->n;
	struct buf head;
	buf_init(&head, 1024);
	if (it->n <= SPLIT_VALUE_MAX && preimage.p != NULL && buf_put(&head, &size, sizeof(size)) &&
	    buf_put_span(&head, buf_view(&s->model))) {
		struct entry_new n = {.key = preimage_key(x->g->parts.cache_keys, preimage),
		    .preimage = preimage,
		    .gateway = span_str(x->route.gateway->name),
		    .provider = x->route.provider->slug,
		    .model = x->facts.model,
		    .headers = buf_view(&head),
		    .body = span_of(buf_view(&s->held).p + it->at, it->n),
		    .meta = {.stored_ms = clock_wall_ms(), .status = 200}};
		for (size_t j = 0; j < USAGE_CLASSES; j++)
			n.meta.usage[j] = -1;
		n.meta.usage[USAGE_INPUT] = it->tokens;
		n.meta.fresh_ms = n.meta.expires_ms = n.meta.stored_ms + (int64_t)s->ttl_ms;
		put_entry(x, &n);
	}
	buf_fini(&head);
}

static void
on_slice(void *ctx)
{
	struct exchange *x = ctx;
	x->is_working = false;
	split_store_rest(x);
}

/* A slice in each turn of the loop. The exchange may be over: until the last slice it is kept. */
void
split_store_rest(struct exchange *x)
{
	struct split *s = x->split;
	size_t done = 0;
	for (; s->is_read && s->next < s->n && done < SPLIT_SLICE; s->next++) {
		if (s->items[s->next].is_hit)
			continue;
		put_item(x, s->next);
		done += buf_len(&s->base) + s->items[s->next].n + 1024;
	}
	if (s->is_read && s->next < s->n) {
		x->is_working = true;
		timer_start(x->g->loop, &s->timer, 0, on_slice, x);
	} else if (x->is_over) {
		defer_start(x->g->loop, &x->reap, x->reap.fn, x);
	}
}

static void
on_later(void *ctx)
{
	struct exchange *x = ctx;
	split_run(x, SIZE_MAX, split_read);
}

/* In the next turn: this one copies the whole answer into the store, and should not wait for memory that a worker takes. */
static void
store_later(struct exchange *x)
{
	struct split *s = x->split;
	/* Sealing takes the captured body away. */
	if (x->is_sealed && !buf_put_span(&s->answer, buf_view(&x->capture.body)))
		return;
	x->is_working = true;
	timer_start(x->g->loop, &s->timer, 0, on_later, x);
}

void
split_store(struct exchange *x)
{
	struct split *s = x->split;
	const struct cache_answer answer = {
	    .head = &x->answer, .is_complete = x->answer.framing != BODY_UNTIL_CLOSE};
	if (s == NULL || !x->has_answer || !x->is_answer_complete || x->is_refusal)
		return;
	s->ttl_ms = cache_answer_ttl_ms(x->route.gateway, &x->plan, &answer);
	s->next = 0;
	if (s->ttl_ms == 0)
		return;
	if (!s->is_part) {
		if (x->capture.is_cut)
			return;
		if (buf_len(&x->capture.body) > SPLIT_OFF_LOOP) {
			store_later(x);
			return;
		}
		split_read(x);
	}
	split_store_rest(x);
}
