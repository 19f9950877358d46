/*
 * From an address to an open stream: each address in turn with its own deadline, then the TLS
 * handshake with another.
 */
#include <stdlib.h>

#include "net/listener_int.h"
#include "net/stream_int.h"

#define KEEPALIVE_SECONDS 60

static void try_next(struct stream *s);

void
opening_free(struct opening *o)
{
	if (o == NULL)
		return;
	tls_ctx_unref(o->tls);
	free(o->name);
	free(o);
}

static struct opening *
opening_new(const struct stream_target *to)
{
	size_t bytes = to->n_addresses * sizeof(struct address);
	struct opening *o = xcalloc(1, sizeof(*o) + bytes);

	o->tls = to->tls == NULL ? NULL : tls_ctx_ref(to->tls);
	o->name = to->name == NULL ? NULL : xstrdup(to->name);
	o->connect_ms = to->connect_ms;
	o->tls_ms = to->tls_ms;
	o->why = E_UPSTREAM_CONNECT;
	o->n = to->n_addresses;
	if (bytes > 0)
		memcpy(o->addresses, to->addresses, bytes);
	return o;
}

static void
set_deadline(struct stream *s, unsigned ms, timer_fn fn)
{
	if (ms > 0)
		timer_start(s->loop, &s->deadline, ms, fn, s);
}

static void
on_handshake_late(void *ctx)
{
	struct stream *s = ctx;

	stream_end_with(s, E_UPSTREAM_CONNECT_TIMEOUT, "the TLS handshake was not done in time");
	stream_tell_end(s);
	if (s->phase != PHASE_CLOSING)
		stream_arm(s);
}

void
stream_begin_handshake(struct stream *s, unsigned ms)
{
	stream_set_phase(s, PHASE_HANDSHAKE);
	set_deadline(s, ms, on_handshake_late);
}

/* ---- one address ---- */

static void
next_or_end(struct stream *s)
{
	if (s->opening->next < s->opening->n) {
		try_next(s);
		return;
	}
	stream_end_with(s, s->opening->why, NULL);
	stream_schedule(s);
}

static void
on_attempt_closed(uv_handle_t *h)
{
	struct stream *s = h->data;

	s->is_retrying = false;
	s->is_gone = true;
	if (s->phase == PHASE_CLOSING)
		stream_schedule(s);
	else
		next_or_end(s);
}

static void
attempt_failed(struct stream *s, enum err why, const char *detail)
{
	timer_stop(s->loop, &s->deadline);
	s->opening->why = why;
	s->detail = detail;
	s->has_socket = false;
	s->is_retrying = true;
	uv_close(&s->uv.handle, on_attempt_closed);
}

static void
on_connect_late(void *ctx)
{
	attempt_failed(ctx, E_UPSTREAM_CONNECT_TIMEOUT, "the connection was not made in time");
}

static void
connected(struct stream *s)
{
	struct opening *o = s->opening;

	timer_stop(s->loop, &s->deadline);
	s->detail = "";
	(void)stream_note_addresses(s); /* who has gone already is noticed by reading */
	if (o->tls == NULL) {
		stream_opened(s);
		return;
	}
	stream_begin_handshake(s, o->tls_ms);
	stream_tls_begin(s, o->tls, o->name);
	stream_schedule(s);
}

static void
on_connected(uv_connect_t *req, int status)
{
	struct stream *s = req->data;

	loop_turn_begin(s->loop);
	if (s->phase == PHASE_CLOSING || s->is_retrying)
		return; /* cancelled by our own uv_close */
	if (status < 0)
		attempt_failed(s, E_UPSTREAM_CONNECT, uv_strerror(status));
	else
		connected(s);
}

static int
start_connect(struct stream *s, const struct address *a)
{
	const char *path = address_path(a);

	s->req.connect.data = s;
	if (address_kind(a) == ADDRESS_UNIX)
		return uv_pipe_connect2(
		    &s->req.connect, &s->uv.pipe, path, strlen(path), 0, on_connected);
	/* Told before there is a socket; libuv sets both when it makes one. */
	uv_tcp_nodelay(&s->uv.tcp, 1);
	uv_tcp_keepalive(&s->uv.tcp, 1, KEEPALIVE_SECONDS);
	return uv_tcp_connect(&s->req.connect, &s->uv.tcp, address_sockaddr(a), on_connected);
}

static void
try_next(struct stream *s)
{
	const struct address *a = &s->opening->addresses[s->opening->next++];
	int r;

	s->peer = *a;
	stream_init_socket(s, address_kind(a));
	set_deadline(s, s->opening->connect_ms, on_connect_late);
	r = start_connect(s, a);
	if (r != 0)
		attempt_failed(s, E_UPSTREAM_CONNECT, uv_strerror(r));
}

/* ---- the whole ---- */

struct stream *
stream_connect(
    struct loop *l, const struct stream_target *to, const struct stream_events *ev, void *ctx)
{
	struct stream *s = stream_new(l);

	s->ev = *ev;
	s->ctx = ctx;
	s->is_adopted = true;
	s->opening = opening_new(to);
	s->detail = "no address to connect to";
	next_or_end(s);
	return s;
}

void
stream_opened(struct stream *s)
{
	timer_stop(s->loop, &s->deadline);
	stream_set_phase(s, PHASE_OPEN);
	opening_free(s->opening);
	s->opening = NULL;
	if (s->listener != NULL)
		listener_hand_over(s->listener, s);
	else if (s->ev.opened != NULL)
		s->ev.opened(s->ctx);
	if (s->phase == PHASE_OPEN)
		stream_schedule(s);
}
