#include "gateway/split_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "gateway/client.h"
#include "gateway/gateway_int.h"
#include "gateway/reader.h"
#include "gateway/setup.h"
#include "gateway/upstream.h"

#define BASE_MAX (8 * 1024) /* all that is not input: it is hashed once for each of them */
#define MODEL_MAX 256

/* ---- whether a request is a batch ---- */

/* Changed bytes would not be what was signed. */
static bool
is_signed(const struct headers *h)
{
	static const char *const names[] = {
	    "content-md5", "digest", "content-digest", "signature", "x-signature"};
	for (size_t i = 0; i < h->n; i++) {
		for (size_t j = 0; j < COUNT_OF(names); j++)
			if (span_eq_nocase(h->items[i].name, span_str(names[j])))
				return true;
	}
	return headers_find(h, H_X_AMZ_DATE) != NULL;
}

static size_t
count(const struct exchange *x)
{
	const struct config_gateway *cg = x->route.gateway;
	if (!cg->cache.split_embeddings || x->endpoint.class != ENDPOINT_EMBEDDINGS ||
	    x->endpoint.dialect != DIALECT_OPENAI || !x->has_preimage || !x->plan.may_store ||
	    x->wishes.key.n > 0 || is_signed(&x->head.headers))
		return 0;
	return embeddings_count(json_root(x->doc), cg->cache.ignore);
}

static struct split *
new_split(struct exchange *x, size_t n)
{
	struct split *s = calloc(1, sizeof(*s));
	struct json_val *inputs = calloc(n, sizeof(*inputs));
	struct split_item *items = calloc(n, sizeof(*items));
	if (s == NULL || inputs == NULL || items == NULL) {
		free(s);
		free(inputs);
		free(items);
		return NULL;
	}
	size_t body = buf_len(&x->body) * 6 + BASE_MAX;
	s->n = n;
	s->inputs = inputs;
	s->items = items;
	embeddings_inputs(json_root(x->doc), s->inputs);
	buf_init(&s->base, BASE_MAX);
	buf_init(&s->text, body);
	buf_init(&s->held, SPLIT_MAX);
	buf_init(&s->model, MODEL_MAX);
	buf_init(&s->reduced, body);
	buf_init(&s->answer, SPLIT_MAX);
	s->oldest_ms = INT64_MAX;
	return s;
}

void
split_free(struct exchange *x)
{
	struct split *s = x->split;
	x->split = NULL;
	if (s == NULL)
		return;
	timer_stop(x->g->loop, &s->timer);
	buf_fini(&s->base);
	buf_fini(&s->text);
	buf_fini(&s->held);
	buf_fini(&s->model);
	buf_fini(&s->reduced);
	buf_fini(&s->answer);
	free(s->inputs);
	free(s->items);
	free(s);
}

bool
split_begin(struct exchange *x)
{
	size_t n = x->split == NULL ? count(x) : 0;
	if (n == 0)
		return false; /* or looked up already, and then a flight failed */
	x->split = new_split(x, n);
	if (x->split == NULL)
		return false;
	if (exchange_item_base(x, &x->split->base) != PREIMAGE_OK) {
		split_free(x);
		return false;
	}
	x->split->base_n = buf_len(&x->split->base);
	x->split->base.max += x->split->text.max;
	x->step = STEP_ITEMS;
	return x->plan.may_read;
}

/* ---- the look-up ---- */

struct span
split_preimage(struct exchange *x, size_t i)
{
	struct split *s = x->split;
	buf_cut(&s->base, s->base_n);
	buf_reset(&s->text);
	if (!json_write(s->inputs[i], &s->text) || !preimage_put_item(buf_view(&s->text), &s->base))
		return SPAN_NONE;
	return buf_view(&s->base);
}

bool
split_same_model(struct split *s, struct span model)
{
	if (s->has_model)
		return span_eq(buf_view(&s->model), model);
	s->has_model = buf_put_span(&s->model, model);
	return s->has_model;
}

