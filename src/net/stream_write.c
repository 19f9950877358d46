/*
 * Writing: small pieces are held until the turn ends (hold.c), then the kernel is tried; what it does not take is copied
 * behind a queue of which one batch at a time is libuv's. The fast path allocates nothing.
 */
#include <stdlib.h>

#include "net/inherit.h"
#include "net/stream_int.h"

#define TRY_PARTS 72 /* more than an owner has: one call of the kernel */

size_t
stream_backlog(const struct stream *s)
{
	size_t out;

	if (s->tx == TX_FAILED)
		return 0;
	if (s->batch == NULL)
		return buf_len(&s->queue);
	/* libuv's figure moves with every partial write: who watches for a stall sees it. */
	out = uv_stream_get_write_queue_size(&s->uv.stream);
	if (out > s->slice)
		out = s->slice;
	return buf_len(&s->queue) + s->batch_n - s->batch_off - s->slice + out;
}

void
stream_set_low_water(struct stream *s, size_t bytes)
{
	s->low_water = bytes;
}

static void
on_grace_over(void *ctx)
{
	struct stream *s = ctx;

	stream_end_with(s, E_RESET, NULL);
	stream_tell_end(s);
	if (s->phase != PHASE_CLOSING)
		stream_arm(s);
}

/* The peer may have answered before it reset the connection ("413" to a long upload): who reads
 * gets what is in the kernel first, and the reader's end says so soon after. */
void
stream_write_failed(struct stream *s, const char *detail)
{
	if (s->tx == TX_FAILED)
		return;
	stream_set_tx(s, TX_FAILED);
	buf_fini(&s->queue);
	if (s->rx == RX_OPEN)
		s->detail = detail;
	if (s->phase == PHASE_OPEN && s->rx == RX_OPEN && s->uv_reading)
		timer_start(s->loop, &s->deadline, GRACE_MS, on_grace_over, s);
	else
		stream_end_with(s, s->phase == PHASE_OPEN ? E_RESET : E_UPSTREAM_TLS, detail);
	stream_schedule(s);
}

static void
tell_if_low(struct stream *s)
{
	if (!s->want_drained || stream_backlog(s) > s->low_water)
		return;
	s->want_drained = false;
	if (s->ev->drained != NULL)
		s->ev->drained(s->ctx);
}

/* After the end was told a failure has no other voice: the writer that waits for room gets it, and
 * a false from stream_write. */
void
stream_tell_drained(struct stream *s)
{
	if (s->phase == PHASE_OPEN && s->tx == TX_FAILED && s->rx == RX_ENDED)
		tell_if_low(s);
}

/* Who learnt from stream_backlog that all was out learns that it is not. */
void
stream_tell_clogged(struct stream *s)
{
	if (!s->is_clogged)
		return;
	s->is_clogged = false;
	if (s->phase == PHASE_OPEN && s->ev->clogged != NULL && stream_backlog(s) > 0)
		s->ev->clogged(s->ctx);
}

/* ---- queue and batch ---- */

static void send_slice(struct stream *s);
static void finish_writing(struct stream *s);

static void
drop_batch(struct stream *s)
{
	free(s->batch);
	free(s->writing);
	s->batch = NULL;
	s->writing = NULL;
	s->batch_n = s->batch_off = s->slice = 0;
}

static void
start_batch(struct stream *s)
{
	if (s->batch != NULL || buf_len(&s->queue) == 0)
		return;
	s->batch = buf_take(&s->queue, &s->batch_n);
	s->batch_off = 0;
	send_slice(s);
}

/* The status says nothing about a stream that is being closed: libuv reports success for bytes
 * that the kernel had taken before. */
static void
on_written(uv_write_t *req, int status)
{
	struct stream *s = req->data;

	loop_turn_begin(s->loop);
	if (s->phase == PHASE_CLOSING)
		return;
	if (status < 0) {
		drop_batch(s);
		stream_write_failed(s, uv_strerror(status));
		return;
	}
	s->batch_off += s->slice;
	s->slice = 0;
	if (s->batch_off < s->batch_n) {
		send_slice(s);
	} else {
		drop_batch(s);
		start_batch(s);
	}
	finish_writing(s);
	tell_if_low(s);
}

/* When uv_write fails there will be no callback. */
static void
send_slice(struct stream *s)
{
	size_t left = s->batch_n - s->batch_off;
	uv_buf_t b;
	int r;

	s->slice = left < WRITE_SLICE ? left : WRITE_SLICE;
	b = uv_buf_init(s->batch + s->batch_off, (unsigned)s->slice);
	if (s->writing == NULL)
		s->writing = malloc(sizeof(*s->writing));
	r = UV_ENOMEM;
	if (s->writing != NULL) {
		s->writing->data = s;
		r = uv_write(s->writing, &s->uv.stream, &b, 1, on_written);
	}
	if (r != 0) {
		drop_batch(s);
		stream_write_failed(s, uv_strerror(r));
	}
}

