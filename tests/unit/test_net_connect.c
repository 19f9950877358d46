#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net_ends.h"

/* Connects to these; what happens is recorded in *e. */
static void
connect_to(struct end *e, struct loop *l, const struct address *a, size_t n)
{
	struct stream_target to = {
	    .addresses = a, .n_addresses = n, .connect_ms = 5000, .tls_ms = 5000};

	end_init(e, l);
	CALL(e->s = stream_connect(l, &to, &end_events, e));
	assert_non_null(e->s);
}

/* A port of 127.0.0.1 where nobody listens. */
static struct address
dead_address(void)
{
	struct address a;

	close(peer_listen(&a, 1));
	return a;
}

static void
a_connection_opens_and_carries_bytes_both_ways(void **state)
{
	struct loop *l = loop_new();
	struct address a;
	struct door d;
	struct end e;

	UNUSED(state);
	door_open(&d, l, NULL);
	connect_to(&e, l, listener_address(d.l), 1);
	CALL(stream_read_start(e.s));
	assert_int_equal(e.opened, 0);
	assert_false(end_write(&e, "early", 5)); /* nothing before opened */
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	assert_memory_equal(stream_peer(e.s), listener_address(d.l), sizeof(struct address));
	a = stream_local(e.s);
	assert_memory_equal(&a, stream_peer(d.ends[0].s), sizeof(a));
	assert_true(end_write(&e, "ping", 4));
	RUN_UNTIL(l, d.ends[0].n == 4);
	assert_true(end_write(&d.ends[0], "pong", 4));
	RUN_UNTIL(l, e.n == 4);
	assert_memory_equal(d.ends[0].got, "ping", 4);
	assert_memory_equal(e.got, "pong", 4);
	end_fini(&e);
	door_close(&d);
	loop_free(l);
}

static void
both_sides_have_nodelay_and_keepalive(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	struct end e;
	struct stream *sides[2];

	UNUSED(state);
	door_open(&d, l, NULL);
	connect_to(&e, l, listener_address(d.l), 1);
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	sides[0] = e.s;
	sides[1] = d.ends[0].s;
	for (int i = 0; i < 2; i++) {
		int nodelay = 0, keepalive = 0;
		socklen_t n = sizeof(int);
		uv_os_fd_t fd;

		assert_int_equal(uv_fileno(&sides[i]->uv.handle, &fd), 0);
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &n), 0);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &n), 0);
		assert_true(nodelay && keepalive);
	}
	end_fini(&e);
	door_close(&d);
	loop_free(l);
}

static void
nobody_listening_is_a_failure_with_its_reason(void **state)
{
	struct loop *l = loop_new();
	struct address a = dead_address();
	struct end e;

	UNUSED(state);
	connect_to(&e, l, &a, 1);
	RUN_UNTIL(l, e.ended == 1);
	assert_int_equal(e.why, E_UPSTREAM_CONNECT);
	assert_string_equal(stream_detail(e.s), "connection refused");
	assert_int_equal(e.opened, 0);
	end_fini(&e);
	loop_free(l);
}

static void
no_address_at_all_fails_later_and_not_inside_the_call(void **state)
{
	struct loop *l = loop_new();
	struct end e;

	UNUSED(state);
	connect_to(&e, l, NULL, 0);
	assert_int_equal(e.ended, 0);
	RUN_UNTIL(l, e.ended == 1);
	assert_int_equal(e.why, E_UPSTREAM_CONNECT);
	end_fini(&e);
	loop_free(l);
}

static void
addresses_are_tried_in_order_until_one_connects(void **state)
{
	struct loop *l = loop_new();
	struct address a[3] = {dead_address(), dead_address()};
	struct door d;
	struct end e;

	UNUSED(state);
	door_open(&d, l, NULL);
	a[2] = *listener_address(d.l);
	connect_to(&e, l, a, 3);
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	assert_int_equal(e.ended, 0);
	assert_string_equal(stream_detail(e.s), "");
	assert_memory_equal(stream_peer(e.s), &a[2], sizeof(a[2]));
	end_fini(&e);
	door_close(&d);
	loop_free(l);
}

/* A listener that nobody accepts from, with its queue full: the kernel drops the next one's SYN. */
static int
silent_listener(struct address *a, int fill[2])
{
	int fd = peer_listen(a, 0);

	for (int i = 0; i < 2; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fill[i], address_sockaddr(a), a->len);
	}
	return fd;
}

/* The time is for all addresses together, and each has its turn in it. */
static void
a_silent_address_costs_its_share_of_the_time(void **state)
{
	struct loop *l = loop_new();
	struct address a[2];
	int fill[2], silent = silent_listener(&a[0], fill);
	struct stream_target to = {.addresses = a, .n_addresses = 1, .connect_ms = 40};
	struct door d;
	struct end e;

	UNUSED(state);
	end_init(&e, l);
	CALL(e.s = stream_connect(l, &to, &end_events, &e));
	RUN_UNTIL(l, e.ended == 1);
	assert_int_equal(e.why, E_UPSTREAM_CONNECT_TIMEOUT);
	assert_string_equal(stream_detail(e.s), "the connection was not made in time");
	end_fini(&e);

	a[1] = a[0];
	to.n_addresses = 2;
	end_init(&e, l);
	CALL(e.s = stream_connect(l, &to, &end_events, &e));
	RUN_UNTIL(l, e.ended == 1);
	assert_int_equal(e.why, E_UPSTREAM_CONNECT_TIMEOUT);
	end_fini(&e);

	door_open(&d, l, NULL);
	a[1] = *listener_address(d.l);
	to.connect_ms = 2000;
	end_init(&e, l);
	CALL(e.s = stream_connect(l, &to, &end_events, &e));
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	assert_memory_equal(stream_peer(e.s), &a[1], sizeof(a[1]));
	end_fini(&e);
	door_close(&d);
	close(fill[0]);
	close(fill[1]);
	close(silent);
	loop_free(l);
}

