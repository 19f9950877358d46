#include "net/resolve.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "net/address_int.h"
#include "net/dns_int.h"

#define NAME_MAX_BYTES 253
#define LABEL_MAX_BYTES 63
#define NAMES_MAX 512 /* kept at once; labels of a few hosts are the clients' choice */
#define ANSWER_MS 5000
#define TTL_LEAST_MS 5000
#define TTL_MOST_MS (5 * 60 * 1000)
#define RETRY_MS 2000
#define AHEAD_DIVISOR 4 /* asked again, behind the answer, in the last quarter of its life */
#define STALE_MS (24ull * 3600 * 1000)

struct resolver {
	struct loop *loop;
	struct dns *dns;
	unsigned answer_ms;
	struct map names;
	struct list recent; /* entries, last used first */
	struct list open;   /* queries */
	bool is_closing, dns_closed;
	struct defer reap;
};

/* What is known of a name. */
struct entry {
	struct map_node node;
	struct list recent;
	struct list waiting; /* queries */
	struct resolver *resolver;
	struct dns_answer good; /* n == 0: none */
	uint64_t expires_ms;    /* of `good` */
	uint64_t ahead_ms;      /* from here on it is refreshed when it is used */
	uint64_t retry_ms;      /* after a failure: not asked again before */
	enum err why;           /* of that failure */
	bool is_asking, is_failing;
	char name[];
};

struct resolve_query {
	struct list open, waiting;
	struct resolver *resolver;
	resolve_fn fn;
	void *ctx;
	uint16_t port;
	bool allow_private;
	struct entry *entry; /* while waiting */
	struct timer limit;
	struct defer delivery;
	enum err why;
	size_t n;
	struct address addresses[RESOLVE_MAX];
};

static uint64_t
now_ms(void)
{
	return clock_mono_us() / 1000;
}

/* ---- one query ---- */

static void reap_if_done(struct resolver *r);

static void
deliver(void *ctx)
{
	struct resolve_query *q = ctx;
	struct resolver *r = q->resolver;

	list_remove(&q->open);
	q->fn(q->ctx, q->why, q->addresses, q->n);
	free(q);
	reap_if_done(r);
}

static void
conclude(struct resolve_query *q, enum err why)
{
	list_remove(&q->waiting);
	q->entry = NULL;
	timer_stop(q->resolver->loop, &q->limit);
	q->why = why;
	if (why != E_OK)
		q->n = 0;
	defer_start(q->resolver->loop, &q->delivery, deliver, q);
}

/* The check is on the very addresses that are handed out: no second look-up, nothing to rebind. */
static void
conclude_with(struct resolve_query *q, const struct address *addresses, size_t n)
{
	q->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (!q->allow_private && address_is_private(&addresses[i]))
			continue;
		q->addresses[q->n] = addresses[i];
		address_set_port(&q->addresses[q->n++], q->port);
	}
	conclude(q, q->n > 0 ? E_OK : E_UPSTREAM_ADDRESS);
}

static bool
has_stale(const struct entry *e)
{
	return e->good.n > 0 && now_ms() < e->expires_ms + STALE_MS;
}

/* With what there is when nothing better can be had. */
static void
conclude_anyhow(struct resolve_query *q, const struct entry *e, enum err why)
{
	if (has_stale(e))
		conclude_with(q, e->good.addresses, e->good.n);
	else
		conclude(q, why);
}

static void
on_limit(void *ctx)
{
	struct resolve_query *q = ctx;

	q->entry->is_failing = true; /* the next one need not wait for what is stale */
	conclude_anyhow(q, q->entry, E_UPSTREAM_DNS_TIMEOUT);
}

/* ---- names ---- */

static void
remember(struct entry *e, const struct dns_answer *a)
{
	uint64_t ttl = (uint64_t)a->ttl_s * 1000;

	ttl = ttl < TTL_LEAST_MS ? TTL_LEAST_MS : ttl > TTL_MOST_MS ? TTL_MOST_MS : ttl;
	e->good = *a;
	e->expires_ms = now_ms() + ttl;
	e->ahead_ms = e->expires_ms - ttl / AHEAD_DIVISOR;
	e->is_failing = false;
}

