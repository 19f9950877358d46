#include "gateway/exchange_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/reserve.h"
#include "crypto/crypto.h"
#include "gateway/gateway_int.h"
#include "gateway/reader.h"
#include "gateway/setup.h"
#include "json/json.h"
#include "obs/metric.h"

#define ARENA_MAX (1024 * 1024)
#define SPARES_MAX 256

static void
trim(struct exchange *x, struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		warm_give(&x->g->warm, b);
	else
		buf_reset(b);
}

static void
clear(struct exchange *x)
{
	box_empty(x);
	split_free(x);
	digest_free(x);
	json_free(x->doc);
	meter_free(x->meter.meter);
	if (x->reader != NULL)
		reader_fini(x->reader);
	zeroize(&x->seal_key, sizeof(x->seal_key));
	if (x->entry != NULL)
		entry_release(x->entry);
	if (x->stale != NULL)
		entry_release(x->stale);
	setup_unref(x->setup);
	arena_reset(&x->arena);
	trim(x, &x->body);
	trim(x, &x->uploaded);
	trim(x, &x->preimage);
	trim(x, &x->out);
	trim(x, &x->tail);
	trim(x, &x->capture.body);
}

static void
free_exchange(struct exchange *x)
{
	arena_fini(&x->arena);
	buf_fini(&x->body);
	buf_fini(&x->uploaded);
	buf_fini(&x->preimage);
	buf_fini(&x->out);
	buf_fini(&x->tail);
	buf_fini(&x->capture.body);
	free(x);
}

/* When no callback stands on the object any more (defer_soon). Its buffers stay warm for the next one, also of a hundred that come
 * in one turn. */
static void
reap(void *ctx)
{
	struct exchange *x = ctx;
	struct gateway *g = x->g;
	if (x->is_working)
		return; /* `prepared` comes back */
	list_remove(&x->link);
	gateway_moved(g, x->request_size + x->response_size);
	clear(x);
	if (g->n_spares < SPARES_MAX) {
		list_push(&g->spares, &x->link);
		g->n_spares++;
	} else {
		free_exchange(x);
	}
	metric_sub(M_EXCHANGES, 1);
	gateway_shrunk(g);
}

void
exchange_free_spares(struct gateway *g)
{
	LIST_EACH(node, &g->spares)
	{
		struct exchange *x = CONTAINER_OF(node, struct exchange, link);
		list_remove(&x->link);
		free_exchange(x);
	}
	g->n_spares = 0;
	warm_fini(&g->warm);
	outbox_free_spares(g);
}

static struct exchange *
take_spare(struct gateway *g)
{
	if (list_is_empty(&g->spares)) {
		struct exchange *x = reserve_is_whole() ? calloc(1, sizeof(*x)) : NULL;
		if (x == NULL)
			return NULL;
		arena_init(&x->arena, ARENA_MAX);
		buf_init(&x->out, KEEP_BYTES * 2);
		buf_init(&x->tail, 4 * HIGH_WATER);
		return x;
	}
	struct exchange *x = CONTAINER_OF(g->spares.next, struct exchange, link);
	list_remove(&x->link);
	g->n_spares--;
	/* Everything but the memory that is worth keeping starts from zero. */
	struct arena arena = x->arena;
	struct buf body = x->body, uploaded = x->uploaded, preimage = x->preimage, out = x->out,
		   tail = x->tail, captured = x->capture.body;
	memset(x, 0, sizeof(*x));
	x->arena = arena;
	x->body = body;
	x->uploaded = uploaded;
	x->preimage = preimage;
	x->out = out;
	x->tail = tail;
	x->capture.body = captured;
	return x;
}

struct exchange *
exchange_new(struct gateway *g, struct client *c)
{
	struct exchange *x = take_spare(g);
	if (x == NULL)
		return NULL;
	x->g = g;
	x->setup = setup_ref(g->setup);
	x->client = c; /* NULL: a refresh */
	x->began_us = clock_mono_us();
	x->created_ms = clock_wall_ms();
	x->id = id_new(&g->ids, x->created_ms);
	id_text(&x->id, x->id_text);
	x->reap.fn = reap;
	list_append(&g->exchanges, &x->link);
	metric_add(M_EXCHANGES, 1);
	return x;
}

struct arena *
exchange_arena(struct exchange *x)
{
	return &x->arena;
}

void
exchange_drop(struct exchange *x)
{
	x->client = NULL;
	x->is_over = true;
	defer_start(x->g->loop, &x->reap, reap, x);
}

void
exchange_cut(struct list *node)
{
	struct exchange *x = CONTAINER_OF(node, struct exchange, link);
	if (x->is_over || x->is_settling || x->client != NULL)
		return;
	x->why = E_SHUTTING_DOWN;
	x->ended_in = x->step;
	x->step = STEP_SETTLE;
	exchange_pump(x);
}
