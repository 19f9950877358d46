/*
 * listener: an address that accepts streams.
 *
 * A refused stream is closed by its owner. TLS listeners hand over a stream after its handshake
 * (which has tls_ms to finish); failed handshakes are counted and never seen. However many come at once, none
 * is ended for that: handshakes_int.h says who waits for whom.
 *
 * A listener that another process takes over is released: it accepts no more, its socket and its file
 * stay as they are for the other one, and handshakes that go on are finished and handed over as ever.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/stream.h"

struct listener;

/* Places of the owner's. One is asked for when a connection has come, before anything is spent on it (false: it is
 * closed, without a byte), and left again if its handshake fails; else `accepted` takes it over with stream_take_seat. */
struct listener_seats {
	bool (*take)(void *ctx, const struct address *peer, void **seat); /* NULL: there are none */
	void (*leave)(void *ctx, void *seat);
};

struct listener_options {
	struct tls_ctx *tls; /* NULL: plain; referenced while the listener lives */
	unsigned tls_ms;
	unsigned unix_mode; /* permission bits of a Unix socket, e.g. 0600 */
	bool
	    is_inherited; /* fd is a listening socket, which is bound already; taken, also on failure */
	int fd;
	bool keeps_file; /* inherited: a Unix socket's file stays there when it is closed */
	struct listener_seats seats;
	void (*idle)(void *ctx); /* after listener_release: the last handshake is over */
};

/* Called for each accepted stream, before anything was read. The callee must at once call
 * stream_adopt with its events (and read_start), or stream_close after adopting. *ev must outlive the stream. */
typedef void (*accept_fn)(void *ctx, struct stream *s);
void stream_adopt(struct stream *s, const struct stream_events *ev, void *ctx);
void *stream_take_seat(struct stream *s);

/* Binds and listens. On failure returns NULL and *detail says why (static text). A stale Unix
 * socket file that nobody listens on is replaced. */
struct listener *listener_open(struct loop *l, const struct address *a,
    const struct listener_options *o, accept_fn accepted, void *ctx, const char **detail);
const struct address *listener_address(const struct listener *l); /* with the port that was given */
/* For connections from now on (a renewed certificate); both are or are not TLS. */
void listener_set_tls(struct listener *l, struct tls_ctx *tls);
uint64_t listener_failed_handshakes(const struct listener *l);
unsigned listener_handshakes(const struct listener *l); /* begun or waiting: handshakes_int.h */
/* Stop or resume accepting (at the connection limit); idempotent. Handshakes that go on go on. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* Of all listeners of the loop: one more would cost somebody his place. Until it is called with false newcomers are accepted one
 * a turn, when all that came before in it is read: who has asked already is not taken for one who says nothing. */
void listeners_crowded(struct loop *l, bool is_crowded);
/* The socket, to be passed on; borrowed. */
int listener_fd(const struct listener *l);
bool listener_keeps_file(const struct listener *l);
/* See above; listener_close is still to be called. What was accepted and waits is handed over, at the end of the turn. */
void listener_release(struct listener *l);
void listener_close(struct listener *l); /* frees itself later; removes its Unix socket file */

#endif
