/*
 * For tests of net/: a loop that is run until something is so, streams whose callbacks are recorded,
 * and plain sockets that stand for the peer.
 */
#ifndef TESTS_UNIT_NET_ENDS_H
#define TESTS_UNIT_NET_ENDS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listener.h"
#include "net/stream_int.h"

#define PATIENCE_MS 20000 /* a bound for failing tests, never waited for by passing ones */

/* ---- the loop ---- */

static void
net_give_up(void *ctx)
{
	*(bool *)ctx = true;
}

/* Turns the loop until cond holds; each is looked at when a turn is over, with what was held sent. */
#define RUN_UNTIL(l, cond)                                                                         \
	do {                                                                                       \
		bool late_ = false;                                                                \
		struct timer guard_ = {0};                                                         \
		timer_start((l), &guard_, PATIENCE_MS, net_give_up, &late_);                       \
		while (loop_flush(l), !(cond) && !late_)                                           \
			uv_run(&(l)->uv, UV_RUN_ONCE);                                             \
		timer_stop((l), &guard_);                                                          \
		assert_false(late_);                                                               \
	} while (0)

/* So many turns in which nothing need happen: for what must not happen. */
static inline void
run_turns(struct loop *l, int turns)
{
	while (turns-- > 0)
		uv_run(&l->uv, UV_RUN_NOWAIT);
}

/* ---- one end of a stream, recorded ---- */

struct end {
	struct stream *s;
	struct loop *loop;
	char *got;
	size_t n, room;
	size_t take; /* `read` uses so many bytes of an offer at most; SIZE_MAX: all */
	bool again;  /* and calls stream_read_start */
	bool stop;   /* and calls stream_read_stop */
	bool close_in_read, abort_in_read;
	void (*hook)(void *ctx); /* and this */
	void *hook_ctx;
	int reads, opened, ended, drained, clogged, closed;
	size_t last_offer;
	enum err why;
};

/* No callback may come while this is not 0: "no callback runs inside a call into this room". */
static int net_inside;
#define CALL(x)                                                                                    \
	do {                                                                                       \
		net_inside++;                                                                      \
		x;                                                                                 \
		net_inside--;                                                                      \
	} while (0)

static inline void
end_opened(void *ctx)
{
	struct end *e = ctx;

	assert_int_equal(net_inside, 0);
	assert_int_equal(e->opened + e->closed + e->ended, 0);
	e->opened++;
}

static inline size_t
end_read(void *ctx, struct span bytes)
{
	struct end *e = ctx;
	struct span used = span_head(bytes, e->take);

	assert_int_equal(net_inside, 0);
	assert_int_equal(e->closed, 0);
	assert_true(bytes.n > 0);
	e->reads++;
	e->last_offer = bytes.n;
	if (e->n + used.n > e->room) {
		e->room = (e->n + used.n) * 2;
		e->got = xrealloc(e->got, e->room);
	}
	if (used.n > 0)
		memcpy(e->got + e->n, used.p, used.n);
	e->n += used.n;
	if (e->hook != NULL)
		e->hook(e->hook_ctx);
	if (e->again)
		CALL(stream_read_start(e->s));
	if (e->stop)
		CALL(stream_read_stop(e->s));
	if (e->close_in_read)
		CALL(stream_close(e->s));
	if (e->abort_in_read)
		CALL(stream_abort(e->s));
	return used.n;
}

static inline void
end_ended(void *ctx, enum err why)
{
	struct end *e = ctx;

	assert_int_equal(net_inside, 0);
	assert_int_equal(e->closed + e->ended, 0);
	e->ended++;
	e->why = why;
}

static inline void
end_drained(void *ctx)
{
	struct end *e = ctx;

	assert_int_equal(net_inside, 0);
	assert_int_equal(e->closed, 0);
	e->drained++;
}

static inline void
end_clogged(void *ctx)
{
	struct end *e = ctx;

	assert_int_equal(net_inside, 0);
	assert_int_equal(e->closed, 0);
	e->clogged++;
}

