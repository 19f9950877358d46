/*
 * Who gets a place: limits.connections, limits.connections_per_address, and what the descriptors allow.
 *
 * When all places are taken a connection that waits for a request, or for its peer's end, gives its own up. When
 * none does, a few guests are let in beyond the limit: one request each, answered if it is for the
 * gateway itself (health), else refused. The newest guest displaces the oldest, so that those who
 * say nothing cannot keep a health check out.
 */
#include "base/reserve.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "gateway/trust.h"
#include "gateway/upstream.h"
#include "net/listener.h"
#include "net/stream.h"
#include "obs/metric.h"

#define GUESTS_MAX 8

static uint64_t
places(const struct gateway *g)
{
	uint64_t configured = g->setup->config->limits.connections;
	/* One for the client, one for its upstream. */
	uint64_t possible = loop_descriptor_budget() / 2;
	uint64_t n = configured < possible ? configured : possible;
	return n > 0 ? n : 1;
}

static bool
is_full(const struct gateway *g)
{
	return g->n_clients - g->n_guests - g->n_leaving >= places(g);
}

static bool
is_exempt(const struct gateway *g, const struct address *peer)
{
	return address_is_loopback(peer) || trust_has(g->setup->trust, peer);
}

/* Before a handshake, too: it costs more than all else that a connection can ask for without a request. */
bool
gateway_take_seat(void *ctx, const struct address *peer, void **seat)
{
	struct gateway *g = ctx;
	if (is_exempt(g, peer))
		return true;
	*seat = seats_take(&g->seats, peer, g->setup->config->limits.connections_per_address);
	if (*seat == NULL)
		metric_add(M_LIMIT_ADDRESS, 1);
	return *seat != NULL;
}

void
gateway_leave_seat(void *ctx, void *seat)
{
	struct gateway *g = ctx;
	seats_leave(&g->seats, seat);
}

static void
dismiss(struct gateway *g, struct client *c)
{
	struct client_place *p = client_place(c);
	if (p->is_guest)
		g->n_guests--;
	p->is_guest = false;
	p->is_leaving = true;
	g->n_leaving++;
	list_remove(&p->guest);
	client_dismiss(c);
}

static bool
dismiss_restful(struct gateway *g)
{
	if (list_is_empty(&g->restful))
		return false;
	dismiss(g, client_of_rest(g->restful.next));
	return true;
}

static const struct stream_events no_events;

static void
turn_away(struct stream *s)
{
	stream_adopt(s, &no_events, NULL);
	stream_abort(s);
}

void
gateway_accepted(struct gateway *g, struct stream *s, bool is_admin)
{
	struct client_place place = {.seat = stream_take_seat(s)};
	if (g->is_draining && !g->is_leaving) {
		seats_leave(&g->seats, place.seat);
		turn_away(s);
		return;
	}
	bool is_short = gateway_pressure(g) == PRESSURE_SHED;
	place.is_guest = is_full(g) && !dismiss_restful(g);
	if (is_short)
		dismiss_restful(g);
	if (place.is_guest && g->n_guests >= GUESTS_MAX)
		dismiss(g, client_of_guest(g->guests.next));
	g->n_clients++;
	g->n_guests += place.is_guest;
	metric_add(M_CONNECTIONS, 1);
	listeners_crowded(g->loop, is_short || is_full(g));
	client_new(g, s, is_admin, &place);
}

void
gateway_client_closed(struct gateway *g, struct client_place *p)
{
	seats_leave(&g->seats, p->seat);
	list_remove(&p->guest);
	g->n_guests -= p->is_guest;
	g->n_leaving -= p->is_leaving;
	g->n_clients--;
	metric_sub(M_CONNECTIONS, 1);
	gateway_shrunk(g);
}

static void
spare(void *ctx)
{
	struct gateway *g = ctx;
	exchange_free_spares(g);
	pool_close_idle(g->pool);
	LIST_EACH(node, &g->exchanges)
	exchange_spare(node);
}

enum pressure_level
gateway_pressure(struct gateway *g)
{
	uint64_t ceiling = g->setup->config->limits.memory;
	if (!reserve_is_whole())
		return PRESSURE_SHED;
	if (ceiling == 0)
		return PRESSURE_NONE;
	enum pressure_level before = g->pressure.level;
	enum pressure_level now = pressure_look(&g->pressure, ceiling, loop_now_ms(g->loop));
	if (now != PRESSURE_NONE && before == PRESSURE_NONE)
		defer_start(g->loop, &g->sparing, spare, g);
	return now;
}

bool
gateway_reserve(struct gateway *g, uint64_t bytes)
{
	uint64_t ceiling = g->setup->config->limits.memory;
	if (gateway_pressure(g) != PRESSURE_NONE ||
	    pressure_judge(g->pressure.bytes + g->reserved + bytes, ceiling) == PRESSURE_SHED)
		return false;
	g->reserved += bytes;
	return true;
}

void
gateway_unreserve(struct gateway *g, uint64_t bytes)
{
	g->reserved -= bytes;
}

bool
gateway_is_pressed(struct gateway *g)
{
	uint64_t ceiling = g->setup->config->limits.memory;
	if (!reserve_is_whole())
		return true;
	return pressure_look(&g->pressure, ceiling, loop_now_ms(g->loop)) == PRESSURE_SHED;
}
