#include "base/clock.h"
#include "base/num.h"
#include "cache/answer_head.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"

#include <string.h>

/* The stored fields behind the hash of the request that stored them. */
static bool
put_head(struct exchange *x)
{
	struct answer_head stored;
	if (!answer_head_read(entry_headers(x->entry), &stored))
		return false;
	int64_t age_s = (clock_wall_ms() - x->found.stored_ms) / 1000;
	x->is_kept_alive = client_may_keep(x->client);
	x->replied_us = clock_mono_us();
	buf_reset(&x->out);
	return own_response(x->found.status, gateway_date(x->g), stored.fields,
	    &(struct gateway_fields){.id = x->id_text,
		.event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
		.cache_status = x->is_stale ? "STALE" : "HIT",
		.age_s = age_s > 0 ? age_s : 0,
		.overhead_us = (int64_t)(x->replied_us - x->ready_us),
		.framing = BODY_LENGTH,
		.length = x->found.body_size,
		.is_http10 = x->head.minor == 0,
		.keep_alive = x->is_kept_alive},
	    &x->out);
}

static enum step_result
fall_through(struct exchange *x)
{
	entry_release(x->entry);
	x->entry = NULL;
	x->is_stale = false;
	x->step = STEP_ATTEMPT;
	if (x->attempts > 0) /* it stood in for a failure: then that it is */
		exchange_fail(x, x->attempt_failed, NULL);
	return STEP_MORE;
}

static enum step_result
lose_entry(struct exchange *x)
{
	x->why = E_CORRUPT;
	x->ended_in = STEP_REPLAY;
	x->is_truncated = true;
	x->step = STEP_SETTLE;
	return STEP_MORE;
}

/* Piece by piece, never more than the high-water mark ahead of the client. */
enum step_result
step_replay(struct exchange *x)
{
	gateway_reads_entries(x->g);
	if (!x->is_head_sent) {
		x->found = *entry_meta(x->entry);
		struct span first;
		/* The first piece before the head: a damaged entry is a miss, not a broken answer. */
		if ((x->found.body_size > 0 && entry_body(x->entry, 0, &first) != E_OK) ||
		    !put_head(x))
			return fall_through(x);
		x->status = x->found.status;
		x->is_head_sent = true;
		CHK(box_put(x, buf_view(&x->out), false));
	}
	while (x->replayed < x->found.body_size) {
		struct span piece;
		if (client_backlog(x->client) > HIGH_WATER)
			return STEP_WAIT;
		if (entry_body(x->entry, x->replayed, &piece) != E_OK)
			return lose_entry(x);
		x->replayed += piece.n;
		x->response_size = x->replayed;
		CHK(box_put(x, piece, true));
		if (x->replayed < x->found.body_size)
			relay_flush(x);
		else if (client_backlog(x->client) > 0) {
			/* The last one is written with the record; its view does not live until then. */
			x->replayed -= piece.n;
			x->box.n--;
			if (x->box.n > 0)
				relay_flush(x);
			return STEP_WAIT;
		}
	}
	x->step = STEP_SETTLE;
	return STEP_MORE;
}
