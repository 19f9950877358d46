#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/loop_int.h"

/* ---- timers ---- */

#define TIMERS 1000

struct bell {
	struct timer t;
	struct loop *loop;
	uint64_t due;
	int rung;
};

struct order {
	uint64_t last_due;
	int rung;
};
static struct order order;

static void
ring(void *ctx)
{
	struct bell *b = ctx;

	assert_true(loop_now_ms(b->loop) >= b->due);
	assert_true(b->due >= order.last_due);
	assert_int_equal(b->t.slot, 0);
	order.last_due = b->due;
	order.rung++;
	b->rung++;
}

static void
set(struct bell *b, uint64_t after_ms)
{
	b->due = loop_now_ms(b->loop) + after_ms;
	timer_start(b->loop, &b->t, after_ms, ring, b);
}

static void
timers_fire_in_order_and_never_early(void **state)
{
	static struct bell bells[TIMERS];
	struct loop *l = loop_new();

	(void)state;
	memset(bells, 0, sizeof(bells));
	order = (struct order){0};
	for (unsigned i = 0; i < TIMERS; i++) {
		bells[i].loop = l;
		set(&bells[i], i * 7919 % 40);
	}
	for (unsigned i = 0; i < TIMERS; i += 3)
		timer_stop(l, &bells[i].t);
	for (unsigned i = 0; i < TIMERS; i += 5)
		set(&bells[i], i * 31 % 40); /* re-arms, also what was stopped */
	loop_run(l);
	for (unsigned i = 0; i < TIMERS; i++)
		assert_int_equal(bells[i].rung, i % 5 == 0 || i % 3 != 0);
	loop_free(l);
}

static void
stopping_is_idempotent_and_a_zeroed_timer_is_not_armed(void **state)
{
	struct loop *l = loop_new();
	struct bell b = {.loop = l};

	(void)state;
	order = (struct order){0};
	timer_stop(l, &b.t);
	set(&b, 1);
	timer_stop(l, &b.t);
	timer_stop(l, &b.t);
	loop_run(l); /* returns: nothing is left */
	assert_int_equal(b.rung, 0);
	loop_free(l);
}

/* One that is moved keeps its place in the heap, one that is parked too: neither may fire by it. */
static void
timers_that_were_moved_or_parked_fire_by_their_last_time_alone(void **state)
{
	static struct bell bells[TIMERS];
	struct loop *l = loop_new();

	(void)state;
	memset(bells, 0, sizeof(bells));
	order = (struct order){0};
	for (unsigned i = 0; i < TIMERS; i++) {
		bells[i].loop = l;
		set(&bells[i], i % 7);
		set(&bells[i], i % 2 == 0 ? 7 + i * 7919 % 40 : 1000000);
		if (i % 2 != 0)
			set(&bells[i], i * 7919 % 40);
		if (i % 3 == 0)
			timer_park(&bells[i].t);
		if (i % 9 == 0)
			set(&bells[i], i * 31 % 40);
	}
	loop_run(l);
	for (unsigned i = 0; i < TIMERS; i++) {
		assert_int_equal(bells[i].rung, i % 9 == 0 || i % 3 != 0);
		assert_int_equal(bells[i].t.slot, 0);
	}
	loop_free(l);
}

static void
a_stopped_first_timer_does_not_keep_the_loop(void **state)
{
	struct loop *l = loop_new();
	struct bell far_off = {.loop = l}, near = {.loop = l};

	(void)state;
	order = (struct order){0};
	set(&far_off, 3600000);
	set(&near, 1);
	timer_stop(l, &far_off.t);
	loop_run(l);
	assert_int_equal(near.rung, 1);
	loop_free(l);
}

struct again {
	struct timer t;
	struct loop *loop;
	int left;
	struct timer others[20];
};

static void
ring_again(void *ctx)
{
	struct again *a = ctx;

	if (--a->left > 0)
		timer_start(a->loop, &a->t, 0, ring_again, a);
	for (size_t i = 0; i < COUNT_OF(a->others) && a->left == 0; i++)
		timer_stop(a->loop, &a->others[i]);
}

