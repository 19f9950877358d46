#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cache/flight.h"
#include "net/loop.h"

static struct loop *loop;
static struct flights *fs;
static const struct entry_key key_a = {{1}}, key_b = {{2}};
static const uint8_t record[16] = {9};
static int lonely_calls;

struct one {
	struct follower m;
	uint64_t taken;
	int moves;
	bool is_cut, leaves_when_moved;
	char got[64];
};

static void
on_lonely(void *ctx)
{
	(void)ctx;
	lonely_calls++;
}

static void
on_turned(void *ctx)
{
	(void)ctx;
	loop_stop(loop);
}

/* Runs what was deferred until now. */
static void
turn(void)
{
	struct defer end = {0};
	defer_start(loop, &end, on_turned, NULL);
	loop_run(loop);
}

/* Takes all that is there, as a client that keeps up. */
static void
on_moved(void *ctx)
{
	struct one *o = ctx;
	struct span new;
	o->moves++;
	if (o->leaves_when_moved) {
		flight_leave(&o->m);
		return;
	}
	if (!flight_view(o->m.flight, o->taken, &new)) {
		o->is_cut = true;
		return;
	}
	memcpy(o->got + o->taken % 32, new.p, new.n < 32 ? new.n : 0);
	o->taken += new.n;
}

static void
on_moved_slowly(void *ctx)
{
	((struct one *)ctx)->moves++;
}

static struct flight *
open_flight(uint64_t max)
{
	static int leader;
	return flight_open(fs, &key_a, SPAN_LIT("preimage"), max,
	    &(struct leader){.lonely = on_lonely, .ctx = &leader});
}

static void
the_same_request_finds_it_and_another_does_not(void **state)
{
	(void)state;
	struct flight *f = open_flight(100);
	assert_ptr_equal(flight_find(fs, &key_a, SPAN_LIT("preimage")), f);
	assert_null(flight_find(fs, &key_b, SPAN_LIT("preimage")));
	/* the key is only a hash */
	assert_null(flight_find(fs, &key_a, SPAN_LIT("another")));
	flight_fail(f);
	assert_null(flight_find(fs, &key_a, SPAN_LIT("preimage")));
}

static void
a_closed_flight_is_not_found_but_goes_on(void **state)
{
	struct one a = {0};
	(void)state;
	struct flight *f = open_flight(100);
	flight_join(f, &a.m, on_moved_slowly, &a);
	flight_close(f);
	assert_null(flight_find(fs, &key_a, SPAN_LIT("preimage")));
	flight_put(f, SPAN_LIT("abc"));
	struct span v;
	assert_true(flight_view(f, 0, &v));
	assert_true(span_eq(v, SPAN_LIT("abc")));
	flight_fail(f);
	assert_int_equal(flight_state(f), FLIGHT_FAILED);
	flight_leave(&a.m);
}

static void
a_follower_gets_what_was_there_then_the_live_tail(void **state)
{
	struct one early = {0}, late = {0};
	struct entry_meta meta = {.status = 200, .flags = 1};
	(void)state;
	struct flight *f = open_flight(100);
	flight_join(f, &early.m, on_moved, &early);
	flight_answer(f, 200, SPAN_LIT("fields"), record);
	turn();
	assert_int_equal(early.moves, 1);
	assert_int_equal(flight_status(f), 200);
	assert_true(span_eq(flight_fields(f), SPAN_LIT("fields")));
	flight_put(f, SPAN_LIT("abc"));
	flight_join(f, &late.m, on_moved, &late);
	on_moved(&late);
	assert_memory_equal(late.got, "abc", 3);
	flight_put(f, SPAN_LIT("de"));
	turn();
	assert_memory_equal(early.got, "abcde", 5);
	assert_memory_equal(late.got, "abcde", 5);
	flight_complete(f, &meta);
	assert_int_equal(flight_state(f), FLIGHT_COMPLETE);
	assert_int_equal(flight_meta(f)->flags, 1);
	assert_memory_equal(flight_meta(f)->record, record, 16);
	assert_int_equal(flight_size(f), 5);
	assert_int_equal(flights_bytes(fs), 5);
	flight_leave(&early.m);
	flight_leave(&early.m);
	flight_leave(&late.m);
	assert_int_equal(flights_bytes(fs), 0);
}

static struct span shown; /* what the leader still has */

static struct span
on_seen(void *ctx)
{
	(void)ctx;
	return shown;
}

static struct flight *
open_bare(uint64_t max)
{
	static int leader;
	return flight_open(fs, &key_a, SPAN_LIT("preimage"), max,
	    &(struct leader){.lonely = on_lonely, .seen = on_seen, .ctx = &leader});
}

