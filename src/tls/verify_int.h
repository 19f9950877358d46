/*
 * verify: what is learnt about a server's certificate beyond the library's verdict.
 */
#ifndef TLS_VERIFY_INT_H
#define TLS_VERIFY_INT_H

#include <stdbool.h>
#include <stdint.h>

#include <mbedtls/x509_crt.h>

#include "base/chk.h"

struct peer_check {
	const char *name;
	unsigned char ip[16]; /* when the name is a literal */
	size_t ip_len;        /* 4, 16, or 0: a name, which the library matches */
	bool is_self_signed;
	mbedtls_x509_time not_before, not_after; /* of the certificate that is not valid now */
};

/* For mbedtls_ssl_set_verify; ctx is the struct peer_check. */
int peer_check_certificate(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags);
/* One line from the flags of mbedtls_ssl_get_verify_result. */
void peer_check_text(const struct peer_check *p, uint32_t flags, char *out, size_t size);

#endif
