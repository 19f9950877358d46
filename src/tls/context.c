#include "tls/context.h"

#include <stdlib.h>

#include <mbedtls/error.h>
#include <mbedtls/psa_util.h>

#include "tls/context_int.h"
#include "tls/pem_int.h"

/* AES-128-GCM first: with AES-NI it is the cheapest for the peers, and theirs is the larger half of
 * the work (a client that prefers ChaCha20 is asked to do without). */
static const int suites[] = {
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};
/* X25519 first: several times faster than the NIST curves in this library. */
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, /* of providers' certificates; a server does without */
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};
static const uint16_t server_groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};
/* A server refuses a client that offers ALPN without this; who offers none is fine (RFC 7301 3.2).
 * Constant but for the type that the library asks for. */
static const char *alpn[] = {"http/1.1", NULL};

static const char *const system_roots[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
};

void
tls_error_text(int code, char *out, size_t size)
{
	mbedtls_strerror(code, out, size);
}

struct tls_ctx *
tls_ctx_new(bool is_server)
{
	struct tls_ctx *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->is_server = is_server;
	list_init(&c->sessions);
	mbedtls_ssl_config_init(&c->conf);
	mbedtls_x509_crt_init(&c->roots);
	return c;
}

static void
ctx_free(struct tls_ctx *c)
{
	session_forget_all(c);
	mbedtls_ssl_config_free(&c->conf);
	mbedtls_x509_crt_free(&c->roots);
	for (size_t i = 0; i < c->n_certificates; i++) {
		identity_unref(c->certificates[i].identity);
		free(c->certificates[i].file);
	}
	free(c->certificates);
	free(c);
}

int
tls_ctx_configure(struct tls_ctx *c)
{
	int r = mbedtls_ssl_config_defaults(&c->conf,
	    c->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
	    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (r != 0)
		return r;
	mbedtls_ssl_conf_rng(&c->conf, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
	mbedtls_ssl_conf_min_tls_version(&c->conf, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(&c->conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_tls13_key_exchange_modes(&c->conf,
	    MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL |
		MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
	mbedtls_ssl_conf_ciphersuites(&c->conf, suites);
	mbedtls_ssl_conf_groups(&c->conf, c->is_server ? server_groups : groups);
	return mbedtls_ssl_conf_alpn_protocols(&c->conf, alpn);
}

void
tls_ctx_use_roots(struct tls_ctx *c)
{
	c->has_roots = true;
	mbedtls_ssl_conf_ca_chain(&c->conf, &c->roots, NULL);
}

struct tls_ctx *
tls_client_new(const char *ca, char *detail, size_t detail_size)
{
	struct tls_ctx *c = tls_ctx_new(false);
	int r = tls_ctx_configure(c);

	if (r != 0) {
		tls_error_text(r, detail, detail_size);
		goto free_ctx;
	}
	mbedtls_ssl_conf_authmode(&c->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_session_tickets(&c->conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
	    &c->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	if (ca != NULL) {
		if (!pem_authorities(&c->roots, ca, &(struct pem_detail){detail, detail_size}))
			goto free_ctx;
		tls_ctx_use_roots(c);
	}
	return c;
free_ctx:
	ctx_free(c);
	return NULL;
}

/* Parsing 150 roots takes milliseconds, so it waits for the first connection that needs them. */
bool
tls_ctx_load_roots(struct tls_ctx *c)
{
	if (c->has_roots || c->roots_failure != NULL)
		return c->has_roots;
	for (size_t i = 0; i < COUNT_OF(system_roots); i++) {
		if (pem_certificates(&c->roots, system_roots[i]) >= 0 && c->roots.version != 0) {
			tls_ctx_use_roots(c);
			return true;
		}
	}
	c->roots_failure =
	    "this system has no root certificates (package ca-certificates; or set upstream.ca)";
	return false;
}

struct tls_ctx *
tls_ctx_ref(struct tls_ctx *c)
{
	c->refs++;
	return c;
}

void
tls_ctx_unref(struct tls_ctx *c)
{
	if (c != NULL && --c->refs == 0)
		ctx_free(c);
}
