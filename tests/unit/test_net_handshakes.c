/* Who waits for whom when a TLS listener has more handshakes than it gives turns: with 128 descriptors four connections, three turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>

#include "crypto/crypto.h"
#include "net/handshakes_int.h"
#include "net_ends.h"
#include "obs/metric.h"
#include "tls_pair.h"

#define DESCRIPTORS 128
#define MOST 4
#define TURNS_AT_ONCE 3

struct crowd {
	struct loop *loop;
	struct tls_ctx *server, *client;
	struct door door;
	struct rlimit limit;
	int peers[8];
	unsigned n_peers, taken, left, most_seats;
	uint64_t ended_before;
};

static bool
take_seat(void *ctx, const struct address *peer, void **seat)
{
	struct crowd *c = CONTAINER_OF(ctx, struct crowd, door);

	assert_true(address_is_loopback(peer));
	if (c->taken - c->left >= c->most_seats)
		return false;
	c->taken++;
	*seat = c;
	return true;
}

static void
leave_seat(void *ctx, void *seat)
{
	struct crowd *c = CONTAINER_OF(ctx, struct crowd, door);

	assert_ptr_equal(seat, c);
	c->left++;
}

static struct crowd *
crowd_new(unsigned tls_ms)
{
	struct crowd *c = xcalloc(1, sizeof(*c));
	struct listener_options o = {.tls_ms = tls_ms, .seats = {take_seat, leave_seat}};
	struct rlimit few;
	struct address a;
	const char *detail;

	c->loop = c->door.loop = loop_new();
	c->most_seats = 1000;
	c->server = o.tls = pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY);
	c->client = pki_client(PEM_ROOT);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &c->limit), 0);
	few = c->limit;
	few.rlim_cur = DESCRIPTORS;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_true(address_parse_listen(SPAN_LIT("127.0.0.1:0"), &a));
	CALL(c->door.l = listener_open(c->loop, &a, &o, door_accepted, &c->door, &detail));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &c->limit), 0);
	c->ended_before = metric_get(M_LIMIT_HANDSHAKES);
	return c;
}

static void
crowd_free(struct crowd *c)
{
	for (unsigned i = 0; i < c->n_peers; i++)
		close(c->peers[i]);
	door_close(&c->door);
	loop_free(c->loop);
	tls_ctx_unref(c->server);
	tls_ctx_unref(c->client);
	free(c);
}

static int
come(struct crowd *c, const char *words)
{
	int fd = peer_connect(listener_address(c->door.l));

	c->peers[c->n_peers++] = fd;
	peer_send(fd, words);
	return fd;
}

static void
dial(struct crowd *c, struct end *e)
{
	struct stream_target to = {.addresses = listener_address(c->door.l),
	    .n_addresses = 1,
	    .name = "api.test",
	    .tls = c->client,
	    .connect_ms = 5000,
	    .tls_ms = PATIENCE_MS};

	end_init(e, c->loop);
	CALL(e->s = stream_connect(c->loop, &to, &end_events, e));
	CALL(stream_read_start(e->s));
}

static unsigned
ended(const struct crowd *c)
{
	return (unsigned)(metric_get(M_LIMIT_HANDSHAKES) - c->ended_before);
}

#define HALF_A_HELLO "\x16\x03\x01"
#define LONG_MS 60000

/* A turn is not taken by who says nothing: it goes to those who speak. */
static void
who_has_said_nothing_keeps_nobody_waiting(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);
	struct end e;

	UNUSED(state);
	for (int i = 0; i < MOST - 1; i++)
		come(c, "");
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == MOST - 1);
	dial(c, &e);
	RUN_UNTIL(c->loop, e.opened == 1 && c->door.n == 1);
	assert_int_equal(ended(c), 0);
	end_fini(&e);
	crowd_free(c);
}

static void
with_a_turn_left_nobody_waits(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);
	struct end e;

	UNUSED(state);
	for (int i = 0; i < TURNS_AT_ONCE - 1; i++)
		come(c, HALF_A_HELLO);
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == TURNS_AT_ONCE - 1);
	dial(c, &e);
	RUN_UNTIL(c->loop, e.opened == 1);
	assert_int_equal(listener_failed_handshakes(c->door.l), 0);
	end_fini(&e);
	crowd_free(c);
}

static void
without_one_it_waits_unread_until_another_is_over(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);
	struct end e;
	int first;

	UNUSED(state);
	first = come(c, HALF_A_HELLO);
	for (int i = 1; i < TURNS_AT_ONCE; i++)
		come(c, HALF_A_HELLO);
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == TURNS_AT_ONCE);
	run_turns(c->loop, 20); /* they have their turns */
	dial(c, &e);
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == MOST);
	run_turns(c->loop, 50);
	assert_int_equal(e.opened, 0);
	assert_int_equal(listener_failed_handshakes(c->door.l), 0);
	peer_reset(first);
	c->peers[0] = -1;
	RUN_UNTIL(c->loop, e.opened == 1 && c->door.n == 1);
	assert_int_equal(listener_failed_handshakes(c->door.l), 1); /* who left */
	assert_int_equal(ended(c), 0);
	end_fini(&e);
	crowd_free(c);
}