static void
a_timer_of_no_time_waits_for_the_next_turn(void **state)
{
	struct loop *l = loop_new();
	struct again a = {.loop = l, .left = 5};
	uv_metrics_t m;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(a.others); i++)
		timer_start(l, &a.others[i], 1000000, ring_again, &a);
	timer_start(l, &a.t, 0, ring_again, &a);
	loop_run(l);
	assert_int_equal(a.left, 0);
	assert_int_equal(uv_metrics_info(&l->uv, &m), 0);
	assert_true(m.loop_count >= 4);
	loop_free(l);
}

static void a_timer_may_stop_another_that_is_due(void **state);
static struct bell victim;

static void
stop_victim(void *ctx)
{
	timer_stop(ctx, &victim.t);
}

static void
a_timer_may_stop_another_that_is_due(void **state)
{
	struct loop *l = loop_new();
	struct timer killer = {0};

	(void)state;
	victim = (struct bell){.loop = l};
	order = (struct order){0};
	timer_start(l, &killer, 1, stop_victim, l);
	set(&victim, 2);
	victim.t.due_ms = killer.due_ms + 1;
	loop_run(l);
	assert_int_equal(victim.rung, 0);
	loop_free(l);
}

static void
an_endless_time_does_not_overflow(void **state)
{
	struct loop *l = loop_new();
	struct bell b = {.loop = l};

	(void)state;
	timer_start(l, &b.t, UINT64_MAX, ring, &b);
	assert_int_equal(b.t.due_ms, UINT64_MAX);
	timer_stop(l, &b.t);
	loop_run(l);
	loop_free(l);
}

/* ---- deferred ---- */

struct later {
	struct defer d;
	struct loop *loop;
	int runs, again;
};

static void
run_later(void *ctx)
{
	struct later *x = ctx;

	x->runs++;
	if (x->again-- > 0)
		defer_start(x->loop, &x->d, run_later, x);
}

static void
free_later(void *ctx)
{
	struct later *x = ctx;

	*(int *)(void *)x->loop = 1;
	free(x);
}

static void
two_starts_are_one_run_and_never_inside_the_call(void **state)
{
	struct loop *l = loop_new();
	struct later x = {.loop = l};

	(void)state;
	defer_start(l, &x.d, run_later, &x);
	defer_start(l, &x.d, run_later, &x);
	assert_int_equal(x.runs, 0);
	loop_run(l);
	assert_int_equal(x.runs, 1);
	loop_free(l);
}

static void
who_defers_himself_again_waits_a_turn(void **state)
{
	struct loop *l = loop_new();
	struct later x = {.loop = l, .again = 3};

	(void)state;
	defer_start(l, &x.d, run_later, &x);
	uv_run(&l->uv, UV_RUN_NOWAIT);
	assert_int_equal(x.runs, 1);
	loop_run(l);
	assert_int_equal(x.runs, 4);
	loop_free(l);
}

static void
a_deferred_call_can_be_taken_back_and_may_free_itself(void **state)
{
	struct loop *l = loop_new();
	struct later x = {.loop = l}, *heap = xcalloc(1, sizeof(*heap));
	int freed = 0;

	(void)state;
	defer_start(l, &x.d, run_later, &x);
	defer_stop(&x.d);
	defer_stop(&x.d);
	heap->loop = (void *)&freed;
	defer_start(l, &heap->d, free_later, heap);
	loop_run(l);
	assert_int_equal(x.runs, 0);
	assert_int_equal(freed, 1);
	loop_free(l);
}

/* ---- threads and signals ---- */

struct job {
	pthread_t loop_thread, work_thread;
	int worked, done;
	struct wake *wake;
	int woken;
};

static void
job_work(void *ctx)
{
	struct job *j = ctx;

	j->work_thread = pthread_self();
	j->worked++;
	if (j->wake != NULL)
		wake_send(j->wake);
}

