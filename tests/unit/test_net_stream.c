/* Each test of the first parts is named after a pitfall of c-models.md 6; its number stands above. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net_ends.h"

/* A stream of ours and a plain socket as its peer. */
struct couple {
	struct loop *loop;
	struct door door;
	struct end *e;
	int peer;
};

static struct couple *
couple_new(void)
{
	struct couple *c = xcalloc(1, sizeof(*c));

	c->loop = loop_new();
	door_open(&c->door, c->loop, NULL);
	c->peer = peer_connect(listener_address(c->door.l));
	RUN_UNTIL(c->loop, c->door.n == 1);
	c->e = &c->door.ends[0];
	return c;
}

static void
couple_free(struct couple *c)
{
	door_close(&c->door);
	if (c->peer >= 0)
		close(c->peer);
	loop_free(c->loop);
	free(c);
}

static void
leave_reset(struct couple *c)
{
	peer_reset(c->peer);
	c->peer = -1;
}

/* ---- reading ---- */

/* 1: with no room the socket is left alone; the loop sleeps instead of spinning. */
static void
a_full_stream_does_not_spin(void **state)
{
	struct couple *c = couple_new();
	static char much[4 * KEPT_MAX];
	uv_metrics_t before, after;
	bool over = false;
	struct timer t = {0};

	UNUSED(state);
	CALL(stream_read_watch(c->e->s));
	assert_true(send(c->peer, much, sizeof(much), MSG_DONTWAIT) > (ssize_t)KEPT_MAX);
	RUN_UNTIL(c->loop, buf_len(&c->e->s->kept) == KEPT_MAX);
	assert_int_equal(uv_metrics_info(&c->loop->uv, &before), 0);
	timer_start(c->loop, &t, 20, net_give_up, &over);
	RUN_UNTIL(c->loop, over);
	assert_int_equal(uv_metrics_info(&c->loop->uv, &after), 0);
	assert_true(after.loop_count - before.loop_count < 10);
	assert_int_equal(c->e->reads, 0);
	CALL(stream_read_start(c->e->s)); /* and all of it comes then */
	RUN_UNTIL(c->loop, c->e->n > KEPT_MAX);
	couple_free(c);
}

/* 2 */
static void
a_watched_stream_notices_fin_and_keeps_the_bytes(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	CALL(stream_read_watch(c->e->s));
	peer_send(c->peer, "next request");
	shutdown(c->peer, SHUT_WR);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->why, E_EOF);
	assert_int_equal(c->e->reads, 0);
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->n == 12);
	assert_memory_equal(c->e->got, "next request", 12);
	assert_true(end_write(c->e, "answer", 6)); /* half closed */
	couple_free(c);
}

/* What waits in the kernel counts, and it stays there. */
static void
input_is_seen_before_it_is_read(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	assert_false(stream_has_input(c->e->s));
	peer_send(c->peer, "too early");
	assert_true(stream_has_input(c->e->s));
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->n == 9);
	assert_false(stream_has_input(c->e->s));
	shutdown(c->peer, SHUT_WR);
	assert_true(stream_has_input(c->e->s));
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_true(stream_has_input(c->e->s));
	couple_free(c);
}

static void
a_watched_stream_notices_a_reset(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	CALL(stream_read_watch(c->e->s));
	leave_reset(c);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->why, E_RESET);
	couple_free(c);
}

static void
an_armed_reader_notices_that_the_client_has_gone(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	leave_reset(c);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->why, E_RESET);
	assert_string_not_equal(stream_detail(c->e->s), "");
	couple_free(c);
}

/* 3 */
static void
a_reset_behind_a_fin_is_found_by_asking(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	shutdown(c->peer, SHUT_WR);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->why, E_EOF);
	assert_int_equal(stream_peer_now(c->e->s), PEER_FINISHED);
	leave_reset(c);
	RUN_UNTIL(c->loop, stream_peer_now(c->e->s) == PEER_DEAD);
	couple_free(c);
}