static inline void
end_closed(void *ctx)
{
	struct end *e = ctx;

	assert_int_equal(net_inside, 0);
	assert_int_equal(e->closed, 0);
	e->closed++;
	e->s = NULL;
}

static const struct stream_events end_events = {
    .opened = end_opened,
    .read = end_read,
    .ended = end_ended,
    .drained = end_drained,
    .clogged = end_clogged,
    .closed = end_closed,
};

static inline void
end_init(struct end *e, struct loop *l)
{
	*e = (struct end){.loop = l, .take = SIZE_MAX};
}

/* Closes it if it is open, waits for `closed` and forgets what it got. */
static inline void
end_fini(struct end *e)
{
	if (e->s != NULL && e->s->phase != PHASE_CLOSING)
		CALL(stream_close(e->s));
	RUN_UNTIL(e->loop, e->s == NULL);
	free(e->got);
}

static inline bool
end_write(struct end *e, const void *p, size_t n)
{
	struct span part = span_of(p, n);
	bool ok;

	CALL(ok = stream_write(e->s, &part, 1));
	return ok;
}

/* ---- a listener and what it accepted ---- */

struct door {
	struct listener *l;
	struct loop *loop;
	struct end ends[64];
	unsigned n;
	bool dont_read;
};

static inline void
door_accepted(void *ctx, struct stream *s)
{
	struct door *d = ctx;
	struct end *e = &d->ends[d->n];

	assert_int_equal(net_inside, 0);
	assert_true(d->n < COUNT_OF(d->ends));
	d->n++;
	end_init(e, d->loop);
	e->s = s;
	CALL(stream_adopt(s, &end_events, e));
	if (!d->dont_read)
		CALL(stream_read_start(s));
}

static inline void
door_open(struct door *d, struct loop *l, struct tls_ctx *tls)
{
	struct listener_options o = {.tls = tls, .tls_ms = 5000, .unix_mode = 0600};
	struct address a;
	const char *detail = NULL;

	memset(d, 0, sizeof(*d));
	d->loop = l;
	assert_true(address_parse_listen(SPAN_LIT("127.0.0.1:0"), &a));
	CALL(d->l = listener_open(l, &a, &o, door_accepted, d, &detail));
	assert_non_null(d->l);
	assert_int_not_equal(address_port(listener_address(d->l)), 0);
}

static inline void
door_close(struct door *d)
{
	CALL(listener_close(d->l));
	for (unsigned i = 0; i < d->n; i++)
		end_fini(&d->ends[i]);
}

/* ---- the peer, a plain socket ---- */

static inline int
peer_connect(const struct address *a)
{
	int fd = socket(address_sockaddr(a)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, address_sockaddr(a), a->len), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Listens on a free port of 127.0.0.1. */
static inline int
peer_listen(struct address *a, int backlog)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&sa, &n), 0);
	assert_true(address_from_sockaddr(a, (struct sockaddr *)(void *)&sa, n));
	return fd;
}

static inline void
peer_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static inline void
peer_reset(int fd)
{
	struct linger l = {1, 0};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
	close(fd);
}

/* Reads what is there: bytes, 0 at the end, -errno. */
static inline ssize_t
peer_recv(int fd, void *p, size_t n)
{
	ssize_t r = recv(fd, p, n, MSG_DONTWAIT);

	return r < 0 ? -errno : r;
}

/* Reads, turning the loop, until the end or an error, which it returns; *total counts the bytes. */
static inline ssize_t
peer_read_all(struct loop *l, int fd, size_t *total)
{
	static char bytes[1 << 16];
	ssize_t r = -EAGAIN;

	*total = 0;
	for (int turn = 0; turn < 200000 && (r > 0 || r == -EAGAIN); turn++) {
		r = peer_recv(fd, bytes, sizeof(bytes));
		if (r > 0)
			*total += (size_t)r;
		else
			uv_run(&l->uv, UV_RUN_NOWAIT);
	}
	return r;
}

static inline unsigned char
pattern(size_t i)
{
	return (unsigned char)((i * 2654435761u) >> 13);
}

static inline char *
pattern_bytes(size_t n)
{
	char *p = xmalloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)pattern(i);
	return p;
}

#endif
