#include <stdlib.h>
#include <sys/ioctl.h>

#include "net/listener_int.h"
#include "net/stream_int.h"

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static size_t
room(const struct stream *s)
{
	return KEPT_MAX - buf_len(&s->kept);
}

bool
stream_may_take(const struct stream *s)
{
	if (s->mode == READ_OFF || room(s) == 0)
		return false;
	return s->mode == READ_WATCH || s->wait_more || buf_len(&s->kept) == 0;
}

static bool
has_offer(const struct stream *s)
{
	return s->mode == READ_ON && buf_len(&s->kept) > 0 && !s->wait_more;
}

/* Runs the owner's `read`. It may stop, start or watch reading, write, and close the stream. */
static size_t
offer(struct stream *s, struct span bytes)
{
	size_t used;

	s->wait_more = false;
	s->rearmed = false;
	s->in_read = true;
	used = s->ev->read(s->ctx, bytes);
	s->in_read = false;
	CHK(used <= bytes.n);
	if (s->mode == READ_ON && used < bytes.n) {
		if (!s->rearmed)
			s->mode = READ_OFF;
		else if (used == 0)
			s->wait_more = true;
	}
	return used;
}

static void
offer_kept(struct stream *s)
{
	size_t used = offer(s, buf_view(&s->kept));

	if (s->phase == PHASE_CLOSING)
		return;
	buf_drop(&s->kept, used);
	if (buf_len(&s->kept) == 0)
		buf_fini(&s->kept); /* idle connections hold no buffer */
}

static void
keep(struct stream *s, struct span bytes)
{
	if (bytes.n > 0 && !buf_put_span(&s->kept, bytes))
		stream_end_with(s, E_NOMEM, "out of memory");
}

void
stream_received(struct stream *s, struct span plain)
{
	size_t used;

	if (s->mode == READ_WATCH || buf_len(&s->kept) > 0) {
		keep(s, plain);
		if (s->mode == READ_ON)
			offer_kept(s);
	} else {
		used = offer(s, plain);
		if (s->phase != PHASE_CLOSING)
			keep(s, span_skip(plain, used));
	}
	if (s->phase != PHASE_CLOSING && has_offer(s))
		stream_schedule(s);
}

void
stream_read_pending(struct stream *s)
{
	if (has_offer(s))
		offer_kept(s);
	if (s->phase == PHASE_OPEN && s->tls_pending)
		stream_tls_drain(s);
	if (s->phase == PHASE_OPEN && has_offer(s))
		stream_schedule(s);
}

/* ---- the socket ---- */

/* With no room libuv was told not to read. Ciphertext goes into the engine, which is empty whenever the socket is armed. */
static uint32_t
most(const struct stream *s)
{
	return s->tls != NULL || s->listener != NULL ? TLS_INPUT_MAX : (uint32_t)room(s);
}

static uint32_t
unread(const struct stream *s)
{
	uv_os_fd_t fd;
	int n = 0;

	if (uv_fileno(&s->uv.handle, &fd) != 0 || ioctl(fd, FIONREAD, &n) != 0 || n < 0)
		return 0;
	return (uint32_t)n;
}

/* When all have had theirs: a sip, and another for who then has no more. The kernel is asked only about who filled the first. */
static uint32_t
sip(const struct stream *s)
{
	if (s->read_bytes < LOOP_READ_SIP)
		return least(most(s), LOOP_READ_SIP - s->read_bytes);
	if (s->read_bytes + unread(s) <= 2 * LOOP_READ_SIP)
		return least(most(s), 2 * LOOP_READ_SIP - s->read_bytes);
	return 0;
}

/* How much it may read now. */
static uint32_t
share(const struct stream *s)
{
	if (s->read_bytes >= LOOP_READ_A_TURN)
		return 0;
	if (s->loop->read_left > 0)
		return most(s);
	return s->allowed > 0 ? least(most(s), s->allowed) : sip(s);
}

static void
go_on(void *ctx)
{
	struct stream *s = ctx;
	struct loop *l = s->loop;
	uint32_t n = unread(s);

	s->is_sated = false;
	s->read_bytes = 0;
	s->allowed = n < LOOP_READ_SIP ? LOOP_READ_SIP : least(n, LOOP_READ_A_TURN);
	l->feed_left -= least(s->allowed, l->feed_left);
	stream_arm(s);
}