void
split_forget(struct split *s)
{
	buf_reset(&s->held);
	buf_reset(&s->model);
	memset(s->items, 0, s->n * sizeof(*s->items));
	s->has_model = false;
	s->hits = 0;
}

static bool
read_value(struct reader *r, struct buf *out)
{
	size_t before = buf_len(out);
	while (r->given < r->size) {
		struct span piece;
		if (reader_piece(r, &piece) != E_OK || !buf_put_span(out, piece)) {
			buf_cut(out, before);
			return false;
		}
	}
	return buf_len(out) > before;
}

/* An entry's headers are the length of its value and the model that made it. One of another model is none of this answer. */
static void
take(struct exchange *x, struct split_item *it, struct entry *e, const struct entry_key *key)
{
	struct split *s = x->split;
	struct span head = entry_headers(e);
	struct reader r;
	uint64_t size;
	if (head.n < sizeof(size))
		return;
	memcpy(&size, head.p, sizeof(size));
	reader_init(&r, e, x->is_sealed ? &x->seal_key : NULL, key, buf_view(&s->base), size);
	it->at = buf_len(&s->held);
	if (read_value(&r, &s->held)) {
		it->n = buf_len(&s->held) - it->at;
		it->is_hit = split_same_model(s, span_skip(head, sizeof(size)));
	}
	reader_fini(&r);
	if (!it->is_hit) {
		buf_cut(&s->held, it->at);
		it->n = 0;
		return;
	}
	s->hits++;
	it->tokens = entry_meta(e)->usage[USAGE_INPUT];
	if (entry_meta(e)->stored_ms < s->oldest_ms)
		s->oldest_ms = entry_meta(e)->stored_ms;
}

static void
look_up_item(struct exchange *x, size_t i, int64_t now_ms)
{
	struct span preimage = split_preimage(x, i);
	if (preimage.p == NULL)
		return;
	struct entry_key key = preimage_key(x->g->parts.cache_keys, preimage);
	struct entry *e = find_entry(x, &key, preimage, now_ms);
	if (e == NULL)
		return;
	if (entry_meta(e)->fresh_ms > now_ms)
		take(x, &x->split->items[i], e, &key);
	entry_release(e);
}

static void
on_slice(void *ctx)
{
	exchange_pump(ctx);
}

static enum step_result
go_whole(struct exchange *x)
{
	split_forget(x->split);
	follow_or_lead(x);
	return STEP_MORE;
}

