/* Streams with TLS inside: both sides ours, or a plain socket where a bad peer is wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto_group.h"
#include "net_ends.h"
#include "tls_pair.h"

struct both {
	struct loop *loop;
	struct tls_ctx *server, *client;
	struct door door;
	struct end e; /* the connecting side */
};

static struct both *
both_new(void)
{
	struct both *b = xcalloc(1, sizeof(*b));

	b->loop = loop_new();
	b->server = pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY);
	b->client = pki_client(PEM_ROOT);
	door_open(&b->door, b->loop, b->server);
	return b;
}

static void
dial(struct both *b, struct end *e, const struct address *a, const char *name)
{
	struct stream_target to = {.addresses = a,
	    .n_addresses = 1,
	    .name = name,
	    .tls = b->client,
	    .connect_ms = 5000,
	    .tls_ms = 5000};

	end_init(e, b->loop);
	CALL(e->s = stream_connect(b->loop, &to, &end_events, e));
	CALL(stream_read_start(e->s));
}

static struct both *
both_open(void)
{
	struct both *b = both_new();

	dial(b, &b->e, listener_address(b->door.l), "api.test");
	RUN_UNTIL(b->loop, b->e.opened == 1 && b->door.n == 1);
	return b;
}

static void
both_free(struct both *b)
{
	end_fini(&b->e);
	door_close(&b->door);
	loop_free(b->loop);
	tls_ctx_unref(b->server);
	tls_ctx_unref(b->client);
	free(b);
}

/* ---- handshake ---- */

static void
bytes_go_both_ways_after_a_verified_handshake(void **state)
{
	struct both *b = both_open();

	UNUSED(state);
	assert_true(stream_is_tls(b->e.s));
	assert_true(stream_is_tls(b->door.ends[0].s));
	assert_true(end_write(&b->e, "ping", 4));
	RUN_UNTIL(b->loop, b->door.ends[0].n == 4);
	assert_true(end_write(&b->door.ends[0], "pong", 4));
	RUN_UNTIL(b->loop, b->e.n == 4);
	assert_memory_equal(b->e.got, "pong", 4);
	both_free(b);
}

static void
a_certificate_for_another_name_never_opens(void **state)
{
	struct both *b = both_new();

	UNUSED(state);
	dial(b, &b->e, listener_address(b->door.l), "evil.test");
	assert_false(end_write(&b->e, "Authorization: secret", 21));
	RUN_UNTIL(b->loop, b->e.ended == 1 && listener_failed_handshakes(b->door.l) == 1);
	assert_int_equal(b->e.opened, 0);
	assert_int_equal(b->e.why, E_UPSTREAM_TLS);
	assert_non_null(strstr(stream_detail(b->e.s), "not for the name evil.test"));
	assert_int_equal(b->door.n, 0); /* failed handshakes are never seen */
	both_free(b);
}

/* Before the handshake a server hears a ClientHello and nothing else. */
static void
a_server_that_answers_in_plaintext_gets_nothing(void **state)
{
	struct both *b = both_new();
	struct address a;
	int listening = peer_listen(&a, 1), fd;
	char heard[4096];
	ssize_t n;

	UNUSED(state);
	dial(b, &b->e, &a, "api.test");
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	RUN_UNTIL(b->loop, recv(fd, heard, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
	peer_send(fd, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.why, E_UPSTREAM_TLS);
	assert_string_equal(stream_detail(b->e.s), "the peer does not speak TLS");
	assert_int_equal(b->e.n, 0); /* and is not heard */
	n = peer_recv(fd, heard, sizeof(heard));
	assert_true(n > 5 && heard[0] == 22 && heard[1] == 3);
	close(fd);
	close(listening);
	both_free(b);
}

static void
a_server_that_hangs_up_during_the_handshake_is_a_tls_failure(void **state)
{
	struct both *b = both_new();
	struct address a;
	int listening = peer_listen(&a, 1), fd;

	UNUSED(state);
	dial(b, &b->e, &a, "api.test");
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	shutdown(fd, SHUT_WR);
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.why, E_UPSTREAM_TLS);
	assert_non_null(strstr(stream_detail(b->e.s), "during the TLS handshake"));
	close(fd);
	close(listening);
	both_free(b);
}

/* 30: also while the owner has reading stopped. */
static void
a_server_that_says_nothing_meets_the_deadline(void **state)
{
	struct both *b = both_new();
	struct address a;
	int listening = peer_listen(&a, 1);
	struct stream_target to = {.addresses = &a,
	    .n_addresses = 1,
	    .name = "api.test",
	    .tls = b->client,
	    .connect_ms = 5000,
	    .tls_ms = 30};

	UNUSED(state);
	end_init(&b->e, b->loop);
	CALL(b->e.s = stream_connect(b->loop, &to, &end_events, &b->e));
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.why, E_UPSTREAM_CONNECT_TIMEOUT);
	close(listening);
	both_free(b);
}

