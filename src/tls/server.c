#include "tls/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tls/context_int.h"

/* ---- of one handshake ---- */

/* `now` is the identity of the handshake that takes a step: the library's callbacks for tickets are
 * told of the context only. */
static int
on_name(void *ctx, mbedtls_ssl_context *ssl, const unsigned char *p, size_t n)
{
	struct tls_ctx *c = ctx;
	enum name_match best = NAME_OTHER;
	size_t found = 0;

	for (size_t i = 0; i < c->n_certificates && best != NAME_EXACT; i++) {
		enum name_match m =
		    identity_match(c->certificates[i].identity, span_of((const char *)p, n));

		if (m > best) {
			best = m;
			found = i;
		}
	}
	c->now = c->certificates[found].identity;
	return mbedtls_ssl_set_hs_own_cert(ssl, &c->now->chain, &c->now->key);
}

static int
on_ticket_write(void *ctx, const mbedtls_ssl_session *session, unsigned char *start,
    const unsigned char *end, size_t *n, uint32_t *lifetime)
{
	struct tls_ctx *c = ctx;

	return mbedtls_ssl_ticket_write(&c->now->tickets, session, start, end, n, lifetime);
}

static int
on_ticket_parse(void *ctx, mbedtls_ssl_session *session, unsigned char *p, size_t n)
{
	struct tls_ctx *c = ctx;

	return mbedtls_ssl_ticket_parse(&c->now->tickets, session, p, n);
}

/* Under TLS 1.3 the library's alert about a certificate comes with keys that the client has left behind:
 * it would see damage, not a reason. There the engine judges, when the handshake is over. */
static int
on_hello(mbedtls_ssl_context *ssl)
{
	if (mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3)
		mbedtls_ssl_set_hs_authmode(ssl, MBEDTLS_SSL_VERIFY_OPTIONAL);
	return 0;
}

/* ---- the context ---- */

struct making {
	struct tls_ctx *c;
	const struct tls_ctx *old;
	bool keeps_tickets;
	struct pem_detail detail;
};

static bool
is_in_its_dates(const struct identity *id, const char *file, const struct pem_detail *d)
{
	int64_t now_s = clock_wall_ms() / 1000;
	bool has_begun = id->from_s <= now_s;
	char date[CLOCK_RFC3339_SIZE];

	if (has_begun && id->until_s > now_s)
		return true;
	clock_rfc3339((has_begun ? id->until_s : id->from_s) * 1000, date);
	snprintf(d->text, d->size, "%s: the certificate %s %.10s", file,
	    has_begun ? "expired on" : "is not valid before", date);
	return false;
}

static struct identity *
find_same(const struct tls_ctx *old, const struct identity *id)
{
	for (size_t i = 0; old != NULL && i < old->n_certificates; i++)
		if (identity_is_same(old->certificates[i].identity, id))
			return old->certificates[i].identity;
	return NULL;
}

static bool
add_identity(struct making *m, const struct config_pair *files)
{
	struct identity *id = identity_new(files, &m->detail), *same;
	struct tls_ctx *c = m->c;

	if (id == NULL)
		return false;
	same = find_same(m->old, id);
	if (m->old != NULL && same == NULL &&
	    !is_in_its_dates(id, files->certificate, &m->detail)) {
		identity_unref(id);
		return false;
	}
	if (same != NULL && m->keeps_tickets) {
		identity_unref(id);
		id = identity_ref(same);
	}
	c->certificates[c->n_certificates++] = (struct certificate){
	    .file = xstrdup(files->certificate), .identity = id, .is_new = same == NULL};
	return true;
}

static bool
ask_clients(struct making *m, const struct config_listen *l)
{
	struct tls_ctx *c = m->c;

	c->clients = l->client_certificates;
	if (c->clients == CLIENTS_OFF)
		return true;
	if (!pem_authorities(&c->roots, l->client_ca, &m->detail))
		return false;
	tls_ctx_use_roots(c);
	mbedtls_ssl_conf_authmode(&c->conf,
	    c->clients == CLIENTS_REQUIRE ? MBEDTLS_SSL_VERIFY_REQUIRED
					  : MBEDTLS_SSL_VERIFY_OPTIONAL);
	mbedtls_ssl_conf_cert_cb(&c->conf, on_hello);
	return true;
}

static int
configure_server(struct tls_ctx *c)
{
	struct identity *first = c->certificates[0].identity;

	mbedtls_ssl_conf_sni(&c->conf, on_name, c);
	if (c->clients == CLIENTS_OFF)
		mbedtls_ssl_conf_session_tickets_cb(&c->conf, on_ticket_write, on_ticket_parse, c);
	mbedtls_ssl_conf_new_session_tickets(&c->conf, c->clients == CLIENTS_OFF ? 1 : 0);
	return mbedtls_ssl_conf_own_cert(&c->conf, &first->chain, &first->key);
}

static bool
make(struct making *m, const struct config_listen *l)
{
	struct tls_ctx *c = m->c;
	int r = tls_ctx_configure(c);

	if (!ask_clients(m, l))
		return false;
	/* One from a time when clients showed nothing is worth nothing now. */
	m->keeps_tickets =
	    m->old != NULL && m->old->clients == CLIENTS_OFF && c->clients == CLIENTS_OFF;
	c->certificates = xcalloc(l->n_tls, sizeof(*c->certificates));
	for (size_t i = 0; i < l->n_tls; i++)
		if (!add_identity(m, &l->tls[i]))
			return false;
	c->now = c->certificates[0].identity;
	if (r == 0)
		r = configure_server(c);
	if (r != 0)
		tls_error_text(r, m->detail.text, m->detail.size);
	return r == 0;
}

struct tls_ctx *
tls_server_new(const struct config_listen *l, struct tls_ctx *old, char *detail, size_t detail_size)
{
	struct making m = {.c = tls_ctx_new(true), .old = old, .detail = {detail, detail_size}};

	if (make(&m, l))
		return m.c;
	tls_ctx_unref(m.c);
	return NULL;
}

size_t
tls_server_count(const struct tls_ctx *c)
{
	return c->n_certificates;
}

struct tls_server_certificate
tls_server_certificate(const struct tls_ctx *c, size_t i)
{
	const struct certificate *one = &c->certificates[i];

	return (struct tls_server_certificate){
	    .file = one->file, .until_s = one->identity->until_s, .is_new = one->is_new};
}
