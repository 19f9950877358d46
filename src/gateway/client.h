/*
 * client: one connection of a client: requests in, one exchange at a time, answers out in order.
 *
 * Model      rx: IDLE (between requests) -> HEAD -> BODY -> DONE (waiting for the answer) -> IDLE
 *            or, behind a 101, DONE -> TUNNEL
 *            tx: IDLE -> OPEN (an answer is being written) -> IDLE; then LINGER (drain, then close) or CLOSED.
 * Reading    stays armed through the exchange, up to 64 KB of what was sent ahead, so that a client that
 *            leaves is noticed; it stops only for back-pressure: then the kernel is asked every 50 ms.
 * Time-outs  header_timeout from a request's first byte to its head's end; body_idle and body_min_rate;
 *            keepalive_idle between requests; write_stall while bytes wait for a client that does not read.
 * Ownership  owns its stream and parser; frees itself when both the stream is closed and no exchange refers to it.
 */
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"
#include "crypto/memo.h"

struct address;
struct client;
struct client_place;
struct gateway;
struct stream;

/* Takes over the stream; copies the place. */
void client_new(
    struct gateway *g, struct stream *s, bool is_admin_listener, const struct client_place *place);
/* For admit.c: its place is needed. */
struct client_place *client_place(struct client *c);
void client_dismiss(struct client *c);
/* At drain: ends it now if it is idle, else after its exchange. */
void client_drain(struct client *c);
void client_cut(struct client *c); /* at the end of the drain */

/* For the exchange. */
struct span client_peer_text(const struct client *c); /* the peer's IP address */
const struct address *client_peer(const struct client *c);
bool client_is_guest(const struct client *c); /* beyond limits.connections: see admit.c */
struct address client_local(const struct client *c);
/* Of this connection's last credential, for the cache's scope and the log's key_id. */
struct client_memos {
	struct memo scope, key_id;
};
struct client_memos *client_memos(struct client *c);
bool client_is_admin_listener(const struct client *c);
bool client_write(struct client *c, const struct span *parts, size_t n);
void client_hurry(
    struct client *c); /* what was written now (stream_hurry): the caller has work to do */
size_t client_backlog(const struct client *c);
void client_read_more(struct client *c); /* the exchange has room for more of the body again */
/* A 101 was written: what was sent ahead, and all that comes, goes to exchange_body as it is; a FIN is exchange_body_end with
 * limits.half_close, else the client's end. */
void client_tunnel(struct client *c);
void client_continue(struct client *c); /* sends "100 Continue", once, if the client waits for it */

enum client_next {
	CLIENT_KEEP,   /* the next request, if any */
	CLIENT_LINGER, /* finish writing, drain what the client still sends, close */
	CLIENT_ABORT, /* cut: what was sent is not complete. Framing shows it; RST where it cannot */
};
/* The exchange is over and forgets the client. */
void client_exchange_over(struct client *c, enum client_next next);
/* Whether the answer may say that the connection stays open. */
bool client_may_keep(const struct client *c);

#endif
