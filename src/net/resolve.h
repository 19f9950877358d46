/*
 * resolve: names to addresses (c-ares on the loop), cached, with the check that keeps a name from
 * leading into a private network.
 *
 * IP literals and "localhost" answer without DNS; the hosts file comes before DNS. Concurrent
 * questions for one name are one query. Refused without a query: names over 253 bytes or with other
 * characters than letters, digits, '-', '_' and '.' (E_UPSTREAM_DNS), and numbers in disguise
 * (E_UPSTREAM_ADDRESS).
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "net/address.h"
#include "net/loop.h"

struct resolver;
struct resolve_query;

#define RESOLVE_MAX 8 /* addresses kept of an answer */

/* Cached for the answer's TTL (5 s to 5 min; failures 2 s). A name that is used in the last quarter
 * of that time is asked for again behind the answer, so names in use are never waited for. When a
 * refresh fails, the last good addresses are given for up to a day; not when DNS says that there is
 * no such name. IPv4 and IPv6 addresses alternate, starting with the family
 * that the system's policy prefers.
 * n == 0: why is E_UPSTREAM_DNS, E_UPSTREAM_ADDRESS or E_UPSTREAM_DNS_TIMEOUT. The addresses are
 * valid during the call. Never called from inside resolve_start. */
typedef void (*resolve_fn)(void *ctx, enum err why, const struct address *addresses, size_t n);

struct resolver *resolver_new(struct loop *l);
void resolver_close(struct resolver *r); /* frees itself later; open queries fail with E_CLOSED */

/* allow_private false: addresses for which address_is_private holds are dropped (none left:
 * E_UPSTREAM_ADDRESS). A literal or "localhost" is subject to the same flag. */
struct resolve_query *resolve_start(struct resolver *r, const char *host, uint16_t port,
    bool allow_private, resolve_fn fn, void *ctx);
void resolve_cancel(struct resolve_query *q); /* fn will not be called; only before it was */

/* For tests: other servers ("127.0.0.1:5300,..."), and another limit than 5 s for an answer. */
void resolver_set_servers(struct resolver *r, const char *csv, unsigned answer_ms);

#endif
