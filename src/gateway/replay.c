#include "base/clock.h"
#include "base/num.h"
#include "cache/answer_head.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/reader.h"

#include <string.h>

#define WRITE_BYTES (64 * 1024)

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
		.length = x->reader->size,
		.is_http10 = x->head.minor == 0,
		.keep_alive = x->is_kept_alive},
	    &x->out);
}

static enum step_result
fall_through(struct exchange *x)
{
	if (x->reader != NULL)
		reader_fini(x->reader);
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
	relay_flush(x);
	x->why = E_CORRUPT;
	x->ended_in = STEP_REPLAY;
	x->is_truncated = true;
	x->step = STEP_SETTLE;
	return STEP_MORE;
}

static enum err
begin(struct exchange *x, struct span *first)
{
	struct answer_head stored;
	if (!answer_head_read(entry_headers(x->entry), &stored))
		return E_CORRUPT;
	x->found = *entry_meta(x->entry);
	x->status = x->found.status;
	x->reader = arena_alloc(&x->arena, sizeof(*x->reader));
	if (x->reader == NULL)
		return E_NOMEM;
	reader_init(x->reader, x->entry, x->is_sealed ? &x->seal_key : NULL, &x->key,
	    buf_view(&x->preimage), stored.size);
	*first = SPAN_NONE;
	return stored.size > 0 ? reader_piece(x->reader, first) : E_OK;
}

/* A call of the kernel for each piece of 16 KB would cost more than its bytes. What a sealed entry gives lives only until it
 * gives more. */
static bool
is_worth_writing(const struct exchange *x)
{
	return x->is_sealed || box_bytes(x) >= WRITE_BYTES || box_parts(x) == PIECES;
}

/* Writes pieces, some at once. The last ones stay in the box, to go out behind the record, or in the tail if the client has not
 * read what came before: its view does not live that long. */
static enum step_result
put_piece(struct exchange *x, struct span piece)
{
	x->response_size = x->reader->given;
	bool is_last = x->reader->given == x->reader->size;
	if (is_last && client_backlog(x->client) > 0) {
		relay_flush(x);
		x->has_tail = buf_put_span(&x->tail, piece);
		return STEP_WAIT;
	}
	CHK(box_put(x, piece, true));
	if (!is_last && is_worth_writing(x))
		relay_flush(x);
	return STEP_MORE;
}

/* Piece by piece, never more than the high-water mark ahead of the client. */
enum step_result
step_replay(struct exchange *x)
{
	struct span piece;
	gateway_reads_entries(x->g);
	if (!x->is_head_sent) {
		/* The first piece before the head: a damaged entry is a miss, not a broken answer. */
		if (begin(x, &piece) != E_OK || !put_head(x))
			return fall_through(x);
		x->is_head_sent = true;
		CHK(box_put(x, buf_view(&x->out), false));
		if (piece.n > 0 && put_piece(x, piece) == STEP_WAIT)
			return STEP_WAIT;
	}
	if (x->has_tail && client_backlog(x->client) > 0)
		return STEP_WAIT;
	uint64_t begun = x->reader->given;
	while (x->reader->given < x->reader->size) {
		if (client_backlog(x->client) > high_water(x))
			return STEP_WAIT;
		if (x->reader->given - begun >= TURN_BYTES) {
			relay_flush(x); /* the views end with the turn */
			return exchange_yield(x);
		}
		if (reader_piece(x->reader, &piece) != E_OK)
			return lose_entry(x);
		if (put_piece(x, piece) == STEP_WAIT)
			return STEP_WAIT;
	}
	x->step = STEP_SETTLE;
	return STEP_MORE;
}
