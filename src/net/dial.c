#include "net/dial_int.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "net/address_int.h"
#include "net/loop_int.h"

#define STAGGER_MS 250
/* A peer that vanished (no FIN, no reset) is noticed by what it does not acknowledge. */
#define UNACKNOWLEDGED_MS 60000

struct attempt {
	struct list link;
	uv_poll_t poll;
	struct dial *dial;
	int fd;
	struct address to;
};

struct dial {
	struct loop *loop;
	dial_fn fn;
	void *ctx;
	struct timer stagger, limit;
	struct defer delivery;
	struct list attempts;
	struct dialled result;
	unsigned stagger_ms;
	size_t n, next;
	struct address addresses[];
};

static void try_next(struct dial *d);

/* ---- the end ---- */

static void
on_attempt_closed(uv_handle_t *h)
{
	free(h->data);
}

/* Its socket is the caller's from here on. */
static int
let_go(struct attempt *a)
{
	list_remove(&a->link);
	uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
	return a->fd;
}

static void
stop_all(struct dial *d)
{
	timer_stop(d->loop, &d->stagger);
	timer_stop(d->loop, &d->limit);
	LIST_EACH(node, &d->attempts)
	close(let_go(CONTAINER_OF(node, struct attempt, link)));
}

static void
deliver(void *ctx)
{
	struct dial *d = ctx;
	struct dialled result = d->result;
	dial_fn fn = d->fn;
	void *fn_ctx = d->ctx;

	free(d);
	fn(fn_ctx, &result);
}

static void
conclude(struct dial *d)
{
	stop_all(d);
	defer_start(d->loop, &d->delivery, deliver, d);
}

void
dial_cancel(struct dial *d)
{
	stop_all(d);
	defer_stop(&d->delivery);
	if (d->result.fd >= 0)
		close(d->result.fd);
	free(d);
}

static void
on_limit(void *ctx)
{
	struct dial *d = ctx;

	d->result.why = E_UPSTREAM_CONNECT_TIMEOUT;
	d->result.detail = "the connection was not made in time";
	conclude(d);
}

/* ---- one address ---- */

static void
note_failure(struct dial *d, int error)
{
	d->result.why = E_UPSTREAM_CONNECT;
	d->result.detail = uv_strerror(uv_translate_sys_error(error));
}

static void
succeed(struct attempt *a)
{
	struct dial *d = a->dial;

	d->result.to = a->to;
	d->result.fd = let_go(a);
	conclude(d);
}

static void
on_poll(uv_poll_t *h, int status, int events)
{
	struct attempt *a = h->data;
	struct dial *d = a->dial;
	int error = 0;
	socklen_t n = sizeof(error);

	UNUSED(status); /* says only that there is an error */
	UNUSED(events);
	loop_turn_begin(d->loop);
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		error = errno;
	if (error == 0) {
		succeed(a);
		return;
	}
	note_failure(d, error);
	close(let_go(a));
	try_next(d);
}

static int
open_socket(const struct address *to)
{
	int family = address_sockaddr(to)->sa_family;
	unsigned ms = UNACKNOWLEDGED_MS;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return fd;
}

/* 0, or a negative errno. */
static int
watch(struct dial *d, int fd, const struct address *to)
{
	struct attempt *a = xcalloc(1, sizeof(*a));
	int r = uv_poll_init_socket(&d->loop->uv, &a->poll, fd);

	if (r != 0) {
		free(a);
		return r;
	}
	a->dial = d;
	a->fd = fd;
	a->to = *to;
	a->poll.data = a;
	CHK(uv_poll_start(&a->poll, UV_WRITABLE, on_poll) == 0);
	list_append(&d->attempts, &a->link);
	return 0;
}

/* 0: it is on its way. Else an errno. */
static int
begin(struct dial *d, const struct address *to)
{
	int fd = open_socket(to), error;

	if (fd < 0)
		return errno;
	if (connect(fd, address_sockaddr(to), to->len) != 0 && errno != EINPROGRESS)
		error = errno;
	else
		error = -watch(d, fd, to);
	if (error != 0)
		close(fd);
	return error;
}

static void
on_stagger(void *ctx)
{
	try_next(ctx);
}

/* Begins the next address that can be begun; without one, and nothing on its way, it is over. */
static void
try_next(struct dial *d)
{
	while (d->next < d->n) {
		int error = begin(d, &d->addresses[d->next++]);

		if (error == 0) {
			if (d->next < d->n)
				timer_start(d->loop, &d->stagger, d->stagger_ms, on_stagger, d);
			return;
		}
		note_failure(d, error);
	}
	if (list_is_empty(&d->attempts))
		conclude(d);
}

/* ---- the whole ---- */

/* So that each address has its turn within the whole time. */
static unsigned
stagger_of(const struct stream_target *to)
{
	size_t share = to->n_addresses == 0 ? 0 : to->connect_ms / to->n_addresses;

	return to->connect_ms > 0 && share < STAGGER_MS ? (unsigned)share : STAGGER_MS;
}

struct dial *
dial_start(struct loop *l, const struct stream_target *to, dial_fn fn, void *ctx)
{
	size_t bytes = to->n_addresses * sizeof(struct address);
	struct dial *d = xcalloc(1, sizeof(*d) + bytes);

	d->loop = l;
	d->fn = fn;
	d->ctx = ctx;
	d->n = to->n_addresses;
	d->stagger_ms = stagger_of(to);
	d->result.fd = -1;
	d->result.why = E_UPSTREAM_CONNECT;
	d->result.detail = "no address to connect to";
	list_init(&d->attempts);
	if (bytes > 0)
		memcpy(d->addresses, to->addresses, bytes);
	if (to->connect_ms > 0)
		timer_start(l, &d->limit, to->connect_ms, on_limit, d);
	try_next(d);
	return d;
}
