/*
 * exchange: one request and its answer, from first byte to record: the state machine of the program.
 *
 *   route -> receive -> prepare -> look up -+-> replay ------------------+-> settle
 *                                           +-> attempt -> relay --------+
 *   (a refusal of ours goes from any of the first ones straight to settle)
 *
 * The client feeds it the request, the upstream feeds it the answer; both are its only callers. One record is
 * written, before the last byte of the answer goes out (so that a kill -9 loses no answered exchange).
 * Ownership: frees itself, deferred, when it is over and neither client nor upstream refers to it.
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct arena;
struct client;
struct exchange;
struct gateway;
struct request_head;

/* At a request's first byte. The head that the parser reads goes into exchange_arena. */
struct exchange *exchange_new(struct gateway *g, struct client *c); /* NULL: no memory */
struct arena *exchange_arena(struct exchange *x);
/* No head ever came: free without a record. */
void exchange_drop(struct exchange *x);
/* n more bytes of this request came on the wire. */
void exchange_received(struct exchange *x, size_t n);
/* The head is there. */
void exchange_begin(struct exchange *x, const struct request_head *head);
/* A piece of the body; always taken. False: enough for now, no more until client_read_more. */
bool exchange_body(struct exchange *x, struct span bytes);
void exchange_body_end(struct exchange *x);
/* The client's backlog fell. */
void exchange_drained(struct exchange *x);
/* The client has gone or its request broke (time-out, framing): why. The exchange forgets the client. */
void exchange_client_gone(struct exchange *x, enum err why);
/* The request's body broke, the client still reads: refuse if nothing was answered yet. */
void exchange_body_failed(struct exchange *x, enum err why);

#endif
