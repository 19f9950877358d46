/*
 * Inside of a TLS context, for the files of this room.
 */
#ifndef TLS_CONTEXT_INT_H
#define TLS_CONTEXT_INT_H

#include <stdbool.h>

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "base/list.h"
#include "base/span.h"
#include "tls/context.h"
#include "tls/identity_int.h"

struct certificate { /* one item of the settings */
	char *file;
	struct identity *identity;
	bool is_new; /* the context before did not have it */
};

struct tls_ctx {
	unsigned refs;
	bool is_server;
	mbedtls_ssl_config conf;
	/* server */
	struct certificate *certificates; /* the first for names that no other has; one at least */
	size_t n_certificates;
	struct identity *now; /* of the handshake that takes a step */
	enum client_certificates clients;
	/* client; server: of its clients */
	mbedtls_x509_crt roots;
	bool has_roots;            /* loaded; the system's come with the first connection */
	const char *roots_failure; /* why there are none; static text */
	struct list sessions;      /* of struct session, newest first */
	unsigned n_sessions;
};

struct tls_ctx *tls_ctx_new(bool is_server);
/* The policy of context.h, the same for both sides. */
MUST_CHECK int tls_ctx_configure(struct tls_ctx *c);
void tls_ctx_use_roots(struct tls_ctx *c); /* those in c->roots */
/* Makes sure that a client context has its roots. False: roots_failure says why not. */
MUST_CHECK bool tls_ctx_load_roots(struct tls_ctx *c);
/* One line for a library code. */
void tls_error_text(int code, char *out, size_t size);

/* The sessions of a client context, one for each server name. */
void session_keep(struct tls_ctx *c, const char *name, mbedtls_ssl_context *ssl);
/* Offers the kept session, if there is one, in the handshake that is about to start. */
bool session_offer(struct tls_ctx *c, const char *name, mbedtls_ssl_context *ssl);
void session_forget(struct tls_ctx *c, const char *name);
void session_forget_all(struct tls_ctx *c);

#endif
