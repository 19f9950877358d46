#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>

#include "net/handshakes_int.h"
#include "net/listener_int.h"
#include "net/stream_int.h"

#define BIT(x) (1u << (x))

static const unsigned char phase_next[] = {
    [PHASE_CONNECTING] = BIT(PHASE_HANDSHAKE) | BIT(PHASE_OPEN) | BIT(PHASE_CLOSING),
    [PHASE_HANDSHAKE] = BIT(PHASE_OPEN) | BIT(PHASE_CLOSING),
    [PHASE_OPEN] = BIT(PHASE_HANDSHAKE) | BIT(PHASE_CLOSING), /* stream_secure */
    [PHASE_CLOSING] = 0,
};
static const unsigned char rx_next[] = {
    [RX_OPEN] = BIT(RX_ENDING),
    [RX_ENDING] = BIT(RX_ENDED),
    [RX_ENDED] = 0,
};
static const unsigned char tx_next[] = {
    [TX_OPEN] = BIT(TX_FINISHING) | BIT(TX_FAILED),
    [TX_FINISHING] = BIT(TX_DONE) | BIT(TX_FAILED),
    [TX_DONE] = BIT(TX_FAILED),
    [TX_FAILED] = 0,
};

void
stream_set_phase(struct stream *s, enum stream_phase to)
{
	CHK((phase_next[s->phase] & BIT(to)) != 0);
	s->phase = to;
}

void
stream_set_rx(struct stream *s, enum stream_rx to)
{
	CHK((rx_next[s->rx] & BIT(to)) != 0);
	s->rx = to;
}

void
stream_set_tx(struct stream *s, enum stream_tx to)
{
	CHK((tx_next[s->tx] & BIT(to)) != 0);
	s->tx = to;
}

/* ---- making ---- */

static const struct stream_events no_events; /* until there is an owner */

struct stream *
stream_new(struct loop *l)
{
	struct stream *s = xcalloc_lines(sizeof(*s));

	s->loop = l;
	s->low_water = LOW_WATER_DEFAULT;
	s->detail = "";
	s->ev = &no_events;
	s->is_gone = true;
	buf_init(&s->kept, KEPT_MAX);
	buf_init(&s->queue, SIZE_MAX / 4);
	return s;
}

void
stream_init_socket(struct stream *s, enum address_kind kind)
{
	if (kind == ADDRESS_UNIX)
		CHK(uv_pipe_init(&s->loop->uv, &s->uv.pipe, 0) == 0);
	else
		CHK(uv_tcp_init(&s->loop->uv, &s->uv.tcp) == 0);
	s->uv.handle.data = s;
	s->has_socket = true;
	s->is_gone = false;
}

int
stream_open_socket(struct stream *s, int fd)
{
	return s->uv.handle.type == UV_TCP ? uv_tcp_open(&s->uv.tcp, fd)
					   : uv_pipe_open(&s->uv.pipe, fd);
}

bool
stream_note_peer(struct stream *s)
{
	struct sockaddr_storage sa;
	struct sockaddr *any = (struct sockaddr *)(void *)&sa;
	socklen_t n = sizeof(sa);
	uv_os_fd_t fd;

	if (uv_fileno(&s->uv.handle, &fd) != 0 || getpeername(fd, any, &n) != 0)
		return false;
	address_from_sockaddr(&s->peer, any, n);
	return true;
}

/* ---- the pump ---- */

static void
reap(struct stream *s)
{
	if (s->ev->closed != NULL)
		s->ev->closed(s->ctx);
	opening_free(s->opening);
	tls_free(s->tls);
	buf_fini(&s->kept);
	buf_fini(&s->queue);
	free(s->batch);
	free(s->writing);
	free(s);
}

static void
pump(void *ctx)
{
	struct stream *s = ctx;

	if (s->phase == PHASE_CLOSING) {
		if (s->is_gone)
			reap(s);
		return;
	}
	if (s->phase == PHASE_HANDSHAKE)
		stream_tls_step(s);
	if (s->phase == PHASE_OPEN)
		stream_read_pending(s);
	stream_tell_end(s);
	stream_tell_drained(s);
	stream_tell_clogged(s);
	stream_arm(s);
}

void
stream_schedule(struct stream *s)
{
	defer_start(s->loop, &s->pump, pump, s);
}

static bool
wants_socket(const struct stream *s)
{
	if (s->rx != RX_OPEN || s->is_sated)
		return false;
	if (s->phase == PHASE_HANDSHAKE)
		return !s->step_due &&
		    s->turn != TURN_WAITING; /* also when the owner has stopped reading */
	return s->phase == PHASE_OPEN && !s->tls_pending && stream_may_take(s);
}

