/*
 * proxy: the way to an https provider through upstream.proxy: a tunnel that is asked for with CONNECT,
 * in which TLS then runs to the provider itself. Functions over bytes; upstream.c has the sockets.
 *
 * The proxy learns the provider's host and port and its own credentials, and nothing of a request.
 */
#ifndef GATEWAY_PROXY_H
#define GATEWAY_PROXY_H

#include <stdint.h>

#include "base/buf.h"

struct arena;
struct config;
struct parser;

struct proxy_way {
	char *host;
	char *authority;     /* "host:port", to tell one proxy from another */
	char *authorization; /* "Basic ...", NULL: none */
	char **no_proxy;     /* the configuration's */
	uint16_t port;
};

/* NULL: the configuration has no proxy. Lives as long as the configuration. */
struct proxy_way *proxy_way_new(const struct config *c);
void proxy_way_free(struct proxy_way *p);

/* Whether that https provider is reached through it: not localhost, a private literal, or what no_proxy
 * names. */
bool proxy_way_is_for(const struct proxy_way *p, struct span host, uint16_t port);

/* The CONNECT for it. False: out does not hold it. */
MUST_CHECK bool proxy_request(
    const struct proxy_way *p, struct span host, uint16_t port, struct buf *out);

enum proxy_answer { PROXY_MORE, PROXY_OPEN, PROXY_REFUSED };
#define PROXY_DETAIL_SIZE 80

/* Takes the proxy's answer. PROXY_OPEN: 2xx, and not a byte behind its head. PROXY_REFUSED: anything else;
 * detail says what, without a word of the proxy's. The parser is reset for it beforehand. */
enum proxy_answer proxy_take(
    struct parser *parser, struct arena *head, struct span in, char detail[PROXY_DETAIL_SIZE]);
void proxy_reset(struct parser *parser, struct arena *head);

#endif
