/*
 * tls context: what many connections share: certificate or trust, cipher policy, tickets.
 *
 * TLS 1.2 and 1.3, ECDHE with AEAD only, ALPN http/1.1. Server: X25519, P-256, P-384; session tickets
 * with keys that rotate (each 12 h), per certificate. Client: chain and name are always verified; the last session of each
 * server name is kept in memory and offered again.
 * Ownership: reference counted; created with one reference.
 */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <stddef.h>

#include "base/chk.h"

struct tls_ctx;

/* ca: a PEM file, or NULL for the system's roots. NULL on failure, with one line in detail (which file,
 * what). A server's: tls/server.h. */
struct tls_ctx *tls_client_new(const char *ca, char *detail, size_t detail_size);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c); /* NULL is fine */

#endif