/* libuv reports a hang-up behind a partial read as an end. */
static void
a_reset_right_behind_the_last_bytes_is_no_clean_end(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	peer_send(c->peer, "half of it");
	leave_reset(c);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->n, 10);
	assert_int_equal(c->e->why, E_RESET);
	couple_free(c);
}

/* 5 */
static void
stopping_inside_read_takes_effect_at_once(void **state)
{
	struct couple *c = couple_new();
	static char burst[512 << 10];

	UNUSED(state);
	c->e->stop = true;
	assert_true(send(c->peer, burst, sizeof(burst), MSG_DONTWAIT) > (ssize_t)(2 * KEPT_MAX));
	RUN_UNTIL(c->loop, c->e->reads == 1);
	assert_false(stream_is_reading(c->e->s));
	run_turns(c->loop, 20);
	assert_int_equal(c->e->reads, 1);
	c->e->stop = false;
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->reads > 1);
	couple_free(c);
}

static void
what_is_not_used_is_offered_again_in_front(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	c->e->take = 4;
	peer_send(c->peer, "onetwo");
	RUN_UNTIL(c->loop, c->e->reads == 1);
	assert_false(stream_is_reading(c->e->s)); /* using less pauses */
	peer_send(c->peer, "three");
	run_turns(c->loop, 20);
	assert_int_equal(c->e->reads, 1);
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->reads == 2);
	assert_int_equal(c->e->last_offer, 2); /* without waiting for newer bytes */
	RUN_UNTIL(c->loop, c->e->reads == 3);
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->n == 11);
	assert_memory_equal(c->e->got, "onetwothree", 11);
	assert_null(c->e->s->kept.p); /* an idle stream holds no buffer */
	couple_free(c);
}

static void
who_needs_more_gets_the_same_bytes_with_newer_ones(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	c->e->take = 0;
	c->e->again = true;
	peer_send(c->peer, "GET / HT");
	RUN_UNTIL(c->loop, c->e->reads == 1);
	run_turns(c->loop, 20);
	assert_int_equal(c->e->reads, 1); /* not again before there is more */
	assert_true(stream_is_reading(c->e->s));
	c->e->take = SIZE_MAX;
	peer_send(c->peer, "TP/1.1");
	RUN_UNTIL(c->loop, c->e->n == 14);
	assert_int_equal(c->e->reads, 2);
	assert_memory_equal(c->e->got, "GET / HTTP/1.1", 14);
	couple_free(c);
}

static void
a_pipelined_rest_is_offered_without_newer_bytes(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	c->e->take = 3;
	c->e->again = true;
	peer_send(c->peer, "abcdefgh");
	RUN_UNTIL(c->loop, c->e->n == 8);
	assert_int_equal(c->e->reads, 3);
	assert_memory_equal(c->e->got, "abcdefgh", 8);
	couple_free(c);
}

/* 7 */
static void
bytes_are_offered_before_the_end_is_told(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	c->e->take = 2;
	peer_send(c->peer, "abc");
	RUN_UNTIL(c->loop, c->e->reads == 1);
	shutdown(c->peer, SHUT_WR);
	run_turns(c->loop, 20);
	assert_int_equal(c->e->ended, 0); /* it is not read, and one byte is left */
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->n, 3);
	assert_int_equal(c->e->why, E_EOF);
	couple_free(c);
}

static void
starting_and_stopping_are_idempotent(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	CALL(stream_read_start(c->e->s));
	CALL(stream_read_start(c->e->s));
	CALL(stream_read_stop(c->e->s));
	CALL(stream_read_stop(c->e->s));
	peer_send(c->peer, "x");
	run_turns(c->loop, 20);
	assert_int_equal(c->e->reads, 0);
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->reads == 1);
	couple_free(c);
}

/* ---- writing ---- */

