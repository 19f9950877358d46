/*
 * gateway_world: the whole gateway on its loop, between clients and a provider that a script plays, for fuzz_gateway. The stores live as long as
 * the process; loop, gateway and connections as long as one script. No clock is waited for: time is what the script says it is.
 */
#ifndef TESTS_GATEWAY_WORLD_H
#define TESTS_GATEWAY_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "gateway/gateway.h"
#include "gateway/setup.h"
#include "journal/journal.h"
#include "net/loop_int.h"
#include "net/resolve.h"
#include "obs/log.h"
#include "store/datadir.h"
#include "store/entries.h"
#include "store/records.h"

#define CLIENTS 3
#define ENDS 8 /* connections that the provider takes; more are left waiting */
#define ANSWER_MOST (4 << 20)

struct end {
	int fd;         /* -1: none */
	struct buf out; /* sent so far, or still to be sent: `at` of them are out */
	size_t at;
	struct buf in;
	bool has_ended, was_reset, gave_up;
};

/* Lives on from one script to the next. */
struct stores {
	char dir[64];
	struct datadir datadir;
	struct entries *entries;
	struct records *records;
	struct config *config;
	int provider; /* listens */
	unsigned runs;
};

struct world {
	struct stores *stores;
	struct loop *loop;
	struct resolver *resolver;
	struct journal *journal;
	struct cache_keys *keys;
	struct gateway *gateway; /* NULL: drained */
	struct journal_watch watch;
	uint64_t records;
	uint16_t port;
	struct end clients[CLIENTS], ends[ENDS];
	size_t n_ends;
	bool is_draining;
};

static inline int
world_listen(uint16_t *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	CHK(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 64) == 0);
	CHK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static inline void
stores_open(struct stores *s)
{
	char provider[80], detail[512] = "";
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	uint16_t port;
	struct buf err;

	s->provider = world_listen(&port);
	snprintf(s->dir, sizeof(s->dir), "%s/postern-fuzz-XXXXXX", tmp);
	CHK(mkdtemp(s->dir) != NULL);
	snprintf(
	    provider, sizeof(provider), "providers.openai.base_url=http://127.0.0.1:%u/v1", port);
	const char *const set[] = {provider, "listen=[\"127.0.0.1:0\"]", "limits.body=4KB",
	    "limits.drain=5s", "upstream.idle=20s", "upstream.first_byte=30s",
	    "gateways.default.cache.split_embeddings=true",
	    "gateways.default.cache.cross_form=true", "gateways.fin.on_disconnect=finish",
	    "gateways.half.cache.mode=off", NULL};
	char *const none[] = {NULL};
	buf_init(&err, 4096);
	if (config_load(&(struct config_source){.set = set, .environ = none, .data = s->dir},
		&s->config, &err) != 0)
		fprintf(stderr, "%.*s\n", SPAN_FMT(buf_view(&err)));
	CHK(s->config != NULL);
	buf_fini(&err);
	CHK(datadir_open(s->dir, &s->datadir, detail, sizeof(detail)) == E_OK);
	CHK(entries_open(&s->datadir, 4 << 20, &s->entries, detail, sizeof(detail)) == E_OK);
	CHK(records_open(&s->datadir,
		&(struct records_options){.max_size = 64 << 20, .queue_size = 4 << 20}, &s->records,
		detail, sizeof(detail)) == E_OK);
}

static inline void
stores_close(struct stores *s)
{
	char command[128];

	records_close(s->records);
	entries_close(s->entries);
	datadir_close(&s->datadir);
	config_unref(s->config);
	close(s->provider);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	CHK(system(command) == 0);
}

/* ---- one script ---- */

static inline void
world_local(void *ctx, const struct local_request *rq, struct local_reply *out)
{
	UNUSED(ctx);
	UNUSED(rq);
	out->refused = E_OK;
	out->status = 200;
	out->content_type = "text/plain";
	CHK(buf_printf(&out->body, "ok\n"));
}

static inline void
world_on_record(void *ctx, struct span record)
{
	struct world *w = ctx;

	UNUSED(record);
	w->records++;
}

static inline struct setup *
world_setup(const struct world *w)
{
	char detail[512];
	struct setup *s = setup_new(config_ref(w->stores->config), "fuzz", detail, sizeof(detail));

	CHK(s != NULL);
	return s;
}

static inline void
world_open(struct world *w, struct stores *stores)
{
	uint8_t key[32] = {0};
	char detail[512], url[128];

	*w = (struct world){.stores = stores};
	stores->runs++;
	memcpy(key, &stores->runs,
	    sizeof(stores->runs)); /* what an earlier script stored is not found */
	w->loop = loop_new();
	w->resolver = resolver_new(w->loop);
	w->keys = cache_keys_new(key, key);
	w->journal = journal_new(stores->records, key, key);
	journal_watch_start(w->journal, &w->watch, world_on_record, w);
	struct gateway_parts parts = {.loop = w->loop,
	    .setup = world_setup(w),
	    .resolver = w->resolver,
	    .entries = stores->entries,
	    .journal = w->journal,
	    .cache_keys = w->keys,
	    .local = world_local,
	    .id_floor = records_newest(stores->records)};
	memcpy(parts.id_seed, key, sizeof(parts.id_seed));
	w->gateway = gateway_new(&parts);
	CHK(gateway_listen(w->gateway, detail, sizeof(detail)));
	gateway_lend_stores(w->gateway, &parts);
	gateway_listener_url(w->gateway, 0, url, sizeof(url));
	w->port = (uint16_t)atoi(strrchr(url, ':') + 1);
	for (size_t i = 0; i < CLIENTS; i++)
		w->clients[i].fd = -1;
}