static unsigned
open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* The earlier address goes on while the later is tried: whoever connects first is the one, and the
 * other's socket is closed. */
static void
the_first_to_connect_wins_and_the_others_are_closed(void **state)
{
	struct loop *l = loop_new();
	struct address a[3];
	int fill[2], silent = silent_listener(&a[0], fill);
	struct stream_target to = {.addresses = a, .n_addresses = 3, .connect_ms = 3000};
	unsigned before;
	struct door d;
	struct end e;

	UNUSED(state);
	door_open(&d, l, NULL);
	a[1] = dead_address(); /* its failure is passed over while another is on its way */
	a[2] = *listener_address(d.l);
	before = open_descriptors();
	end_init(&e, l);
	CALL(e.s = stream_connect(l, &to, &end_events, &e));
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	assert_int_equal(e.ended, 0);
	assert_memory_equal(stream_peer(e.s), &a[2], sizeof(a[2]));
	run_turns(l, 3);
	assert_int_equal(open_descriptors(), before + 2); /* both ends of one connection */
	end_fini(&e);
	door_close(&d);
	close(fill[0]);
	close(fill[1]);
	close(silent);
	loop_free(l);
}

static void
a_peer_that_vanishes_is_noticed_within_a_minute(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	struct end e;
	unsigned ms = 0;
	socklen_t n = sizeof(ms);
	uv_os_fd_t fd;

	UNUSED(state);
	door_open(&d, l, NULL);
	connect_to(&e, l, listener_address(d.l), 1);
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	assert_int_equal(uv_fileno(&e.s->uv.handle, &fd), 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &n), 0);
	assert_int_equal(ms, 60000);
	end_fini(&e);
	door_close(&d);
	loop_free(l);
}

static void
it_can_be_closed_at_every_moment_of_connecting(void **state)
{
	UNUSED(state);
	/* turns: at once, between two addresses, just before or after it is connected */
	for (int turns = 0; turns < 6; turns++) {
		struct loop *l = loop_new();
		struct address a[2] = {dead_address()};
		struct door d;
		struct end e;

		door_open(&d, l, NULL);
		a[1] = *listener_address(d.l);
		connect_to(&e, l, a, 2);
		run_turns(l, turns);
		CALL(stream_close(e.s));
		RUN_UNTIL(l, e.closed == 1);
		assert_int_equal(e.ended, 0);
		end_fini(&e);
		door_close(&d);
		loop_free(l);
	}
}

static void
a_failed_connection_can_be_closed_or_aborted(void **state)
{
	struct loop *l = loop_new();
	struct address a = dead_address();
	struct end e;

	UNUSED(state);
	connect_to(&e, l, &a, 1);
	RUN_UNTIL(l, e.ended == 1);
	CALL(stream_abort(e.s));
	RUN_UNTIL(l, e.closed == 1);
	free(e.got);
	loop_free(l);
}

static void
a_unix_socket_is_a_stream_like_any_other(void **state)
{
	struct loop *l = loop_new();
	char path[64], text[80];
	struct listener_options o = {.unix_mode = 0600};
	struct door d = {.loop = l};
	struct address a;
	const char *detail;
	struct end e;

	UNUSED(state);
	snprintf(path, sizeof(path), "/tmp/postern-unit-%d.sock", (int)getpid());
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_true(address_parse_listen(span_str(text), &a));
	d.l = listener_open(l, &a, &o, door_accepted, &d, &detail);
	assert_non_null(d.l);
	connect_to(&e, l, &a, 1);
	CALL(stream_read_start(e.s));
	RUN_UNTIL(l, e.opened == 1 && d.n == 1);
	assert_int_equal(address_kind(stream_peer(d.ends[0].s)), ADDRESS_UNIX);
	assert_true(end_write(&d.ends[0], "hello", 5));
	CALL(stream_shutdown(d.ends[0].s));
	RUN_UNTIL(l, e.ended == 1);
	assert_int_equal(e.why, E_EOF);
	assert_int_equal(e.n, 5);
	CALL(stream_abort(e.s));
	RUN_UNTIL(l, e.closed == 1 && d.ends[0].ended == 1);
	free(e.got);
	door_close(&d);
	run_turns(l, 3);

	connect_to(&e, l, &a, 1); /* the file is gone with the listener */
	RUN_UNTIL(l, e.ended == 1);
	assert_int_equal(e.why, E_UPSTREAM_CONNECT);
	assert_string_equal(stream_detail(e.s), "no such file or directory");
	end_fini(&e);
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_connection_opens_and_carries_bytes_both_ways),
	    cmocka_unit_test(both_sides_have_nodelay_and_keepalive),
	    cmocka_unit_test(nobody_listening_is_a_failure_with_its_reason),
	    cmocka_unit_test(no_address_at_all_fails_later_and_not_inside_the_call),
	    cmocka_unit_test(addresses_are_tried_in_order_until_one_connects),
	    cmocka_unit_test(a_silent_address_costs_its_share_of_the_time),
	    cmocka_unit_test(the_first_to_connect_wins_and_the_others_are_closed),
	    cmocka_unit_test(a_peer_that_vanishes_is_noticed_within_a_minute),
	    cmocka_unit_test(it_can_be_closed_at_every_moment_of_connecting),
	    cmocka_unit_test(a_failed_connection_can_be_closed_or_aborted),
	    cmocka_unit_test(a_unix_socket_is_a_stream_like_any_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