/* 6, 9, 12 */
static void
partial_writes_keep_the_order_and_drained_comes_at_the_low_mark(void **state)
{
	struct couple *c = couple_new();
	size_t total = 8u << 20, done = 0;
	char *out = pattern_bytes(total), *in = xmalloc(total);
	struct span parts[40] = {{0}};

	UNUSED(state);
	for (size_t i = 0, at = 0; i < COUNT_OF(parts); i++) { /* every fourth is empty */
		size_t n = i % 4 == 1 ? 0 : i + 1 == COUNT_OF(parts) ? total - at : i * 4099;

		parts[i] = span_of(out + at, n);
		at += n;
	}
	stream_set_low_water(c->e->s, 1000);
	CALL(assert_true(stream_write(c->e->s, parts, COUNT_OF(parts))));
	assert_true(stream_backlog(c->e->s) > 1000);
	CALL(
	    assert_true(stream_write(c->e->s, parts, 2))); /* behind the queue: parts[0] is empty */
	while (done < total) {
		ssize_t r = peer_recv(c->peer, in + done, total - done);

		assert_int_equal(c->e->drained, stream_backlog(c->e->s) > 1000 ? 0 : c->e->drained);
		if (r > 0)
			done += (size_t)r;
		else
			uv_run(&c->loop->uv, UV_RUN_NOWAIT);
	}
	RUN_UNTIL(c->loop, c->e->drained == 1);
	assert_int_equal(stream_backlog(c->e->s), 0);
	assert_memory_equal(in, out, total);
	free(out);
	free(in);
	couple_free(c);
}

static void
the_backlog_moves_with_every_byte_the_kernel_takes(void **state)
{
	struct couple *c = couple_new();
	char *out = pattern_bytes(16u << 20), in[20000];
	size_t before, moves = 0;

	UNUSED(state);
	assert_true(end_write(c->e, out, 16u << 20));
	before = stream_backlog(c->e->s);
	for (int turn = 0; turn < 20000 && moves < 20; turn++) {
		size_t now;

		(void)peer_recv(c->peer, in, sizeof(in));
		uv_run(&c->loop->uv, UV_RUN_NOWAIT);
		now = stream_backlog(c->e->s);
		assert_true(now <= before);
		moves += now < before;
		before = now;
	}
	assert_int_equal(moves, 20);
	free(out);
	couple_free(c);
}

/* So does one over the longest that is held, at once; what was held goes before it. */
static void
small_writes_are_held_until_the_turn_ends_and_allocate_nothing(void **state)
{
	struct couple *c = couple_new();
	static char in[HELD_WRITE_MAX + 16], longest[HELD_WRITE_MAX + 1];

	UNUSED(state);
	assert_true(end_write(c->e, "in ", 3));
	assert_true(end_write(c->e, "turn", 4));
	assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), -1);
	assert_int_equal(stream_backlog(c->e->s), 0);
	uv_run(&c->loop->uv, UV_RUN_NOWAIT);
	assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), 7);
	assert_memory_equal(in, "in turn", 7);
	assert_true(end_write(c->e, longest, HELD_WRITE_MAX));
	assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), -1);
	CALL(stream_flush(c->e->s));
	assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), HELD_WRITE_MAX);
	assert_true(end_write(c->e, "a", 1));
	assert_true(end_write(c->e, longest, HELD_WRITE_MAX + 1));
	assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), HELD_WRITE_MAX + 2);
	assert_int_equal(in[0], 'a');
	assert_null(c->e->s->queue.p);
	assert_null(c->e->s->batch);
	couple_free(c);
}