static void
it_holds_nothing_until_somebody_asks_for_it(void **state)
{
	struct one late = {0};
	(void)state;
	struct flight *f = open_bare(8);
	flight_answer(f, 200, SPAN_NONE, record);
	flight_put(f, SPAN_LIT("abc"));
	flight_put(f, SPAN_LIT("de"));
	assert_int_equal(flights_bytes(fs), 0);
	assert_int_equal(flight_size(f), 5);
	shown = SPAN_LIT("abcde");
	assert_ptr_equal(flight_find(fs, &key_a, SPAN_LIT("preimage")), f);
	assert_int_equal(flights_bytes(fs), 5);
	shown = SPAN_NONE; /* it is not asked for again */
	flight_join(f, &late.m, on_moved, &late);
	flight_put(f, SPAN_LIT("fgh"));
	turn();
	assert_memory_equal(late.got, "abcdefgh", 8);
	assert_int_equal(flight_size(f), 8);
	flight_complete(f, &(struct entry_meta){.status = 200});
	flight_leave(&late.m);
	assert_int_equal(flights_bytes(fs), 0);
}

static void
nobody_joins_when_its_leader_has_lost_the_beginning(void **state)
{
	(void)state;
	struct flight *f = open_bare(8);
	flight_put(f, SPAN_LIT("abcd"));
	shown = SPAN_LIT("abc");
	assert_null(flight_find(fs, &key_a, SPAN_LIT("preimage")));
	shown = SPAN_LIT("abcd");
	assert_null(flight_find(fs, &key_a, SPAN_LIT("preimage")));
	flight_fail(f);
	for (int over = 0; over < 2; over++) {
		f = open_bare(8);
		shown = over ? SPAN_LIT("123456789") : SPAN_LIT("12345678");
		flight_put(f, shown);
		assert_true((flight_find(fs, &key_a, SPAN_LIT("preimage")) == NULL) == over);
		flight_fail(f);
	}
	assert_int_equal(flights_bytes(fs), 0);
}

static void
past_its_window_nobody_joins_and_who_lags_is_cut(void **state)
{
	struct one quick = {0}, slow = {0};
	(void)state;
	struct flight *f = open_flight(10);
	flight_join(f, &quick.m, on_moved, &quick);
	flight_join(f, &slow.m, on_moved_slowly, &slow);
	flight_answer(f, 200, SPAN_NONE, record);
	flight_put(f, SPAN_LIT("0123456789"));
	assert_non_null(flight_find(fs, &key_a, SPAN_LIT("preimage")));
	flight_put(f, SPAN_LIT("x"));
	assert_null(flight_find(fs, &key_a, SPAN_LIT("preimage")));
	assert_int_equal(quick.taken, 10); /* what would have gone */
	turn();
	assert_int_equal(quick.taken, 11);
	assert_false(quick.is_cut);
	struct span v;
	assert_false(flight_view(f, slow.taken, &v));
	assert_true(flight_view(f, 1, &v) && v.n == 10);
	flight_put(f, SPAN_LIT("a piece that is larger than the window is"));
	assert_int_equal(flights_bytes(fs), 0);
	flight_put(f, SPAN_LIT("y"));
	assert_int_equal(flights_bytes(fs), 1);
	flight_fail(f);
	flight_leave(&quick.m);
	flight_leave(&slow.m);
}

static void
all_flights_together_are_capped(void **state)
{
	struct one a = {0}, b = {0};
	static int other;
	(void)state;
	struct flight *f = open_flight(900);
	struct flight *g = flight_open(
	    fs, &key_b, SPAN_LIT("p"), 900, &(struct leader){.lonely = on_lonely, .ctx = &other});
	flight_join(f, &a.m, on_moved_slowly, &a);
	flight_join(g, &b.m, on_moved_slowly, &b);
	char piece[600] = {0};
	flight_put(f, span_of(piece, 600));
	flight_put(g, span_of(piece, 400));
	assert_int_equal(flights_bytes(fs), 1000);
	flight_put(g, span_of(piece, 1));
	assert_int_equal(flights_bytes(fs), 1000);
	struct span v;
	assert_false(flight_view(g, 0, &v));
	assert_true(flight_view(f, 0, &v));
	flight_fail(f);
	flight_fail(g);
	flight_leave(&a.m);
	flight_leave(&b.m);
	assert_int_equal(flights_bytes(fs), 0);
}

static void
the_leader_hears_that_nobody_follows_any_more(void **state)
{
	struct one a = {0}, b = {0};
	(void)state;
	lonely_calls = 0;
	struct flight *f = open_flight(10);
	flight_join(f, &a.m, on_moved, &a);
	flight_join(f, &b.m, on_moved, &b);
	assert_true(flight_is_followed(f));
	flight_leave(&a.m);
	assert_int_equal(lonely_calls, 0);
	flight_leave(&b.m);
	assert_int_equal(lonely_calls, 1);
	assert_false(flight_is_followed(f));
	flight_fail(f);
}

