#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/reserve.h"
#include "net/loop_int.h"
#include "obs/metric.h"

#define OWN_HANDLES 4
#define DESCRIPTORS_KEPT 64 /* store, listeners, resolver, standard streams */

static void
raise_descriptor_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur == lim.rlim_max)
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

unsigned
loop_descriptor_budget(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur <= DESCRIPTORS_KEPT)
		return 1;
	lim.rlim_cur -= DESCRIPTORS_KEPT;
	return lim.rlim_cur > INT32_MAX ? INT32_MAX : (unsigned)lim.rlim_cur;
}

static void
on_idle(uv_idle_t *h)
{
	UNUSED(h);
}

static void
end_turn(struct loop *l)
{
	uint64_t us;

	if (l->turn_began_ns == 0)
		return;
	us = (clock_mono_ns() - l->turn_began_ns) / 1000;
	l->turn_began_ns = 0;
	metric_observe_us(M_LOOP_TURN, us);
	if (us > metric_get(M_LOOP_LONGEST_TURN))
		metric_set(M_LOOP_LONGEST_TURN, us);
}

/* The last thing before the poll; libuv decides after it how long to wait. */
static void
on_prepare(uv_prepare_t *h)
{
	struct loop *l = h->data;

	loop_flush(l);
	l->has_hurried = false;
	end_turn(l);
}

static void
call_first(struct list *of)
{
	struct defer *d = CONTAINER_OF(of->next, struct defer, link);

	list_remove(&d->link);
	d->fn(d->ctx); /* may free d */
}

/* What is deferred while this runs waits for the next turn: nobody can starve the sockets. */
static void
call_deferred(struct loop *l)
{
	struct list batch;

	if (list_is_empty(&l->deferred))
		return;
	list_init(&batch);
	list_insert(&l->deferred, &batch);
	list_remove(&l->deferred);
	list_init(&l->deferred);
	while (!list_is_empty(&batch))
		call_first(&batch);
}

/* What is put off while this runs waits for the end of the turn: who sent many requests ahead gets one. */
void
loop_read_over(struct loop *l)
{
	l->is_reading = false;
	while (!list_is_empty(&l->soon))
		call_first(&l->soon);
}

/* Each takes what it has from feed_left. */
static void
feed(struct loop *l)
{
	l->feed_left = LOOP_READ_FED;
	while (l->feed_left > 0 && !list_is_empty(&l->hungry))
		call_first(&l->hungry);
	l->read_left = LOOP_READ_IN_ALL - (LOOP_READ_FED - l->feed_left);
}

static void
on_check(uv_check_t *h)
{
	struct loop *l = h->data;

	loop_turn_begin(l);
	l->turn++;
	l->handshake_steps = l->finish_steps = 0;
	l->reads_before = l->reads;
	l->reads = 0;
	l->deferred_began_ns = clock_mono_ns();
	l->polled_ns = l->deferred_began_ns - l->turn_began_ns;
	call_deferred(l);
	feed(l);
	if (list_is_empty(&l->deferred) && list_is_empty(&l->hungry))
		uv_idle_stop(&l->idle);
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	(void)reserve_is_whole();
	/* libuv ends the process where it cannot have memory for a descriptor; the first call counts, the others say the same */
	CHK(uv_replace_allocator(reserve_malloc, reserve_realloc, reserve_calloc, free) == 0);
	signal(SIGPIPE, SIG_IGN); /* libuv leaves that to us on Linux */
	raise_descriptor_limit();
	CHK(uv_loop_init(&l->uv) == 0);
	list_init(&l->deferred);
	list_init(&l->hungry);
	list_init(&l->soon);
	l->read_left = LOOP_READ_IN_ALL;
	CHK(uv_prepare_init(&l->uv, &l->prepare) == 0);
	CHK(uv_check_init(&l->uv, &l->check) == 0);
	CHK(uv_idle_init(&l->uv, &l->idle) == 0);
	l->prepare.data = l->check.data = l;
	CHK(uv_prepare_start(&l->prepare, on_prepare) == 0);
	CHK(uv_check_start(&l->check, on_check) == 0);
	uv_unref((uv_handle_t *)&l->prepare);
	uv_unref((uv_handle_t *)&l->check);
	timers_init(l);
	return l;
}

static void
on_own_closed(uv_handle_t *h)
{
	((struct loop *)h->loop->data)->own_closed++;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->works > 0)
		uv_run(&l->uv, UV_RUN_ONCE);
	signal_unwatch_all(l);
	/* What was closed just before gets its `closed` and is reaped: two turns, and a spare. */
	for (int turn = 0; turn < 4; turn++)
		uv_run(&l->uv, UV_RUN_NOWAIT);
	CHK(list_is_empty(&l->deferred) && list_is_empty(&l->hungry));
	l->uv.data = l;
	uv_close((uv_handle_t *)&l->prepare, on_own_closed);
	uv_close((uv_handle_t *)&l->check, on_own_closed);
	uv_close((uv_handle_t *)&l->idle, on_own_closed);
	timers_close(l, on_own_closed);
	while (l->own_closed < OWN_HANDLES)
		uv_run(&l->uv, UV_RUN_NOWAIT);
	CHK(uv_loop_close(&l->uv) == 0);
	free(l->heap);
	free(l);
}

void
loop_run(struct loop *l)
{
	loop_turn_begin(l); /* timers that are due run before the first poll */
	uv_run(&l->uv, UV_RUN_DEFAULT);
	loop_flush(l);
	end_turn(l); /* the last one, which no poll follows */
}

void
loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

uint64_t
loop_now_ms(const struct loop *l)
{
	return uv_now(&l->uv);
}

static void
put_off(struct loop *l, struct defer *d, struct list *behind)
{
	if (list_has(&d->link))
		return;
	if (list_is_empty(behind))
		uv_idle_start(&l->idle, on_idle);
	list_append(behind, &d->link);
}

void
defer_start(struct loop *l, struct defer *d, defer_fn fn, void *ctx)
{
	d->fn = fn;
	d->ctx = ctx;
	put_off(l, d, &l->deferred);
}

void
defer_soon(struct loop *l, struct defer *d, defer_fn fn, void *ctx)
{
	if (!l->is_reading) {
		defer_start(l, d, fn, ctx);
		return;
	}
	d->fn = fn;
	d->ctx = ctx;
	if (!list_has(&d->link))
		list_append(&l->soon, &d->link);
}

void
loop_read_later(struct loop *l, struct defer *d, defer_fn fn, void *ctx)
{
	d->fn = fn;
	d->ctx = ctx;
	put_off(l, d, &l->hungry);
}

void
defer_stop(struct defer *d)
{
	list_remove(&d->link);
}
