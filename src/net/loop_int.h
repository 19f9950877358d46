/*
 * Inside of the loop, for the files of this room.
 *
 * Order in a turn: I/O callbacks (each read with what was put off to its end), then everything deferred before or during them (the "pumps" of
 * streams, `closed` callbacks, reaping), then libuv's close callbacks, then timers.
 *
 * How long a turn keeps the loop: from the first callback behind the poll to the next poll. Each
 * callback that libuv runs while it polls begins with loop_turn_begin. (Not UV_METRICS_IDLE_TIME: with it
 * libuv polls once more each time it waits.)
 */
#ifndef NET_LOOP_INT_H
#define NET_LOOP_INT_H

#include <uv.h>

#include "base/clock.h"
#include "base/span.h"
#include "net/loop.h"

#define LOOP_READ_BYTES (64u << 10)
#define LOOP_GATHER_BYTES 8192 /* one TLS record of ours */
#define LOOP_HELD                                                                                  \
	16 /* streams whose small writes wait for the end of the turn: the first waits for so many others */
#define LOOP_HELD_BYTES (64u << 10)
#define LOOP_SIGNALS 8
/*
 * Newcomers against those who are served. So many come in a turn, however little else there is to do: more would be felt by everyone
 * else. A turn that serves many anyway has more of them, lest they wait for the square of their number: handshakes and
 * their ends until they have taken as long as its reads, accepts half as many as the turn before had reads.
 */
#define LOOP_HANDSHAKES_A_TURN 4 /* about half a millisecond of processor each */
#define LOOP_FINISHES_A_TURN 16  /* their second flights, behind which requests wait */
#define LOOP_ACCEPTS_A_TURN 32   /* of a listener; about 20 us each */
/*
 * Of one socket, and of all. libuv alone would read 32 times in a row from each of up to 48 times 1024: 2 MB, passed on and looked
 * at, are 5 ms, and 10,000 large answers at once kept a turn for 5 s. Beyond it who has read LOOP_READ_SIP and has as much again
 * waits in `hungry`; who has little to say does not. Of those who wait as many go on each turn, in order, as have LOOP_READ_FED
 * between them, which nobody else takes from them: by their number alone, or with what the others leave, who lacks the last 3 KB of
 * his answer would wait for seconds while others ask and ask again.
 */
#define LOOP_READ_A_TURN (256u << 10)
#define LOOP_READ_IN_ALL (1u << 20)
#define LOOP_READ_SIP (16u << 10)
#define LOOP_READ_FED (LOOP_READ_IN_ALL / 4 * 3)
/* What ends at the same moment, thousands of stalled readers say, need not end in the same turn: with 8 MB to log each takes 10 ms. */
#define LOOP_TIMERS_A_TURN 4
#define LOOP_LOOKS_A_TURN 256 /* at timers that turn out to be due later, or never */

struct stream;
struct watched_signal;

/* What a stream has written in this turn: n bytes of held_room. See hold.c. */
struct held {
	struct stream *owner; /* NULL: is out already */
	uint32_t at, n;
};

/* A timer's, in the heap: see timer.c. */
struct place {
	uint64_t look_ms;
	struct timer *timer;
};

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* runs while something is deferred, so that the poll does not block */
	uv_timer_t tick;
	struct list deferred;
	struct list soon;   /* deferred to the end of the read that is going on */
	struct list hungry; /* deferred until it is their turn to read */
	uint32_t read_left; /* in this turn */
	uint32_t feed_left; /* of LOOP_READ_FED, while they are called */
	uint64_t turn;      /* their number */
	struct place *heap; /* by look_ms; heap[0] is next */
	uint32_t timers, timer_room;
	uint32_t ticks;
	uint64_t tick_due;                      /* when `tick` will fire; 0: stopped */
	uint64_t turn_began_ns;                 /* 0: not yet */
	unsigned works;                         /* in flight */
	unsigned own_closed;                    /* handles of ours that closed, in loop_free */
	unsigned handshake_steps, finish_steps; /* done in this turn */
	bool is_crowded;                        /* listeners_crowded */
	unsigned reads, reads_before; /* of the sockets, in this turn's poll and the last one's */
	uint64_t polled_ns,
	    deferred_began_ns; /* how long this turn's reads took; what came then began */
	struct watched_signal *signals[LOOP_SIGNALS];
	struct held held[LOOP_HELD];
	uint32_t n_held, held_bytes;
	bool has_hurried; /* somebody, in this turn */
	bool is_reading;  /* a socket's bytes are being given out */
	/* One for all connections: what a read leaves unused is copied into the stream. */
	char read[LOOP_READ_BYTES];
	char plain[LOOP_READ_BYTES];
	char gather[LOOP_GATHER_BYTES];
	char held_room[LOOP_HELD_BYTES];
};

static inline void
loop_turn_begin(struct loop *l)
{
	if (l->turn_began_ns == 0)
		l->turn_began_ns = clock_mono_ns();
}

/* What is not served yet has taken less of this turn than what is. */
static inline bool
loop_has_time_for_newcomers(const struct loop *l)
{
	return clock_mono_ns() - l->deferred_began_ns < l->polled_ns;
}

void loop_flush(struct loop *l); /* hold.c: what is held goes to the kernel */
/* As defer_start, when the sockets before it have been read. */
void loop_read_later(struct loop *l, struct defer *d, defer_fn fn, void *ctx);
void loop_read_over(struct loop *l); /* the bytes of a socket are given out */
void timers_init(struct loop *l);
void timers_close(struct loop *l, uv_close_cb closed);

#endif
