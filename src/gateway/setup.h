/*
 * setup: one generation of settings and what was made from them: the configuration, the providers,
 * the TLS contexts towards them. Never changes; a reload makes a new one.
 *
 * Ownership: reference counted; an exchange keeps the one it began with.
 */
#ifndef GATEWAY_SETUP_H
#define GATEWAY_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/chk.h"

struct config;
struct provider;
struct proxy_way;
struct registry;
struct tls_ctx;
struct trust;

struct setup {
	struct config *config;
	struct registry *registry;
	struct trust *trust;     /* trusted_proxies */
	struct tls_ctx **tls;    /* by provider index; NULL until the first use */
	struct proxy_way *proxy; /* NULL: none */
	char via[32];            /* our pseudonym in Via, to notice loops */
	unsigned refs;
};

/* Takes over config's reference. NULL on failure, with one line in detail: a provider that is not
 * valid, a CA file that cannot be read. */
struct setup *setup_new(struct config *config, const char *via, char *detail, size_t detail_size);
struct setup *setup_ref(struct setup *s);
void setup_unref(struct setup *s);
/* Borrowed; made at first use for providers without a CA of their own. NULL: no roots to be had. */
struct tls_ctx *setup_tls(struct setup *s, const struct provider *p);

#endif
