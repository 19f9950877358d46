/*
 * dns: c-ares on the loop. One question, one answer; no memory of either.
 */
#ifndef NET_DNS_INT_H
#define NET_DNS_INT_H

#include "net/address.h"
#include "net/loop.h"
#include "net/resolve.h"

struct dns;

enum dns_outcome {
	DNS_FOUND,
	DNS_NONE,   /* authoritative: there is no such name, or it has no address */
	DNS_FAILED, /* no server could say */
	DNS_LATE
};

struct dns_answer {
	enum dns_outcome outcome;
	unsigned ttl_s;
	size_t n;
	struct address addresses[RESOLVE_MAX]; /* port 0 */
};

/* May come inside dns_ask. After dns_close it does not come. */
typedef void (*dns_fn)(void *ctx, const struct dns_answer *a);

struct dns *dns_open(struct loop *l);
void dns_close(struct dns *d, void (*closed)(void *ctx), void *ctx); /* closed: later, deferred */
void dns_ask(struct dns *d, const char *name, dns_fn fn, void *ctx);
void dns_set_servers(struct dns *d, const char *csv);

#endif
