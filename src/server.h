/*
 * server: a server that is built, until it ends: ready, reloads, gives way to another one, drains.
 *
 * main.c builds and takes down; a server that is there belongs to its loop. SIGTERM and SIGINT drain it, a second one at once;
 * SIGHUP reads the settings again. Another server's takeover: admin/takeover.h. The loop ends when gateway, resolver and control
 * socket have closed, in this order.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/local.h"
#include "admin/takeover.h"
#include "net/service.h"
#include "store/datadir.h"

struct cache_keys;
struct config;
struct control;
struct entries;
struct gateway;
struct journal;
struct loop;
struct options;
struct records;
struct resolver;

#define SERVER_DETAIL 512
#define SERVER_PATH 4096

struct server {
	int exit_code; /* of a start that fails */
	const struct options *options;
	struct config *config; /* of the start; a reload makes others */
	struct loop *loop;
	struct datadir datadir;
	struct entries *entries;
	struct records *records;
	struct journal *journal;
	struct cache_keys *cache_keys;
	uint8_t seal_salt[32];
	struct resolver *resolver;
	struct gateway *gateway;
	struct control *control;
	struct local local;
	struct inherited sockets; /* that systemd has opened */
	struct takeover takeover; /* of the one that runs, by this one */
	struct service_watchdog watchdog;
	bool takes_over;
	bool is_leaving, has_left; /* another one takes over; has the store */
	bool stops_soon;           /* SIGTERM came between the two */
	char via[32];
	char detail[SERVER_DETAIL];
};

/* With the stores, at the start and again when a takeover came to nothing. False: one line in detail. */
MUST_CHECK bool server_open_control(struct server *s);
void server_run(struct server *s); /* until its end */

#endif
