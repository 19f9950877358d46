/*
 * tls engine: one TLS connection over buffers. No sockets: the caller feeds ciphertext in and
 * takes ciphertext out.
 *
 *   socket -> tls_feed -> [engine] -> tls_read  -> plaintext
 *   socket <- tls_output <- [engine] <- tls_write <- plaintext
 *
 * After each tls_feed, tls_handshake, tls_read, tls_write or tls_shutdown, send what tls_output
 * shows and tell with tls_output_drop how much of it went out.
 * Drain tls_read to TLS_WANT before waiting for the socket: decrypted bytes hide in here.
 */
#ifndef TLS_ENGINE_H
#define TLS_ENGINE_H

#include "base/chk.h"
#include "base/span.h"
#include "tls/context.h"

struct tls;

enum tls_result {
	TLS_OK,    /* handshake complete; or n bytes moved */
	TLS_WANT,  /* needs more ciphertext */
	TLS_END,   /* the peer's close_notify: a clean end of what it sends */
	TLS_FAILED /* see tls_detail; an alert may be waiting in tls_output */
};

/* name: for a client the server's name (SNI, verified; an IP literal is matched against IP SANs and
 * not sent, RFC 6066 3); NULL for a server. References ctx. NULL when there is no memory. */
struct tls *tls_new(struct tls_ctx *ctx, const char *name);
void tls_free(struct tls *t); /* NULL is fine */

#define TLS_INPUT_MAX (64u << 10)
/* Takes as much as fits (at most TLS_INPUT_MAX held) and returns how much. */
size_t tls_feed(struct tls *t, struct span cipher);
size_t tls_room(const struct tls *t); /* how much tls_feed would take */
MUST_CHECK enum tls_result tls_handshake(struct tls *t);
/* TLS_OK: *n bytes (> 0) were put into out. */
MUST_CHECK enum tls_result tls_read(struct tls *t, char *out, size_t size, size_t *n);
/* Encrypts all of `plain` (output grows by it plus 30 bytes a record); only after the handshake. */
MUST_CHECK enum tls_result tls_write(struct tls *t, struct span plain);
void tls_shutdown(
    struct tls *t); /* queues close_notify, once; before the handshake's end nothing */
struct span tls_output(const struct tls *t); /* valid until the next call */
void tls_output_drop(struct tls *t, size_t n);
const char *tls_detail(const struct tls *t); /* "" while nothing failed */
bool tls_is_resumed(const struct tls *t);

#endif
