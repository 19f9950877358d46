#include <stdio.h>

#include "base/clock.h"
#include "config/config.h"
#include "gateway/exchange_int.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"

/* ---- the refresh: an exchange of its own, with the request but without the client of the one it follows ---- */

static bool
copy_headers(struct exchange *to, const struct headers *from)
{
	to->head.headers = (struct headers){0};
	for (size_t i = 0; i < from->n; i++) {
		struct span name = arena_dup(&to->arena, from->items[i].name);
		struct span value = arena_dup(&to->arena, from->items[i].value);
		if (name.p == NULL || value.p == NULL ||
		    !headers_add(&to->head.headers, &to->arena, name, value))
			return false;
	}
	return true;
}

static bool
copy_request(struct exchange *to, const struct exchange *from)
{
	to->head = from->head;
	to->head.method_text = arena_dup(&to->arena, from->head.method_text);
	to->head.target = arena_dup(&to->arena, from->head.target);
	to->body.max = buf_len(&from->body);
	to->request_size = from->request_size;
	to->is_body_done = true;
	return to->head.method_text.p != NULL && to->head.target.p != NULL &&
	    copy_headers(to, &from->head.headers) && buf_put_span(&to->body, buf_view(&from->body));
}

static void
refresh(const struct exchange *x)
{
	struct exchange *y = exchange_new(x->g, NULL);
	if (y == NULL)
		return;
	y->is_refresh = true;
	snprintf(y->client_text, sizeof(y->client_text), "refresh");
	if (!copy_request(y, x))
		exchange_drop(y);
	else
		exchange_pump(y);
}

/* ---- the look-up ---- */

void
look_up(struct exchange *x)
{
	const struct config_gateway *cg = x->route.gateway;
	int64_t now_ms = clock_wall_ms();
	gateway_reads_entries(x->g);
	struct entry *e = find_entry(x, &x->key, buf_view(&x->preimage), now_ms);
	if (e == NULL)
		return;
	int64_t late_ms = now_ms - entry_meta(e)->fresh_ms;
	if (late_ms < 0) {
		x->entry = e;
	} else if ((uint64_t)late_ms < cg->cache.stale_while_revalidate_ms) {
		x->entry = e;
		x->is_stale = true;
		/* One at a time, and none when memory is short: whoever finds a flight knows that somebody fetches already. */
		if (gateway_pressure(x->g) == PRESSURE_NONE &&
		    flight_find(x->g->flights, &x->key, buf_view(&x->preimage)) == NULL)
			refresh(x);
	} else if ((uint64_t)late_ms < cg->cache.stale_if_error_ms) {
		x->stale = e;
	} else {
		entry_release(e);
	}
}

bool
serve_stale(struct exchange *x)
{
	if (x->stale == NULL || x->is_head_sent || x->client == NULL)
		return false;
	struct flight *f = x->flight;
	x->flight = NULL;
	x->entry = x->stale;
	x->stale = NULL;
	x->is_stale = true;
	x->step = STEP_REPLAY;
	if (f != NULL)
		flight_fail(f);
	exchange_pump(x);
	return true;
}