static void
reduce(void *ctx)
{
	struct exchange *x = ctx;
	struct split *s = x->split;
	bool *is_wanted = calloc(s->n, sizeof(*is_wanted));
	s->is_good = false;
	if (is_wanted == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		is_wanted[i] = !s->items[i].is_hit;
	s->is_good = embeddings_reduce(json_root(x->doc), is_wanted, &s->reduced);
	free(is_wanted);
}

static enum step_result
look(struct exchange *x)
{
	struct split *s = x->split;
	size_t done = 0;
	gateway_reads_entries(x->g);
	for (; s->next < s->n && done < SPLIT_SLICE; s->next++) {
		size_t before = buf_len(&s->held);
		look_up_item(x, s->next, clock_wall_ms());
		done += buf_len(&s->base) + (buf_len(&s->held) - before) + 1024;
	}
	if (s->next < s->n) {
		timer_start(x->g->loop, &s->timer, 0, on_slice, x);
		return STEP_WAIT;
	}
	if (s->hits == 0)
		return go_whole(x);
	s->phase = s->hits == s->n ? SPLIT_JOIN : SPLIT_REDUCE;
	return s->hits == s->n ? split_run(x, buf_len(&s->held), split_join)
			       : split_run(x, buf_len(&x->body), reduce);
}

/* ---- the request with what is missing, and its answer ---- */

struct span
split_request(const struct exchange *x)
{
	return split_is_part(x) ? buf_view(&x->split->reduced) : buf_view(&x->body);
}

bool
split_is_part(const struct exchange *x)
{
	return x->split != NULL && x->split->is_part;
}

bool
split_is_again(struct exchange *x)
{
	bool is_again = x->split != NULL && x->split->is_again;
	if (is_again)
		x->split->is_again = false;
	return is_again;
}

size_t
split_capture_max(const struct exchange *x)
{
	return x->split == NULL ? 0 : SPLIT_MAX;
}

bool
split_captures(struct exchange *x)
{
	struct split *s = x->split;
	if (!split_is_part(x) || x->status / 100 != 2)
		return false; /* an error is the caller's to see as it is */
	s->is_capturing = true;
	x->out_framing = BODY_NONE; /* nothing is written before the answer is put together */
	return true;
}

bool
split_is_capturing(const struct exchange *x)
{
	return x->split != NULL && x->split->is_capturing;
}

void
split_body(struct exchange *x, struct span bytes)
{
	if (!x->split->is_cut && !buf_put_span(&x->split->answer, bytes))
		x->split->is_cut = true;
}

/* The provider's answer is none that can be taken apart: the caller gets the one to his own request. */
static enum step_result
send_whole(struct exchange *x)
{
	struct split *s = x->split;
	split_forget(s);
	buf_fini(&s->answer);
	s->is_part = s->is_capturing = false;
	s->is_again = true;
	x->answer = (struct response_head){0};
	x->has_answer = x->is_answer_complete = false;
	x->status = 0;
	x->answer_us = 0;
	x->step = x->client == NULL ? STEP_SETTLE : STEP_ATTEMPT;
	return STEP_MORE;
}

void
split_batch(struct exchange *x)
{
	struct split *s = x->split;
	if (s->is_cut) {
		attempt_drop(x);
		send_whole(x);
		exchange_pump(x);
	} else if (x->is_answer_complete) {
		attempt_leave(x);
		s->is_capturing = false;
		s->phase = SPLIT_READ;
		x->answer_us = clock_mono_us(); /* before, nothing could be done with it */
		x->step = STEP_ITEMS;
		if (split_run(x, buf_len(&s->answer) + buf_len(&s->held), split_read) == STEP_MORE)
			exchange_pump(x);
	} else if (x->up != NULL) {
		exchange_watch_idle(x, x->setup->config->upstream.idle_ms);
		upstream_read_start(x->up);
	}
}

/* ---- the step ---- */

static void
on_worked(void *ctx)
{
	struct exchange *x = ctx;
	x->is_working = false;
	if (x->is_over)
		split_store_rest(x);
	else
		exchange_pump(x);
}

enum step_result
split_run(struct exchange *x, size_t bytes, void (*work)(void *ctx))
{
	if (bytes <= SPLIT_OFF_LOOP) {
		work(x);
		return STEP_MORE;
	}
	x->is_working = true;
	work_start(x->g->loop, work, on_worked, x);
	return STEP_WAIT;
}

static enum step_result
begin_write(struct exchange *x)
{
	x->is_composed = true;
	x->split->phase = SPLIT_WRITE;
	if (x->client == NULL) {
		x->step = STEP_SETTLE;
	} else if (!split_put_head(x)) {
		exchange_fail(x, E_UPSTREAM_PROTOCOL,
		    "the head of the answer is larger than the gateway takes");
	} else {
		x->is_head_sent = true;
		CHK(box_put(x, buf_view(&x->out), false));
	}
	return STEP_MORE;
}

enum step_result
step_items(struct exchange *x)
{
	struct split *s = x->split;
	switch (s->phase) {
	case SPLIT_LOOK:
		return look(x);
	case SPLIT_REDUCE:
		if (!s->is_good)
			return go_whole(x);
		s->is_part = true;
		x->step = STEP_ATTEMPT;
		return STEP_MORE;
	case SPLIT_JOIN:
		return s->is_good ? begin_write(x) : go_whole(x);
	case SPLIT_READ:
		return s->is_good ? begin_write(x) : send_whole(x);
	case SPLIT_WRITE:
		return split_write(x);
	}
	return STEP_WAIT;
}
