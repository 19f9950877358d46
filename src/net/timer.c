/*
 * Timers: a binary heap of the callers' structs over one kernel timer. A uv_timer_t each would cost
 * a handle and its closing for every deadline of every connection.
 */
#include <stdlib.h>

#include "net/loop_int.h"

static void
put(struct loop *l, uint32_t at, struct timer *t)
{
	l->heap[at] = t;
	t->slot = at + 1;
}

static void
sift_up(struct loop *l, uint32_t at, struct timer *t)
{
	while (at > 0 && l->heap[(at - 1) / 2]->due_ms > t->due_ms) {
		put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(l, at, t);
}

static void
sift_down(struct loop *l, uint32_t at, struct timer *t)
{
	uint32_t child;

	while ((child = 2 * at + 1) < l->timers) {
		if (child + 1 < l->timers && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		put(l, at, l->heap[child]);
		at = child;
	}
	put(l, at, t);
}

static void
take_out(struct loop *l, struct timer *t)
{
	uint32_t at = t->slot - 1;
	struct timer *last = l->heap[--l->timers];

	CHK(l->heap[at] == t);
	t->slot = 0;
	if (last == t)
		return;
	if (at > 0 && l->heap[(at - 1) / 2]->due_ms > last->due_ms)
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
	due = l->heap[0]->due_ms;
	if (l->tick_due != 0 && l->tick_due <= due)
		return;
	now = uv_now(&l->uv);
	l->tick_due = due;
	CHK(uv_timer_start(&l->tick, on_tick, due > now ? due - now : 0, 0) == 0);
}

/* At most as many as there were: a timer that re-arms itself with 0 ms waits for the next turn, and so does a crowd. */
static void
on_tick(uv_timer_t *h)
{
	struct loop *l = h->data;
	uint32_t most = l->timers < LOOP_TIMERS_A_TURN ? l->timers : LOOP_TIMERS_A_TURN;

	l->tick_due = 0;
	while (most-- > 0 && l->timers > 0 && l->heap[0]->due_ms <= uv_now(&l->uv)) {
		struct timer *t = l->heap[0];

		take_out(l, t);
		t->fn(t->ctx); /* may free t */
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

void
timer_start(struct loop *l, struct timer *t, uint64_t after_ms, timer_fn fn, void *ctx)
{
	uint64_t now = uv_now(&l->uv);

	if (t->slot != 0)
		take_out(l, t);
	t->due_ms = after_ms > UINT64_MAX - now ? UINT64_MAX : now + after_ms;
	t->fn = fn;
	t->ctx = ctx;
	if (l->timers == l->timer_room) {
		l->timer_room = l->timer_room == 0 ? 64 : l->timer_room * 2;
		l->heap = xrealloc(l->heap, l->timer_room * sizeof(*l->heap));
	}
	sift_up(l, l->timers++, t);
	set_tick(l);
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
