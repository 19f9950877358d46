/*
 * What crosses threads: work for the pool, wake-ups from other threads, and signals.
 */
#include <stdlib.h>

#include "net/loop_int.h"

/* ---- work ---- */

struct work {
	uv_work_t req;
	struct loop *loop;
	work_fn work, done;
	void *ctx;
};

static void
on_work_run(uv_work_t *req)
{
	struct work *w = req->data;

	w->work(w->ctx);
}

static void
on_work_done(uv_work_t *req, int status)
{
	struct work *w = req->data;

	loop_turn_begin(w->loop);
	CHK(status == 0); /* nothing cancels */
	w->loop->works--;
	w->done(w->ctx);
	free(w);
}

void
work_start(struct loop *l, work_fn work, work_fn done, void *ctx)
{
	struct work *w = xcalloc(1, sizeof(*w));

	*w = (struct work){.loop = l, .work = work, .done = done, .ctx = ctx};
	w->req.data = w;
	l->works++;
	CHK(uv_queue_work(&l->uv, &w->req, on_work_run, on_work_done) == 0);
}

/* ---- wake ---- */

struct wake {
	uv_async_t async;
	void (*fn)(void *ctx);
	void *ctx;
	struct loop *loop;
	struct defer reap;
};

static void
on_wake(uv_async_t *h)
{
	struct wake *w = h->data;

	loop_turn_begin(w->loop);
	w->fn(w->ctx);
}

static void
reap_wake(void *ctx)
{
	free(ctx);
}

static void
on_wake_closed(uv_handle_t *h)
{
	struct wake *w = h->data;

	defer_start(w->loop, &w->reap, reap_wake, w);
}

struct wake *
wake_new(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct wake *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->ctx = ctx;
	w->loop = l;
	CHK(uv_async_init(&l->uv, &w->async, on_wake) == 0);
	w->async.data = w;
	return w;
}

void
wake_send(struct wake *w)
{
	uv_async_send(&w->async);
}

void
wake_close(struct wake *w)
{
	uv_close((uv_handle_t *)&w->async, on_wake_closed);
}

/* ---- signals ---- */

struct watched_signal {
	uv_signal_t uv;
	void (*fn)(void *ctx, int signum);
	void *ctx;
	struct loop *loop;
};

static void
on_signal(uv_signal_t *h, int signum)
{
	struct watched_signal *s = h->data;

	loop_turn_begin(s->loop);
	s->fn(s->ctx, signum);
}

static void
on_signal_closed(uv_handle_t *h)
{
	free(h->data);
}

void
signal_watch(struct loop *l, int signum, void (*fn)(void *ctx, int signum), void *ctx)
{
	struct watched_signal *s = xcalloc(1, sizeof(*s));
	unsigned i = 0;

	while (i < LOOP_SIGNALS && l->signals[i] != NULL)
		i++;
	CHK(i < LOOP_SIGNALS);
	l->signals[i] = s;
	s->fn = fn;
	s->ctx = ctx;
	s->loop = l;
	CHK(uv_signal_init(&l->uv, &s->uv) == 0);
	s->uv.data = s;
	CHK(uv_signal_start(&s->uv, on_signal, signum) == 0);
	uv_unref((uv_handle_t *)&s->uv); /* waiting for a signal is no reason to go on */
}

void
signal_unwatch_all(struct loop *l)
{
	for (unsigned i = 0; i < LOOP_SIGNALS; i++) {
		if (l->signals[i] != NULL)
			uv_close((uv_handle_t *)&l->signals[i]->uv, on_signal_closed);
		l->signals[i] = NULL;
	}
}