static void
the_handshake_is_done_though_nobody_reads(void **state)
{
	struct both *b = both_new();

	UNUSED(state);
	b->door.dont_read = true;
	dial(b, &b->e, listener_address(b->door.l), "api.test");
	CALL(stream_read_stop(b->e.s));
	RUN_UNTIL(b->loop, b->e.opened == 1 && b->door.n == 1);
	both_free(b);
}

static void
an_address_that_refuses_is_followed_by_one_with_tls(void **state)
{
	struct both *b = both_new();
	struct address a[2];
	struct stream_target to = {.addresses = a,
	    .n_addresses = 2,
	    .name = "api.test",
	    .tls = b->client,
	    .connect_ms = 5000,
	    .tls_ms = 5000};

	UNUSED(state);
	close(peer_listen(&a[0], 1));
	a[1] = *listener_address(b->door.l);
	end_init(&b->e, b->loop);
	CALL(b->e.s = stream_connect(b->loop, &to, &end_events, &b->e));
	RUN_UNTIL(b->loop, b->e.opened == 1);
	both_free(b);
}

static void
the_second_connection_resumes_the_session(void **state)
{
	struct both *b = both_open();
	struct end second;

	UNUSED(state);
	assert_false(tls_is_resumed(b->e.s->tls));
	assert_true(end_write(&b->door.ends[0], "x", 1)); /* comes behind the ticket */
	RUN_UNTIL(b->loop, b->e.n == 1);
	dial(b, &second, listener_address(b->door.l), "api.test");
	RUN_UNTIL(b->loop, second.opened == 1 && b->door.n == 2);
	assert_true(tls_is_resumed(second.s->tls));
	end_fini(&second);
	both_free(b);
}

/* What the reads of a turn cost: time passes in the poll, and nowhere else. */
static void
spend(uv_poll_t *h, int status, int events)
{
	UNUSED(status);
	UNUSED(events);
	loop_turn_begin(h->data);
	clock_fake(clock_mono_ns() + 1000, clock_wall_ms());
}

struct steps {
	unsigned first, finish; /* the most of one turn */
};

static struct steps
shake_many(struct both *b)
{
	struct end many[60];
	struct steps most = {0};
	size_t open = 0;

	for (size_t i = 0; i < COUNT_OF(many); i++)
		dial(b, &many[i], listener_address(b->door.l), "api.test");
	while (open < COUNT_OF(many) || b->door.n < COUNT_OF(many)) {
		uv_run(&b->loop->uv, UV_RUN_ONCE);
		if (b->loop->handshake_steps > most.first)
			most.first = b->loop->handshake_steps;
		if (b->loop->finish_steps > most.finish)
			most.finish = b->loop->finish_steps;
		open = 0;
		for (size_t i = 0; i < COUNT_OF(many); i++)
			open += (size_t)many[i].opened;
	}
	for (size_t i = 0; i < COUNT_OF(many); i++)
		end_fini(&many[i]);
	end_init(&b->e, b->loop);
	return most;
}

static void
a_burst_of_handshakes_is_spread_over_turns(void **state)
{
	struct both *b = both_new();
	struct steps most;

	UNUSED(state);
	clock_fake(clock_mono_ns(), clock_wall_ms());
	most = shake_many(b);
	clock_fake(0, 0);
	assert_int_equal(most.first, LOOP_HANDSHAKES_A_TURN);
	assert_in_range(most.finish, 1, LOOP_FINISHES_A_TURN);
	both_free(b);
}

