#include "net/service.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

#define FIRST_FD 3 /* by the protocol */

static bool
number_of(const char *name, uint64_t *out)
{
	const char *text = getenv(name);

	return text != NULL && num_u64(span_str(text), out);
}

/* The variable is meant for this process: what a parent left behind is not. */
static bool
is_for_us(const char *name)
{
	uint64_t pid;

	return number_of(name, &pid) && pid == (uint64_t)getpid();
}

/* ---- sockets ---- */

/* LISTEN_FDNAMES: a name for each, with colons between. */
static struct span
next_name(struct span *names)
{
	struct span name;

	return names->n > 0 && span_next(names, ':', &name) ? name : SPAN_LIT("unknown");
}

bool
service_sockets(struct inherited *in, char *detail, size_t detail_size)
{
	const char *text = getenv("LISTEN_FDNAMES");
	struct span names = text == NULL ? SPAN_NONE : span_str(text);
	uint64_t n;

	if (!is_for_us("LISTEN_PID") || !number_of("LISTEN_FDS", &n))
		return true;
	for (int fd = FIRST_FD; n-- > 0; fd++) {
		struct span name = next_name(&names);
		const char *wrong =
		    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ? "not open" : inherited_add(in, fd, NULL);

		if (wrong != NULL) {
			(void)snprintf(detail, detail_size, "the socket %d ('%.*s') of systemd: %s",
			    fd, SPAN_FMT(name), wrong);
			return false;
		}
		in->v[in->n - 1].keeps_file = true;
	}
	return true;
}

/* ---- telling ---- */

/* "/path", or "@name" of the abstract space. False: neither. */
static bool
address_of(const char *text, struct sockaddr_un *at, socklen_t *n)
{
	size_t len = text == NULL ? 0 : strlen(text);

	if (len < 2 || len >= sizeof(at->sun_path) || (text[0] != '/' && text[0] != '@'))
		return false;
	*at = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(at->sun_path, text, len);
	if (text[0] == '@')
		at->sun_path[0] = '\0';
	*n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return true;
}

void
service_notify(const char *state)
{
	struct sockaddr_un at;
	socklen_t n;
	int fd;

	if (!address_of(getenv("NOTIFY_SOCKET"), &at, &n))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&at, n) < 0) {
		/* systemd is not there: then it does not wait either */
	}
	(void)close(fd);
}

void
service_notify_reloading(void)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)clock_mono_us());
	service_notify(text);
}

/* ---- watchdog ---- */

static void
on_watchdog(void *ctx)
{
	struct service_watchdog *w = ctx;

	service_notify("WATCHDOG=1");
	timer_start(w->loop, &w->timer, w->every_ms, on_watchdog, w);
}

void
service_watchdog_start(struct loop *l, struct service_watchdog *w)
{
	uint64_t us;

	if (!number_of("WATCHDOG_USEC", &us) || us < 2000 ||
	    (getenv("WATCHDOG_PID") != NULL && !is_for_us("WATCHDOG_PID")))
		return;
	w->loop = l;
	w->every_ms = us / 2000;
	on_watchdog(w);
}

void
service_watchdog_stop(struct service_watchdog *w)
{
	if (w->loop != NULL)
		timer_stop(w->loop, &w->timer);
}