/* The first of a turn that hurries; the next turn has a first again. */
static void
one_in_a_turn_may_hurry(void **state)
{
	struct couple *c = couple_new();
	int late = peer_connect(listener_address(c->door.l));
	char in[32];

	UNUSED(state);
	RUN_UNTIL(c->loop, c->door.n == 2);
	for (int turn = 0; turn < 2; turn++) {
		uv_run(&c->loop->uv, UV_RUN_NOWAIT);
		assert_true(end_write(c->e, "soon", 4));
		CALL(stream_hurry(c->e->s));
		assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), 4);
		assert_true(end_write(&c->door.ends[1], "later", 5));
		CALL(stream_hurry(c->door.ends[1].s));
		assert_int_equal(recv(late, in, sizeof(in), MSG_DONTWAIT), -1);
		uv_run(&c->loop->uv, UV_RUN_NOWAIT);
		assert_int_equal(recv(late, in, sizeof(in), MSG_DONTWAIT), 5);
	}
	close(late);
	couple_free(c);
}

/* One more than may hold, each twice and in turn: nothing is lost, and the order of each is kept. */
static void
many_streams_hold_side_by_side(void **state)
{
	struct couple *c = couple_new();
	int peers[LOOP_HELD + 1];
	char in[32];

	UNUSED(state);
	for (unsigned i = 0; i <= LOOP_HELD; i++) {
		peers[i] = peer_connect(listener_address(c->door.l));
		RUN_UNTIL(c->loop, c->door.n == i + 2);
	}
	for (unsigned i = 0; i <= LOOP_HELD; i++)
		assert_true(end_write(&c->door.ends[i + 1], "first ", 6));
	assert_int_equal(c->loop->n_held, 1); /* the others had to make room */
	for (unsigned i = 0; i <= LOOP_HELD; i++)
		assert_true(end_write(&c->door.ends[i + 1], "second", 6));
	uv_run(&c->loop->uv, UV_RUN_NOWAIT);
	for (unsigned i = 0; i <= LOOP_HELD; i++) {
		assert_int_equal(recv(peers[i], in, sizeof(in), MSG_DONTWAIT), 12);
		assert_memory_equal(in, "first second", 12);
		close(peers[i]);
	}
	couple_free(c);
}

