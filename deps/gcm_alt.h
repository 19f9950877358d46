/*
 * The context of an AES-GCM key where ipsec-mb does the work (gcm_alt.c). mbedTLS' <mbedtls/gcm.h> includes this file in the
 * place of its own struct where MBEDTLS_GCM_ALT is set (mbedtls_config.h: x86_64). There is one for each direction of a TLS connection.
 */
#ifndef POSTERN_GCM_ALT_H
#define POSTERN_GCM_ALT_H

#include <stdint.h>

struct gcm_alt_code;

typedef struct mbedtls_gcm_context {
	/* What the library calls gcm_key_data, up to the last byte that its code for SSE uses: 15 round keys, 16 multiples of H. */
	unsigned char key[16 * 15 + 16 * 16] __attribute__((aligned(16)));
	/* gcm_context_data: the message that is being worked on. */
	unsigned char message[88] __attribute__((aligned(8)));
	const struct gcm_alt_code *code; /* for the key's length; null without a key */
	int mode;
} mbedtls_gcm_context;

#endif
