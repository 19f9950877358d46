#include "net/dns_int.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <ares.h>
#include <uv.h>

#include "net/address_int.h"
#include "net/loop_int.h"

/* Two tries, 2 s and 4 s for one server; whoever waits gives up after 5 s in all. */
#define TRY_MS 2000
#define TRIES 2
#define RESOLV_CONF "/etc/resolv.conf"

struct dns {
	struct loop *loop;
	ares_channel_t *channel;
	struct timer timer;
	struct list polls;
	unsigned n_polls; /* not closed yet */
	bool is_closing, has_own_servers;
	struct timespec resolv_conf; /* as it was when c-ares read it */
	void (*closed)(void *ctx);
	void *closed_ctx;
	struct defer reap;
};

struct poll {
	struct list link;
	uv_poll_t uv;
	struct dns *dns;
	ares_socket_t fd;
};

struct ask {
	struct dns *dns;
	dns_fn fn;
	void *ctx;
};

/* ---- sockets and time ---- */

static void set_timer(struct dns *d);

static void
on_timer(void *ctx)
{
	struct dns *d = ctx;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(d);
}

static void
set_timer(struct dns *d)
{
	struct timeval tv;

	if (d->is_closing || ares_timeout(d->channel, NULL, &tv) == NULL)
		timer_stop(d->loop, &d->timer);
	else
		timer_start(d->loop, &d->timer,
		    (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1, on_timer, d);
}

static void
on_poll(uv_poll_t *h, int status, int events)
{
	struct poll *p = h->data;
	struct dns *d = p->dns;
	bool both = status < 0;
	ares_socket_t fd = p->fd; /* p may go while c-ares works */

	loop_turn_begin(d->loop);
	ares_process_fd(d->channel, both || (events & UV_READABLE) != 0 ? fd : ARES_SOCKET_BAD,
	    both || (events & UV_WRITABLE) != 0 ? fd : ARES_SOCKET_BAD);
	set_timer(d);
}

static void
reap(void *ctx)
{
	struct dns *d = ctx;

	d->closed(d->closed_ctx);
	ares_library_cleanup();
	free(d);
}

static void
reap_if_done(struct dns *d)
{
	if (d->is_closing && d->n_polls == 0)
		defer_start(d->loop, &d->reap, reap, d);
}

static void
on_poll_closed(uv_handle_t *h)
{
	struct poll *p = h->data;
	struct dns *d = p->dns;

	free(p);
	d->n_polls--;
	reap_if_done(d);
}

static struct poll *
find_poll(struct dns *d, ares_socket_t fd)
{
	LIST_EACH(node, &d->polls)
	{
		struct poll *p = CONTAINER_OF(node, struct poll, link);

		if (p->fd == fd)
			return p;
	}
	return NULL;
}

static struct poll *
add_poll(struct dns *d, ares_socket_t fd)
{
	struct poll *p = xcalloc(1, sizeof(*p));

	p->dns = d;
	p->fd = fd;
	CHK(uv_poll_init_socket(&d->loop->uv, &p->uv, fd) == 0);
	p->uv.data = p;
	list_append(&d->polls, &p->link);
	d->n_polls++;
	return p;
}

/* c-ares says what it wants of a socket; neither: it is about to close it. */
static void
on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = ctx;
	struct poll *p = find_poll(d, fd);
	int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

	if (events == 0) {
		if (p == NULL)
			return;
		list_remove(&p->link);
		uv_close((uv_handle_t *)&p->uv, on_poll_closed);
		return;
	}
	if (p == NULL)
		p = add_poll(d, fd);
	CHK(uv_poll_start(&p->uv, events, on_poll) == 0);
}

/* ---- answers ---- */

static enum dns_outcome
outcome_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return DNS_FOUND;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return DNS_NONE;
	case ARES_ETIMEOUT:
		return DNS_LATE;
	default:
		return DNS_FAILED;
	}
}

/* Every other address of the other family, so that a dead IPv6 route costs one attempt. */
static void
alternate(struct dns_answer *a, const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *next[2]; /* of the first one's family, of the other */
	int first = info->nodes == NULL ? AF_INET : info->nodes->ai_family;
	unsigned turn = 0;

	next[0] = next[1] = info->nodes;
	while (a->n < RESOLVE_MAX && (next[0] != NULL || next[1] != NULL)) {
		const struct ares_addrinfo_node **at = &next[turn];

		turn ^= 1;
		while (*at != NULL && ((*at)->ai_family == first) == (at == &next[1]))
			*at = (*at)->ai_next;
		if (*at == NULL)
			continue;
		if (address_from_sockaddr(&a->addresses[a->n], (*at)->ai_addr, (*at)->ai_addrlen))
			a->n++;
		if ((*at)->ai_ttl >= 0 && (unsigned)(*at)->ai_ttl < a->ttl_s)
			a->ttl_s = (unsigned)(*at)->ai_ttl;
		*at = (*at)->ai_next;
	}
}

static void
on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct ask *ask = ctx;
	struct dns_answer a = {.outcome = outcome_of(status), .ttl_s = UINT32_MAX};

	UNUSED(timeouts);
	if (info != NULL) {
		alternate(&a, info);
		ares_freeaddrinfo(info);
	}
	if (a.outcome == DNS_FOUND && a.n == 0)
		a.outcome = DNS_NONE;
	if (!ask->dns->is_closing)
		ask->fn(ask->ctx, &a);
	free(ask);
}

/* ---- the whole ---- */

static struct timespec
time_of_resolv_conf(void)
{
	struct stat st;

	if (stat(RESOLV_CONF, &st) != 0)
		return (struct timespec){0};
	return st.st_mtim;
}

struct dns *
dns_open(struct loop *l)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	char lookups[] = "fb"; /* the hosts file, then DNS, whatever nsswitch.conf says */
	struct ares_options o = {
	    .timeout = TRY_MS,
	    .tries = TRIES,
	    .lookups = lookups,
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = d,
	    .qcache_max_ttl = 0, /* the cache is ours */
	};

	d->loop = l;
	list_init(&d->polls);
	d->resolv_conf = time_of_resolv_conf();
	CHK(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
	CHK(ares_init_options(&d->channel, &o,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
		    ARES_OPT_QUERY_CACHE) == ARES_SUCCESS);
	return d;
}

void
dns_close(struct dns *d, void (*closed)(void *ctx), void *ctx)
{
	d->is_closing = true;
	d->closed = closed;
	d->closed_ctx = ctx;
	timer_stop(d->loop, &d->timer);
	ares_destroy(d->channel); /* closes its sockets, answers its questions */
	reap_if_done(d);
}

/* Questions are rare, because answers are kept: asking the file each time costs nothing. */
static void
follow_resolv_conf(struct dns *d)
{
	struct timespec now = time_of_resolv_conf();

	if (d->has_own_servers ||
	    (now.tv_sec == d->resolv_conf.tv_sec && now.tv_nsec == d->resolv_conf.tv_nsec))
		return;
	d->resolv_conf = now;
	(void)ares_reinit(d->channel); /* on failure it goes on with what it had */
}

void
dns_ask(struct dns *d, const char *name, dns_fn fn, void *ctx)
{
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct ask *ask = xcalloc(1, sizeof(*ask));

	follow_resolv_conf(d);
	*ask = (struct ask){d, fn, ctx};
	ares_getaddrinfo(d->channel, name, NULL, &hints, on_answer, ask);
	set_timer(d);
}

void
dns_set_servers(struct dns *d, const char *csv)
{
	d->has_own_servers = true;
	CHK(ares_set_servers_ports_csv(d->channel, csv) == ARES_SUCCESS);
}