static inline void
world_turn(struct world *w, unsigned turns)
{
	while (turns-- > 0)
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
}

static inline void
world_nothing(void *ctx)
{
	UNUSED(ctx);
}

static inline uint64_t
world_nearer(uint64_t due, uint64_t ms)
{
	if (due == UINT64_MAX)
		return due; /* parked */
	return due > ms ? due - ms : 0;
}

/* All deadlines come nearer; the order in the heap stays. */
static inline void
world_advance(struct world *w, uint64_t ms)
{
	struct timer t = {.slot = 0};

	for (uint32_t i = 0; i < w->loop->timers; i++) {
		struct place *p = &w->loop->heap[i];

		p->look_ms = world_nearer(p->look_ms, ms);
		p->timer->due_ms = world_nearer(p->timer->due_ms, ms);
	}
	timer_start(w->loop, &t, 0, world_nothing, NULL); /* arms the kernel's timer anew */
	uv_update_time(&w->loop->uv);
	world_turn(w, 1);
	timer_stop(w->loop, &t);
	world_turn(w, 1);
}

static inline void
on_world_drained(void *ctx)
{
	struct world *w = ctx;

	gateway_free(w->gateway);
	w->gateway = NULL;
	resolver_close(w->resolver);
}

static inline void
world_drain(struct world *w)
{
	if (w->gateway != NULL)
		gateway_drain(w->gateway, on_world_drained, w);
	w->is_draining = true;
}

/* ---- connections ---- */

static inline void
end_init(struct end *e, int fd)
{
	int one = 1;

	*e = (struct end){.fd = fd};
	buf_init(&e->out, 1 << 20);
	buf_init(&e->in, ANSWER_MOST);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* A quick fuzzer uses up the ports of a minute: then it waits for one. */
static inline int
world_connect(const struct sockaddr_in *to)
{
	const struct timespec moment = {.tv_nsec = 100 * 1000 * 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHK(fd >= 0);
	for (int tries = 1200; connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0;
	    tries--) {
		if (errno == EISCONN)
			break; /* what the fuzzer's alarm had interrupted went on */
		CHK((errno == EADDRNOTAVAIL || errno == EINTR) && tries > 0);
		nanosleep(&moment, NULL);
	}
	return fd;
}

static inline void
end_connect(struct world *w, struct end *e)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(w->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd;

	if (e->fd >= 0 || e->in.max != 0 || w->is_draining)
		return;
	fd = world_connect(&a);
	CHK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	end_init(e, fd);
}

static inline void
end_put(struct end *e, struct span bytes)
{
	if (e->fd >= 0 && !buf_put_span(&e->out, bytes))
		e->gave_up = true;
}

/* Sends so much of what is waiting; what the kernel does not take goes on waiting. */
static inline void
end_send(struct end *e, size_t n)
{
	struct span all = buf_view(&e->out);
	ssize_t sent;

	if (e->fd < 0 || e->at == all.n)
		return;
	n = n < all.n - e->at ? n : all.n - e->at;
	sent = send(e->fd, all.p + e->at, n, MSG_NOSIGNAL);
	if (sent > 0)
		e->at += (size_t)sent;
}

static inline void
end_read(struct end *e, size_t most)
{
	while (e->fd >= 0 && most > 0 && !e->has_ended) {
		size_t n = most < 65536 ? most : 65536;
		char *to = buf_reserve(&e->in, n);
		ssize_t got;

		CHK(to != NULL);
		got = recv(e->fd, to, n, 0);
		if (got < 0 && errno == EAGAIN)
			return;
		e->was_reset = got < 0;
		e->has_ended = got <= 0;
		if (got > 0) {
			buf_commit(&e->in, (size_t)got);
			most -= (size_t)got;
		}
	}
}

static inline void
end_finish(struct end *e)
{
	if (e->fd >= 0)
		shutdown(e->fd, SHUT_WR);
}

/* With a reset, so that no address stays in TIME_WAIT. */
static inline void
end_close(struct end *e)
{
	struct linger now = {.l_onoff = 1};

	if (e->fd < 0)
		return;
	setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(e->fd);
	e->fd = -1;
	e->gave_up |= !e->has_ended;
}

static inline void
end_free(struct end *e)
{
	end_close(e);
	buf_fini(&e->out);
	buf_fini(&e->in);
}

static inline void
world_accept(struct world *w)
{
	int fd;

	while (w->n_ends < ENDS &&
	    (fd = accept4(w->stores->provider, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		end_init(&w->ends[w->n_ends++], fd);
}

/* Everything leaves, the gateway first or not; then nothing may be left. */
static inline void
world_close(struct world *w)
{
	int fd;

	for (size_t i = 0; i < CLIENTS; i++)
		end_close(&w->clients[i]);
	for (size_t i = 0; i < w->n_ends; i++)
		end_close(&w->ends[i]);
	if (!w->is_draining)
		world_drain(w);
	for (int i = 0; w->gateway != NULL; i++) {
		CHK(i < 200);
		world_turn(w, 3);
		world_advance(w, 60000);
		while ((fd = accept4(w->stores->provider, NULL, NULL, SOCK_CLOEXEC)) >= 0)
			close(fd);
	}
	world_turn(w, 4);
	journal_watch_stop(&w->watch);
	loop_free(w->loop); /* CHKs that uv_loop_close() is 0 */
	journal_free(w->journal);
	cache_keys_free(w->keys);
	for (size_t i = 0; i < CLIENTS; i++)
		end_free(&w->clients[i]);
	for (size_t i = 0; i < w->n_ends; i++)
		end_free(&w->ends[i]);
}

#endif
