/*
 * The engine inside a stream. Ciphertext goes out through the stream's own write path; the engine
 * is drained before the socket is armed, because what it holds no socket event will announce.
 */
#include "net/listener_int.h"
#include "net/stream_int.h"

#define ENCRYPT_AT_ONCE (64u << 10) /* then the kernel is tried: bounds the engine's output */

void
stream_tls_begin(struct stream *s, struct tls_ctx *ctx, const char *name)
{
	s->tls = tls_new(ctx, name);
	if (s->tls == NULL) {
		stream_end_with(s, E_NOMEM, "out of memory");
		return;
	}
	s->step_due = true;
	stream_schedule(s);
}

void
stream_tls_flush(struct stream *s)
{
	struct span out = tls_output(s->tls);

	if (out.n == 0)
		return;
	if (s->tx == TX_OPEN || s->tx == TX_FINISHING)
		stream_write_raw(s, &out, 1);
	tls_output_drop(s->tls, out.n);
}

/* ---- handshake ---- */

static void
handshake_done(struct stream *s)
{
	s->tls_pending = true; /* data may have come with the last flight */
	stream_opened(s);
}

/* A burst of handshakes is spread over turns, so that those who have one are still served. Who has our first flight is nearly
 * one of them, and does not wait behind those who come. What costs us as a client is the second step, the provider's chain,
 * but the first who take it bring a session, with which the others do without it. */
static bool
has_turn(struct stream *s)
{
	struct loop *l = s->loop;
	unsigned *steps = s->is_answered ? &l->finish_steps : &l->handshake_steps;
	unsigned most = s->is_answered ? LOOP_FINISHES_A_TURN : LOOP_HANDSHAKES_A_TURN;

	if (*steps >= most && !loop_has_time_for_newcomers(l))
		return false;
	++*steps;
	return true;
}

void
stream_tls_step(struct stream *s)
{
	enum tls_result r;

	if (!s->step_due || s->rx != RX_OPEN)
		return;
	if (!has_turn(s)) {
		stream_schedule(s);
		return;
	}
	s->step_due = false;
	r = tls_handshake(s->tls);
	s->is_answered = s->is_answered || tls_output(s->tls).n > 0;
	stream_tls_flush(s); /* an alert too */
	if (s->asked_ms == 0)
		s->asked_ms =
		    loop_now_ms(s->loop); /* not with each piece: a trickle buys no time */
	if (r == TLS_OK && s->tx == TX_OPEN)
		handshake_done(s);
	else if (r == TLS_FAILED || r == TLS_END)
		stream_end_with(s, E_UPSTREAM_TLS, tls_detail(s->tls));
}

/* ---- reading ---- */

void
stream_tls_received(struct stream *s, struct span cipher)
{
	if (s->tls == NULL)
		stream_tls_begin(s, listener_tls(s->listener), NULL);
	if (s->tls == NULL)
		return;
	if (tls_feed(s->tls, cipher) < cipher.n) {
		stream_end_with(s, E_NOMEM, "out of memory");
		return;
	}
	if (s->phase == PHASE_HANDSHAKE) {
		s->step_due = true;
		stream_schedule(s);
		return;
	}
	s->tls_pending = true;
	stream_tls_drain(s);
}

/* Fills the loop's buffer from the engine, so that a burst is one `read`, not one for each record. */
static enum tls_result
fill(struct stream *s, size_t room, size_t *n)
{
	enum tls_result r = TLS_OK;
	size_t more;

	for (*n = 0; r == TLS_OK && *n < room; *n += more)
		r = tls_read(s->tls, s->loop->plain + *n, room - *n, &more);
	return r;
}

static void
engine_ended(struct stream *s, enum tls_result r)
{
	if (r == TLS_OK)
		return;
	s->tls_pending = false;
	if (r == TLS_END)
		stream_end_with(s, E_EOF, NULL);
	else if (r == TLS_FAILED)
		stream_end_with(s, E_RESET, tls_detail(s->tls));
}

void
stream_tls_drain(struct stream *s)
{
	enum tls_result r = TLS_OK;
	size_t n;

	while (r == TLS_OK && s->phase == PHASE_OPEN && s->rx == RX_OPEN && stream_may_take(s)) {
		r = fill(s, KEPT_MAX - buf_len(&s->kept), &n);
		stream_tls_flush(s);
		if (n > 0)
			stream_received(s, span_of(s->loop->plain, n));
		if (s->phase == PHASE_OPEN)
			engine_ended(s, r);
	}
}

/* ---- writing ---- */

static void
encrypt(struct stream *s, struct span plain)
{
	while (plain.n > 0 && s->tx == TX_OPEN) {
		struct span piece = span_head(plain, ENCRYPT_AT_ONCE);

		if (tls_write(s->tls, piece) != TLS_OK) {
			stream_write_failed(s, tls_detail(s->tls));
			return;
		}
		stream_tls_flush(s);
		plain = span_skip(plain, piece.n);
	}
}

/* Small parts share a record: each costs 30 bytes and a pass of the cipher's set-up. */
void
stream_tls_write(struct stream *s, const struct span *parts, size_t n)
{
	char *gather = s->loop->gather;
	size_t have = 0;

	for (size_t i = 0; i < n; i++) {
		struct span part = parts[i];

		while (part.n > 0) {
			struct span piece = span_head(part, LOOP_GATHER_BYTES - have);

			if (have == 0 && (part.n >= LOOP_GATHER_BYTES || i + 1 == n)) {
				encrypt(s, part);
				break;
			}
			memcpy(gather + have, piece.p, piece.n);
			have += piece.n;
			part = span_skip(part, piece.n);
			if (have < LOOP_GATHER_BYTES)
				continue;
			encrypt(s, span_of(gather, have));
			have = 0;
		}
	}
	encrypt(s, span_of(gather, have));
}