/* More than there is room for: what is held makes room. */
static void
a_full_hold_is_sent(void **state)
{
	struct couple *c = couple_new();
	static char in[2 * LOOP_HELD_BYTES], piece[HELD_WRITE_MAX];
	size_t sent = 0;

	UNUSED(state);
	while (sent <= LOOP_HELD_BYTES) {
		memset(piece, 'a' + (int)(sent / sizeof(piece)), sizeof(piece));
		assert_true(end_write(c->e, piece, sizeof(piece)));
		sent += sizeof(piece);
	}
	assert_int_equal(c->loop->held_bytes, sizeof(piece));
	CALL(stream_flush(c->e->s));
	for (size_t got = 0; got < sent;) {
		ssize_t n = recv(c->peer, in + got, sent - got, 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
	for (size_t i = 0; i < sent; i += sizeof(piece))
		assert_int_equal(in[i], 'a' + (int)(i / sizeof(piece)));
	couple_free(c);
}

/* What was held and does not fit is a backlog that began outside of a call: the owner is told. */
static void
what_was_held_and_does_not_fit_clogs(void **state)
{
	struct couple *c = couple_new();
	static char bytes[HELD_WRITE_MAX];
	size_t before;

	UNUSED(state);
	do {
		before = stream_backlog(c->e->s);
		assert_int_equal(before, 0);
		assert_true(end_write(c->e, bytes, sizeof(bytes)));
		run_turns(c->loop, 2);
	} while (c->e->clogged == 0);
	assert_true(stream_backlog(c->e->s) > 0);
	assert_true(end_write(c->e, bytes, sizeof(bytes))); /* behind it, not held */
	assert_null(c->e->s->held);
	run_turns(c->loop, 10);
	assert_int_equal(c->e->clogged, 1);
	couple_free(c);
}

static void
what_is_held_is_sent_before_a_close_and_before_a_shutdown(void **state)
{
	struct couple *c = couple_new();
	char in[16];
	int second = peer_connect(listener_address(c->door.l));

	UNUSED(state);
	RUN_UNTIL(c->loop, c->door.n == 2);
	assert_true(end_write(c->e, "last", 4));
	assert_true(end_write(&c->door.ends[1], "words", 5));
	CALL(stream_close(c->e->s));
	CALL(stream_shutdown(c->door.ends[1].s));
	RUN_UNTIL(c->loop, c->e->s == NULL);
	assert_int_equal(peer_recv(c->peer, in, sizeof(in)), 4);
	assert_int_equal(peer_recv(c->peer, in, sizeof(in)), 0);
	assert_int_equal(peer_recv(second, in, sizeof(in)), 5);
	assert_int_equal(peer_recv(second, in, sizeof(in)), 0);
	close(second);
	couple_free(c);
}

static void
stop_the_loop(void *ctx)
{
	struct couple *c = ctx;

	assert_true(end_write(c->e, "bye", 3));
	loop_stop(c->loop);
}

/* No poll follows the turn in which a loop is stopped. */
static void
what_is_held_when_the_loop_stops_is_sent(void **state)
{
	struct couple *c = couple_new();
	struct timer t = {0};
	char in[16];

	UNUSED(state);
	timer_start(c->loop, &t, 1, stop_the_loop, c);
	loop_run(c->loop);
	assert_int_equal(recv(c->peer, in, sizeof(in), MSG_DONTWAIT), 3);
	couple_free(c);
}

/* 8, 14: and no SIGPIPE ends the program. */
static void
a_failed_write_ends_with_reset_once(void **state)
{
	struct couple *c = couple_new();
	static char bytes[1 << 20];

	UNUSED(state);
	CALL(stream_read_stop(c->e->s));
	leave_reset(c);
	while (end_write(c->e, bytes, sizeof(bytes)))
		uv_run(&c->loop->uv, UV_RUN_NOWAIT);
	assert_int_equal(stream_backlog(c->e->s), 0);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->why, E_RESET);
	assert_false(end_write(c->e, "x", 1));
	run_turns(c->loop, 10);
	assert_int_equal(c->e->drained, 0);
	couple_free(c);
}

static void
refuse_the_upload(void *ctx)
{
	struct couple *c = ctx;

	peer_send(c->peer, "413 too large");
	leave_reset(c);
	while (end_write(c->e, "upload", 6))
		;
	assert_int_equal(c->e->reads, 0);
}

/* All of it inside another stream's callback, so that the end of the turn comes before the socket is
 * looked at again. */
static void
what_the_peer_said_before_its_reset_is_still_read(void **state)
{
	struct couple *c = couple_new();
	int other = peer_connect(listener_address(c->door.l));

	UNUSED(state);
	RUN_UNTIL(c->loop, c->door.n == 2);
	c->door.ends[1].hook = refuse_the_upload;
	c->door.ends[1].hook_ctx = c;
	peer_send(other, "go");
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->n, 13);
	assert_int_equal(c->e->why, E_RESET); /* not E_EOF, though the kernel says so now */
	close(other);
	couple_free(c);
}

static void
after_the_end_was_told_a_failure_is_drained_and_false(void **state)
{
	struct couple *c = couple_new();
	static char bytes[8 << 20];

	UNUSED(state);
	shutdown(c->peer, SHUT_WR);
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_true(end_write(c->e, bytes, sizeof(bytes)));
	leave_reset(c);
	RUN_UNTIL(c->loop, c->e->drained == 1);
	assert_false(end_write(c->e, "x", 1));
	assert_int_equal(c->e->ended, 1);
	couple_free(c);
}

/* ---- closing ---- */

/* 10, 15, 16: only `closed`, once, last, and never from inside stream_close. */
static void
closing_under_a_pending_write_gives_closed_alone(void **state)
{
	struct couple *c = couple_new();
	static char bytes[8 << 20];
	size_t total;

	UNUSED(state);
	assert_true(end_write(c->e, bytes, sizeof(bytes)));
	assert_true(stream_backlog(c->e->s) > 0);
	CALL(stream_close(c->e->s));
	assert_int_equal(c->e->closed, 0);
	RUN_UNTIL(c->loop, c->e->closed == 1);
	assert_int_equal(c->e->ended + c->e->drained, 0);
	/* 18: what is missing must not look like an end */
	assert_int_equal(peer_read_all(c->loop, c->peer, &total), -ECONNRESET);
	couple_free(c);
}