static void
job_done(void *ctx)
{
	struct job *j = ctx;

	assert_int_equal(j->worked, 1);
	assert_true(pthread_equal(pthread_self(), j->loop_thread));
	j->done++;
}

static void
work_runs_elsewhere_and_comes_back(void **state)
{
	struct loop *l = loop_new();
	struct job j = {.loop_thread = pthread_self()};

	(void)state;
	work_start(l, job_work, job_done, &j);
	loop_run(l);
	assert_int_equal(j.done, 1);
	assert_false(pthread_equal(j.work_thread, j.loop_thread));
	loop_free(l);
}

static void
work_that_is_out_when_the_loop_goes_is_waited_for(void **state)
{
	struct loop *l = loop_new();
	struct job j = {.loop_thread = pthread_self()};

	(void)state;
	work_start(l, job_work, job_done, &j);
	loop_free(l);
	assert_int_equal(j.done, 1);
}

static void
woken(void *ctx)
{
	struct job *j = ctx;

	assert_true(pthread_equal(pthread_self(), j->loop_thread));
	j->woken++;
	wake_close(j->wake);
}

static void
another_thread_can_wake_the_loop(void **state)
{
	struct loop *l = loop_new();
	struct job j = {.loop_thread = pthread_self()};

	(void)state;
	j.wake = wake_new(l, woken, &j);
	work_start(l, job_work, job_done, &j);
	loop_run(l);
	assert_int_equal(j.woken, 1);
	loop_free(l);
}

static int signals;

static void
got_signal(void *ctx, int signum)
{
	assert_int_equal(signum, SIGUSR1);
	signals++;
	loop_stop(ctx);
}

static void
signals_arrive_on_the_loop_and_do_not_keep_it(void **state)
{
	struct loop *l = loop_new();
	struct bell b = {.loop = l};

	(void)state;
	signals = 0;
	signal_watch(l, SIGUSR1, got_signal, l);
	loop_run(l); /* returns: nothing else is there */
	set(&b, 60000);
	kill(getpid(), SIGUSR1);
	loop_run(l);
	assert_int_equal(signals, 1);
	timer_stop(l, &b.t);
	signal_unwatch_all(l);
	signal_watch(l, SIGUSR2, got_signal, l);
	loop_free(l);
}

static void
the_descriptor_limit_is_raised_and_budgeted(void **state)
{
	struct rlimit lim, low;
	struct loop *l;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	low = lim;
	low.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(loop_descriptor_budget(), 200 - 64);
	l = loop_new();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(low.rlim_cur, lim.rlim_max);
	loop_free(l);
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(loop_descriptor_budget(), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(timers_fire_in_order_and_never_early),
	    cmocka_unit_test(stopping_is_idempotent_and_a_zeroed_timer_is_not_armed),
	    cmocka_unit_test(timers_that_were_moved_or_parked_fire_by_their_last_time_alone),
	    cmocka_unit_test(a_stopped_first_timer_does_not_keep_the_loop),
	    cmocka_unit_test(a_timer_of_no_time_waits_for_the_next_turn),
	    cmocka_unit_test(a_timer_may_stop_another_that_is_due),
	    cmocka_unit_test(an_endless_time_does_not_overflow),
	    cmocka_unit_test(two_starts_are_one_run_and_never_inside_the_call),
	    cmocka_unit_test(who_defers_himself_again_waits_a_turn),
	    cmocka_unit_test(a_deferred_call_can_be_taken_back_and_may_free_itself),
	    cmocka_unit_test(work_runs_elsewhere_and_comes_back),
	    cmocka_unit_test(work_that_is_out_when_the_loop_goes_is_waited_for),
	    cmocka_unit_test(another_thread_can_wake_the_loop),
	    cmocka_unit_test(signals_arrive_on_the_loop_and_do_not_keep_it),
	    cmocka_unit_test(the_descriptor_limit_is_raised_and_budgeted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
