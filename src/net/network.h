/*
 * network: a block of IP addresses as written in CIDR form, and which addresses are in it.
 *
 * An IPv4 address inside IPv6 (::ffff:0:0/96) counts as the IPv4 address it is.
 */
#ifndef NET_NETWORK_H
#define NET_NETWORK_H

#include "net/address.h"

struct network {
	unsigned char ip[16];
	unsigned char size; /* 4 or 16 */
	unsigned char bits;
};

/* "10.0.0.0/8", "fd00::/8", or one address alone. False for what is neither, for bits set behind the
 * prefix, and for IPv4 written inside IPv6. */
bool network_parse(struct span text, struct network *out);
bool network_has(const struct network *n, const struct address *a); /* a Unix socket is in none */
/* The network of that many bits which the address is in; ports aside. Not of a Unix socket. */
struct network network_of(const struct address *a, unsigned v4_bits, unsigned v6_bits);

#endif
