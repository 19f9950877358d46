/*
 * loop: the one event loop, its timers, and work that leaves its thread.
 *
 * Ownership   the caller owns timers and deferred calls (embedded, must outlive being armed).
 * Re-entrancy no callback of this room runs inside a call into it.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/list.h"

struct loop;

struct loop *loop_new(
    void); /* ignores SIGPIPE, raises the soft descriptor limit; aborts on failure */
/* CHKs that no handle leaked (uv_loop_close() == 0). */
void loop_free(struct loop *l);
void loop_run(struct loop *l);              /* until loop_stop or nothing is left */
void loop_stop(struct loop *l);             /* from a callback */
uint64_t loop_now_ms(const struct loop *l); /* cached once a turn; deadlines only */
/* Most connections the descriptor limit allows, after what the process itself needs. A client and
 * its upstream are two. */
unsigned loop_descriptor_budget(void);

/* One-shot timers, thousands of them cheaply: one heap over one kernel timer. Zeroed = not armed. To start one anew with
 * a later time is cheap, to park it as well: it will not fire, but keeps its place until it is started again, or stopped,
 * which it must be before its storage goes. */
typedef void (*timer_fn)(void *ctx);
struct timer {
	uint64_t due_ms;
	uint32_t slot;    /* place in the heap + 1; 0: not armed, nor parked */
	uint32_t started; /* how often the kernel's had fired */
	timer_fn fn;
	void *ctx;
};
void timer_start(
    struct loop *l, struct timer *t, uint64_t after_ms, timer_fn fn, void *ctx); /* re-arms */
void timer_stop(struct loop *l, struct timer *t);                                /* idempotent */
void timer_park(struct timer *t);                                                /* idempotent */

/* Runs fn once, at the end of this turn of the loop, after all I/O callbacks. A second
 * defer_start before it ran is one call. This is where objects free themselves. */
typedef void (*defer_fn)(void *ctx);
struct defer {
	struct list link;
	defer_fn fn;
	void *ctx;
};
void defer_start(struct loop *l, struct defer *d, defer_fn fn, void *ctx);
/* Sooner, if a socket's bytes are being given out: as soon as they are, before another socket is read, once no callback of either
 * stands on the stack. What it touches is in the processor's caches then: a turn may read 50,000 sockets before its end. */
void defer_soon(struct loop *l, struct defer *d, defer_fn fn, void *ctx);
void defer_stop(struct defer *d);

/* Runs `work` on a pool thread, then `done` on the loop. Always both, in this order, even when
 * the one who asked has gone: ctx must live until done. */
typedef void (*work_fn)(void *ctx);
void work_start(struct loop *l, work_fn work, work_fn done, void *ctx);

/* Calls fn on the loop's thread soon after any thread called wake_send. */
struct wake;
struct wake *wake_new(struct loop *l, void (*fn)(void *ctx), void *ctx);
void wake_send(struct wake *w);  /* any thread; calls may merge */
void wake_close(struct wake *w); /* frees itself later */

/* Signals: fn(ctx, signum) on the loop. At most 8 watched. */
void signal_watch(struct loop *l, int signum, void (*fn)(void *ctx, int signum), void *ctx);
void signal_unwatch_all(struct loop *l);

#endif