void
stream_arm(struct stream *s)
{
	bool want = wants_socket(s);

	if (s->uv_reading == want)
		return;
	s->uv_reading = want;
	if (!want) {
		if (!uv_is_closing(&s->uv.handle))
			uv_read_stop(&s->uv.stream);
	} else if (uv_read_start(&s->uv.stream, on_stream_alloc, on_stream_read) != 0) {
		s->uv_reading = false;
		stream_end_with(s, E_RESET, "the socket cannot be read");
		stream_schedule(s);
	}
}

/* ---- the end of what is read ---- */

void
stream_end_with(struct stream *s, enum err why, const char *detail)
{
	if (s->rx != RX_OPEN || s->phase == PHASE_CLOSING)
		return;
	stream_set_rx(s, RX_ENDING);
	s->end = why;
	if (detail != NULL)
		s->detail = detail;
	timer_stop(s->loop, &s->deadline);
}

/* A clean end is told to who reads, after the bytes before it. A failure is told at once to who
 * does not read: he may be waiting for room to write. */
static bool
must_wait(const struct stream *s)
{
	if (s->phase != PHASE_OPEN || s->mode == READ_WATCH)
		return false;
	if (s->mode == READ_OFF)
		return s->end == E_EOF;
	return buf_len(&s->kept) > 0 && !s->wait_more;
}

void
stream_tell_end(struct stream *s)
{
	if (s->phase == PHASE_CLOSING || s->rx != RX_ENDING || must_wait(s))
		return;
	stream_set_rx(s, RX_ENDED);
	if (s->listener != NULL)
		listener_lost(s->listener, s);
	else if (s->ev->ended != NULL)
		s->ev->ended(s->ctx, (enum err)s->end);
}

/* ---- closing ---- */

static void
on_closed(uv_handle_t *h)
{
	struct stream *s = h->data;

	s->is_gone = true;
	stream_schedule(s);
}

static void
close_socket(struct stream *s, bool reset)
{
	/* libuv has its reasons not to reset after a shutdown; the peer has seen our end then. */
	if (reset && s->uv.handle.type == UV_TCP && s->tx != TX_DONE &&
	    uv_tcp_close_reset(&s->uv.tcp, on_closed) == 0)
		return;
	uv_close(&s->uv.handle, on_closed);
}

static void
end_stream(struct stream *s, bool reset)
{
	CHK(s->phase != PHASE_CLOSING);
	stream_flush(s);
	/* Bytes that will never go out: a FIN would make a cut look like an end. */
	if (stream_backlog(s) > 0)
		reset = true;
	if (!reset && s->tls != NULL && s->phase == PHASE_OPEN && s->tx == TX_OPEN) {
		tls_shutdown(s->tls);
		stream_try_last(s, tls_output(s->tls));
	}
	timer_stop(s->loop, &s->deadline);
	defer_stop(&s->more);
	s->is_sated = false;
	opening_free(s->opening);
	s->opening = NULL;
	if (s->has_socket)
		close_socket(s, reset);
	else
		stream_schedule(s);
	s->has_socket = false;
	s->uv_reading = false;
	s->mode = READ_OFF;
	stream_set_phase(s, PHASE_CLOSING);
}

void
stream_close(struct stream *s)
{
	end_stream(s, false);
}

void
stream_abort(struct stream *s)
{
	end_stream(s, true);
}

/* ---- what is known ---- */

const struct address *
stream_peer(const struct stream *s)
{
	return &s->peer;
}

struct address
stream_local(const struct stream *s)
{
	struct sockaddr_storage sa = {0};
	struct sockaddr *any = (struct sockaddr *)(void *)&sa;
	socklen_t n = sizeof(sa);
	struct address local;
	uv_os_fd_t fd;

	if (!s->has_socket || uv_fileno(&s->uv.handle, &fd) != 0 || getsockname(fd, any, &n) != 0) {
		sa.ss_family = AF_INET; /* 0.0.0.0 is nobody's */
		n = sizeof(struct sockaddr_in);
	}
	address_from_sockaddr(&local, any, n);
	return local;
}

bool
stream_is_tls(const struct stream *s)
{
	return s->tls != NULL;
}

const char *
stream_detail(const struct stream *s)
{
	return s->detail;
}

bool
stream_has_input(const struct stream *s)
{
	char byte;
	uv_os_fd_t fd;

	if (buf_len(&s->kept) > 0 || s->rx != RX_OPEN || !s->has_socket ||
	    uv_fileno(&s->uv.handle, &fd) != 0)
		return true;
	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

enum stream_peer
stream_peer_now(const struct stream *s)
{
	struct pollfd p = {.events = POLLRDHUP};
	uv_os_fd_t fd;

	if (s->tx == TX_FAILED)
		return PEER_DEAD;
	if (!s->has_socket || uv_fileno(&s->uv.handle, &fd) != 0)
		return PEER_THERE;
	p.fd = fd;
	if (poll(&p, 1, 0) <= 0)
		return PEER_THERE;
	if (p.revents & (POLLERR | POLLHUP))
		return PEER_DEAD;
	return p.revents & POLLRDHUP ? PEER_FINISHED : PEER_THERE;
}