/* Those who are served keep the loop for so long that more handshakes are hardly felt. */
static void
a_turn_that_reads_much_has_more_handshakes(void **state)
{
	struct both *b = both_new();
	int fds[2];
	uv_poll_t busy;
	struct steps most;

	UNUSED(state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	clock_fake(clock_mono_ns(), clock_wall_ms());
	assert_int_equal(uv_poll_init(&b->loop->uv, &busy, fds[0]), 0);
	busy.data = b->loop;
	assert_int_equal(uv_poll_start(&busy, UV_WRITABLE, spend), 0);
	most = shake_many(b);
	clock_fake(0, 0);
	assert_true(most.first > LOOP_HANDSHAKES_A_TURN);
	uv_close((uv_handle_t *)&busy, NULL);
	uv_run(&b->loop->uv, UV_RUN_NOWAIT);
	both_free(b);
	close(fds[0]);
	close(fds[1]);
}

/* ---- the end ---- */

static void
close_notify_is_a_clean_end(void **state)
{
	struct both *b = both_open();

	UNUSED(state);
	assert_true(end_write(&b->door.ends[0], "bye", 3));
	CALL(stream_close(b->door.ends[0].s));
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.why, E_EOF);
	assert_int_equal(b->e.n, 3);
	both_free(b);
}

/* The end is known as soon as the bytes are, but is told after them. */
static void
bytes_are_offered_before_an_end_that_came_with_them(void **state)
{
	struct both *b = both_open();
	struct end *e = &b->door.ends[0];

	UNUSED(state);
	e->take = 1;
	e->again = true;
	assert_true(end_write(&b->e, "abc", 3));
	CALL(stream_close(b->e.s));
	RUN_UNTIL(b->loop, e->ended == 1);
	assert_int_equal(e->n, 3);
	assert_int_equal(e->why, E_EOF);
	both_free(b);
}

static void
after_shutdown_the_other_direction_goes_on(void **state)
{
	struct both *b = both_open();

	UNUSED(state);
	assert_true(end_write(&b->e, "question", 8));
	CALL(stream_shutdown(b->e.s));
	RUN_UNTIL(b->loop, b->door.ends[0].ended == 1);
	assert_int_equal(b->door.ends[0].why, E_EOF);
	assert_int_equal(b->door.ends[0].n, 8);
	assert_true(end_write(&b->door.ends[0], "answer", 6));
	RUN_UNTIL(b->loop, b->e.n == 6);
	both_free(b);
}

/* 25: a FIN without close_notify is a cut, not an end. */
static void
a_truncated_stream_is_a_reset(void **state)
{
	struct both *b = both_open();
	uv_os_fd_t fd;

	UNUSED(state);
	assert_true(end_write(&b->door.ends[0], "half", 4));
	CALL(stream_flush(b->door.ends[0].s));
	assert_int_equal(uv_fileno(&b->door.ends[0].s->uv.handle, &fd), 0);
	shutdown(fd, SHUT_WR);
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.n, 4);
	assert_int_equal(b->e.why, E_RESET);
	assert_non_null(strstr(stream_detail(b->e.s), "close_notify"));
	both_free(b);
}

static void
an_abort_sends_no_close_notify(void **state)
{
	struct both *b = both_open();

	UNUSED(state);
	assert_true(end_write(&b->door.ends[0], "half", 4));
	CALL(stream_abort(b->door.ends[0].s));
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.why, E_RESET);
	both_free(b);
}

static void
closing_with_a_backlog_is_seen_as_a_cut(void **state)
{
	struct both *b = both_open();
	static char bytes[8 << 20];

	UNUSED(state);
	assert_true(end_write(&b->door.ends[0], bytes, sizeof(bytes)));
	assert_true(stream_backlog(b->door.ends[0].s) > 0);
	CALL(stream_close(b->door.ends[0].s));
	RUN_UNTIL(b->loop, b->e.ended == 1);
	assert_int_equal(b->e.why, E_RESET);
	both_free(b);
}

/* ---- bytes ---- */

/* 24: what the engine holds is offered without a socket event. */
static void
a_pause_leaves_plaintext_that_comes_after_it(void **state)
{
	struct both *b = both_open();
	struct end *e = &b->door.ends[0];

	UNUSED(state);
	e->take = 1;
	assert_true(end_write(&b->e, "abc", 3));
	assert_true(end_write(&b->e, "def", 3)); /* a second record, likely in the same packet */
	while (e->n < 6) {
		size_t before = e->n;

		RUN_UNTIL(b->loop, e->n > before);
		if (e->last_offer == 1)
			continue; /* all of it was used: no pause */
		assert_false(stream_is_reading(e->s));
		before = e->n;
		run_turns(b->loop, 3);
		assert_int_equal(e->n, before);
		CALL(stream_read_start(e->s));
	}
	assert_memory_equal(e->got, "abcdef", 6);
	both_free(b);
}

