#include "tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/error.h>
#include <mbedtls/pem.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>

#include "tls/context_int.h"

#define PEM_MAX (4u << 20)
#define TICKET_SECONDS (12u * 3600) /* a key serves that long, and as long again for reading */

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
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
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

static struct tls_ctx *
ctx_new(bool is_server)
{
	struct tls_ctx *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->is_server = is_server;
	list_init(&c->sessions);
	mbedtls_ssl_config_init(&c->conf);
	mbedtls_x509_crt_init(&c->chain);
	mbedtls_x509_crt_init(&c->roots);
	mbedtls_pk_init(&c->key);
	mbedtls_ssl_ticket_init(&c->tickets);
	return c;
}

static void
ctx_free(struct tls_ctx *c)
{
	session_forget_all(c);
	mbedtls_ssl_config_free(&c->conf);
	mbedtls_ssl_ticket_free(&c->tickets);
	mbedtls_pk_free(&c->key);
	mbedtls_x509_crt_free(&c->chain);
	mbedtls_x509_crt_free(&c->roots);
	free(c);
}

/* The policy of the header, the same for both sides. */
static int
configure(struct tls_ctx *c)
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
	mbedtls_ssl_conf_groups(&c->conf, groups);
	return mbedtls_ssl_conf_alpn_protocols(&c->conf, alpn);
}

static void
say(char *detail, size_t size, const char *file, const char *what)
{
	snprintf(detail, size, "%s: %s", file, what);
}

static void
say_code(char *detail, size_t size, const char *file, int code)
{
	char text[128];

	tls_error_text(code, text, sizeof(text));
	say(detail, size, file, text);
}

static bool
read_whole(int fd, char *out, size_t room, size_t *n)
{
	ssize_t got;

	for (*n = 0; *n < room; *n += (size_t)got) {
		got = read(fd, out + *n, room - *n);
		if (got < 0 && errno == EINTR)
			got = 0;
		else if (got <= 0)
			return got == 0;
	}
	errno = EFBIG;
	return false;
}

/* The file with a NUL behind it, as the PEM parser wants it; *n counts the NUL. NULL: errno. */
static char *
slurp(const char *file, size_t *n)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *text;

	if (fd < 0)
		return NULL;
	text = xcalloc(1, PEM_MAX + 1);
	if (!read_whole(fd, text, PEM_MAX, n)) {
		int saved = errno;

		mbedtls_platform_zeroize(text, *n);
		free(text);
		close(fd);
		errno = saved;
		return NULL;
	}
	close(fd);
	++*n;
	return text;
}

static void
forget(char *text, size_t n)
{
	mbedtls_platform_zeroize(text, n);
	free(text);
}

/* Adds the file's certificates to crt. Negative: the code (FILE_IO_ERROR: see errno). Positive: so
 * many could not be read: in a bundle of roots no reason to do without the others. */
static int
load_certificates(mbedtls_x509_crt *crt, const char *file)
{
	size_t n;
	char *text = slurp(file, &n);
	int r;

	if (text == NULL)
		return MBEDTLS_ERR_X509_FILE_IO_ERROR;
	/* The parser would take it for DER, and say so. */
	if (strstr(text, "-----BEGIN CERTIFICATE-----") == NULL)
		r = MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT;
	else
		r = mbedtls_x509_crt_parse(crt, (const unsigned char *)text, n);
	free(text);
	return r;
}

static bool
load_chain(struct tls_ctx *c, const char *file, char *detail, size_t size)
{
	int r = load_certificates(&c->chain, file);

	if (r == 0)
		return true;
	if (r == MBEDTLS_ERR_X509_FILE_IO_ERROR)
		say(detail, size, file, strerror(errno));
	else if (r > 0)
		say(detail, size, file, "one of its certificates cannot be read");
	else if (r == MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT)
		say(detail, size, file, "no PEM certificate in it");
	else
		say_code(detail, size, file, r);
	return false;
}

static bool
load_key(struct tls_ctx *c, const char *file, char *detail, size_t size)
{
	size_t n;
	char *text = slurp(file, &n);
	int r;

	if (text == NULL) {
		say(detail, size, file, strerror(errno));
		return false;
	}
	r = mbedtls_pk_parse_key(&c->key, (const unsigned char *)text, n, NULL, 0,
	    mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
	forget(text, n);
	if (r == 0)
		return true;
	if (r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
		say(detail, size, file, "the key is encrypted with a password");
	else if (r == MBEDTLS_ERR_PK_KEY_INVALID_FORMAT)
		say(detail, size, file,
		    "no PEM private key in it (EC and RSA keys are understood)");
	else
		say_code(detail, size, file, r);
	return false;
}

static bool
load_pair(struct tls_ctx *c, const char *files[2], char *detail, size_t size)
{
	if (!load_chain(c, files[0], detail, size) || !load_key(c, files[1], detail, size))
		return false;
	if (mbedtls_pk_check_pair(
		&c->chain.pk, &c->key, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) == 0)
		return true;
	snprintf(detail, size, "%s: the key does not belong to the first certificate of %s",
	    files[1], files[0]);
	return false;
}

static int
configure_server(struct tls_ctx *c)
{
	int r = configure(c);

	if (r == 0)
		r = mbedtls_ssl_ticket_setup(&c->tickets, mbedtls_psa_get_random,
		    MBEDTLS_PSA_RANDOM_STATE, MBEDTLS_CIPHER_AES_256_GCM, TICKET_SECONDS);
	if (r != 0)
		return r;
	mbedtls_ssl_conf_session_tickets_cb(
	    &c->conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &c->tickets);
	mbedtls_ssl_conf_new_session_tickets(&c->conf, 1);
	return mbedtls_ssl_conf_own_cert(&c->conf, &c->chain, &c->key);
}

struct tls_ctx *
tls_server_new(const char *certificate, const char *key, char *detail, size_t detail_size)
{
	struct tls_ctx *c = ctx_new(true);
	const char *files[2] = {certificate, key};
	int r;

	if (!load_pair(c, files, detail, detail_size))
		goto free_ctx;
	r = configure_server(c);
	if (r != 0) {
		say_code(detail, detail_size, certificate, r);
		goto free_ctx;
	}
	return c;
free_ctx:
	ctx_free(c);
	return NULL;
}

static void
use_roots(struct tls_ctx *c)
{
	c->has_roots = true;
	mbedtls_ssl_conf_ca_chain(&c->conf, &c->roots, NULL);
}

static bool
load_ca(struct tls_ctx *c, const char *ca, char *detail, size_t size)
{
	int r = load_certificates(&c->roots, ca);

	if (r >= 0 && c->roots.version != 0) {
		use_roots(c);
		return true;
	}
	if (r == MBEDTLS_ERR_X509_FILE_IO_ERROR)
		say(detail, size, ca, strerror(errno));
	else if (r == MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT)
		say(detail, size, ca, "no PEM certificate in it");
	else
		say_code(detail, size, ca, r);
	return false;
}

struct tls_ctx *
tls_client_new(const char *ca, char *detail, size_t detail_size)
{
	struct tls_ctx *c = ctx_new(false);
	int r = configure(c);

	if (r != 0) {
		say_code(detail, detail_size, "TLS", r);
		goto free_ctx;
	}
	mbedtls_ssl_conf_authmode(&c->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_session_tickets(&c->conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
	    &c->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	if (ca != NULL && !load_ca(c, ca, detail, detail_size))
		goto free_ctx;
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
		if (load_certificates(&c->roots, system_roots[i]) >= 0 && c->roots.version != 0) {
			use_roots(c);
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
