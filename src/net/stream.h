/*
 * stream: one bidirectional byte stream, over TCP, a Unix socket, or TLS on top of either.
 *
 * Model      opening -> open -> closing -> closed. Opening covers connect and TLS handshake (a
 *            client's server certificate is verified before `opened` and before a byte of ours goes out).
 * Reading    is armed with stream_read_start. `read` gets a view of what came and says how many
 *            bytes it used; the rest is kept and offered again (in front of newer bytes) after the
 *            next stream_read_start. Using less than offered pauses reading. So does stream_read_stop,
 *            which takes effect at once, inside `read` too. A parser that needs more bytes uses
 *            none and calls stream_read_start inside `read`: then the same bytes come again with
 *            newer ones behind them. At most 64 KB are kept; then the socket is left alone.
 * Watching   A stream that is not read does not notice that its peer has gone. Between a request
 *            and its answer use stream_read_watch: it reads on into the kept bytes (64 KB) without
 *            offering them and tells `ended` at once, though those bytes are still to be read.
 * Writing    stream_write holds small pieces until the turn ends or stream_flush, copies what the kernel
 *            then does not take, and hands longer ones to the kernel at once. What is held does not count as
 *            backlog; when the kernel does not take all of it `clogged` tells that a backlog has begun. There is no cap
 *            here: the writer looks at stream_backlog and stops its own source above its high-water
 *            mark; `drained` comes when the backlog, having been above the low-water mark, has
 *            fallen to it. Before `opened` nothing can be written.
 * Closing    stream_close, once; `closed` then comes exactly once, later, as the last call.
 *            The ctx may be freed in it. After stream_close no other callback comes. It drops the
 *            backlog: the peer then sees a reset, not an end. To have all of it sent: stream_shutdown,
 *            read (and drop) until `ended` or a deadline of yours, then stream_close; closing with
 *            bytes unread makes the kernel reset the connection, which can destroy the last answer.
 * Errors     `ended` says why nothing more will be read: E_EOF (a clean end: FIN, and close_notify
 *            under TLS) or E_RESET; before `opened`: E_UPSTREAM_CONNECT, E_UPSTREAM_CONNECT_TIMEOUT
 *            (connect or handshake), E_UPSTREAM_TLS; seldom E_NOMEM. Bytes read before it are offered
 *            first, and a clean end waits for who is not reading; E_RESET does not. After E_EOF
 *            writing still works. A failed write ends with E_RESET too; when `ended` was told
 *            before, `drained` comes and stream_write says false.
 * Re-entrancy no callback runs inside a call into this room.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"
#include "net/address.h"
#include "net/loop.h"

struct stream;
struct tls_ctx;

struct stream_events {
	void (*opened)(void *ctx);                    /* outgoing: connected (and verified) */
	size_t (*read)(void *ctx, struct span bytes); /* returns bytes used */
	void (*ended)(void *ctx, enum err why);       /* at most once */
	void (*drained)(void *ctx);                   /* backlog fell to the low-water mark */
	void (*clogged)(void *ctx); /* what was held did not fit: there is a backlog now */
	void (*closed)(void *ctx);
};

/* Where to connect. name is for SNI and verification; tls NULL: plain. */
struct stream_target {
	const struct address
	    *addresses; /* in order, overlapping (dial_int.h); the first that connects */
	size_t n_addresses;
	const char *name;
	struct tls_ctx *tls;
	unsigned connect_ms; /* for all addresses together */
	unsigned tls_ms;
};

/* Never NULL; failure arrives as `ended`. Copies what it needs from `to`; *ev must outlive the stream. A time of 0 is
 * no limit. */
struct stream *stream_connect(
    struct loop *l, const struct stream_target *to, const struct stream_events *ev, void *ctx);

/* TLS from here on, on an open plain stream: `opened` comes again, or `ended` (E_UPSTREAM_TLS, ...). For
 * the owner who has agreed on it with the peer; inside `read` too. All that came must have been used:
 * bytes of before are never taken for bytes of TLS, or of what is inside it. */
void stream_secure(struct stream *s, const struct stream_target *to); /* name, tls, tls_ms */

/* Bytes waiting, in the kernel not counted; moves with every byte the kernel takes. Under TLS it
 * counts ciphertext. */
size_t stream_backlog(const struct stream *s);
void stream_set_low_water(struct stream *s, size_t bytes); /* default 64 KB */
/* False: the stream has failed or is closing (the bytes are dropped; `ended` tells or told). */
bool stream_write(struct stream *s, const struct span *parts, size_t n);
/* What is held goes to the kernel now: for who decides by the backlog whether to close. */
void stream_flush(struct stream *s);
/* The same for the first who asks in a turn of the loop, and nothing for others: for who has work to do behind a write that
 * somebody waits for. */
void stream_hurry(struct stream *s);
/* Whether anything written since stream_mark has gone out, if only into the queue: what comes while nothing has is no
 * answer to it. */
void stream_mark(struct stream *s);
bool stream_has_sent(const struct stream *s);
/* What is held is never sent: true if there was something. Then stream_abort. */
bool stream_forget(struct stream *s);
/* After the backlog is out: FIN (and close_notify before it). No writes after this. */
void stream_shutdown(struct stream *s);

void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);
void stream_read_watch(struct stream *s); /* see "Watching"; ended by stream_read_start or _stop */
bool stream_is_reading(const struct stream *s); /* after stream_read_start, not while watching */

/* At once, with descriptors; a Unix socket whose backlog is empty. False: not sent, or only in part. */
MUST_CHECK bool stream_pass(struct stream *s, struct span bytes, const int *fds, size_t n);

void stream_close(struct stream *s);
/* The same, but TCP RST instead of FIN (and no close_notify), so that the peer sees that what it
 * got is cut. After stream_shutdown has gone out, and on Unix sockets, a plain close. */
void stream_abort(struct stream *s);
/* Whether bytes, or the end, have come that were not offered yet; asks the kernel. For who takes up a
 * connection on which nothing should have come. */
bool stream_has_input(const struct stream *s);
/* What the kernel knows of a peer whose bytes are not being read, or whose end was read: it announces
 * neither. For a tick of the owner. */
enum stream_peer {
	PEER_THERE,
	PEER_FINISHED, /* its FIN has come, perhaps behind bytes that nobody has read */
	PEER_DEAD      /* reset, or ended both ways */
};
enum stream_peer stream_peer_now(const struct stream *s);

/* Of the socket; of unix: empty path. IPv4 inside IPv6 is shown as IPv4. */
const struct address *stream_peer(const struct stream *s);
struct address stream_local(const struct stream *s); /* asks the kernel */
bool stream_is_tls(const struct stream *s);
/* For the program's log: what failed underneath ("certificate has expired"), "" if nothing did. */
const char *stream_detail(const struct stream *s);

#endif
