/*
 * address: listen addresses as written, socket addresses, and which of them are private.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define ADDRESS_TEXT_SIZE 128

/* Big enough for a sockaddr_in6 or sockaddr_un; opaque to callers. */
struct address {
	_Alignas(8) unsigned char raw[112];
	unsigned char len;
};

enum address_kind { ADDRESS_V4, ADDRESS_V6, ADDRESS_UNIX };

/* "host:port" (host an IP literal or "localhost"; empty: 0.0.0.0), "[v6]:port", "unix:/path". */
bool address_parse_listen(struct span text, struct address *out);
/* An IP literal without port. False for names and for spellings inet_pton refuses. */
bool address_parse_ip(struct span text, uint16_t port, struct address *out);
/* True for spellings that getaddrinfo would take for an IPv4 address though inet_pton does not
 * (0x7f.1, 2130706433, 127.1): such a name is refused. */
bool address_is_numeric_trick(struct span host);
enum address_kind address_kind(const struct address *a);
uint16_t address_port(const struct address *a);
/* Loopback, private, link-local, multicast, NAT64, 6to4 ...: the table in address.c. An IPv4 address
 * inside IPv6 (::ffff:0:0/96) is judged as IPv4; Unix sockets are private. */
bool address_is_private(const struct address *a);
bool address_is_loopback(
    const struct address *a); /* Unix sockets too: the peer is on this machine */
bool address_eq_ip(const struct address *a, const struct address *b); /* ports aside */
/* "127.0.0.1:8787", "[::1]:8787", "unix:/path"; without port: "127.0.0.1". NUL-terminated. */
void address_text(const struct address *a, char out[ADDRESS_TEXT_SIZE]);
void address_ip_text(const struct address *a, char out[ADDRESS_TEXT_SIZE]);

#endif