static void
closing_inside_read_is_fine(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	c->e->close_in_read = true;
	c->e->take = 1;
	peer_send(c->peer, "abc");
	RUN_UNTIL(c->loop, c->e->closed == 1);
	assert_int_equal(c->e->reads, 1);
	couple_free(c);
}

static void
aborting_inside_an_offer_of_kept_bytes_is_fine(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	c->e->take = 1;
	peer_send(c->peer, "abc");
	RUN_UNTIL(c->loop, c->e->reads == 1);
	c->e->abort_in_read = true;
	CALL(stream_read_start(c->e->s));
	RUN_UNTIL(c->loop, c->e->closed == 1);
	assert_int_equal(c->e->reads, 2);
	couple_free(c);
}

/* 17: the peer is still sending; it gets the whole answer because we shut down, read on and close
 * after its end. */
static void
a_lingering_close_saves_the_answer(void **state)
{
	struct couple *c = couple_new();
	char in[64];

	UNUSED(state);
	peer_send(c->peer, "a long upload");
	RUN_UNTIL(c->loop, c->e->reads == 1);
	assert_true(end_write(c->e, "413", 3));
	CALL(stream_shutdown(c->e->s));
	peer_send(c->peer, "more of it");
	RUN_UNTIL(c->loop, c->e->n == 23);
	assert_int_equal(peer_recv(c->peer, in, sizeof(in)), 3);
	RUN_UNTIL(c->loop, peer_recv(c->peer, in, sizeof(in)) == 0);
	close(c->peer);
	c->peer = -1;
	RUN_UNTIL(c->loop, c->e->ended == 1);
	assert_int_equal(c->e->why, E_EOF);
	couple_free(c);
}

/* 18 */
static void
an_abort_is_seen_as_a_reset_and_a_close_as_an_end(void **state)
{
	UNUSED(state);
	for (int abort_it = 0; abort_it < 2; abort_it++) {
		struct couple *c = couple_new();
		size_t total;
		ssize_t r;

		assert_true(end_write(c->e, "some", 4));
		if (abort_it)
			CALL(stream_abort(c->e->s));
		else
			CALL(stream_close(c->e->s));
		r = peer_read_all(c->loop, c->peer, &total);
		assert_int_equal(r, abort_it ? -ECONNRESET : 0);
		assert_true(abort_it || total == 4);
		couple_free(c);
	}
}

static void
an_abort_after_a_shutdown_is_a_close(void **state)
{
	struct couple *c = couple_new();
	size_t total;

	UNUSED(state);
	CALL(stream_shutdown(c->e->s));
	CALL(stream_abort(c->e->s));
	assert_int_equal(peer_read_all(c->loop, c->peer, &total), 0);
	couple_free(c);
}

/* 19 */
static void
after_shutdown_nothing_is_written_and_all_before_arrives(void **state)
{
	struct couple *c = couple_new();
	static char bytes[4 << 20];
	size_t total;

	UNUSED(state);
	assert_true(end_write(c->e, bytes, sizeof(bytes)));
	CALL(stream_shutdown(c->e->s));
	CALL(stream_shutdown(c->e->s));
	assert_false(end_write(c->e, "x", 1));
	assert_int_equal(peer_read_all(c->loop, c->peer, &total), 0);
	assert_int_equal(total, sizeof(bytes));
	peer_send(c->peer, "thanks"); /* the other direction is open */
	RUN_UNTIL(c->loop, c->e->n == 6);
	couple_free(c);
}

