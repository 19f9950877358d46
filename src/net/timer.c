/*
 * Timers: a binary heap of the callers' structs over one kernel timer. A uv_timer_t each would cost
 * a handle and its closing for every deadline of every connection.
 *
 * Most deadlines are moved later or put off, and seldom met: that writes the timer alone, and not the heap. Its place there
 * says when to look at it (`look_ms`, not later than due_ms); who is not due by then gets another place. With 10,000
 * connections each true removal moves a dozen others, whose structs are in no cache.
 */
#include <stdlib.h>

#include "net/loop_int.h"

#define NEVER UINT64_MAX /* due, of one that is parked */

static void
put(struct loop *l, uint32_t at, struct place p)
{
	l->heap[at] = p;
	p.timer->slot = at + 1;
}

static void
sift_up(struct loop *l, uint32_t at, struct place p)
{
	while (at > 0 && l->heap[(at - 1) / 2].look_ms > p.look_ms) {
		put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(l, at, p);
}

static void
sift_down(struct loop *l, uint32_t at, struct place p)
{
	uint32_t child;

	while ((child = 2 * at + 1) < l->timers) {
		if (child + 1 < l->timers && l->heap[child + 1].look_ms < l->heap[child].look_ms)
			child++;
		if (l->heap[child].look_ms >= p.look_ms)
			break;
		put(l, at, l->heap[child]);
		at = child;
	}
	put(l, at, p);
}

static void
take_out(struct loop *l, struct timer *t)
{
	uint32_t at = t->slot - 1;
	struct place last = l->heap[--l->timers];

	CHK(l->heap[at].timer == t);
	t->slot = 0;
	if (last.timer == t)
		return;
	if (at > 0 && l->heap[(at - 1) / 2].look_ms > last.look_ms)
		sift_up(l, at, last);
	else
		sift_down(l, at, last);
}

static void on_tick(uv_timer_t *h);

/* Arms the kernel timer for the first of the heap. One that is armed too early is left alone: it
 * fires, finds nothing due and is set right; most deadlines are moved or stopped, not met. */
static void
set_tick(struct loop *l)
{
	uint64_t due, now;

	if (l->timers == 0) {
		if (l->tick_due != 0)
			uv_timer_stop(&l->tick);
		l->tick_due = 0;
		return;
	}
	due = l->heap[0].look_ms;
	if (l->tick_due != 0 && l->tick_due <= due)
		return;
	now = uv_now(&l->uv);
	l->tick_due = due;
	CHK(uv_timer_start(&l->tick, on_tick, due > now ? due - now : 0, 0) == 0);
}

/* It is time to look at the first. True: it was due. */
static bool
look(struct loop *l)
{
	struct timer *t = l->heap[0].timer;

	if (t->due_ms != NEVER && t->due_ms > l->heap[0].look_ms) {
		sift_down(l, 0, (struct place){t->due_ms, t});
		return false;
	}
	take_out(l, t);
	if (t->due_ms == NEVER)
		return false;
	t->fn(t->ctx); /* may free t */
	return true;
}

/* Who is started in here waits for the next turn, also with 0 ms, for all others who are due stand before him; and so does a
 * crowd. */
static void
on_tick(uv_timer_t *h)
{
	struct loop *l = h->data;
	unsigned looks = 0, fired = 0;

	l->tick_due = 0;
	l->ticks++;
	while (l->timers > 0 && l->heap[0].look_ms <= uv_now(&l->uv) &&
	    l->heap[0].timer->started != l->ticks && fired < LOOP_TIMERS_A_TURN &&
	    looks < LOOP_LOOKS_A_TURN) {
		fired += look(l);
		looks++;
	}
	set_tick(l);
}

void
timers_init(struct loop *l)
{
	CHK(uv_timer_init(&l->uv, &l->tick) == 0);
	l->tick.data = l;
}

void
timers_close(struct loop *l, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&l->tick, closed);
}

static void
make_room(struct loop *l)
{
	if (l->timers < l->timer_room)
		return;
	l->timer_room = l->timer_room == 0 ? 64 : l->timer_room * 2;
	l->heap = xrealloc(l->heap, l->timer_room * sizeof(*l->heap));
}

void
timer_start(struct loop *l, struct timer *t, uint64_t after_ms, timer_fn fn, void *ctx)
{
	uint64_t now = uv_now(&l->uv);

	t->due_ms = after_ms > NEVER - now ? NEVER : now + after_ms;
	t->fn = fn;
	t->ctx = ctx;
	t->started = l->ticks;
	if (t->slot != 0 && l->heap[t->slot - 1].look_ms <= t->due_ms)
		return;
	if (t->slot != 0) {
		sift_up(l, t->slot - 1, (struct place){t->due_ms, t});
	} else {
		make_room(l);
		sift_up(l, l->timers++, (struct place){t->due_ms, t});
	}
	set_tick(l);
}

void
timer_park(struct timer *t)
{
	t->due_ms = NEVER;
}

void
timer_stop(struct loop *l, struct timer *t)
{
	if (t->slot == 0)
		return;
	take_out(l, t);
	if (l->timers == 0)
		set_tick(l);
}
