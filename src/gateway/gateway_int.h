/*
 * What the files of this room share: the server's state.
 *
 * Invariants: 1. every client is in `clients`, every exchange in `exchanges`, from new to free.
 * 2. n_clients and seats count clients whose stream is not yet closed (seats: also handshakes); n_leaving of them give their place up.
 * 3. a client is in `restful` while it waits for a request or for its peer's end, longest waiting first.
 */
#ifndef GATEWAY_GATEWAY_INT_H
#define GATEWAY_GATEWAY_INT_H

#include "gateway/forward.h"
#include "gateway/gateway.h"
#include "gateway/pressure.h"
#include "gateway/seats.h"
#include "gateway/warm.h"

struct outbox;
struct stream;

/* What a client has of the limits on connections. */
struct client_place {
	struct list rest;
	bool is_guest, is_leaving;
	struct seat *seat; /* NULL: exempt */
	struct list guest;
};

struct gateway {
	struct gateway_parts parts;
	struct loop *loop;
	struct setup *setup;
	struct pool *pool;
	struct flights *flights;
	struct revoked *revoked;
	struct id_source ids;
	struct listener **listeners;
	bool *listener_is_admin, *listener_is_tls;
	struct config *listening; /* the settings whose `listen` they are, item by item */
	size_t n_listeners;
	struct certificates *certificates; /* of the listeners; NULL: they are closed */
	struct list clients;
	size_t n_clients, n_leaving;
	struct list restful;
	struct list guests; /* beyond limits.connections, oldest first */
	size_t n_guests;
	struct seats seats;
	struct pressure pressure;
	uint64_t reserved;
	struct list exchanges;
	struct list spares; /* ended exchanges, kept for their warm buffers */
	size_t n_spares;
	struct warm warm;     /* of their large buffers */
	struct outbox *boxes; /* spare ones */
	size_t n_boxes;
	bool is_draining;
	bool is_leaving; /* draining without haste, after a takeover */
	struct timer drain_timer;
	void (*drained)(void *ctx);
	void *drained_ctx;
	struct defer drained_call;
	struct defer turn_end;
	struct defer sparing;
	struct timer rest_timer;
	bool is_tiring; /* it is armed */
	uint64_t moved_bytes,
	    ended_at_ms;       /* by exchanges since the last rest; when the last of them ended */
	uint64_t warn_from_ms; /* the next line about a provider that failed */
	unsigned warnings_left_out;
	int64_t date_s; /* of date_text, the Date line of this second */
	char date_text[DATE_LINE_SIZE];
	struct span date;
};

/* admit.c */
/* A place of limits.connections_per_address (struct listener_seats); gateway_accepted takes it over. */
bool gateway_take_seat(void *ctx, const struct address *peer, void **seat);
void gateway_leave_seat(void *ctx, void *seat);
void gateway_accepted(struct gateway *g, struct stream *s, bool is_admin);
/* A client's stream is closed: frees its place. */
void gateway_client_closed(struct gateway *g, struct client_place *p);
/* What the process' memory says about new work. */
enum pressure_level gateway_pressure(struct gateway *g);
/* Asks for that much memory at once, before it is allocated; given back when the work is done. */
bool gateway_reserve(struct gateway *g, uint64_t bytes);
void gateway_unreserve(struct gateway *g, uint64_t bytes);
/* A client or an exchange is gone: reports the end of a drain when it was the last. */
void gateway_shrunk(struct gateway *g);
/* An exchange is over that moved so many bytes. */
void gateway_moved(struct gateway *g, uint64_t bytes);
/* Before entries are read: their read transaction ends with the turn. */
void gateway_reads_entries(struct gateway *g);
struct span gateway_date(struct gateway *g);
void exchange_free_spares(struct gateway *g);
/* From their links in the lists above. */
struct client *client_of(struct list *node);
struct client *client_of_rest(struct list *node);
struct client *client_of_guest(struct list *node);
/* Memory is short: what it keeps for cache and log is cut to its beginning. Between turns only. */
void exchange_spare(struct list *node);
void exchange_cut(struct list *node); /* at the end of a drain: one whose client left already */

#endif
