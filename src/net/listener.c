#include "net/listener.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/reserve.h"
#include "net/bind_int.h"
#include "net/handshakes_int.h"
#include "net/listener_int.h"
#include "net/stream_int.h"

#define BACKLOG 4096    /* where the kernel (net.core.somaxconn) lets us */
#define NO_MEMORY_MS 50 /* until it is looked again whether there is some */

/*
 * libuv cannot stop accepting; it parks the one connection that was not taken and then leaves the
 * listening socket alone. `is_parked` remembers it.
 */
struct listener {
	union listening uv;
	struct loop *loop;
	struct tls_ctx *tls;
	accept_fn accepted;
	struct listener_seats seats;
	void *ctx;
	struct handshakes shaking;
	uint64_t failed;
	uint64_t turn; /* in which `accepted_now` were accepted */
	unsigned accepted_now;
	bool is_paused, is_parked;
	bool is_released, is_over, is_closed; /* listener_release, listener_close; the handle */
	bool keeps_file;
	void (*idle)(void *ctx);
	struct defer later; /* takes the parked one, or reaps */
	struct timer again; /* when there was no memory */
	struct bound_file file;
	struct address address;
};

/* ---- accepting ---- */

static void
on_memory_due(void *ctx)
{
	listener_look_again(ctx);
}

/* Without memory newcomers wait in the kernel, which has them already. */
static bool
has_memory(struct listener *l)
{
	if (reserve_is_whole())
		return true;
	timer_start(l->loop, &l->again, NO_MEMORY_MS, on_memory_due, l);
	return false;
}

static bool
has_room(struct listener *l)
{
	return !l->is_paused && has_memory(l) && handshakes_have_room(&l->shaking);
}

/* A crowd is spread over turns, and behind what is read in them where one more costs somebody his place. */
static bool
has_time(struct listener *l)
{
	if (l->turn != l->loop->turn)
		l->accepted_now = 0;
	l->turn = l->loop->turn;
	return !l->loop->is_crowded &&
	    l->accepted_now < LOOP_ACCEPTS_A_TURN + l->loop->reads_before / 2;
}

static void
give_to_owner(struct listener *l, struct stream *s)
{
	l->accepted(l->ctx, s);
	CHK(s->is_adopted);
	if (s->phase == PHASE_OPEN)
		stream_schedule(s);
}

/* fd: -1 for the one that libuv has accepted. */
static void
take_one(struct listener *l, int fd)
{
	struct stream *s = stream_new(l->loop);
	int r;

	l->accepted_now++;
	stream_init_socket(s, address_kind(&l->address));
	r = fd < 0 ? uv_accept(&l->uv.stream, &s->uv.stream) : stream_open_socket(s, fd);
	if (r != 0 && fd >= 0)
		close(fd);
	/* One that has gone while it waited still has bytes to read, and no address: nobody may take
	 * it for a local one. */
	if (r != 0 || !stream_note_peer(s)) {
		stream_close(s);
		return;
	}
	if (l->seats.take != NULL && !l->seats.take(l->ctx, &s->peer, &s->seat)) {
		stream_abort(s);
		return;
	}
	if (l->tls == NULL) {
		stream_set_phase(s, PHASE_OPEN);
		give_to_owner(l, s);
		return;
	}
	s->listener = l;
	handshakes_add(&l->shaking, s);
}