static void
on_dns(void *ctx, const struct dns_answer *a)
{
	struct entry *e = ctx;

	e->is_asking = false;
	e->why = a->outcome == DNS_LATE ? E_UPSTREAM_DNS_TIMEOUT : E_UPSTREAM_DNS;
	if (a->outcome == DNS_FOUND) {
		remember(e, a);
	} else {
		e->retry_ms = now_ms() + RETRY_MS;
		e->is_failing =
		    a->outcome != DNS_NONE; /* which was an answer, not a failed refresh */
		if (!e->is_failing && now_ms() >= e->expires_ms)
			e->good.n = 0;
	}
	LIST_EACH(node, &e->waiting)
	conclude_anyhow(CONTAINER_OF(node, struct resolve_query, waiting), e, e->why);
}

static uint64_t
hash_of(const char *name)
{
	uint64_t h = 0xcbf29ce484222325;

	while (*name != '\0')
		h = (h ^ (unsigned char)*name++) * 0x100000001b3;
	return h;
}

static void
drop_entry(struct entry *e)
{
	map_remove(&e->resolver->names, &e->node);
	list_remove(&e->recent);
	free(e);
}

static bool
make_room(struct resolver *r)
{
	if (r->names.count < NAMES_MAX)
		return true;
	for (struct list *node = r->recent.prev; node != &r->recent; node = node->prev) {
		struct entry *e = CONTAINER_OF(node, struct entry, recent);

		if (!e->is_asking && list_is_empty(&e->waiting)) {
			drop_entry(e);
			return true;
		}
	}
	return false;
}

static struct entry *
add_entry(struct resolver *r, const char *name, uint64_t hash)
{
	size_t size = strlen(name) + 1;
	struct entry *e;

	if (!make_room(r))
		return NULL;
	e = xcalloc(1, sizeof(*e) + size);
	memcpy(e->name, name, size);
	e->resolver = r;
	list_init(&e->waiting);
	map_insert(&r->names, &e->node, hash);
	list_push(&r->recent, &e->recent);
	return e;
}

static struct entry *
entry_for(struct resolver *r, const char *name)
{
	uint64_t hash = hash_of(name);
	struct map_node *node;

	for (node = map_first(&r->names, hash); node != NULL; node = map_next(node)) {
		struct entry *e = CONTAINER_OF(node, struct entry, node);

		if (strcmp(e->name, name) != 0)
			continue;
		list_remove(&e->recent);
		list_push(&r->recent, &e->recent);
		return e;
	}
	return add_entry(r, name, hash);
}

static void
wait_for(struct resolve_query *q, struct entry *e)
{
	q->entry = e;
	list_append(&e->waiting, &q->waiting);
	timer_start(q->resolver->loop, &q->limit, q->resolver->answer_ms, on_limit, q);
}

static void
start_asking(struct resolver *r, struct entry *e)
{
	e->is_asking = true;
	dns_ask(r->dns, e->name, on_dns, e);
}

/* Who uses a name all the time never waits for it: its refresh goes on behind a good answer. Nor are
 * stale addresses waited for once a refresh has failed. */
static void
look_up(struct resolve_query *q, struct entry *e)
{
	bool can_ask = !e->is_asking && now_ms() >= e->retry_ms;
	bool can_serve = e->is_failing && has_stale(e);

	if (e->good.n > 0 && now_ms() < e->expires_ms) {
		conclude_with(q, e->good.addresses, e->good.n);
		if (can_ask && now_ms() >= e->ahead_ms)
			start_asking(q->resolver, e);
		return;
	}
	if (!can_ask && !e->is_asking) {
		conclude_anyhow(q, e, e->why);
		return;
	}
	if (can_serve)
		conclude_with(q, e->good.addresses, e->good.n);
	else
		wait_for(q, e);
	if (can_ask)
		start_asking(q->resolver, e);
}

/* ---- what needs no query ---- */

