#include <stdlib.h>
#include <string.h>

#include "cache/answer_head.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "gateway/exchange_int.h"
#include "gateway/gateway_int.h"
#include "journal/payload.h"

/* Bodies above are read by a worker: as JSON and for credentials that is 2 to 4 ms of a megabyte. */
#define OFF_LOOP_BYTES (128 * 1024)

/* Views of the exchange's bodies, which nobody changes while is_working. */
struct digest {
	struct journal_entry entry; /* as far as journal_bodies_make reads it */
	struct journal_bodies *bodies;
};

static struct span
stored_head_of(const struct exchange *x)
{
	return x->entry != NULL ? entry_headers(x->entry) : flight_fields(x->follow.flight);
}

static void
fill_bodies(struct exchange *x, struct journal_entry *e)
{
	if (!x->log_wishes.payload)
		return;
	e->max_payload = payload_max(x->route.gateway);
	e->scrub = x->route.gateway->log.scrub;
	e->seal = x->route.gateway->log.seal;
	struct span request = x->is_held ? buf_view(&x->body) : buf_view(&x->uploaded);
	struct span reply = buf_view(&x->capture.body);
	struct answer_head stored;
	bool has_stored = is_hit(x) && !x->is_converted && !x->is_composed &&
	    answer_head_read(stored_head_of(x), &stored);
	struct id none = {{0}};
	if (has_stored && memcmp(x->found.record, none.b, sizeof(none.b)) != 0) {
		/* The bodies are those of the exchange that filled the cache: named, not written again. */
		memcpy(e->record.body_record.b, x->found.record, sizeof(x->found.record));
		if (stored.request_hash == exchange_body_hash(x))
			request = SPAN_NONE;
		reply = SPAN_NONE;
	}
	if (request.n > 0)
		e->request = request;
	if (reply.n > 0)
		e->reply = reply;
}

static void
fill_entry(struct exchange *x, struct journal_entry *e)
{
	*e = (struct journal_entry){.head = &x->head, .target = &x->target};
	record_init(&e->record);
	e->record.id = x->id;
	e->record.request_size = (int64_t)x->request_size;
	e->record.response_size = (int64_t)x->response_size;
	e->response = x->has_answer && !x->is_refusal ? &x->answer.headers : NULL;
	fill_bodies(x, e);
}

void
digest_entry(struct exchange *x, struct journal_entry *e)
{
	if (x->digest == NULL) {
		fill_entry(x, e);
		return;
	}
	*e = x->digest->entry;
	e->prepared = x->digest->bodies;
}

void
digest_free(struct exchange *x)
{
	if (x->digest != NULL)
		journal_bodies_free(x->digest->bodies);
	free(x->digest);
	x->digest = NULL;
}

/* ---- the work ---- */

static bool
has_to_meter(const struct exchange *x)
{
	return x->meter.is_borrowing && x->is_answer_complete;
}

static void
meter_body(struct exchange *x)
{
	if (has_to_meter(x))
		meter_finish_with(x->meter.meter, buf_view(&x->capture.body), x->capture.is_full);
}

static void
work(void *ctx)
{
	struct exchange *x = ctx;
	meter_body(x);
	if (x->digest->bodies != NULL)
		journal_bodies_make(x->digest->bodies, &x->digest->entry);
}

static void
worked(void *ctx)
{
	struct exchange *x = ctx;
	x->is_working = false;
	exchange_pump(x);
}

/* What is about to be written lies where the next event may overwrite it. */
static bool
hold_last(struct exchange *x)
{
	if (x->client != NULL && buf_reserve(&x->tail, box_bytes(x)) == NULL)
		return false;
	relay_hold(x);
	return true;
}

/* Fills *e unless it is little for certain. */
static bool
is_large(struct exchange *x, struct journal_entry *e)
{
	size_t answer = buf_len(&x->capture.body), metered = has_to_meter(x) ? answer : 0;
	if (buf_len(&x->body) + buf_len(&x->uploaded) + answer + metered <= OFF_LOOP_BYTES)
		return false;
	fill_entry(x, e);
	return metered + (x->log_wishes.collect ? e->request.n + e->reply.n : 0) > OFF_LOOP_BYTES;
}

bool
digest_start(struct exchange *x)
{
	struct journal_entry e;
	if (!is_large(x, &e) || !hold_last(x)) {
		meter_body(x);
		return false;
	}
	attempt_leave(x); /* the provider is not made to wait, nor heard any more */
	x->digest = xcalloc(1, sizeof(*x->digest));
	x->digest->entry = e;
	if (x->log_wishes.collect)
		x->digest->bodies = journal_bodies_new(x->g->parts.journal);
	x->is_working = true;
	work_start(x->g->loop, work, worked, x);
	return true;
}
