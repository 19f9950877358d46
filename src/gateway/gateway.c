#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/flight.h"
#include "cache/preimage.h"
#include "cache/revoked.h"
#include "config/config.h"
#include "gateway/certificates.h"
#include "gateway/client.h"
#include "gateway/gateway_int.h"
#include "gateway/setup.h"
#include "gateway/upstream.h"
#include "net/inherit.h"
#include "net/listener.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "store/entries.h"

#define REST_MS 1000
#define REST_BYTES (4 * 1024 * 1024)     /* less leaves no memory behind that is worth the while */
#define FLIGHTS_BYTES (64 * 1024 * 1024) /* of all answers that are being shared */

static bool
is_unspecified(const struct address *a)
{
	char text[ADDRESS_TEXT_SIZE];

	address_ip_text(a, text);
	return strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0;
}

/* Who connects to an address of his own machine has that same address himself. */
static bool
is_own_address(void *ctx, const struct stream *s)
{
	const struct gateway *g = ctx;
	const struct address *to = stream_peer(s);
	struct address local = stream_local(s);

	for (size_t i = 0; i < g->n_listeners; i++) {
		const struct address *a = listener_address(g->listeners[i]);
		if (address_kind(a) == ADDRESS_UNIX || address_port(a) != address_port(to))
			continue;
		if (address_eq_ip(a, to) || (is_unspecified(a) && address_eq_ip(&local, to)))
			return true;
	}
	return false;
}

struct gateway *
gateway_new(const struct gateway_parts *parts)
{
	struct gateway *g = xcalloc(1, sizeof(*g));
	g->parts = *parts;
	g->loop = parts->loop;
	g->setup = parts->setup;
	g->pool = pool_new(parts->loop, parts->resolver, is_own_address, g);
	pool_keep(g->pool, parts->setup->config->limits.connections);
	g->flights = flights_new(g->loop, FLIGHTS_BYTES);
	g->revoked = revoked_new();
	id_source_init(&g->ids, parts->id_seed, &parts->id_floor);
	g->listening = config_ref(parts->setup->config);
	list_init(&g->clients);
	list_init(&g->exchanges);
	list_init(&g->spares);
	list_init(&g->restful);
	list_init(&g->guests);
	seats_init(&g->seats, parts->cache_keys);
	pressure_init(&g->pressure);
	return g;
}

void
gateway_lend_stores(struct gateway *g, const struct gateway_parts *parts)
{
	struct gateway_parts known = g->parts;
	g->parts = *parts;
	g->parts.loop = known.loop;
	g->parts.setup = known.setup;
	g->parts.resolver = known.resolver;
	g->parts.inherited = known.inherited;
	id_source_init(&g->ids, parts->id_seed, &parts->id_floor);
	seats_init(&g->seats, parts->cache_keys); /* nobody has one yet */
}

/* ---- listeners ---- */

static void
on_accepted_public(void *ctx, struct stream *s)
{
	gateway_accepted(ctx, s, false);
}

static void
on_accepted_admin(void *ctx, struct stream *s)
{
	gateway_accepted(ctx, s, true);
}

/* Admin paths exist on loopback and Unix listeners and on those that admin.listen names. */
static bool
serves_admin(const struct config *c, const char *written, const struct address *a)
{
	for (char **name = c->admin_listen; name != NULL && *name != NULL; name++)
		if (span_eq(span_str(*name), span_str(written)))
			return true;
	return address_is_loopback(a);
}

static void
on_listener_idle(void *ctx)
{
	gateway_shrunk(ctx);
}

static void
use_inherited(
    struct gateway *g, const char *written, const struct address *a, struct listener_options *o)
{
	struct inherited_socket *s =
	    g->parts.inherited == NULL ? NULL : inherited_find(g->parts.inherited, written, a);
	if (s == NULL)
		return;
	o->is_inherited = true;
	o->keeps_file = s->keeps_file;
	o->fd = s->fd;
	s->fd = -1;
}