static void
followers_may_leave_while_they_are_told(void **state)
{
	struct one a = {.leaves_when_moved = true}, b = {.leaves_when_moved = true}, c = {0};
	(void)state;
	struct flight *f = open_flight(10);
	flight_join(f, &a.m, on_moved, &a);
	flight_join(f, &b.m, on_moved, &b);
	flight_join(f, &c.m, on_moved, &c);
	flight_answer(f, 200, SPAN_NONE, record);
	turn();
	assert_int_equal(a.moves + b.moves + c.moves, 3);
	c.leaves_when_moved = true;
	flight_fail(f);
	assert_non_null(c.m.flight);
	turn(); /* the last one leaves inside: the flight is freed once */
	assert_null(c.m.flight);
}

static void
what_comes_in_one_turn_is_told_once(void **state)
{
	struct one a = {0};
	(void)state;
	struct flight *f = open_flight(100);
	flight_join(f, &a.m, on_moved, &a);
	flight_answer(f, 200, SPAN_NONE, record);
	flight_put(f, SPAN_LIT("abc"));
	flight_put(f, SPAN_LIT("de"));
	assert_int_equal(a.moves, 0);
	turn();
	assert_int_equal(a.moves, 1);
	assert_memory_equal(a.got, "abcde", 5);
	turn();
	assert_int_equal(a.moves, 1);
	flight_complete(f, &(struct entry_meta){.status = 200});
	flight_leave(&a.m); /* before it was told */
	turn();
	assert_int_equal(a.moves, 1);
}

/* In turns, so that a thousand ends do not hold the loop; news in between reach all, each once. */
static void
many_followers_are_told_some_in_each_turn(void **state)
{
	enum { MANY = 150 };
	static struct one many[MANY];
	(void)state;
	struct flight *f = open_flight(100);
	for (int i = 0; i < MANY; i++)
		flight_join(f, &many[i].m, on_moved, &many[i]);
	flight_answer(f, 200, SPAN_NONE, record);
	turn();
	assert_int_equal(many[63].moves, 1);
	assert_int_equal(many[64].moves, 0);
	flight_put(f, SPAN_LIT("abc"));
	turn();
	assert_int_equal(many[63].moves, 1);
	assert_int_equal(many[64].moves, 1);
	assert_int_equal(many[127].taken, 3);
	turn();
	turn();
	assert_int_equal(many[63].taken, 3);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(many[i].taken, 3);
		many[i].leaves_when_moved = true;
	}
	flight_fail(f);
	for (int i = 0; i < 3; i++)
		turn();
	assert_null(many[MANY - 1].m.flight);
	assert_int_equal(flights_bytes(fs), 0);
}

static struct flight *led;

static void
on_lonely_fail(void *ctx)
{
	(void)ctx;
	flight_fail(led);
}

/* Bytes that push out others are told at once, and that may be the end of all who want them. */
static void
a_leader_may_end_it_when_its_followers_leave_inside_a_put(void **state)
{
	static int leader;
	struct one a = {.leaves_when_moved = true};
	(void)state;
	led = flight_open(fs, &key_a, SPAN_LIT("preimage"), 4,
	    &(struct leader){.lonely = on_lonely_fail, .ctx = &leader});
	flight_join(led, &a.m, on_moved, &a);
	flight_put(led, SPAN_LIT("abc"));
	flight_put(led, SPAN_LIT("de"));
	assert_int_equal(a.moves, 1);
	assert_null(a.m.flight);
	assert_int_equal(flights_bytes(fs), 0);
}

static int
setup(void **state)
{
	(void)state;
	loop = loop_new();
	fs = flights_new(loop, 1000);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	flights_free(fs);
	loop_free(loop);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_closed_flight_is_not_found_but_goes_on),
	    cmocka_unit_test(the_same_request_finds_it_and_another_does_not),
	    cmocka_unit_test(a_follower_gets_what_was_there_then_the_live_tail),
	    cmocka_unit_test(it_holds_nothing_until_somebody_asks_for_it),
	    cmocka_unit_test(nobody_joins_when_its_leader_has_lost_the_beginning),
	    cmocka_unit_test(past_its_window_nobody_joins_and_who_lags_is_cut),
	    cmocka_unit_test(all_flights_together_are_capped),
	    cmocka_unit_test(the_leader_hears_that_nobody_follows_any_more),
	    cmocka_unit_test(followers_may_leave_while_they_are_told),
	    cmocka_unit_test(what_comes_in_one_turn_is_told_once),
	    cmocka_unit_test(many_followers_are_told_some_in_each_turn),
	    cmocka_unit_test(a_leader_may_end_it_when_its_followers_leave_inside_a_put),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
