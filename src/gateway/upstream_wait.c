/*
 * Who waits for a connection, and whose turn it is to begin one.
 *
 *   leased: queue --> being made ----------> ready --> given back ---+
 *             |            |       opened                            |
 *             |            |                                         v
 *             +------------+<-- `ready` with that one -- promised to who waits longest, or idle
 *             |            |                                         ^
 *             v            v       opened                            |
 *          dropped       spare --------------------------------------+
 *
 * A thousand who come at once would each have a handshake of their own, half a millisecond of processor, before the first of them is
 * served a second time, although the first few connections would do for all. So few handshakes begin in a turn, and who waits takes
 * what is given back. It is not their number under way that is limited: with a provider far away that would be waiting for nothing.
 */
#include "gateway/upstream_int.h"

/* While there are more the loop does not rest, so a turn with nothing else in it is short. */
#define BEGUN_A_TURN 1
#define PATIENCE_MS 100 /* then it begins, however much there is to do in a turn */
/* A provider that answers on old connections and lets new ones hang would have one for each request: tens of KB each. */
#define MOST_SPARE 64

static void on_turn(void *ctx);

void
wait_init(struct pool *p)
{
	list_init(&p->waiting);
	list_init(&p->promised);
	list_init(&p->queue);
	list_init(&p->spare);
}

static void
turn_later(struct pool *p)
{
	defer_start(p->loop, &p->turn, on_turn, p);
}

/* ---- to begin ---- */

static void
begin(struct upstream *u)
{
	struct pool *p = u->pool;

	p->begun++;
	list_remove(&u->turn_link);
	turn_later(p);
	upstream_dial(u);
}

void
wait_begin(struct upstream *u)
{
	struct pool *p = u->pool;

	if (u->which != POOL_FRESH)
		list_append(&p->waiting, &u->link);
	if (u->tls == NULL || u->which == POOL_FRESH) {
		upstream_dial(u);
		return;
	}
	if (list_is_empty(&p->queue) && p->begun < BEGUN_A_TURN) {
		begin(u);
		return;
	}
	u->asked_ms = loop_now_ms(p->loop);
	list_append(&p->queue, &u->turn_link);
	turn_later(p);
}

/* ---- another one instead ---- */

bool
wait_promise(struct upstream *u)
{
	struct pool *p = u->pool;
	const struct way to = upstream_way(u);

	LIST_EACH(node, &p->waiting)
	{
		struct upstream *w = CONTAINER_OF(node, struct upstream, link);

		if (!upstream_goes(w, &to))
			continue;
		list_remove(&w->link);
		list_append(&p->promised, &w->link);
		w->given = u;
		u->taker = w;
		u->state = UP_PROMISED;
		turn_later(p);
		return true;
	}
	return false;
}

/* Whatever is promised here, by it or to it, is not any more. */
static struct upstream *
part(struct upstream *w, struct upstream *u)
{
	w->given = NULL;
	u->taker = NULL;
	list_remove(&w->link);
	return u;
}

void
wait_end(struct upstream *u)
{
	struct upstream *w = u->taker;

	if (w != NULL) {
		part(w, u);
		list_push(&w->pool->waiting, &w->link);
	}
	list_remove(&u->turn_link);
	if (u->is_spare)
		u->pool->n_spare--;
	u->is_spare = false;
	list_remove(&u->link);
	if (u->given != NULL)
		upstream_free_up(part(u, u->given));
}

/* What a proxy is told is its lessee's, and what has not begun would be made for nobody. */
static void
leave_to_nobody(struct upstream *u)
{
	struct pool *p = u->pool;

	u->ev = NULL;
	u->head_arena = NULL;
	if (u->state != UP_CONNECTING || u->proxy != NULL || p->n_spare >= MOST_SPARE ||
	    p->n_spare + p->n_idle >= p->most_idle) {
		upstream_destroy(u);
		return;
	}
	u->is_spare = true;
	p->n_spare++;
	list_append(&p->spare, &u->link);
}

bool
wait_give(struct upstream *w)
{
	struct upstream *u = w->given;

	if (u == NULL || !upstream_is_fit(u, w->which))
		return false;
	part(w, u);
	upstream_take(u);
	upstream_attach(u, w->ev, w->ctx, w->head_arena, w->method);
	leave_to_nobody(w);
	u->ev->ready(u->ctx, u);
	return true;
}

void
wait_close_spares(struct pool *p, size_t n)
{
	LIST_EACH(node, &p->spare)
	{
		if (n-- == 0)
			return;
		upstream_destroy(CONTAINER_OF(node, struct upstream, link));
	}
}

/* ---- the end of a turn ---- */

static struct upstream *
next_to_begin(const struct pool *p)
{
	struct upstream *u;

	if (list_is_empty(&p->queue))
		return NULL;
	u = CONTAINER_OF(p->queue.next, struct upstream, turn_link);
	if (p->begun < BEGUN_A_TURN)
		return u;
	/* Those that are spare come first. */
	return p->n_spare == 0 && loop_now_ms(p->loop) - u->asked_ms >= PATIENCE_MS ? u : NULL;
}

static void
on_turn(void *ctx)
{
	struct pool *p = ctx;
	struct upstream *u;

	while (!list_is_empty(&p->promised))
		(void)wait_give(CONTAINER_OF(p->promised.next, struct upstream, link));
	p->begun = 0;
	while ((u = next_to_begin(p)) != NULL)
		begin(u);
}
