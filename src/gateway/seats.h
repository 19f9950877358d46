/*
 * seats: how many connections each address has (limits.connections_per_address).
 *
 * Who has an IPv6 address has 2^64 of them, so a /64 network counts as one; IPv4 addresses count
 * one by one. Whoever is exempt takes no seat: the caller decides who that is.
 * Memory  one small object for each address that has a connection.
 */
#ifndef GATEWAY_SEATS_H
#define GATEWAY_SEATS_H

#include <stdint.h>

#include "base/map.h"
#include "net/address.h"

struct cache_keys;
struct seat; /* of one address; shared by its connections */

struct seats {
	struct map map;
	const struct cache_keys *keys; /* hashing: peers choose their addresses */
};

void seats_init(struct seats *s, const struct cache_keys *keys);
void seats_fini(struct seats *s); /* every seat was left */
/* NULL: the address has `most` already. Not for Unix sockets. */
struct seat *seats_take(struct seats *s, const struct address *a, uint64_t most);
void seats_leave(struct seats *s, struct seat *seat); /* NULL is fine */

#endif