static void
a_stop_inside_read_holds_back_the_engine_too(void **state)
{
	struct both *b = both_open();
	struct end *e = &b->door.ends[0];
	static char bytes[256 << 10];

	UNUSED(state);
	e->stop = true;
	assert_true(end_write(&b->e, bytes, sizeof(bytes)));
	RUN_UNTIL(b->loop, e->reads == 1);
	run_turns(b->loop, 20);
	assert_int_equal(e->reads, 1);
	e->stop = false;
	CALL(stream_read_start(e->s));
	RUN_UNTIL(b->loop, e->n == sizeof(bytes));
	both_free(b);
}

static void
a_watched_tls_stream_notices_the_end_and_keeps_the_bytes(void **state)
{
	struct both *b = both_open();
	struct end *e = &b->door.ends[0];

	UNUSED(state);
	CALL(stream_read_watch(e->s));
	assert_true(end_write(&b->e, "next", 4));
	CALL(stream_close(b->e.s));
	RUN_UNTIL(b->loop, e->ended == 1);
	assert_int_equal(e->why, E_EOF);
	assert_int_equal(e->reads, 0);
	CALL(stream_read_start(e->s));
	RUN_UNTIL(b->loop, e->n == 4);
	both_free(b);
}

static void
a_watched_tls_stream_keeps_64_kb_and_the_rest_waits(void **state)
{
	struct both *b = both_open();
	struct end *e = &b->door.ends[0];
	size_t total = 1 << 20;
	char *bytes = pattern_bytes(total);

	UNUSED(state);
	CALL(stream_read_watch(e->s));
	assert_true(end_write(&b->e, bytes, total));
	RUN_UNTIL(b->loop, buf_len(&e->s->kept) == KEPT_MAX);
	run_turns(b->loop, 20);
	CALL(stream_read_start(e->s));
	RUN_UNTIL(b->loop, e->n == total);
	assert_memory_equal(e->got, bytes, total);
	free(bytes);
	both_free(b);
}

static void
small_parts_and_large_ones_arrive_in_order(void **state)
{
	struct both *b = both_open();
	struct end *e = &b->door.ends[0];
	size_t total = 300000, at = 0;
	char *bytes = pattern_bytes(total);
	static const size_t sizes[] = {1, 0, 8191, 8192, 8193, 17, 100000, 5, 65536, 65537, 3};
	struct span parts[COUNT_OF(sizes) + 1];

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		size_t n = i < COUNT_OF(sizes) ? sizes[i] : total - at;

		parts[i] = span_of(bytes + at, n);
		at += n;
	}
	CALL(assert_true(stream_write(b->e.s, parts, COUNT_OF(parts))));
	RUN_UNTIL(b->loop, e->n == total);
	assert_memory_equal(e->got, bytes, total);
	free(bytes);
	both_free(b);
}

/* Both directions at once, each with a reader that pauses now and then. */
static void
megabytes_cross_with_back_pressure(void **state)
{
	struct both *b = both_open();
	struct end *ends[2] = {&b->e, &b->door.ends[0]};
	size_t total = 4u << 20;
	char *bytes = pattern_bytes(total);

	UNUSED(state);
	for (int i = 0; i < 2; i++) {
		ends[i]->take = 50000;
		assert_true(end_write(ends[i], bytes, total));
		CALL(stream_shutdown(ends[i]->s));
	}
	while (ends[0]->ended + ends[1]->ended < 2) {
		uv_run(&b->loop->uv, UV_RUN_ONCE);
		for (int i = 0; i < 2; i++) {
			if (!stream_is_reading(ends[i]->s))
				CALL(stream_read_start(ends[i]->s));
		}
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ends[i]->why, E_EOF);
		assert_int_equal(ends[i]->n, total);
		assert_memory_equal(ends[i]->got, bytes, total);
	}
	free(bytes);
	both_free(b);
}

/* ---- the listener's side ---- */

