#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <signal.h>

#include "net_ends.h"
#include "obs/metric.h"

/*
 * How long a turn keeps the loop. The clock is ours and moves only when somebody spends time, so all
 * turns together have to be exactly what the callbacks spent.
 */

static uint64_t now_us;

static void
pass(uint64_t us)
{
	now_us += us;
	clock_fake(now_us * 1000, 1);
}

/* Of all turns of this program, in microseconds. */
static uint64_t
busy_us(void)
{
	static char page[65536];
	unsigned long long seconds, us;
	struct buf b;

	buf_init(&b, sizeof(page) - 1);
	assert_true(metric_render(&b));
	memcpy(page, buf_view(&b).p, buf_len(&b));
	page[buf_len(&b)] = '\0';
	buf_fini(&b);
	const char *at = strstr(page, "\npostern_loop_turn_seconds_sum ");
	assert_non_null(at);
	assert_int_equal(sscanf(strchr(at, ' '), "%llu.%llu", &seconds, &us), 2);
	return seconds * 1000000 + us;
}

/* ---- one turn ---- */

static void
spend_3_ms(void *ctx)
{
	UNUSED(ctx);
	pass(3000);
}

static void
a_turn_is_all_that_ran_in_it(void **state)
{
	struct loop *l = loop_new();
	struct timer a = {0}, b = {0};
	uint64_t busy = busy_us(), turns = metric_get(M_LOOP_TURN);

	UNUSED(state);
	metric_set(M_LOOP_LONGEST_TURN, 0);
	timer_start(l, &a, 5, spend_3_ms, NULL);
	timer_start(l, &b, 5, spend_3_ms, NULL);
	loop_run(l);
	assert_int_equal(busy_us() - busy, 6000);
	assert_int_equal(metric_get(M_LOOP_LONGEST_TURN), 6000);
	assert_true(metric_get(M_LOOP_TURN) > turns);
	loop_free(l);
}

static void
the_longest_turn_is_kept(void **state)
{
	struct loop *l = loop_new();
	struct timer a = {0}, b = {0}, c = {0};

	UNUSED(state);
	metric_set(M_LOOP_LONGEST_TURN, 0);
	timer_start(l, &a, 5, spend_3_ms, NULL);
	timer_start(l, &b, 5, spend_3_ms, NULL);
	loop_run(l);
	timer_start(l, &c, 5, spend_3_ms, NULL);
	loop_run(l);
	assert_int_equal(metric_get(M_LOOP_LONGEST_TURN), 6000);
	loop_free(l);
}

/* Whoever stops the loop and runs it again later did not keep it in between. */
static void
what_passes_outside_of_the_loop_is_nobodys_turn(void **state)
{
	struct loop *l = loop_new();
	struct timer a = {0}, b = {0};
	uint64_t busy = busy_us();

	UNUSED(state);
	timer_start(l, &a, 1, spend_3_ms, NULL);
	loop_run(l);
	pass(1000000);
	timer_start(l, &b, 1, spend_3_ms, NULL);
	loop_run(l);
	assert_int_equal(busy_us() - busy, 6000);
	loop_free(l);
}

/* ---- waiting ---- */

static uint64_t turns_before;

/* The loop has counted a turn: it is at its poll, and nothing but our end wakes it. */
static void
pass_an_hour(void *ctx)
{
	UNUSED(ctx);
	while (metric_get(M_LOOP_TURN) == turns_before)
		sched_yield();
	pass(UINT64_C(3600000000));
}

static void
the_time_in_the_poll_is_not_counted(void **state)
{
	struct loop *l = loop_new();
	uint64_t busy = busy_us();

	UNUSED(state);
	metric_set(M_LOOP_LONGEST_TURN, 0);
	turns_before = metric_get(M_LOOP_TURN);
	work_start(l, pass_an_hour, spend_3_ms, NULL);
	loop_run(l);
	assert_int_equal(busy_us() - busy, 3000);
	assert_int_equal(metric_get(M_LOOP_LONGEST_TURN), 3000);
	loop_free(l);
}

