/*
 * tls server: the context of a listener: its certificates, one of them for each name that a client may
 * ask for (SNI), and what it wants of certificates of clients.
 *
 * A name is looked for in the DNS names of the certificates (not in common names): exactly first, then
 * by a wildcard of one label; the first certificate is for all other names, and for who names none.
 * Tickets are for the certificate they were given out under. Who has to show a certificate has to show
 * it with each connection: then there are no tickets.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include <stdint.h>

#include "config/config.h"
#include "tls/context.h"

/* NULL on failure, with one line in detail (which file, what).
 * old: the one that serves now, or NULL. Certificates that it has too keep their tickets, if the same is
 * asked of clients; of the others none may be out of its dates. */
struct tls_ctx *tls_server_new(
    const struct config_listen *l, struct tls_ctx *old, char *detail, size_t detail_size);

struct tls_server_certificate {
	const char *file; /* as long as the context */
	int64_t until_s;  /* seconds since 1970 */
	bool is_new;      /* `old` did not have it */
};
size_t tls_server_count(const struct tls_ctx *c);
/* i: as in l->tls. */
struct tls_server_certificate tls_server_certificate(const struct tls_ctx *c, size_t i);

#endif