/* With 0 libuv reads nothing and says so to on_stream_read, which stops reading. */
void
on_stream_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct stream *s = h->data;
	uint32_t n = 0;

	UNUSED(suggested);
	loop_turn_begin(s->loop);
	if (s->listener == NULL || listener_may_read(s->listener, s)) {
		n = share(s);
		if (n == 0) {
			s->is_sated = true;
			loop_read_later(s->loop, &s->more, go_on, s);
		}
	}
	*out = uv_buf_init(n > 0 ? s->loop->read : NULL, n);
}

/* After a partial read libuv takes a hang-up for an end without asking the socket: a reset that
 * came right behind the last bytes would look clean. */
static bool
has_socket_error(const struct stream *s)
{
	int error = 0;
	socklen_t n = sizeof(error);
	uv_os_fd_t fd;

	return uv_fileno(&s->uv.handle, &fd) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0;
}

static void
socket_ended(struct stream *s, int code)
{
	if (code != UV_EOF)
		stream_end_with(s, E_RESET, uv_strerror(code));
	else if (s->tx == TX_FAILED || has_socket_error(s))
		stream_end_with(s, E_RESET, "connection reset by peer");
	else if (s->tls != NULL)
		stream_end_with(s, E_RESET, "the peer closed the connection without close_notify");
	else
		stream_end_with(s, E_EOF, NULL);
}

static void
handshake_cut(struct stream *s, int code)
{
	stream_end_with(s, E_UPSTREAM_TLS,
	    code == UV_EOF ? "the peer closed the connection during the TLS handshake"
			   : uv_strerror(code));
}

static void
count_read(struct stream *s, uint32_t n, uint32_t asked)
{
	struct loop *l = s->loop;

	l->reads++;
	l->read_left -= least(n - least(n, s->allowed), l->read_left);
	s->allowed = n < asked ? 0 : s->allowed - least(n, s->allowed);
	s->read_bytes = n < asked ? 0 : s->read_bytes + n;
}

void
on_stream_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
	struct stream *s = h->data;

	if (n == 0) { /* EAGAIN, not the end */
		s->read_bytes = s->allowed = 0;
		return;
	}
	if (n == UV_ENOBUFS) {
		stream_arm(s);
		return;
	}
	s->loop->is_reading = true;
	if (n > 0)
		count_read(s, (uint32_t)n, (uint32_t)b->len);
	if (n < 0 && s->phase == PHASE_HANDSHAKE)
		handshake_cut(s, (int)n);
	else if (n < 0)
		socket_ended(s, (int)n);
	else if (s->listener != NULL || s->tls != NULL)
		stream_tls_received(s, span_of(b->base, (size_t)n));
	else
		stream_received(s, span_of(b->base, (size_t)n));
	stream_tell_end(s);
	if (s->phase != PHASE_CLOSING)
		stream_arm(s);
	loop_read_over(s->loop);
}

/* ---- the owner ---- */

void
stream_read_start(struct stream *s)
{
	if (s->phase == PHASE_CLOSING)
		return;
	s->rearmed = s->in_read;
	if (s->mode == READ_ON)
		return;
	s->mode = READ_ON;
	s->wait_more = false;
	if (s->phase != PHASE_OPEN || s->in_read)
		return; /* who is on the stack goes on from here */
	if (has_offer(s) || s->tls_pending || s->rx == RX_ENDING)
		stream_schedule(s);
	else
		stream_arm(s);
}

void
stream_read_stop(struct stream *s)
{
	if (s->phase == PHASE_CLOSING)
		return;
	s->mode = READ_OFF;
	if (s->phase == PHASE_OPEN)
		stream_arm(s);
}

void
stream_read_watch(struct stream *s)
{
	if (s->phase == PHASE_CLOSING || s->mode == READ_WATCH)
		return;
	s->mode = READ_WATCH;
	if (s->phase != PHASE_OPEN || s->in_read)
		return;
	if (s->tls_pending || s->rx == RX_ENDING)
		stream_schedule(s);
	else
		stream_arm(s);
}

bool
stream_is_reading(const struct stream *s)
{
	return s->mode == READ_ON;
}
