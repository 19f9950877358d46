/*
 * Inside of a stream, for the files of this room.
 *
 *   stream.c        life: phases, the pump, who is told what, close
 *   stream_read.c   socket -> (engine) -> read
 *   stream_write.c  write -> (engine) -> hold or queue -> socket
 *   hold.c          small writes of one turn, put together
 *   stream_tls.c    the engine between the two
 *   connect.c       the way to an open stream from this side (dial.c: to a socket); listener.c: from the other
 *
 * A callback of libuv's recovers the stream, records what came and hands it on; what a call of the
 * owner's entails later (offering kept bytes, `ended`, `closed`) is done by the pump, which is
 * deferred to the end of the turn. So no callback runs inside a call, and nothing is freed while
 * libuv or the owner is still on the stack.
 */
#ifndef NET_STREAM_INT_H
#define NET_STREAM_INT_H

#include <uv.h>

#include "base/buf.h"
#include "net/address_int.h"
#include "net/loop_int.h"
#include "net/stream.h"
#include "tls/engine.h"

#define KEPT_MAX LOOP_READ_BYTES
#define WRITE_SLICE (64u << 10) /* of a long batch, so that the backlog falls in steps */
#define HELD_WRITE_MAX                                                                             \
	(16u << 10) /* longer ones are worth a call of their own, and not worth copying */
#define LOW_WATER_DEFAULT (64u << 10)
#define GRACE_MS 1000 /* for what the peer sent before it reset the connection under a write */

/* Legal successors stand in stream.c. */
enum stream_phase { PHASE_CONNECTING, PHASE_HANDSHAKE, PHASE_OPEN, PHASE_CLOSING };
enum stream_rx { RX_OPEN, RX_ENDING, RX_ENDED }; /* ENDING: the owner is not told yet */
enum stream_tx { TX_OPEN, TX_FINISHING, TX_DONE, TX_FAILED }; /* DONE: the FIN is on its way */
enum read_mode { READ_OFF, READ_ON, READ_WATCH };

struct dial;
struct listener;

/* What the way to PHASE_OPEN needs and an open stream does not. */
struct opening {
	struct tls_ctx *tls;
	char *name;
	unsigned tls_ms;
	struct dial *dial; /* NULL: connected, or failed */
};

/*
 * Invariants
 * 1. `uv_reading` says what libuv was told; stream_arm alone changes it.
 * 2. At most one uv request is out: one write of a slice of `batch`, or the shutdown.
 * 3. `batch` is not touched while its write is out; bytes of `queue` are never in a request.
 * 4. While `held` is set, `batch` is NULL and `queue` is empty.
 * 5. Nothing of the owner's reaches the socket of a TLS stream but through the engine.
 * 6. After PHASE_CLOSING no callback but `closed`.
 */
struct stream {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	/* Not touched by a usual read or write. */
	uv_shutdown_t shutdown;
	struct opening *opening;
	uint64_t asked_ms;   /* since when the peer is to say something; 0: it is our turn */
	void *seat;          /* of the listener's owner, until that takes it */
	const char *detail;  /* static text or the engine's */
	uv_write_t *writing; /* the batch's request */
	/* What each read and write touches: three lines of 64 bytes, which thousands of streams have in no cache. */
	struct loop *loop;
	const struct stream_events *ev;
	void *ctx;
	struct tls *tls;
	struct listener *listener; /* while the handshake of an accepted stream is its business */
	struct held *held;         /* written in this turn, before the queue; NULL: nothing */
	char *batch;               /* what libuv writes; with `writing` */
	size_t low_water;
	struct buf kept;     /* read, not used */
	uint32_t read_bytes; /* from the socket, since it was empty or waited in `more` */
	uint32_t allowed;    /* of the socket's, having waited: nobody else's share of the turn */
	unsigned char phase, rx, tx, mode; /* the enums above */
	unsigned char turn;                /* handshakes_int.h */
	bool uv_reading, in_read, rearmed, wait_more;
	bool is_sated;     /* `more` is armed */
	bool tls_pending;  /* the engine may hold plaintext */
	bool has_sent;     /* since the mark */
	bool want_drained; /* the backlog was above the low-water mark */
	bool is_clogged;   /* what was held did not fit, and the owner does not know yet */
	bool step_due;     /* ciphertext for the handshake is here */
	bool is_answered;  /* our first flight of the handshake is on its way */
	struct buf queue;  /* written, behind the batch */
	struct address peer;
	/* And seldom. */
	size_t batch_n, batch_off, slice;
	struct defer pump;
	struct defer more;     /* has read its share, and goes on when others have had theirs */
	struct timer deadline; /* handshake, or the grace of a failed write */
	struct list link;      /* in the listener */
	enum err end;
	bool has_notified; /* close_notify is written */
	bool has_socket;   /* the handle was initialised and not closed */
	bool is_gone;      /* the handle is closed, or never was */
	bool is_adopted;
};

_Static_assert(sizeof(struct stream) - sizeof(uv_pipe_t) < 560, "an idle connection is cheap");

/* stream.c */
struct stream *stream_new(struct loop *l);
void stream_init_socket(struct stream *s, enum address_kind kind);
int stream_open_socket(
    struct stream *s, int fd); /* 0, or libuv's error, and fd is the caller's still */
void stream_set_phase(struct stream *s, enum stream_phase to);
void stream_set_rx(struct stream *s, enum stream_rx to);
void stream_set_tx(struct stream *s, enum stream_tx to);
void stream_schedule(struct stream *s);
/* Starts or stops the socket's reading as the state asks for; the only place that does. */
void stream_arm(struct stream *s);
/* Nothing more will be read. detail NULL leaves what is there. Told by stream_tell_end or the pump. */
void stream_end_with(struct stream *s, enum err why, const char *detail);
void stream_tell_end(struct stream *s);
bool stream_note_peer(struct stream *s); /* false: it has gone already */

/* stream_read.c */
void stream_received(struct stream *s, struct span plain);
void stream_read_pending(struct stream *s); /* offers what is kept, then what the engine holds */
bool stream_may_take(
    const struct stream *s); /* newer bytes may be put behind or before the owner */
void on_stream_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out);
void on_stream_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b);

/* stream_write.c */
bool stream_write_raw(struct stream *s, const struct span *parts, size_t n);
void stream_write_now(struct stream *s, const struct span *parts, size_t n);
void stream_write_failed(struct stream *s, const char *detail);
void stream_tell_drained(struct stream *s);
void stream_tell_clogged(struct stream *s);
/* What the kernel takes at once of the last words of a stream that is being closed. */
void stream_try_last(struct stream *s, struct span bytes);

/* hold.c; false: too long, or the kernel has no room */
bool stream_hold(struct stream *s, const struct span *parts, size_t n);

/* stream_tls.c */
void stream_tls_begin(struct stream *s, struct tls_ctx *ctx, const char *name);
void stream_tls_received(struct stream *s, struct span cipher);
void stream_tls_step(struct stream *s);
void stream_tls_drain(struct stream *s);
void stream_tls_flush(struct stream *s);
void stream_tls_write(struct stream *s, const struct span *parts, size_t n);

/* connect.c */
void stream_begin_handshake(struct stream *s, unsigned ms); /* from here on it has a deadline */
void stream_restart_deadline(struct stream *s, unsigned ms);
void stream_opened(struct stream *s); /* connected, and verified if that is asked for */
void opening_free(struct opening *o);

#endif
