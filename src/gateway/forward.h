/*
 * forward: heads as they go on: a request's towards the provider, an answer's towards the client. Pure.
 *
 * Names, values and order stay; hop-by-hop fields, our own control headers and what would mislead the
 * next hop go; framing is written anew.
 */
#ifndef GATEWAY_FORWARD_H
#define GATEWAY_FORWARD_H

#include "base/buf.h"
#include "http/message.h"

struct upstream_target;

struct forward_request {
	const struct request_head *head;
	const struct upstream_target *to;
	struct span query; /* p == NULL: none */
	enum body_framing framing;
	uint64_t length;
	const char *via; /* our pseudonym */
	bool
	    is_websocket; /* the upgrade goes on, and nothing in it is changed but subprotocols for us */
};
MUST_CHECK bool forward_request(const struct forward_request *f, struct buf *out);
/* Whether the request came through us already, by its Via or CDN-Loop. */
bool is_looping(const struct request_head *head, const char *via);
/* "cf-aig-authorization.TOKEN" where a client that offers nothing else is answered without a subprotocol: a browser takes
 * that for a failure. Empty: nothing to add. */
struct span subprotocol_for_us(const struct headers *request, const struct headers *answer);
/* What the client accepts, cut to what we can read: "gzip" or "identity". */
struct span accepted_coding(const struct request_head *head);

/* The fields of ours on every answer. */
struct gateway_fields {
	const char *id;           /* log id; NULL: no record was made */
	struct span event_id;     /* the client's own, else empty */
	const char *cache_status; /* "HIT" ...; NULL: none */
	const char
	    *cache_items;       /* "2/3": so many of an answer's parts from the cache; NULL: none */
	int64_t age_s;          /* -1: none */
	int64_t overhead_us;    /* -1: none */
	const char *error_word; /* NULL: not a refusal */
	enum body_framing framing; /* towards the client */
	uint64_t length;
	bool is_http10, keep_alive;
	bool is_websocket;       /* a 101 */
	struct span subprotocol; /* with it; empty: none to add */
};
/* A provider's answer. */
MUST_CHECK bool forward_response(
    const struct response_head *head, const struct gateway_fields *f, struct buf *out);
/* One of the 1xx heads before it. */
MUST_CHECK bool forward_informational(const struct response_head *head, struct buf *out);
/* An answer of our own making. fields: whole header lines ("content-type: ...\r\n"). date: date_line's. */
#define DATE_LINE_SIZE 40
struct span date_line(int64_t wall_ms, char out[DATE_LINE_SIZE]);
MUST_CHECK bool own_response(int status, struct span date, struct span fields,
    const struct gateway_fields *f, struct buf *out);

#endif