static bool
is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* LDH, and '_', which container networks use. */
static bool
is_name(struct span host)
{
	struct span rest = host, label;

	if (host.n == 0 || host.n > NAME_MAX_BYTES || host.p[host.n - 1] == '.')
		return false;
	while (span_next(&rest, '.', &label)) {
		if (label.n == 0 || label.n > LABEL_MAX_BYTES)
			return false;
		for (size_t i = 0; i < label.n; i++) {
			if (!is_name_byte(label.p[i]))
				return false;
		}
	}
	return true;
}

/* RFC 6761 6.3 */
static bool
is_localhost(struct span host)
{
	struct span tail = span_skip(host, host.n < 10 ? 0 : host.n - 10);

	return span_eq_nocase(host, SPAN_LIT("localhost")) ||
	    span_eq_nocase(tail, SPAN_LIT(".localhost"));
}

static void
answer_localhost(struct resolve_query *q)
{
	struct address both[2];

	CHK(address_parse_ip(SPAN_LIT("127.0.0.1"), 0, &both[0]));
	CHK(address_parse_ip(SPAN_LIT("::1"), 0, &both[1]));
	conclude_with(q, both, 2);
}

static void
answer_name(struct resolve_query *q, struct span host)
{
	char name[NAME_MAX_BYTES + 1];
	struct entry *e;

	for (size_t i = 0; i < host.n; i++)
		name[i] = (char)tolower((unsigned char)host.p[i]);
	name[host.n] = '\0';
	e = entry_for(q->resolver, name);
	if (e == NULL)
		conclude(q, E_UPSTREAM_DNS);
	else
		look_up(q, e);
}

struct resolve_query *
resolve_start(struct resolver *r, const char *host, uint16_t port, bool allow_private,
    resolve_fn fn, void *ctx)
{
	struct resolve_query *q = xcalloc(1, sizeof(*q));
	struct span text = span_str(host);
	struct address literal;

	q->resolver = r;
	q->port = port;
	q->allow_private = allow_private;
	q->fn = fn;
	q->ctx = ctx;
	list_append(&r->open, &q->open);
	if (r->is_closing)
		conclude(q, E_CLOSED);
	else if (address_parse_ip(text, port, &literal))
		conclude_with(q, &literal, 1);
	else if (is_localhost(text))
		answer_localhost(q);
	else if (address_is_numeric_trick(text))
		conclude(q, E_UPSTREAM_ADDRESS);
	else if (!is_name(text))
		conclude(q, E_UPSTREAM_DNS);
	else
		answer_name(q, text);
	return q;
}

void
resolve_cancel(struct resolve_query *q)
{
	struct resolver *r = q->resolver;

	list_remove(&q->open);
	list_remove(&q->waiting);
	timer_stop(r->loop, &q->limit);
	defer_stop(&q->delivery);
	free(q);
	reap_if_done(r);
}

/* ---- the whole ---- */

struct resolver *
resolver_new(struct loop *l)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	r->answer_ms = ANSWER_MS;
	map_init(&r->names);
	list_init(&r->recent);
	list_init(&r->open);
	r->dns = dns_open(l);
	return r;
}

void
resolver_set_servers(struct resolver *r, const char *csv, unsigned answer_ms)
{
	dns_set_servers(r->dns, csv);
	r->answer_ms = answer_ms;
}

static void
reap(void *ctx)
{
	struct resolver *r = ctx;

	while (!list_is_empty(&r->recent))
		drop_entry(CONTAINER_OF(r->recent.next, struct entry, recent));
	map_fini(&r->names);
	free(r);
}

static void
reap_if_done(struct resolver *r)
{
	if (r->is_closing && r->dns_closed && list_is_empty(&r->open))
		defer_start(r->loop, &r->reap, reap, r);
}

static void
on_dns_closed(void *ctx)
{
	struct resolver *r = ctx;

	r->dns_closed = true;
	reap_if_done(r);
}

void
resolver_close(struct resolver *r)
{
	r->is_closing = true;
	LIST_EACH(node, &r->open)
	conclude(CONTAINER_OF(node, struct resolve_query, open), E_CLOSED);
	dns_close(r->dns, on_dns_closed, r);
}
