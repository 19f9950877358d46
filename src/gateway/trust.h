/*
 * trust: the proxies in front of us (trusted_proxies), and the client's address as they tell it.
 *
 * Reading  X-Forwarded-For and Forwarded (RFC 7239) are lists to which each hop appends the peer it
 *          saw. From the right, addresses of trusted proxies are passed over; the first other one is the
 *          client. Behind an entry that is no address nothing is believed. Where both fields are there and
 *          name different clients, neither is: a proxy keeps one of them, and the other came with the request.
 * Limits   no memory of its own for the headers; one pass, bounded by limits.header_size.
 */
#ifndef GATEWAY_TRUST_H
#define GATEWAY_TRUST_H

#include "http/message.h"
#include "net/address.h"

struct trust;

/* list: NULL-terminated, each an address, a block (CIDR) or "unix", as config checked them. NULL: one
 * is not; *wrong names it. */
struct trust *trust_new(char *const *list, const char **wrong);
void trust_free(struct trust *t);
bool trust_has(const struct trust *t, const struct address *peer);
/* Of a request that a trusted peer sent. False: the headers name nobody. */
bool trust_client(const struct trust *t, const struct headers *h, struct address *out);

#endif
