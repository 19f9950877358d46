#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "admin/control.h"
#include "base/buf.h"
#include "base/num.h"
#include "cli/settings.h"
#include "config/config.h"
#include "gateway/gateway.h"
#include "gateway/setup.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "obs/log.h"
#include "store/entries.h"
#include "store/records.h"

/* ---- the end ---- */

static void
on_control_closed(void *ctx)
{
	struct server *s = ctx;
	s->control = NULL;
	service_watchdog_stop(&s->watchdog);
	signal_unwatch_all(s->loop);
}

static void
on_drained(void *ctx)
{
	struct server *s = ctx;
	gateway_free(s->gateway);
	s->gateway = NULL;
	resolver_close(s->resolver);
	control_close(s->control, on_control_closed, s);
}

/* ---- another server takes over ---- */

static bool
offer_takeover(void *ctx, struct control_offer *o)
{
	struct server *s = ctx;
	size_t n = gateway_listener_count(s->gateway);
	bool ok = !gateway_is_draining(s->gateway) && n <= INHERITED_MAX;
	for (size_t i = 0; ok && i < n; i++) {
		struct gateway_socket l = gateway_socket_at(s->gateway, i);
		o->fds[o->n++] = l.fd;
		ok = buf_printf(&o->text, "%s %s\n", l.keeps_file ? "lent" : "listen", l.written);
	}
	o->fds[o->n++] = control_fd(s->control);
	return ok && buf_printf(&o->text, "control\n");
}

static void
on_control_reopened(void *ctx)
{
	struct server *s = ctx;
	s->takes_over = false; /* the socket that came from there is gone */
	if (!server_open_control(s))
		log_line(LOG_ERROR, "control socket: %s", s->detail);
}

static void
stay(struct server *s, const char *why)
{
	log_line(LOG_ERROR, "takeover: %s; this server goes on", why);
	s->is_leaving = false;
	control_refuse(s->control, why);
	control_close(s->control, on_control_reopened, s);
}

/* The store first: what fails there leaves all as it is. Who connects from now on waits for the other one. */
static void
on_control_left(void *ctx, bool is_there)
{
	struct server *s = ctx;
	if (!is_there) {
		stay(s, "the other server went away");
		return;
	}
	if (records_leave(s->records) != E_OK) {
		stay(s, "the log's queue cannot be shared");
		return;
	}
	entries_leave(s->entries);
	gateway_leave(s->gateway, on_drained, s);
	s->has_left = true;
	bool is_passed = control_pass(s->control, s->datadir.lock_fd);
	datadir_leave(&s->datadir);
	log_line(is_passed ? LOG_INFO : LOG_ERROR, "takeover: %s",
	    is_passed ? "another server has the sockets and the data; finishing what is here"
		      : "the other server went away with the sockets; start one");
	if (s->stops_soon)
		gateway_drain(s->gateway, on_drained, s);
}

static void
on_newcomer_ready(void *ctx)
{
	struct server *s = ctx;
	if (gateway_is_draining(s->gateway))
		return; /* it stops: the other one sees the end of the conversation */
	s->is_leaving = true;
	control_leave(s->control, on_control_left, s);
}

bool
server_open_control(struct server *s)
{
	char path[SERVER_PATH];
	control_path(s->datadir.path, path, sizeof(path));
	struct control_options o = {.path = path,
	    .stores = {.records = s->records,
		.entries = s->entries,
		.journal = s->journal,
		.seal_salt = s->seal_salt},
	    .inherited_fd = s->takes_over ? s->takeover.control_fd : -1,
	    .offer = offer_takeover,
	    .ready = on_newcomer_ready,
	    .ctx = s};
	s->takeover.control_fd = -1;
	s->control = control_new(s->loop, &o, s->detail, sizeof(s->detail));
	return s->control != NULL;
}

/* ---- running ---- */

/* What a newcomer needs next, on standard output. */
static void
print_start(const struct server *s)
{
	char url[256], first[256] = "", ttl[NUM_TEXT_SIZE];
	for (size_t i = 0; i < gateway_listener_count(s->gateway); i++) {
		gateway_listener_url(s->gateway, i, url, sizeof(url));
		if (first[0] == '\0' && strncmp(url, "unix:", 5) != 0)
			snprintf(first, sizeof(first), "%s", url);
		printf("listening %s\n", url);
	}
	static const char *const modes[] = {
	    "all answers", "deterministic answers", "only what a request asks for"};
	const struct config_gateway *g = &s->config->gateways[0];
	printf("caching: %s, %s, %s\n", modes[g->cache.mode],
	    num_duration_text(g->cache.ttl_ms, ttl),
	    g->cache.scope == SCOPE_SHARED ? "shared by all callers" : "per key");
	printf("data: %s\n", s->datadir.path);
	if (first[0] != '\0')
		printf(
		    "paste:\n  export OPENAI_BASE_URL=%s/openai ANTHROPIC_BASE_URL=%s/anthropic\n",
		    first, first);
	fflush(stdout);
}

static void
say_reloaded(const struct server *s, const struct config *c, struct buf *names)
{
	buf_reset(names);
	if (config_name_fixed(s->config, c, names) && buf_len(names) > 0)
		log_line(LOG_WARN,
		    "reload: new settings are in effect, but not what is read at start only: %.*s (restart, or serve --takeover)",
		    SPAN_FMT(buf_view(names)));
	else
		log_line(LOG_INFO, "reload: new settings are in effect");
}

/* Prepare (may fail: the old settings stay), then commit. What only a start can change is named. */
static void
reload(struct server *s)
{
	struct buf err;
	buf_init(&err, 16 * 1024);
	struct config *c = settings_load(s->options, &err);
	struct setup *setup = c == NULL ? NULL : setup_new(c, s->via, s->detail, sizeof(s->detail));
	if (c == NULL)
		log_line(
		    LOG_ERROR, "reload: %.*s; the old settings stay", SPAN_FMT(buf_view(&err)));
	else if (setup == NULL)
		log_line(LOG_ERROR, "reload: %s; the old settings stay", s->detail);
	else {
		say_reloaded(s, c, &err);
		gateway_swap_setup(s->gateway, setup);
	}
	buf_fini(&err);
}

static void
on_signal(void *ctx, int signum)
{
	struct server *s = ctx;
	if (signum == SIGHUP && s->gateway != NULL && !gateway_is_draining(s->gateway)) {
		service_notify_reloading();
		reload(s);
		service_notify("READY=1");
	} else if (signum != SIGHUP && s->is_leaving && !s->has_left)
		s->stops_soon = true;
	else if (signum != SIGHUP && s->gateway != NULL) {
		if (!s->has_left)
			service_notify("STOPPING=1");
		gateway_drain(s->gateway, on_drained, s);
	}
}

void
server_run(struct server *s)
{
	signal_watch(s->loop, SIGTERM, on_signal, s);
	signal_watch(s->loop, SIGINT, on_signal, s);
	signal_watch(s->loop, SIGHUP, on_signal, s);
	print_start(s);
	service_notify("READY=1");
	service_watchdog_start(s->loop, &s->watchdog);
	loop_run(s->loop);
}
