#include "tls/engine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include <mbedtls/error.h>

#include "base/buf.h"
#include "tls/context_int.h"
#include "tls/verify_int.h"

#define KEEP_CAP 4096                /* buffers that grew past this are given back when empty */
#define OUTPUT_MAX ((size_t)1 << 40) /* the writer's source is what is bounded */

/*
 * Invariants
 * 1. The library never waits for output: on_send takes everything. So WANT_WRITE, and with it the
 *    rule to repeat a blocked write with the same arguments, does not exist here.
 * 2. `starved` is true only after on_recv had nothing: WANT_READ alone does not mean that (the
 *    library returns it between two messages that are both here).
 * 3. Once `end` is TLS_END or TLS_FAILED, reading answers that for ever.
 */
struct tls {
	mbedtls_ssl_context ssl;
	struct tls_ctx *ctx;
	struct identity *identity; /* of a server; the context's */
	struct buf in, out;
	bool starved, resumed, offered, is_over, has_notified;
	enum tls_result end; /* TLS_OK while there is none */
	char *name;
	struct peer_check peer;
	char detail[224];
};

static int
on_send(void *ctx, const unsigned char *p, size_t n)
{
	struct tls *t = ctx;

	if (n > INT32_MAX)
		n = INT32_MAX;
	return buf_put(&t->out, p, n) ? (int)n : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static int
on_recv(void *ctx, unsigned char *p, size_t n)
{
	struct tls *t = ctx;
	struct span have = span_head(buf_view(&t->in), n);

	if (have.n == 0) {
		t->starved = true;
		return MBEDTLS_ERR_SSL_WANT_READ;
	}
	memcpy(p, have.p, have.n);
	buf_drop(&t->in, have.n);
	return (int)have.n;
}

static void
give_back(struct buf *b)
{
	if (buf_len(b) == 0 && b->cap > KEEP_CAP)
		buf_fini(b);
}

/* ---- what the library's codes mean ---- */

static const char *
alert_name(unsigned char alert)
{
	static const struct {
		unsigned char alert;
		const char *name;
	} names[] = {
	    {MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE, "unexpected_message"},
	    {MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC, "bad_record_mac"},
	    {MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE, "handshake_failure"},
	    {MBEDTLS_SSL_ALERT_MSG_BAD_CERT, "bad_certificate"},
	    {MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, "certificate_expired"},
	    {MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN, "certificate_unknown"},
	    {MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA, "unknown_ca"},
	    {MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR, "decrypt_error"},
	    {MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION, "protocol_version"},
	    {MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR, "internal_error"},
	    {MBEDTLS_SSL_ALERT_MSG_MISSING_EXTENSION, "missing_extension"},
	    {MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME, "unrecognized_name"},
	    {MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
	    {MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED, "certificate_required"},
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (names[i].alert == alert)
			return names[i].name;
	}
	return "unknown";
}

static void
describe_alert(struct tls *t)
{
	/* The body of the alert is still where the library decrypted it. */
	unsigned char alert = t->ssl.MBEDTLS_PRIVATE(in_msg)[1];

	snprintf(t->detail, sizeof(t->detail), "the peer gave up with the TLS alert %s (%u)",
	    alert_name(alert), alert);
}

static void
describe(struct tls *t, int code)
{
	const char *text = NULL;

	if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
		peer_check_text(
		    &t->peer, mbedtls_ssl_get_verify_result(&t->ssl), t->detail, sizeof(t->detail));
		return;
	}
	if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		describe_alert(t);
		return;
	}
	if (code == MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL)
		text = "the peer offers no application protocol but others than http/1.1";
	else if (code == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION)
		text = "no TLS version in common: 1.2 and 1.3 are spoken here";
	else if (code == MBEDTLS_ERR_SSL_INVALID_RECORD && !t->is_over)
		text = "the peer does not speak TLS";
	else if (code == MBEDTLS_ERR_SSL_INVALID_MAC)
		/* This library's own client sends its handshake alerts in the clear under 1.3. */
		text = t->is_over ? "a record was damaged or forged"
				  : "the peer gave up, or a record was damaged";
	if (text != NULL)
		snprintf(t->detail, sizeof(t->detail), "%s", text);
	else
		tls_error_text(code, t->detail, sizeof(t->detail));
}