static void
who_does_not_go_on_gives_its_turn_to_one_who_waits(void **state)
{
	struct crowd *c = crowd_new(2000); /* 500 ms of patience */
	struct end e;

	UNUSED(state);
	for (int i = 0; i < TURNS_AT_ONCE; i++)
		come(c, HALF_A_HELLO);
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == TURNS_AT_ONCE);
	dial(c, &e);
	RUN_UNTIL(c->loop, e.opened == 1);
	assert_true(ended(c) >= 1); /* the oldest; the next only if somebody waited still */
	assert_int_equal(listener_failed_handshakes(c->door.l), ended(c));
	end_fini(&e);
	crowd_free(c);
}

static void
newcomers_beyond_the_most_wait_in_the_kernel_and_the_silent_make_room(void **state)
{
	struct crowd *c = crowd_new(2000);
	struct end e;

	UNUSED(state);
	for (int i = 0; i < MOST; i++)
		come(c, "");
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == MOST);
	dial(c, &e);
	run_turns(c->loop, 20);
	assert_int_equal(c->taken, MOST); /* it is not here yet */
	RUN_UNTIL(c->loop, e.opened == 1);
	assert_int_equal(ended(c), 1); /* one place was wanted */
	end_fini(&e);
	crowd_free(c);
}

static void
silent_ones_that_nobody_wants_the_place_of_have_their_whole_time(void **state)
{
	struct crowd *c = crowd_new(400);

	UNUSED(state);
	for (int i = 0; i < MOST; i++)
		come(c, i % 2 == 0 ? "" : HALF_A_HELLO);
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == MOST);
	RUN_UNTIL(c->loop, listener_failed_handshakes(c->door.l) == MOST);
	assert_int_equal(ended(c), 0);
	crowd_free(c);
}

static void
of_a_storm_everybody_is_served(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);
	struct end many[60];
	size_t open = 0;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(many); i++)
		dial(c, &many[i]);
	while (open < COUNT_OF(many)) {
		size_t before = open;

		RUN_UNTIL(c->loop, c->door.n > before);
		open = c->door.n;
		assert_true(listener_handshakes(c->door.l) <= MOST);
	}
	assert_int_equal(listener_failed_handshakes(c->door.l), 0);
	for (size_t i = 0; i < COUNT_OF(many); i++)
		end_fini(&many[i]);
	crowd_free(c);
}

/* ---- seats ---- */

static void
a_seat_is_left_when_the_handshake_fails_and_kept_when_it_does_not(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);
	struct end e;
	int fd;

	UNUSED(state);
	dial(c, &e);
	RUN_UNTIL(c->loop, e.opened == 1 && c->door.n == 1);
	assert_int_equal(c->taken, 1);
	assert_ptr_equal(stream_take_seat(c->door.ends[0].s), c);
	assert_null(stream_take_seat(c->door.ends[0].s));
	fd = come(c, "no TLS");
	RUN_UNTIL(c->loop, listener_failed_handshakes(c->door.l) == 1);
	assert_int_equal(c->left, 1);
	UNUSED(fd);
	end_fini(&e);
	crowd_free(c);
}

static void
without_a_seat_nothing_is_begun(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);
	struct end e;

	UNUSED(state);
	c->most_seats = 1;
	come(c, "");
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == 1);
	dial(c, &e);
	RUN_UNTIL(c->loop, e.ended == 1);
	assert_int_equal(e.opened, 0);
	assert_int_equal(listener_handshakes(c->door.l), 1);
	assert_int_equal(c->taken, 1);
	end_fini(&e);
	crowd_free(c);
}

static void
a_listener_closes_with_some_at_every_turn(void **state)
{
	struct crowd *c = crowd_new(LONG_MS);

	UNUSED(state);
	for (int i = 0; i < MOST; i++)
		come(c, i == 0 ? "" : HALF_A_HELLO);
	come(c, HALF_A_HELLO); /* parked */
	RUN_UNTIL(c->loop, listener_handshakes(c->door.l) == MOST);
	run_turns(c->loop, 20);
	assert_int_equal(c->taken, MOST);
	CALL(listener_close(c->door.l));
	assert_int_equal(c->left, MOST);
	run_turns(c->loop, 3);
	door_open(&c->door, c->loop, NULL);
	crowd_free(c); /* loop_free sees to it that nothing is left */
}

static int
start(void **state)
{
	UNUSED(state);
	return crypto_init() ? 0 : -1;
}

static int
stop(void **state)
{
	UNUSED(state);
	crypto_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_has_said_nothing_keeps_nobody_waiting),
	    cmocka_unit_test(with_a_turn_left_nobody_waits),
	    cmocka_unit_test(without_one_it_waits_unread_until_another_is_over),
	    cmocka_unit_test(who_does_not_go_on_gives_its_turn_to_one_who_waits),
	    cmocka_unit_test(newcomers_beyond_the_most_wait_in_the_kernel_and_the_silent_make_room),
	    cmocka_unit_test(silent_ones_that_nobody_wants_the_place_of_have_their_whole_time),
	    cmocka_unit_test(of_a_storm_everybody_is_served),
	    cmocka_unit_test(a_seat_is_left_when_the_handshake_fails_and_kept_when_it_does_not),
	    cmocka_unit_test(without_a_seat_nothing_is_begun),
	    cmocka_unit_test(a_listener_closes_with_some_at_every_turn),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
