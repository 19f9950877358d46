/*
 * client_int: what the files of the client's connection share: its state and the functions that one calls of the other.
 *
 *   client.c       life, writing, the ways to end       client_read.c  bytes in: heads, bodies, what was sent ahead
 *   client_wait.c  what is waited for, and how long
 */
#ifndef GATEWAY_CLIENT_INT_H
#define GATEWAY_CLIENT_INT_H

#include "base/buf.h"
#include "gateway/client.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "net/address.h"
#include "net/loop.h"

struct exchange;
struct parser;

#define AHEAD_MAX (64 * 1024) /* bytes of later requests held while one is answered */

enum client_rx { RX_IDLE, RX_HEAD, RX_BODY, RX_DONE, RX_TUNNEL, RX_LINGER };
enum client_wait { WAIT_NOTHING, WAIT_REQUEST, WAIT_HEAD, WAIT_BODY, WAIT_WRITE, WAIT_FIN };

/*
 * 1. x is set from a request's first byte to client_exchange_over or to the client's end; close_client
 *    is called without it.
 * 2. `ahead` holds bytes that came before those the stream has: it is parsed first.
 */
struct client {
	/* What each request touches, in five lines of 64 bytes: with thousands of connections every one is fetched from memory. */
	struct gateway *g;
	struct setup *setup; /* limits of the time it was accepted */
	struct stream *stream;
	struct parser *parser; /* from a request's first byte to its last; later, if it broke off */
	struct exchange *x;
	enum client_rx rx;
	enum client_wait wait;
	enum client_next over;
	bool is_admin_listener, is_closing, is_eof, is_paused;
	bool wants_continue, keep_alive, must_close;
	struct buf ahead;
	uint64_t requests;
	uint64_t written,
	    flushed_before; /* bytes given to the stream; gone out when the timer was set */
	struct timer timer;
	struct defer next;
	struct timer watch;
	uint64_t body_started_ms, body_bytes;
	struct client_memos memos;
	struct client_place place;
	char peer[ADDRESS_TEXT_SIZE];
	/* And seldom. */
	uint64_t linger_bytes;
	uint64_t paused_ms; /* since when back-pressure holds the body */
	struct list link;
};

static inline const struct config *
client_config(const struct client *c)
{
	return c->setup->config;
}

/* client.c */
void client_end(struct client *c, bool abort); /* closes the stream; without an exchange only */
/* The connection carries no other request: what is written goes out, then it closes. */
void client_linger(struct client *c);
/* An answer without an exchange: no record, and the connection ends. */
void client_refuse(struct client *c, enum err why);
void client_refuse_unparsed(struct client *c, enum err why); /* drops the exchange */
/* The client cannot be answered any more: its exchange, if any, is told. */
void client_lose(struct client *c, enum err why, bool abort);
/* client_read.c */
size_t client_take(void *ctx, struct span bytes); /* the stream's read event */
void client_parse_ahead(struct client *c);
/* client_wait.c */
/* After each change of what it reads from (rx, is_paused, backlog): the timers follow. */
void client_arm(struct client *c);

#endif
