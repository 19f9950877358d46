/*
 * tunnel: the exchange after a provider has answered an upgrade to websocket with 101 (tunnel.c).
 */
#ifndef GATEWAY_TUNNEL_H
#define GATEWAY_TUNNEL_H

#include <stdbool.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"
#include "http/ws.h"

struct exchange;
struct response_head;

struct tunnel {
	struct ws_scan in, out;
	bool is_ending; /* the client has gone, its last bytes are on their way to the provider */
};

/* False: the answer is no switch to websocket, nothing was sent. */
MUST_CHECK bool tunnel_open(struct exchange *x, const struct response_head *head);
bool tunnel_send(struct exchange *x, struct span bytes); /* false: enough for now */
void tunnel_half_close(struct exchange *x);              /* the client will send no more */
void tunnel_client_gone(struct exchange *x, enum err why);
void tunnel_flow(struct exchange *x); /* the client's backlog fell, or grew */

#endif
