/*
 * From addresses to an open stream: a connected socket (dial.c), then the TLS handshake.
 */
#include <stdlib.h>
#include <unistd.h>

#include "net/dial_int.h"
#include "net/listener_int.h"
#include "net/stream_int.h"
#include "obs/metric.h"

#define KEEPALIVE_SECONDS 60

void
opening_free(struct opening *o)
{
	if (o == NULL)
		return;
	if (o->dial != NULL)
		dial_cancel(o->dial);
	tls_ctx_unref(o->tls);
	free(o->name);
	free(o);
}

static struct opening *
opening_new(const struct stream_target *to)
{
	struct opening *o = xcalloc(1, sizeof(*o));

	o->tls = to->tls == NULL ? NULL : tls_ctx_ref(to->tls);
	o->name = to->name == NULL ? NULL : xstrdup(to->name);
	o->tls_ms = to->tls_ms;
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

	if (s->listener != NULL)
		metric_add(M_LIMIT_TLS_TIMEOUT, 1);
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

void
stream_restart_deadline(struct stream *s, unsigned ms)
{
	set_deadline(s, ms, on_handshake_late);
}

/* ---- the socket ---- */

static int
take_socket(struct stream *s, const struct dialled *d)
{
	int r;

	stream_init_socket(s, address_kind(&d->to));
	r = stream_open_socket(s, d->fd);
	if (r != 0 || address_kind(&d->to) == ADDRESS_UNIX)
		return r;
	uv_tcp_nodelay(&s->uv.tcp, 1);
	uv_tcp_keepalive(&s->uv.tcp, 1, KEEPALIVE_SECONDS);
	return 0;
}

static void
connected(struct stream *s)
{
	struct opening *o = s->opening;

	s->detail = "";
	(void)stream_note_peer(s); /* who has gone already is noticed by reading */
	if (o->tls == NULL) {
		stream_opened(s);
		return;
	}
	stream_begin_handshake(s, o->tls_ms);
	stream_tls_begin(s, o->tls, o->name);
	stream_schedule(s);
}

static void
on_dialled(void *ctx, const struct dialled *d)
{
	struct stream *s = ctx;
	int r;

	s->opening->dial = NULL;
	if (d->fd < 0) {
		stream_end_with(s, d->why, d->detail);
		stream_schedule(s);
		return;
	}
	s->peer = d->to;
	r = take_socket(s, d);
	if (r == 0) {
		connected(s);
		return;
	}
	close(d->fd);
	stream_end_with(s, E_UPSTREAM_CONNECT, uv_strerror(r));
	stream_schedule(s);
}

void
stream_secure(struct stream *s, const struct stream_target *to)
{
	CHK(s->phase == PHASE_OPEN && s->tls == NULL && to->tls != NULL);
	CHK(stream_backlog(s) == 0 && buf_len(&s->kept) == 0);
	stream_begin_handshake(s, to->tls_ms);
	stream_tls_begin(s, to->tls, to->name);
	stream_schedule(s);
}

/* ---- the whole ---- */

struct stream *
stream_connect(
    struct loop *l, const struct stream_target *to, const struct stream_events *ev, void *ctx)
{
	struct stream *s = stream_new(l);

	s->ev = ev;
	s->ctx = ctx;
	s->is_adopted = true;
	s->opening = opening_new(to);
	s->opening->dial = dial_start(l, to, on_dialled, s);
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
	else if (s->ev->opened != NULL)
		s->ev->opened(s->ctx);
	if (s->phase == PHASE_OPEN)
		stream_schedule(s);
}
