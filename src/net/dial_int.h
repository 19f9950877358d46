/*
 * dial: from a list of addresses to a connected socket, "Happy Eyeballs" (RFC 8305).
 *
 * The addresses are tried in their order. The next one begins as soon as one has failed, or when the
 * last one has not answered for 250 ms (or its share of the whole time, if that is less); those
 * begun before go on. The first that connects is the one, the others are closed. So an address
 * that is dead costs a quarter of a second, not the whole time.
 */
#ifndef NET_DIAL_INT_H
#define NET_DIAL_INT_H

#include "net/address.h"
#include "net/stream.h"

struct dial;

struct dialled {
	int fd; /* connected, not blocking, the receiver's; -1: none, and then */
	enum err why;
	const char *detail; /* static text */
	struct address to;
};

typedef void (*dial_fn)(void *ctx, const struct dialled *d);

/* fn is called once, never inside this call. Of `to` the addresses and connect_ms, which bounds all of
 * it, are used, and copied. */
struct dial *dial_start(struct loop *l, const struct stream_target *to, dial_fn fn, void *ctx);
void dial_cancel(struct dial *d); /* fn will not be called; only before it was */

#endif