/* ---- the kernel first ---- */

/* libuv's buffers are not const, but it does not write into what it sends. */
static uv_buf_t
as_buf(struct span part)
{
	union {
		const char *in;
		char *out;
	} p = {.in = part.p};

	CHK(part.n <= INT32_MAX);
	return uv_buf_init(p.out, (unsigned)part.n);
}

/* How many bytes of the parts the kernel took, counted over all of them. */
static size_t
try_now(struct stream *s, const struct span *parts, size_t n)
{
	uv_buf_t bufs[TRY_PARTS];
	size_t done = 0, here;
	unsigned count;
	int r;

	while (n > 0) {
		here = 0;
		for (count = 0; count < TRY_PARTS && count < n; count++) {
			bufs[count] = as_buf(parts[count]);
			here += bufs[count].len;
		}
		parts += count;
		n -= count;
		if (here == 0)
			continue;
		r = uv_try_write(&s->uv.stream, bufs, count);
		if (r < 0 && r != UV_EAGAIN)
			stream_write_failed(s, uv_strerror(r));
		if (r < 0)
			break;
		done += (size_t)r;
		if ((size_t)r < here || s->tx == TX_FAILED)
			break;
	}
	return done;
}

static void
enqueue(struct stream *s, const struct span *parts, size_t n, size_t skip)
{
	for (size_t i = 0; i < n; i++) {
		struct span rest = span_skip(parts[i], skip);

		skip -= parts[i].n - rest.n;
		if (rest.n > 0 && !buf_put_span(&s->queue, rest)) {
			stream_write_failed(s, "out of memory");
			return;
		}
	}
}

void
stream_write_now(struct stream *s, const struct span *parts, size_t n)
{
	size_t done = 0;

	s->has_sent = true;
	if (s->batch == NULL && buf_len(&s->queue) == 0)
		done = try_now(s, parts, n);
	if (s->tx == TX_FAILED)
		return;
	enqueue(s, parts, n, done);
	start_batch(s);
	if (stream_backlog(s) > s->low_water)
		s->want_drained = true;
}

bool
stream_write_raw(struct stream *s, const struct span *parts, size_t n)
{
	if (s->batch == NULL && stream_hold(s, parts, n))
		return true;
	stream_flush(s);
	if (s->tx != TX_FAILED)
		stream_write_now(s, parts, n);
	return s->tx != TX_FAILED;
}

void
stream_try_last(struct stream *s, struct span bytes)
{
	uv_buf_t b = as_buf(bytes);

	if (b.len > 0)
		(void)uv_try_write(&s->uv.stream, &b, 1);
}

/* ---- the owner ---- */

void
stream_mark(struct stream *s)
{
	s->has_sent = false;
}

bool
stream_has_sent(const struct stream *s)
{
	return s->has_sent;
}

bool
stream_write(struct stream *s, const struct span *parts, size_t n)
{
	if (s->phase != PHASE_OPEN || s->tx != TX_OPEN)
		return false;
	if (s->tls != NULL)
		stream_tls_write(s, parts, n);
	else
		stream_write_raw(s, parts, n);
	return s->tx != TX_FAILED;
}

bool
stream_pass(struct stream *s, struct span bytes, const int *fds, size_t n)
{
	uv_os_fd_t fd;

	stream_flush(s);
	CHK(s->uv.handle.type == UV_NAMED_PIPE && stream_backlog(s) == 0);
	if (s->phase != PHASE_OPEN || s->tx != TX_OPEN || uv_fileno(&s->uv.handle, &fd) != 0)
		return false;
	return pass_send(fd, bytes, fds, n);
}

static void
on_shutdown(uv_shutdown_t *req, int status)
{
	/* The reader's side tells what became of the connection. */
	UNUSED(req);
	UNUSED(status);
}

static void
finish_writing(struct stream *s)
{
	int r;

	stream_flush(s);
	if (s->tx != TX_FINISHING || s->batch != NULL)
		return;
	if (s->tls != NULL && !s->has_notified) {
		s->has_notified = true;
		tls_shutdown(s->tls);
		stream_tls_flush(s);
		stream_flush(s);
		if (s->tx != TX_FINISHING || s->batch != NULL)
			return;
	}
	stream_set_tx(s, TX_DONE);
	r = uv_shutdown(&s->shutdown, &s->uv.stream, on_shutdown);
	if (r != 0)
		stream_write_failed(s, uv_strerror(r));
}

void
stream_shutdown(struct stream *s)
{
	if (s->phase != PHASE_OPEN || s->tx != TX_OPEN)
		return;
	stream_set_tx(s, TX_FINISHING);
	finish_writing(s);
}