static bool
open_one(struct gateway *g, const struct config_listen *cl, char *detail, size_t detail_size)
{
	struct address a;
	const char *why = "not an address";
	struct tls_ctx *tls = NULL;
	const struct config *c = g->setup->config;
	size_t i = g->n_listeners;
	if (!address_parse_listen(span_str(cl->address), &a))
		goto refused;
	if (cl->tls != NULL) {
		tls = certificates_load(g->certificates, g->listening, i, detail, detail_size);
		if (tls == NULL)
			return false;
	}
	bool is_admin = serves_admin(c, cl->address, &a);
	struct listener_options o = {.tls = tls,
	    .tls_ms = (unsigned)c->limits.tls_timeout_ms,
	    .unix_mode = 0600,
	    .seats = {gateway_take_seat, gateway_leave_seat},
	    .idle = on_listener_idle};
	use_inherited(g, cl->address, &a, &o);
	g->listeners[i] = listener_open(
	    g->loop, &a, &o, is_admin ? on_accepted_admin : on_accepted_public, g, &why);
	if (g->listeners[i] == NULL)
		goto refused;
	if (tls != NULL)
		certificates_shown_by(g->certificates, g->listeners[i]);
	g->listener_is_admin[i] = is_admin;
	g->listener_is_tls[i] = tls != NULL;
	g->n_listeners++;
	return true;
refused:
	snprintf(detail, detail_size, "cannot listen on %s: %s", cl->address, why);
	return false;
}

static void
forget_certificates(struct gateway *g)
{
	certificates_free(g->certificates);
	g->certificates = NULL;
}

static void
close_listeners(struct gateway *g)
{
	forget_certificates(g);
	for (size_t i = 0; i < g->n_listeners; i++)
		listener_close(g->listeners[i]);
	g->n_listeners = 0;
}

bool
gateway_listen(struct gateway *g, char *detail, size_t detail_size)
{
	const struct config *c = g->setup->config;
	g->listeners = xcalloc(c->n_listen, sizeof(*g->listeners));
	g->listener_is_admin = xcalloc(c->n_listen, sizeof(bool));
	g->listener_is_tls = xcalloc(c->n_listen, sizeof(bool));
	g->certificates = certificates_new(g->loop);
	for (size_t i = 0; i < c->n_listen; i++) {
		if (!open_one(g, &c->listen[i], detail, detail_size)) {
			close_listeners(g);
			return false;
		}
	}
	certificates_watch(g->certificates);
	return true;
}

size_t
gateway_listener_count(const struct gateway *g)
{
	return g->n_listeners;
}

void
gateway_listener_url(const struct gateway *g, size_t i, char *out, size_t size)
{
	char text[ADDRESS_TEXT_SIZE];
	const struct address *a = listener_address(g->listeners[i]);
	address_text(a, text);
	const char *scheme = g->listener_is_tls[i] ? "https://" : "http://";
	snprintf(out, size, "%s%s", address_kind(a) == ADDRESS_UNIX ? "" : scheme, text);
}

struct gateway_socket
gateway_socket_at(const struct gateway *g, size_t i)
{
	return (struct gateway_socket){.fd = listener_fd(g->listeners[i]),
	    .written = g->listening->listen[i].address,
	    .keeps_file = listener_keeps_file(g->listeners[i])};
}

/* ---- settings ---- */

void
gateway_swap_setup(struct gateway *g, struct setup *s)
{
	setup_unref(g->setup);
	g->setup = s;
	pool_keep(g->pool, s->config->limits.connections);
	if (g->certificates != NULL)
		certificates_reload(g->certificates, s->config);
}

const struct setup *
gateway_setup(const struct gateway *g)
{
	return g->setup;
}

struct span
gateway_date(struct gateway *g)
{
	int64_t now_ms = clock_wall_ms();
	if (g->date_s != now_ms / 1000) {
		g->date_s = now_ms / 1000;
		g->date = date_line(now_ms, g->date_text);
	}
	return g->date;
}

static void
end_turn(void *ctx)
{
	struct gateway *g = ctx;
	entries_turn_end(g->parts.entries);
}

void
gateway_reads_entries(struct gateway *g)
{
	defer_start(g->loop, &g->turn_end, end_turn, g);
}

/* ---- rest ---- */