static void
a_client_that_says_nothing_or_half_a_hello_is_dropped(void **state)
{
	struct both *b = both_new();
	int silent, slow;

	UNUSED(state);
	CALL(listener_close(b->door.l));
	{
		struct listener_options o = {.tls = b->server, .tls_ms = 40};
		struct address a;
		const char *detail;

		assert_true(address_parse_listen(SPAN_LIT("127.0.0.1:0"), &a));
		b->door.l = listener_open(b->loop, &a, &o, door_accepted, &b->door, &detail);
	}
	silent = peer_connect(listener_address(b->door.l));
	slow = peer_connect(listener_address(b->door.l));
	assert_int_equal(send(slow, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
	RUN_UNTIL(b->loop, listener_handshakes(b->door.l) == 2);
	RUN_UNTIL(b->loop, listener_failed_handshakes(b->door.l) == 2);
	assert_int_equal(listener_handshakes(b->door.l), 0);
	assert_int_equal(b->door.n, 0);
	close(silent);
	close(slow);
	end_init(&b->e, b->loop);
	both_free(b);
}

static void
a_listener_closes_with_handshakes_going_on(void **state)
{
	struct both *b = both_new();
	int silent = peer_connect(listener_address(b->door.l));

	UNUSED(state);
	RUN_UNTIL(b->loop, listener_handshakes(b->door.l) == 1);
	close(silent);
	end_init(&b->e, b->loop);
	both_free(b); /* loop_free sees to it that nothing is left */
}

static void
a_renewed_certificate_serves_new_connections(void **state)
{
	struct both *b = both_open();
	struct tls_ctx *renewed = pki_server(PEM_RSA PEM_INTERMEDIATE, PEM_RSA_KEY);
	struct end second;

	UNUSED(state);
	CALL(listener_set_tls(b->door.l, renewed));
	tls_ctx_unref(renewed);
	dial(b, &second, listener_address(b->door.l), "api.test");
	RUN_UNTIL(b->loop, second.opened == 1 && b->door.n == 2);
	assert_true(end_write(&b->e, "old", 3)); /* the first lives on with its own */
	RUN_UNTIL(b->loop, b->door.ends[0].n == 3);
	end_fini(&second);
	both_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_go_both_ways_after_a_verified_handshake),
	    cmocka_unit_test(a_certificate_for_another_name_never_opens),
	    cmocka_unit_test(a_server_that_answers_in_plaintext_gets_nothing),
	    cmocka_unit_test(a_server_that_hangs_up_during_the_handshake_is_a_tls_failure),
	    cmocka_unit_test(a_server_that_says_nothing_meets_the_deadline),
	    cmocka_unit_test(the_handshake_is_done_though_nobody_reads),
	    cmocka_unit_test(an_address_that_refuses_is_followed_by_one_with_tls),
	    cmocka_unit_test(the_second_connection_resumes_the_session),
	    cmocka_unit_test(a_burst_of_handshakes_is_spread_over_turns),
	    cmocka_unit_test(a_turn_that_reads_much_has_more_handshakes),
	    cmocka_unit_test(close_notify_is_a_clean_end),
	    cmocka_unit_test(bytes_are_offered_before_an_end_that_came_with_them),
	    cmocka_unit_test(after_shutdown_the_other_direction_goes_on),
	    cmocka_unit_test(a_truncated_stream_is_a_reset),
	    cmocka_unit_test(an_abort_sends_no_close_notify),
	    cmocka_unit_test(closing_with_a_backlog_is_seen_as_a_cut),
	    cmocka_unit_test(a_pause_leaves_plaintext_that_comes_after_it),
	    cmocka_unit_test(a_stop_inside_read_holds_back_the_engine_too),
	    cmocka_unit_test(a_watched_tls_stream_notices_the_end_and_keeps_the_bytes),
	    cmocka_unit_test(a_watched_tls_stream_keeps_64_kb_and_the_rest_waits),
	    cmocka_unit_test(small_parts_and_large_ones_arrive_in_order),
	    cmocka_unit_test(megabytes_cross_with_back_pressure),
	    cmocka_unit_test(a_client_that_says_nothing_or_half_a_hello_is_dropped),
	    cmocka_unit_test(a_listener_closes_with_handshakes_going_on),
	    cmocka_unit_test(a_renewed_certificate_serves_new_connections),
	};

	return cmocka_run_group_tests(tests, crypto_group_start, crypto_group_stop);
}
