/*
 * identity: what a server can show itself with: a chain, its key, and the keys of the tickets that were
 * given out under it, so that tickets live as long as their certificate and work for it alone.
 *
 * Ownership: reference counted; a reload hands on the identities that stay.
 */
#ifndef TLS_IDENTITY_INT_H
#define TLS_IDENTITY_INT_H

#include <stdint.h>

#include <mbedtls/pk.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#include "base/span.h"
#include "config/config.h"
#include "tls/pem_int.h"

struct identity {
	unsigned refs;
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
	mbedtls_ssl_ticket_context tickets;
	/* Seconds since 1970, of the first certificate: what else is in the chain may be a cross-signed one
	 * that nobody misses. */
	int64_t from_s, until_s;
};

/* NULL on failure, and a line in d. */
struct identity *identity_new(const struct config_pair *files, const struct pem_detail *d);
struct identity *identity_ref(struct identity *id);
void identity_unref(struct identity *id); /* NULL is fine */
/* The same chain, byte for byte. */
bool identity_is_same(const struct identity *a, const struct identity *b);

/* How well it fits a name: exactly, by a wildcard of one label, or not. */
enum name_match { NAME_OTHER, NAME_WILD, NAME_EXACT };
enum name_match identity_match(const struct identity *id, struct span name);
/* The same of one name in a certificate. */
enum name_match name_match(struct span certified, struct span name);

#endif
