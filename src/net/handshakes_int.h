/*
 * handshakes: the connections of a TLS listener that are not open yet, and whose turn it is.
 *
 *   accepted --> SILENT --first byte--> WAITING --a turn is free--> RUNNING --> open, or lost
 *                   `------- first byte, while a turn is free --------^
 *
 * Silent and waiting ones cost a descriptor and a stream (1 KB), their bytes stay in the kernel; with its turn a
 * connection gets an engine (40 KB). Nobody is ended because there are many: turns are given in order, and beyond
 * `most` newcomers stay in the kernel. What bounds the wait is that a place is not kept for nothing: while somebody wants it,
 * who says nothing, or does not answer our first flight, has `patience_ms` and no more. A connection's
 * deadline runs while it is silent, and anew with its turn; it does not while it waits for us.
 */
#ifndef NET_HANDSHAKES_INT_H
#define NET_HANDSHAKES_INT_H

#include "net/loop.h"

struct listener;
struct stream;

enum turn { TURN_SILENT, TURN_WAITING, TURN_RUNNING, TURNS };

struct handshakes {
	struct listener *listener;
	struct loop *loop;
	struct list in[TURNS]; /* streams, oldest first */
	unsigned n, n_running, most, most_running;
	unsigned tls_ms, patience_ms;
	struct timer press; /* while somebody waits */
};

void handshakes_init(struct handshakes *h, struct loop *l, struct listener *owner, unsigned tls_ms);
/* No turn is given any more; the owner ends what is left. */
void handshakes_fini(struct handshakes *h);
void handshakes_add(struct handshakes *h, struct stream *s);
void handshakes_remove(struct handshakes *h, struct stream *s);
struct stream *handshakes_first(struct handshakes *h); /* NULL: none */
/* Whether one more may be accepted. If not, listener_look_again is called when it is worth another try. */
bool handshakes_have_room(struct handshakes *h);
/* It has something to read: false if it has to wait for its turn, unread. */
bool handshakes_may_read(struct handshakes *h, struct stream *s);

#endif