static void
a_closed_stream_ignores_what_comes_late(void **state)
{
	struct couple *c = couple_new();

	UNUSED(state);
	CALL(stream_close(c->e->s));
	CALL(stream_read_start(c->e->s));
	CALL(stream_read_watch(c->e->s));
	CALL(stream_read_stop(c->e->s));
	CALL(stream_shutdown(c->e->s));
	assert_false(end_write(c->e, "x", 1));
	RUN_UNTIL(c->loop, c->e->closed == 1);
	assert_int_equal(c->e->reads + c->e->ended, 0);
	couple_free(c);
}

static void
both_addresses_are_known(void **state)
{
	struct couple *c = couple_new();
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	struct address a;

	UNUSED(state);
	assert_int_equal(getsockname(c->peer, (struct sockaddr *)(void *)&sa, &n), 0);
	assert_true(address_from_sockaddr(&a, (struct sockaddr *)(void *)&sa, n));
	assert_memory_equal(stream_peer(c->e->s), &a, sizeof(a));
	a = stream_local(c->e->s);
	assert_memory_equal(&a, listener_address(c->door.l), sizeof(a));
	assert_false(stream_is_tls(c->e->s));
	couple_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_stream_does_not_spin),
	    cmocka_unit_test(a_watched_stream_notices_fin_and_keeps_the_bytes),
	    cmocka_unit_test(input_is_seen_before_it_is_read),
	    cmocka_unit_test(a_watched_stream_notices_a_reset),
	    cmocka_unit_test(an_armed_reader_notices_that_the_client_has_gone),
	    cmocka_unit_test(a_reset_behind_a_fin_is_found_by_asking),
	    cmocka_unit_test(a_reset_right_behind_the_last_bytes_is_no_clean_end),
	    cmocka_unit_test(stopping_inside_read_takes_effect_at_once),
	    cmocka_unit_test(what_is_not_used_is_offered_again_in_front),
	    cmocka_unit_test(who_needs_more_gets_the_same_bytes_with_newer_ones),
	    cmocka_unit_test(a_pipelined_rest_is_offered_without_newer_bytes),
	    cmocka_unit_test(bytes_are_offered_before_the_end_is_told),
	    cmocka_unit_test(starting_and_stopping_are_idempotent),
	    cmocka_unit_test(partial_writes_keep_the_order_and_drained_comes_at_the_low_mark),
	    cmocka_unit_test(the_backlog_moves_with_every_byte_the_kernel_takes),
	    cmocka_unit_test(small_writes_are_held_until_the_turn_ends_and_allocate_nothing),
	    cmocka_unit_test(one_in_a_turn_may_hurry),
	    cmocka_unit_test(many_streams_hold_side_by_side),
	    cmocka_unit_test(a_full_hold_is_sent),
	    cmocka_unit_test(what_was_held_and_does_not_fit_clogs),
	    cmocka_unit_test(what_is_held_is_sent_before_a_close_and_before_a_shutdown),
	    cmocka_unit_test(what_is_held_when_the_loop_stops_is_sent),
	    cmocka_unit_test(a_failed_write_ends_with_reset_once),
	    cmocka_unit_test(what_the_peer_said_before_its_reset_is_still_read),
	    cmocka_unit_test(after_the_end_was_told_a_failure_is_drained_and_false),
	    cmocka_unit_test(closing_under_a_pending_write_gives_closed_alone),
	    cmocka_unit_test(closing_inside_read_is_fine),
	    cmocka_unit_test(aborting_inside_an_offer_of_kept_bytes_is_fine),
	    cmocka_unit_test(a_lingering_close_saves_the_answer),
	    cmocka_unit_test(an_abort_is_seen_as_a_reset_and_a_close_as_an_end),
	    cmocka_unit_test(an_abort_after_a_shutdown_is_a_close),
	    cmocka_unit_test(after_shutdown_nothing_is_written_and_all_before_arrives),
	    cmocka_unit_test(a_closed_stream_ignores_what_comes_late),
	    cmocka_unit_test(both_addresses_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