static void
the_measurement_does_not_keep_the_loop(void **state)
{
	struct loop *l = loop_new();

	UNUSED(state);
	loop_run(l); /* returns: nothing is there */
	loop_free(l);
}

/* ---- every callback behind the poll begins the turn ---- */

static struct wake *wake;

static void
spend_and_close_wake(void *ctx)
{
	spend_3_ms(ctx);
	wake_close(wake);
}

static void
a_wake_up_is_counted(void **state)
{
	struct loop *l = loop_new();
	uint64_t busy = busy_us();

	UNUSED(state);
	wake = wake_new(l, spend_and_close_wake, NULL);
	wake_send(wake);
	loop_run(l);
	assert_int_equal(busy_us() - busy, 3000);
	loop_free(l);
}

static void
spend_and_stop(void *ctx, int signum)
{
	UNUSED(signum);
	pass(3000);
	loop_stop(ctx);
}

static void
a_signal_is_counted(void **state)
{
	struct loop *l = loop_new();
	struct timer t = {0};
	uint64_t busy = busy_us();

	UNUSED(state);
	signal_watch(l, SIGUSR1, spend_and_stop, l);
	timer_start(l, &t, PATIENCE_MS, spend_3_ms, NULL);
	kill(getpid(), SIGUSR1);
	loop_run(l);
	assert_int_equal(busy_us() - busy, 3000);
	timer_stop(l, &t);
	loop_free(l);
}

static void
accept_and_spend(void *ctx, struct stream *s)
{
	pass(3000);
	door_accepted(ctx, s);
}

static void
accepting_and_reading_are_counted(void **state)
{
	struct loop *l = loop_new();
	struct listener_options o = {0};
	struct door d = {.loop = l};
	struct address a;
	const char *detail;
	uint64_t busy = busy_us();

	UNUSED(state);
	assert_true(address_parse_listen(SPAN_LIT("127.0.0.1:0"), &a));
	d.l = listener_open(l, &a, &o, accept_and_spend, &d, &detail);
	int fd = peer_connect(listener_address(d.l));
	RUN_UNTIL(l, d.n == 1);
	run_turns(l, 2);
	assert_int_equal(busy_us() - busy, 3000);
	d.ends[0].hook = spend_3_ms;
	peer_send(fd, "x");
	RUN_UNTIL(l, d.ends[0].n == 1);
	run_turns(l, 2);
	assert_int_equal(busy_us() - busy, 6000);
	close(fd);
	door_close(&d);
	loop_free(l);
}

static void
open_and_spend(void *ctx)
{
	pass(3000);
	end_opened(ctx);
}

static void
drain_and_spend(void *ctx)
{
	pass(3000);
	end_drained(ctx);
}

#define MUCH (16u << 20) /* more than the kernel takes at once */

static void
connecting_and_writing_are_counted(void **state)
{
	struct loop *l = loop_new();
	struct stream_events ev = end_events;
	struct address a;
	struct end e;
	char *much = pattern_bytes(MUCH);
	size_t total;
	uint64_t busy = busy_us();
	int listener = peer_listen(&a, 1);

	UNUSED(state);
	ev.opened = open_and_spend;
	ev.drained = drain_and_spend;
	end_init(&e, l);
	e.s =
	    stream_connect(l, &(struct stream_target){.addresses = &a, .n_addresses = 1}, &ev, &e);
	stream_read_start(e.s);
	RUN_UNTIL(l, e.opened == 1);
	run_turns(l, 2);
	assert_int_equal(busy_us() - busy, 3000);
	int fd = accept(listener, NULL, NULL);
	assert_true(end_write(&e, much, MUCH));
	stream_shutdown(e.s);
	assert_int_equal(peer_read_all(l, fd, &total), 0);
	assert_int_equal(total, MUCH);
	assert_int_equal(e.drained, 1);
	run_turns(l, 2);
	assert_int_equal(busy_us() - busy, 6000);
	end_fini(&e);
	close(fd);
	close(listener);
	free(much);
	loop_free(l);
}