static enum tls_result
fail(struct tls *t, int code)
{
	describe(t, code);
	/* A session that the server chokes on must not spoil the next attempt too. */
	if (t->offered && !t->is_over)
		session_forget(t->ctx, t->name);
	t->end = TLS_FAILED;
	return TLS_FAILED;
}

/* The one place that reads result codes. TLS_OK: the call may be repeated at once. */
static enum tls_result
settle(struct tls *t, int code)
{
	switch (code) {
	case MBEDTLS_ERR_SSL_WANT_READ:
		return t->starved ? TLS_WANT : TLS_OK;
	case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET:
		session_keep(t->ctx, t->name, &t->ssl);
		return TLS_OK;
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
		if (!t->is_over)
			return fail(t, code);
		t->end = TLS_END;
		return TLS_END;
	default: /* WANT_WRITE is among these: see invariant 1 */
		return fail(t, code);
	}
}

/* ---- life ---- */

static int
set_name(struct tls *t, const char *name)
{
	t->name = xstrdup(name);
	t->peer.name = t->name;
	if (inet_pton(AF_INET, name, t->peer.ip) == 1)
		t->peer.ip_len = 4;
	else if (inet_pton(AF_INET6, name, t->peer.ip) == 1)
		t->peer.ip_len = 16;
	mbedtls_ssl_set_verify(&t->ssl, peer_check_certificate, &t->peer);
	return mbedtls_ssl_set_hostname(&t->ssl, t->peer.ip_len > 0 ? NULL : name);
}

/* Without a name nothing would be verified: that is a mistake of ours, not of a peer. */
static int
set_up_client(struct tls *t, const char *name)
{
	CHK(name != NULL && *name != '\0');
	if (!tls_ctx_load_roots(t->ctx)) {
		snprintf(t->detail, sizeof(t->detail), "%s", t->ctx->roots_failure);
		t->end = TLS_FAILED;
	}
	return set_name(t, name);
}

struct tls *
tls_new(struct tls_ctx *ctx, const char *name)
{
	struct tls *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL)
		return NULL;
	t->ctx = tls_ctx_ref(ctx);
	t->identity = ctx->is_server ? ctx->certificates[0].identity : NULL;
	t->resumed = true; /* until a certificate is seen */
	buf_init(&t->in, TLS_INPUT_MAX);
	buf_init(&t->out, OUTPUT_MAX);
	mbedtls_ssl_init(&t->ssl);
	r = mbedtls_ssl_setup(&t->ssl, &ctx->conf);
	if (r == 0 && ctx->is_server)
		mbedtls_ssl_set_verify(&t->ssl, peer_check_certificate, &t->peer);
	else if (r == 0)
		r = set_up_client(t, name);
	if (r != 0) {
		tls_free(t);
		return NULL;
	}
	mbedtls_ssl_set_bio(&t->ssl, t, on_send, on_recv, NULL);
	return t;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	mbedtls_ssl_free(&t->ssl);
	buf_fini(&t->in);
	buf_fini(&t->out);
	free(t->name);
	tls_ctx_unref(t->ctx);
	free(t);
}

/* ---- bytes ---- */

size_t
tls_room(const struct tls *t)
{
	return TLS_INPUT_MAX - buf_len(&t->in);
}

size_t
tls_feed(struct tls *t, struct span cipher)
{
	size_t n = span_head(cipher, tls_room(t)).n;

	return buf_put(&t->in, cipher.p, n) ? n : 0;
}

static unsigned char
alert_of(uint32_t flags)
{
	if ((flags & MBEDTLS_X509_BADCERT_MISSING) != 0)
		return MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED;
	if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0)
		return MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
	return (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0 ? MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA
							       : MBEDTLS_SSL_ALERT_MSG_BAD_CERT;
}