static void
on_rest(void *ctx)
{
	struct gateway *g = ctx;
	uint64_t quiet_ms = loop_now_ms(g->loop) - g->ended_at_ms;
	g->is_tiring = !list_is_empty(&g->exchanges) || quiet_ms < REST_MS;
	if (g->is_tiring) {
		timer_start(g->loop, &g->rest_timer, REST_MS, on_rest, g);
		return;
	}
	g->moved_bytes = 0;
	warm_fini(&g->warm);
	g->parts.rested();
}

void
gateway_moved(struct gateway *g, uint64_t bytes)
{
	g->ended_at_ms = loop_now_ms(g->loop);
	g->moved_bytes += bytes;
	if (g->is_tiring || g->moved_bytes < REST_BYTES || g->parts.rested == NULL)
		return;
	g->is_tiring = true;
	timer_start(g->loop, &g->rest_timer, REST_MS, on_rest, g);
}

/* ---- drain ---- */

bool
gateway_is_draining(const struct gateway *g)
{
	return g->is_draining;
}

static bool
is_empty(const struct gateway *g)
{
	for (size_t i = 0; i < g->n_listeners; i++)
		if (listener_handshakes(g->listeners[i]) > 0)
			return false;
	return list_is_empty(&g->clients) && list_is_empty(&g->exchanges);
}

static void
report_drained(void *ctx)
{
	struct gateway *g = ctx;
	if (!is_empty(g))
		return; /* a listener that was let go still had one */
	close_listeners(g);
	timer_stop(g->loop, &g->drain_timer);
	g->drained(g->drained_ctx);
}

void
gateway_shrunk(struct gateway *g)
{
	if (g->is_draining && is_empty(g))
		defer_start(g->loop, &g->drained_call, report_drained, g);
}

static void
on_drain_over(void *ctx)
{
	struct gateway *g = ctx;
	if (!list_is_empty(&g->exchanges))
		log_line(LOG_WARN, "drain: the time is up, %s", "cutting what is left");
	LIST_EACH(node, &g->clients)
	client_cut(client_of(node));
	LIST_EACH(node, &g->exchanges)
	exchange_cut(node);
}

void
gateway_drain(struct gateway *g, void (*drained)(void *ctx), void *ctx)
{
	if (g->is_draining && !g->is_leaving) {
		on_drain_over(g);
		return;
	}
	if (!g->is_leaving) {
		g->drained = drained;
		g->drained_ctx = ctx;
	}
	g->is_draining = true;
	g->is_leaving = false;
	close_listeners(g);
	LIST_EACH(node, &g->clients)
	client_drain(client_of(node));
	timer_start(g->loop, &g->drain_timer, g->setup->config->limits.drain_ms, on_drain_over, g);
	gateway_shrunk(g);
}

void
gateway_leave(struct gateway *g, void (*drained)(void *ctx), void *ctx)
{
	CHK(!g->is_draining);
	g->is_draining = g->is_leaving = true;
	g->drained = drained;
	g->drained_ctx = ctx;
	forget_certificates(g);
	for (size_t i = 0; i < g->n_listeners; i++)
		listener_release(g->listeners[i]);
	LIST_EACH(node, &g->clients)
	client_drain(client_of(node));
	timer_start(
	    g->loop, &g->drain_timer, g->setup->config->limits.takeover_drain_ms, on_drain_over, g);
	gateway_shrunk(g);
}

void
gateway_abandon(struct gateway *g)
{
	/* Files of inherited sockets are still somebody else's. */
	for (size_t i = 0; i < g->n_listeners && g->parts.inherited != NULL; i++)
		listener_release(g->listeners[i]);
	close_listeners(g);
	gateway_free(g);
}

void
gateway_free(struct gateway *g)
{
	timer_stop(g->loop, &g->rest_timer);
	exchange_free_spares(g);
	flights_free(g->flights);
	revoked_free(g->revoked);
	pool_free(g->pool);
	seats_fini(&g->seats);
	pressure_fini(&g->pressure);
	setup_unref(g->setup);
	config_unref(g->listening);
	free(g->listeners);
	free(g->listener_is_admin);
	free(g->listener_is_tls);
	free(g);
}