/* ---- nobody keeps the loop from the others ---- */

/* As much as the kernel takes. */
static size_t
send_all_that_fits(int fd, const char *bytes, size_t n)
{
	size_t sent = 0;
	ssize_t r;

	while ((r = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
		sent += (size_t)r;
	return sent;
}

static void
a_socket_reads_its_share_of_a_turn_and_the_rest_later(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	char *much = pattern_bytes(MUCH);
	size_t before = 0;

	UNUSED(state);
	door_open(&d, l, NULL);
	int fd = peer_connect(listener_address(d.l));
	RUN_UNTIL(l, d.n == 1);
	size_t sent = send_all_that_fits(fd, much, MUCH);
	assert_true(sent > 2 * LOOP_READ_A_TURN);
	while (d.ends[0].n < sent) {
		before = d.ends[0].n;
		uv_run(&l->uv, UV_RUN_ONCE);
		assert_true(d.ends[0].n - before < LOOP_READ_A_TURN + LOOP_READ_BYTES);
	}
	assert_int_equal(d.ends[0].n, sent);
	assert_memory_equal(d.ends[0].got, much, sent);
	shutdown(fd, SHUT_WR);
	RUN_UNTIL(l, d.ends[0].ended == 1);
	assert_int_equal(d.ends[0].why, E_EOF);
	close(fd);
	door_close(&d);
	free(much);
	loop_free(l);
}

static void
stop_when_sated(void *ctx)
{
	struct end *e = ctx;

	if (e->n >= LOOP_READ_A_TURN)
		stream_read_stop(e->s);
}

/* The owner's say is not overruled by the turn's end. */
static void
who_stopped_reading_is_left_alone_also_when_sated(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	char *much = pattern_bytes(MUCH);

	UNUSED(state);
	door_open(&d, l, NULL);
	int fd = peer_connect(listener_address(d.l));
	RUN_UNTIL(l, d.n == 1);
	size_t sent = send_all_that_fits(fd, much, MUCH);
	d.ends[0].hook = stop_when_sated;
	d.ends[0].hook_ctx = &d.ends[0];
	RUN_UNTIL(l, d.ends[0].n >= LOOP_READ_A_TURN);
	size_t n = d.ends[0].n;
	run_turns(l, 5);
	assert_int_equal(d.ends[0].n, n);
	d.ends[0].hook = NULL;
	CALL(stream_read_start(d.ends[0].s));
	RUN_UNTIL(l, d.ends[0].n == sent);
	close(fd);
	door_close(&d);
	free(much);
	loop_free(l);
}

#define CROWD 24

static void
crowd_connect(const struct door *d, int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fds[i] = peer_connect(listener_address(d->l));
}

static void
crowd_close(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* Whatever they have: no more than one turn gives, and a sip for each that had not been read. All of it comes in the end. */
static void
a_crowd_of_sockets_shares_a_turn(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	char *much = pattern_bytes(MUCH);
	int fds[CROWD];
	size_t sent[CROWD], all = 0, got = 0, most = 0;

	UNUSED(state);
	door_open(&d, l, NULL);
	crowd_connect(&d, fds, CROWD);
	RUN_UNTIL(l, d.n == CROWD);
	for (int i = 0; i < CROWD; i++)
		all += sent[i] = send_all_that_fits(fds[i], much, MUCH);
	assert_true(all > 4 * LOOP_READ_IN_ALL);
	while (got < all) {
		size_t before = got;

		uv_run(&l->uv, UV_RUN_ONCE);
		got = 0;
		for (int i = 0; i < CROWD; i++)
			got += d.ends[i].n;
		most = got - before > most ? got - before : most;
	}
	assert_true(most > LOOP_READ_IN_ALL / 2);
	assert_true(most <= LOOP_READ_IN_ALL + LOOP_READ_BYTES + CROWD * LOOP_READ_SIP);
	for (int i = 0; i < CROWD; i++)
		assert_memory_equal(d.ends[i].got, much, d.ends[i].n);
	crowd_close(fds, CROWD);
	door_close(&d);
	free(much);
	loop_free(l);
}

static void
who_says_little_does_not_wait_behind_the_crowd(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	char *much = pattern_bytes(MUCH);
	int fds[CROWD + 1];

	UNUSED(state);
	door_open(&d, l, NULL);
	crowd_connect(&d, fds, CROWD + 1);
	RUN_UNTIL(l, d.n == CROWD + 1);
	for (int i = 0; i < CROWD; i++)
		assert_true(send_all_that_fits(fds[i], much, MUCH) > LOOP_READ_A_TURN);
	run_turns(l, 3);
	assert_false(list_is_empty(&l->hungry));
	peer_send(fds[CROWD], "little");
	run_turns(l, 1);
	assert_int_equal(d.ends[CROWD].n, 6);
	assert_false(list_is_empty(&l->hungry));
	CALL(stream_close(d.ends[0].s)); /* also one that waits */
	crowd_close(fds, CROWD + 1);
	door_close(&d);
	free(much);
	loop_free(l);
}

#define ASKED (3 * LOOP_READ_SIP) /* CROWD times that is more than a turn has */
#define LACKED (LOOP_READ_SIP / 2)

/* Those who ask again in each turn use up what it has for all, and come first. Whose answer is a little longer than what
 * one who is not hungry gets is not kept waiting for the rest of it. */
static void
who_lacks_a_little_is_fed_while_others_ask_again(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	char *much = pattern_bytes(ASKED);
	int asking[CROWD], lacking[CROWD];

	UNUSED(state);
	assert_true(CROWD * ASKED > LOOP_READ_IN_ALL);
	door_open(&d, l, NULL);
	crowd_connect(&d, asking, CROWD);
	RUN_UNTIL(l, d.n == CROWD);
	crowd_connect(&d, lacking, CROWD);
	RUN_UNTIL(l, d.n == 2 * CROWD);
	for (unsigned turn = 0; turn < 3; turn++) {
		for (int i = 0; i < CROWD; i++)
			assert_int_equal(send_all_that_fits(asking[i], much, ASKED), ASKED);
		for (int i = 0; turn == 0 && i < CROWD; i++)
			send_all_that_fits(lacking[i], much, 2 * LOOP_READ_SIP + LACKED);
		run_turns(l, 1);
	}
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(d.ends[CROWD + i].n, 2 * LOOP_READ_SIP + LACKED);
	crowd_close(asking, CROWD);
	crowd_close(lacking, CROWD);
	door_close(&d);
	free(much);
	loop_free(l);
}

static void
count_one(void *ctx)
{
	++*(unsigned *)ctx;
}

static void
timers_that_are_due_at_once_are_spread_over_turns(void **state)
{
	struct loop *l = loop_new();
	struct timer timers[3 * LOOP_TIMERS_A_TURN + 1] = {0};
	unsigned n = 0;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(timers); i++)
		timer_start(l, &timers[i], 5, count_one, &n);
	while (n < COUNT_OF(timers)) {
		unsigned before = n;

		uv_run(&l->uv, UV_RUN_ONCE);
		assert_true(n - before <= LOOP_TIMERS_A_TURN);
	}
	loop_free(l);
}

/* Half of them are parked, half are due later: as many as one turn looks at, then one more. */
static void
timers_that_are_not_due_after_all_are_looked_at_over_turns(void **state)
{
	for (size_t more = 0; more < 2; more++) {
		struct loop *l = loop_new();
		struct timer timers[LOOP_LOOKS_A_TURN + 1] = {0};
		size_t all = LOOP_LOOKS_A_TURN + more;
		unsigned n = 0, turns = 0;

		UNUSED(state);
		for (size_t i = 0; i < all; i++) {
			timer_start(l, &timers[i], 5, count_one, &n);
			if (i % 2 == 0)
				timer_start(l, &timers[i], 1000000, count_one, &n);
			else
				timer_park(&timers[i]);
		}
		while (l->heap[0].look_ms < loop_now_ms(l) + 1000)
			turns += uv_run(&l->uv, UV_RUN_ONCE) != 0 && l->ticks > 0;
		assert_int_equal(turns, 1 + more);
		assert_int_equal(n, 0);
		assert_int_equal(l->timers, (all + 1) / 2);
		for (size_t i = 0; i < all; i++)
			timer_stop(l, &timers[i]);
		loop_free(l);
	}
}

static void
a_crowd_is_accepted_over_turns(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	int fds[LOOP_ACCEPTS_A_TURN + 10];

	UNUSED(state);
	door_open(&d, l, NULL);
	crowd_connect(&d, fds, COUNT_OF(fds));
	while (d.n < COUNT_OF(fds)) {
		unsigned before = d.n;

		uv_run(&l->uv, UV_RUN_ONCE);
		assert_true(d.n - before <= LOOP_ACCEPTS_A_TURN);
	}
	crowd_close(fds, COUNT_OF(fds));
	door_close(&d);
	loop_free(l);
}

/* Else the last of a crowd waits for the square of its number, while its first ask and ask again. */
static void
a_turn_accepts_half_as_many_more_as_the_one_before_read(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	int fds[LOOP_ACCEPTS_A_TURN + 11];

	UNUSED(state);
	door_open(&d, l, NULL);
	crowd_connect(&d, fds, COUNT_OF(fds));
	l->reads_before = 20;
	uv_run(&l->uv, UV_RUN_ONCE);
	assert_int_equal(d.n, LOOP_ACCEPTS_A_TURN + 10);
	RUN_UNTIL(l, d.n == COUNT_OF(fds));
	crowd_close(fds, COUNT_OF(fds));
	door_close(&d);
	loop_free(l);
}

struct order {
	const struct door *d;
	unsigned accepted_when_read;
};

static void
note_accepted(void *ctx)
{
	struct order *o = ctx;

	o->accepted_when_read = o->d->n;
}

/* Those who were accepted with something to say have said it before the next one comes, who may cost the silent ones their place. */
static void
in_a_crowd_one_is_accepted_behind_what_is_read(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	struct order order = {.d = &d};
	int first, more[3];

	UNUSED(state);
	door_open(&d, l, NULL);
	first = peer_connect(listener_address(d.l));
	RUN_UNTIL(l, d.n == 1);
	d.ends[0].hook = note_accepted;
	d.ends[0].hook_ctx = &order;
	listeners_crowded(l, true);
	crowd_connect(&d, more, COUNT_OF(more));
	peer_send(first, "x");
	uv_run(&l->uv, UV_RUN_ONCE);
	assert_int_equal(order.accepted_when_read, 1);
	assert_int_equal(d.n, 2);
	uv_run(&l->uv, UV_RUN_ONCE);
	assert_int_equal(d.n, 3);
	listeners_crowded(l, false);
	RUN_UNTIL(l, d.n == 4);
	close(first);
	crowd_close(more, COUNT_OF(more));
	door_close(&d);
	loop_free(l);
}

static int
start_clock(void **state)
{
	UNUSED(state);
	pass(1000000);
	return 0;
}

static int
let_clock_go(void **state)
{
	UNUSED(state);
	clock_fake(0, 0);
	return 0;
}

/* ---- what is put off to the end of a read ---- */

struct teller {
	struct loop *loop;
	struct defer soon, later;
	char *told; /* r: a read, s: behind it, t: put off by that */
};

static void
tell_t(void *ctx)
{
	struct teller *x = ctx;

	strcat(x->told, "t");
}

static void
tell_s(void *ctx)
{
	struct teller *x = ctx;

	strcat(x->told, "s");
	defer_soon(x->loop, &x->later, tell_t, x);
}

static void
tell_r(void *ctx)
{
	struct teller *x = ctx;

	defer_soon(x->loop, &x->soon, tell_s, x);
	defer_soon(x->loop, &x->soon, tell_s, x);
	strcat(x->told, "r");
}

/* Both are readable when the turn begins. What is put off by what was put off waits for the turn's end: nobody keeps the loop. */
static void
what_is_put_off_to_the_end_of_a_read_runs_before_the_next_one(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	char told[16] = "";
	struct teller who[2] = {{.loop = l, .told = told}, {.loop = l, .told = told}};
	int fds[2];

	UNUSED(state);
	door_open(&d, l, NULL);
	crowd_connect(&d, fds, 2);
	RUN_UNTIL(l, d.n == 2);
	for (int i = 0; i < 2; i++) {
		d.ends[i].hook = tell_r;
		d.ends[i].hook_ctx = &who[i];
		peer_send(fds[i], "x");
	}
	RUN_UNTIL(l, strlen(told) == 6);
	assert_string_equal(told, "rsrstt");
	crowd_close(fds, 2);
	door_close(&d);
	loop_free(l);
}

static void
outside_of_a_read_it_waits_for_the_end_of_the_turn_and_can_be_taken_back(void **state)
{
	struct loop *l = loop_new();
	char told[16] = "";
	struct teller x = {.loop = l, .told = told};

	UNUSED(state);
	tell_r(&x);
	assert_string_equal(told, "r");
	loop_run(l);
	assert_string_equal(told, "rst");
	tell_r(&x);
	defer_stop(&x.soon);
	loop_run(l);
	assert_string_equal(told, "rstr");
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_turn_is_all_that_ran_in_it),
	    cmocka_unit_test(the_longest_turn_is_kept),
	    cmocka_unit_test(what_passes_outside_of_the_loop_is_nobodys_turn),
	    cmocka_unit_test(the_time_in_the_poll_is_not_counted),
	    cmocka_unit_test(the_measurement_does_not_keep_the_loop),
	    cmocka_unit_test(a_wake_up_is_counted),
	    cmocka_unit_test(a_signal_is_counted),
	    cmocka_unit_test(accepting_and_reading_are_counted),
	    cmocka_unit_test(connecting_and_writing_are_counted),
	    cmocka_unit_test(a_socket_reads_its_share_of_a_turn_and_the_rest_later),
	    cmocka_unit_test(who_stopped_reading_is_left_alone_also_when_sated),
	    cmocka_unit_test(a_crowd_of_sockets_shares_a_turn),
	    cmocka_unit_test(who_says_little_does_not_wait_behind_the_crowd),
	    cmocka_unit_test(who_lacks_a_little_is_fed_while_others_ask_again),
	    cmocka_unit_test(what_is_put_off_to_the_end_of_a_read_runs_before_the_next_one),
	    cmocka_unit_test(
		outside_of_a_read_it_waits_for_the_end_of_the_turn_and_can_be_taken_back),
	    cmocka_unit_test(timers_that_are_due_at_once_are_spread_over_turns),
	    cmocka_unit_test(timers_that_are_not_due_after_all_are_looked_at_over_turns),
	    cmocka_unit_test(a_crowd_is_accepted_over_turns),
	    cmocka_unit_test(a_turn_accepts_half_as_many_more_as_the_one_before_read),
	    cmocka_unit_test(in_a_crowd_one_is_accepted_behind_what_is_read),
	};

	return cmocka_run_group_tests(tests, start_clock, let_clock_go);
}
