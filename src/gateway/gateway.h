/*
 * gateway: the server: listeners, client connections, exchanges, and what they share.
 *
 *   listener -> client (one connection, many exchanges) -> exchange -> upstream (pooled)
 *
 * Ownership  main.c builds the parts and lends them; the gateway owns clients, exchanges and the pool.
 * Limits     who gets a place and who does not: admit.c; what the memory allows: pressure.h.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "http/message.h"
#include "http/target.h"
#include "net/loop.h"

struct address;
struct cache_keys;
struct entries;
struct journal;
struct listener;
struct pool;
struct resolver;
struct setup;

/* Paths under "/-/" and "/client/" are answered by whoever main.c names (the admin room). */
struct local_request {
	const struct request_head *head;
	struct target target;
	const struct address *local; /* of the listener's side */
	bool is_admin_listener;      /* loopback, Unix, or named in admin.listen */
};
struct local_reply {
	int status;
	const char *content_type;
	struct buf body;
	enum err refused; /* not E_OK: a refusal instead of the above */
};
typedef void (*local_fn)(void *ctx, const struct local_request *rq, struct local_reply *out);

struct gateway_parts {
	struct loop *loop;
	struct setup *setup; /* a reference is handed over */
	struct resolver *resolver;
	struct inherited *inherited; /* listening sockets that are open already; NULL: none */
	/* from here on: gateway_lend_stores */
	struct entries *entries;
	struct journal *journal;
	struct cache_keys *cache_keys;
	uint8_t seal_salt[32]; /* of the installation, for cache.seal */
	local_fn local;
	void *local_ctx;
	void (*rested)(
	    void); /* nobody has asked for a second, after much was moved; NULL: not told */
	uint8_t id_seed[16];
	struct id id_floor; /* newest id in the log */
};

struct gateway;

struct gateway *gateway_new(const struct gateway_parts *parts);
/* Opens every configured listener, or takes its inherited socket. Nothing is accepted before the loop
 * runs. False: one line in detail, nothing is left open. */
bool gateway_listen(struct gateway *g, char *detail, size_t detail_size);
/* The rest of the parts, where it is known only after gateway_listen; before the loop runs. */
void gateway_lend_stores(struct gateway *g, const struct gateway_parts *parts);
size_t gateway_listener_count(const struct gateway *g);
/* "http://127.0.0.1:8787", "https://...", "unix:/path" */
void gateway_listener_url(const struct gateway *g, size_t i, char *out, size_t size);
/* A listening socket, to be passed on. */
struct gateway_socket {
	int fd;              /* borrowed */
	const char *written; /* its item of `listen`, as at the start */
	bool keeps_file;
};
struct gateway_socket gateway_socket_at(const struct gateway *g, size_t i);
/* New exchanges use it from now on, new connections the certificates that it names; the reference is handed
 * over. */
void gateway_swap_setup(struct gateway *g, struct setup *s);
const struct setup *gateway_setup(const struct gateway *g);
/* Memory is so near to limits.memory that requests are refused. Notes the memory in its metric. */
bool gateway_is_pressed(struct gateway *g);
bool gateway_is_draining(const struct gateway *g);
/* Stops accepting, ends idle connections, lets exchanges finish for limits.drain, then cuts them (a second
 * call cuts at once). `drained` comes once, when no connection and no exchange is left. */
void gateway_drain(struct gateway *g, void (*drained)(void *ctx), void *ctx);
/* Another server has the sockets and accepts: like gateway_drain, but who has connected is still
 * answered, idle connections keep their time, and exchanges have limits.takeover_drain. A gateway_drain
 * later on hurries it; `drained` stays the one given here. */
void gateway_leave(struct gateway *g, void (*drained)(void *ctx), void *ctx);
void gateway_free(struct gateway *g); /* after drained */
void gateway_abandon(
    struct gateway *g); /* instead, when it never ran: listeners may be open, nothing came */

#endif
