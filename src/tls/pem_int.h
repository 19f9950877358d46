/*
 * pem: certificates and keys out of PEM files, and in words why not.
 */
#ifndef TLS_PEM_INT_H
#define TLS_PEM_INT_H

#include <stdbool.h>
#include <stddef.h>

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "base/chk.h"

/* Where one line goes that names the file and its fault. */
struct pem_detail {
	char *text;
	size_t size;
};

/* Adds the file's certificates to crt. Negative: the code (FILE_IO_ERROR: see errno). Positive: so
 * many could not be read: in a bundle of roots no reason to do without the others. */
MUST_CHECK int pem_certificates(mbedtls_x509_crt *crt, const char *file);
/* All of them, for a server to show. */
MUST_CHECK bool pem_chain(mbedtls_x509_crt *chain, const char *file, const struct pem_detail *d);
MUST_CHECK bool pem_key(mbedtls_pk_context *key, const char *file, const struct pem_detail *d);
/* At least one, to trust. */
MUST_CHECK bool pem_authorities(
    mbedtls_x509_crt *roots, const char *file, const struct pem_detail *d);

#endif