/* Where a certificate may be missing, and under TLS 1.3, the library only takes note of what is wrong. */
static enum tls_result
judge_client(struct tls *t)
{
	uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);

	if (flags == 0 ||
	    (flags == MBEDTLS_X509_BADCERT_MISSING && t->ctx->clients == CLIENTS_REQUEST))
		return TLS_OK;
	(void)mbedtls_ssl_send_alert_message(
	    &t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_of(flags));
	return fail(t, MBEDTLS_ERR_X509_CERT_VERIFY_FAILED);
}

static enum tls_result
finish_handshake(struct tls *t)
{
	t->is_over = true;
	if (t->ctx->clients != CLIENTS_OFF && judge_client(t) != TLS_OK)
		return TLS_FAILED;
	if (!t->ctx->is_server) {
		/* REQUIRED has seen to it already; a resumed session carries its own verdict. */
		if (mbedtls_ssl_get_verify_result(&t->ssl) != 0)
			return fail(t, MBEDTLS_ERR_X509_CERT_VERIFY_FAILED);
		if (mbedtls_ssl_get_version_number(&t->ssl) == MBEDTLS_SSL_VERSION_TLS1_2)
			session_keep(t->ctx, t->name, &t->ssl);
	}
	give_back(&t->in);
	return TLS_OK;
}

/* Not before its first step: of many that wait for theirs the first ones bring the others a session. */
static void
offer_session(struct tls *t)
{
	if (!t->ctx->is_server && t->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_HELLO_REQUEST)
		t->offered = session_offer(t->ctx, t->name, &t->ssl);
}

enum tls_result
tls_handshake(struct tls *t)
{
	if (t->end != TLS_OK)
		return t->end;
	t->starved = false;
	offer_session(t);
	while (!mbedtls_ssl_is_handshake_over(&t->ssl) ||
	    t->ssl.MBEDTLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER) {
		int r;

		if (t->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE)
			t->resumed = false;
		t->ctx->now = t->identity;
		r = mbedtls_ssl_handshake_step(&t->ssl);
		t->identity = t->ctx->now; /* the client may have named another */
		if (r != 0) {
			enum tls_result result = settle(t, r);

			if (result != TLS_OK)
				return result;
		}
	}
	return t->is_over ? TLS_OK : finish_handshake(t);
}

enum tls_result
tls_read(struct tls *t, char *out, size_t size, size_t *n)
{
	enum tls_result result = TLS_OK;

	*n = 0;
	if (t->end != TLS_OK)
		return t->end;
	t->starved = false;
	while (result == TLS_OK) {
		int r = mbedtls_ssl_read(&t->ssl, (unsigned char *)out, size);

		if (r > 0) {
			*n = (size_t)r;
			break;
		}
		result = settle(t, r);
	}
	give_back(&t->in);
	return result;
}

enum tls_result
tls_write(struct tls *t, struct span plain)
{
	CHK(t->is_over && !t->has_notified);
	if (t->end == TLS_FAILED)
		return TLS_FAILED;
	/* An empty write would put an empty record on the wire. */
	while (plain.n > 0) {
		int r = mbedtls_ssl_write(&t->ssl, (const unsigned char *)plain.p, plain.n);

		if (r <= 0)
			return fail(t, r);
		plain = span_skip(plain, (size_t)r);
	}
	return TLS_OK;
}

void
tls_shutdown(struct tls *t)
{
	if (!t->is_over || t->has_notified || t->end == TLS_FAILED)
		return;
	t->has_notified = true;
	if (mbedtls_ssl_close_notify(&t->ssl) != 0)
		t->end = TLS_FAILED;
}

struct span
tls_output(const struct tls *t)
{
	return buf_view(&t->out);
}

void
tls_output_drop(struct tls *t, size_t n)
{
	buf_drop(&t->out, n);
	give_back(&t->out);
}

const char *
tls_detail(const struct tls *t)
{
	return t->detail;
}

bool
tls_is_resumed(const struct tls *t)
{
	return t->is_over && t->resumed;
}
