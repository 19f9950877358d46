/*
 * service: what systemd tells a service and wants to hear from it, without its library: sockets that it
 * has opened (LISTEN_FDS, sd_listen_fds(3)), and how the service is (NOTIFY_SOCKET, sd_notify(3)).
 *
 * Where the environment does not ask for it nothing is done.
 */
#ifndef NET_SERVICE_H
#define NET_SERVICE_H

#include "net/inherit.h"
#include "net/loop.h"

/* Adds the sockets that systemd has opened for this process; their files are its own. False: one line in
 * detail. */
MUST_CHECK bool service_sockets(struct inherited *in, char *detail, size_t detail_size);

/* "READY=1", "STOPPING=1"; lines of them. Never waits. */
void service_notify(const char *state);
void service_notify_reloading(void); /* with the moment, which systemd wants to know */

/* A sign of life from the loop itself, twice in WATCHDOG_USEC. Zeroed = not started. */
struct service_watchdog {
	struct loop *loop;
	struct timer timer;
	uint64_t every_ms;
};
void service_watchdog_start(struct loop *l, struct service_watchdog *w);
void service_watchdog_stop(struct service_watchdog *w); /* fine if not started */

#endif
