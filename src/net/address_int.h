/*
 * Addresses as the kernel wants them, for the files of this room.
 */
#ifndef NET_ADDRESS_INT_H
#define NET_ADDRESS_INT_H

#include <sys/socket.h>

#include "net/address.h"

const struct sockaddr *address_sockaddr(const struct address *a);
/* False (and *out is the Unix socket without a path): a family that is not ours. An IPv4 address
 * in IPv6's clothes, as a dual-stack listener sees it, becomes IPv4. */
bool address_from_sockaddr(struct address *out, const struct sockaddr *sa, socklen_t len);
void address_set_port(struct address *a, uint16_t port);
/* The bytes of the address, an IPv4 one in IPv6's clothes undressed; *n is 4, 16 or 0 (Unix). */
const unsigned char *address_ip(const struct address *a, size_t *n);
/* The path of a Unix socket; "" for others. */
const char *address_path(const struct address *a);

#endif