/* libuv accepts one a turn: the last of a crowd would wait for as many turns, each longer than the one before. */
static void
take_more(struct listener *l)
{
	uv_os_fd_t waiting;
	int fd;

	while (has_time(l) && has_room(l) && uv_fileno(&l->uv.handle, &waiting) == 0) {
		fd = accept4(waiting, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return; /* nobody, or no descriptor: libuv sheds load then, at the next poll */
		take_one(l, fd);
	}
}

static void
on_connection(uv_stream_t *h, int status)
{
	struct listener *l = h->data;

	loop_turn_begin(l->loop);
	if (status < 0)
		return; /* libuv sheds load itself when descriptors run out */
	if (has_time(l) && has_room(l)) {
		take_one(l, -1);
		take_more(l);
		return;
	}
	l->is_parked = true;
	if (!has_time(l))
		listener_look_again(l);
}

static void
take_parked(void *ctx)
{
	struct listener *l = ctx;

	if (!l->is_parked || !has_room(l))
		return;
	l->is_parked = false;
	take_one(l, -1);
}

static void
tell_idle(struct listener *l)
{
	if (l->is_released && !l->is_over && l->shaking.n == 0 && l->idle != NULL)
		l->idle(l->ctx);
}

void
listener_look_again(struct listener *l)
{
	if (l->is_parked && !l->is_released && !uv_is_closing(&l->uv.handle))
		defer_start(l->loop, &l->later, take_parked, l);
}

/* ---- handshakes ---- */

bool
listener_may_read(struct listener *l, struct stream *s)
{
	return handshakes_may_read(&l->shaking, s);
}

struct tls_ctx *
listener_tls(const struct listener *l)
{
	return l->tls;
}

static void
forget(struct listener *l, struct stream *s)
{
	s->listener = NULL;
	handshakes_remove(&l->shaking, s);
	listener_look_again(l);
}

void
listener_hand_over(struct listener *l, struct stream *s)
{
	forget(l, s);
	give_to_owner(l, s);
	tell_idle(l);
}

void
listener_lost(struct listener *l, struct stream *s)
{
	forget(l, s);
	l->failed++;
	if (l->seats.leave != NULL)
		l->seats.leave(l->ctx, stream_take_seat(s));
	stream_close(s);
	tell_idle(l);
}

void
stream_adopt(struct stream *s, const struct stream_events *ev, void *ctx)
{
	CHK(!s->is_adopted);
	s->is_adopted = true;
	s->ev = ev;
	s->ctx = ctx;
}

void *
stream_take_seat(struct stream *s)
{
	void *seat = s->seat;

	s->seat = NULL;
	return seat;
}

/* ---- opening ---- */

struct listener *
listener_open(struct loop *loop, const struct address *a, const struct listener_options *o,
    accept_fn accepted, void *ctx, const char **detail)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	bool is_unix = address_kind(a) == ADDRESS_UNIX;
	int r;

	l->loop = loop;
	l->address = *a;
	l->accepted = accepted;
	l->ctx = ctx;
	l->tls = o->tls == NULL ? NULL : tls_ctx_ref(o->tls);
	l->seats = o->seats;
	l->keeps_file = o->keeps_file;
	l->idle = o->idle;
	handshakes_init(&l->shaking, loop, l, o->tls_ms);
	if (is_unix)
		CHK(uv_pipe_init(&loop->uv, &l->uv.pipe, 0) == 0);
	else
		CHK(uv_tcp_init(&loop->uv, &l->uv.tcp) == 0);
	l->uv.handle.data = l;
	r = bind_listening(&l->uv, &l->address, o, &l->file);
	if (r == 0)
		r = uv_listen(&l->uv.stream, BACKLOG, on_connection);
	if (r != 0) {
		*detail = uv_strerror(r);
		listener_close(l);
		return NULL;
	}
	bind_read_back(&l->uv, &l->address);
	return l;
}

/* ---- the rest ---- */

void
listeners_crowded(struct loop *l, bool is_crowded)
{
	l->is_crowded = is_crowded;
}

const struct address *
listener_address(const struct listener *l)
{
	return &l->address;
}

void
listener_set_tls(struct listener *l, struct tls_ctx *tls)
{
	CHK((l->tls == NULL) == (tls == NULL));
	if (tls != NULL)
		tls_ctx_ref(tls);
	tls_ctx_unref(l->tls);
	l->tls = tls;
}

uint64_t
listener_failed_handshakes(const struct listener *l)
{
	return l->failed;
}

unsigned
listener_handshakes(const struct listener *l)
{
	return l->shaking.n;
}

void
listener_pause(struct listener *l)
{
	l->is_paused = true;
}

void
listener_resume(struct listener *l)
{
	l->is_paused = false;
	listener_look_again(l);
}

static void
reap(void *ctx)
{
	struct listener *l = ctx;

	tls_ctx_unref(l->tls);
	free(l);
}

static void
on_listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	l->is_closed = true;
	if (l->is_over)
		defer_start(l->loop, &l->later, reap, l);
}

int
listener_fd(const struct listener *l)
{
	uv_os_fd_t fd;

	CHK(uv_fileno(&l->uv.handle, &fd) == 0);
	return fd;
}

bool
listener_keeps_file(const struct listener *l)
{
	return l->keeps_file;
}

/* What libuv has accepted already would be lost with the handle. */
static void
let_go(void *ctx)
{
	struct listener *l = ctx;

	if (l->is_parked) {
		l->is_parked = false;
		take_one(l, -1);
	}
	uv_close(&l->uv.handle, on_listener_closed);
}

void
listener_release(struct listener *l)
{
	CHK(!l->is_released);
	l->is_released = true;
	timer_stop(l->loop, &l->again);
	defer_start(l->loop, &l->later, let_go, l);
}

void
listener_close(struct listener *l)
{
	defer_stop(&l->later);
	timer_stop(l->loop, &l->again);
	if (!l->keeps_file && !l->is_released)
		bound_file_remove(&l->file, &l->address);
	l->is_over = true;
	if (!uv_is_closing(&l->uv.handle))
		uv_close(&l->uv.handle, on_listener_closed);
	else if (l->is_closed)
		defer_start(l->loop, &l->later, reap, l);
	handshakes_fini(&l->shaking);
	for (struct stream *s; (s = handshakes_first(&l->shaking)) != NULL;)
		listener_lost(l, s);
}
