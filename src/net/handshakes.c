#include "net/handshakes_int.h"

#include "net/listener_int.h"
#include "net/stream_int.h"
#include "obs/metric.h"

#define MOST 4096         /* and a sixteenth of what the descriptors allow */
#define MOST_RUNNING 1024 /* and three quarters of them */
#define PATIENCE_MS 2500  /* where a handshake has no deadline; else a quarter of that */
#define PRESS_MS 100

void
handshakes_init(struct handshakes *h, struct loop *l, struct listener *owner, unsigned tls_ms)
{
	unsigned n = loop_descriptor_budget() / 16;

	h->listener = owner;
	h->loop = l;
	h->tls_ms = tls_ms;
	h->patience_ms = tls_ms == 0 ? PATIENCE_MS : tls_ms / 4;
	h->most = n < 2 ? 2 : n > MOST ? MOST : n;
	n = h->most - h->most / 4;
	h->most_running = n > MOST_RUNNING ? MOST_RUNNING : n;
	for (int i = 0; i < TURNS; i++)
		list_init(&h->in[i]);
}

void
handshakes_fini(struct handshakes *h)
{
	h->most_running = 0;
	timer_stop(h->loop, &h->press);
}

static struct stream *
oldest(const struct handshakes *h, enum turn turn)
{
	const struct list *in = &h->in[turn];

	return list_is_empty(in) ? NULL : CONTAINER_OF(in->next, struct stream, link);
}

struct stream *
handshakes_first(struct handshakes *h)
{
	struct stream *s = NULL;

	for (int i = 0; i < TURNS && s == NULL; i++)
		s = oldest(h, (enum turn)i);
	return s;
}

static void
put(struct handshakes *h, struct stream *s, enum turn turn)
{
	list_remove(&s->link);
	list_append(&h->in[turn], &s->link);
	h->n_running += turn == TURN_RUNNING;
	s->turn = (unsigned char)turn;
}

void
handshakes_add(struct handshakes *h, struct stream *s)
{
	h->n++;
	put(h, s, TURN_SILENT);
	s->asked_ms = loop_now_ms(h->loop);
	stream_begin_handshake(s, h->tls_ms);
	stream_arm(s);
}

/* ---- turns ---- */

static void
run(struct handshakes *h, struct stream *s)
{
	put(h, s, TURN_RUNNING);
	s->asked_ms = 0; /* until our first flight is out: see stream_tls_step */
}

static void
give_turns(struct handshakes *h)
{
	struct stream *s;

	while (h->n_running < h->most_running && (s = oldest(h, TURN_WAITING)) != NULL) {
		run(h, s);
		stream_restart_deadline(s, h->tls_ms);
		stream_schedule(s);
	}
}

void
handshakes_remove(struct handshakes *h, struct stream *s)
{
	h->n--;
	h->n_running -= s->turn == TURN_RUNNING;
	list_remove(&s->link);
	give_turns(h);
}

/* ---- who has had long enough ---- */

static bool
has_had_its_time(const struct handshakes *h, const struct stream *s)
{
	return s != NULL && s->asked_ms != 0 &&
	    loop_now_ms(h->loop) - s->asked_ms >= h->patience_ms;
}

static bool
end_one(struct handshakes *h, enum turn turn)
{
	struct stream *s = oldest(h, turn);

	if (!has_had_its_time(h, s))
		return false;
	metric_add(M_LIMIT_HANDSHAKES, 1);
	listener_lost(h->listener, s);
	return true;
}

static void on_press_due(void *ctx);

static void
press_later(struct handshakes *h)
{
	if (h->press.slot == 0)
		timer_start(h->loop, &h->press, PRESS_MS, on_press_due, h);
}

static void
on_press_due(void *ctx)
{
	struct handshakes *h = ctx;

	while (oldest(h, TURN_WAITING) != NULL && end_one(h, TURN_RUNNING))
		continue; /* each gives its turn to the next */
	if (oldest(h, TURN_WAITING) != NULL)
		press_later(h);
	listener_look_again(h->listener);
}

bool
handshakes_have_room(struct handshakes *h)
{
	if (h->n < h->most || end_one(h, TURN_SILENT) || end_one(h, TURN_RUNNING))
		return true;
	press_later(h);
	return false;
}

bool
handshakes_may_read(struct handshakes *h, struct stream *s)
{
	if (s->turn != TURN_SILENT)
		return s->turn == TURN_RUNNING;
	if (h->n_running < h->most_running) {
		run(h, s);
		return true;
	}
	timer_stop(h->loop, &s->deadline);
	put(h, s, TURN_WAITING);
	press_later(h);
	return false;
}
