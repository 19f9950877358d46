#include "tls/identity_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/oid.h>
#include <mbedtls/psa_util.h>

#include "tls/context_int.h"

#define TICKET_SECONDS (12u * 3600) /* a key serves that long, and as long again for reading */

static int64_t
seconds_of(const mbedtls_x509_time *t)
{
	struct tm tm = {.tm_year = t->year - 1900,
	    .tm_mon = t->mon - 1,
	    .tm_mday = t->day,
	    .tm_hour = t->hour,
	    .tm_min = t->min,
	    .tm_sec = t->sec};

	return timegm(&tm);
}

static bool
load(struct identity *id, const struct config_pair *files, const struct pem_detail *d)
{
	if (!pem_chain(&id->chain, files->certificate, d) || !pem_key(&id->key, files->key, d))
		return false;
	if (mbedtls_pk_check_pair(
		&id->chain.pk, &id->key, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) == 0)
		return true;
	snprintf(d->text, d->size, "%s: the key does not belong to the first certificate of %s",
	    files->key, files->certificate);
	return false;
}

struct identity *
identity_new(const struct config_pair *files, const struct pem_detail *d)
{
	struct identity *id = xcalloc(1, sizeof(*id));
	int r;

	id->refs = 1;
	mbedtls_x509_crt_init(&id->chain);
	mbedtls_pk_init(&id->key);
	mbedtls_ssl_ticket_init(&id->tickets);
	if (!load(id, files, d))
		goto free_identity;
	id->from_s = seconds_of(&id->chain.valid_from);
	id->until_s = seconds_of(&id->chain.valid_to);
	r = mbedtls_ssl_ticket_setup(&id->tickets, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE,
	    MBEDTLS_CIPHER_AES_256_GCM, TICKET_SECONDS);
	if (r == 0)
		return id;
	tls_error_text(r, d->text, d->size);
free_identity:
	identity_unref(id);
	return NULL;
}

struct identity *
identity_ref(struct identity *id)
{
	id->refs++;
	return id;
}

void
identity_unref(struct identity *id)
{
	if (id == NULL || --id->refs != 0)
		return;
	mbedtls_ssl_ticket_free(&id->tickets);
	mbedtls_pk_free(&id->key);
	mbedtls_x509_crt_free(&id->chain);
	free(id);
}

bool
identity_is_same(const struct identity *a, const struct identity *b)
{
	const mbedtls_x509_crt *x = &a->chain, *y = &b->chain;

	while (x != NULL && y != NULL && x->raw.len == y->raw.len &&
	    memcmp(x->raw.p, y->raw.p, x->raw.len) == 0) {
		x = x->next;
		y = y->next;
	}
	return x == NULL && y == NULL;
}

/* ---- names ---- */

enum name_match
name_match(struct span certified, struct span name)
{
	size_t dot = span_find(name, '.');

	if (span_eq_nocase(certified, name))
		return NAME_EXACT;
	/* RFC 9525 6.3: the star is the whole of the first label, and stands for exactly one. */
	if (!span_starts(certified, SPAN_LIT("*.")) || dot == 0 || dot == name.n)
		return NAME_OTHER;
	return span_eq_nocase(span_skip(certified, 1), span_skip(name, dot)) ? NAME_WILD
									     : NAME_OTHER;
}

enum name_match
identity_match(const struct identity *id, struct span name)
{
	const mbedtls_x509_sequence *san = &id->chain.subject_alt_names;
	enum name_match best = NAME_OTHER;

	if (!mbedtls_x509_crt_has_ext_type(&id->chain, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
		return NAME_OTHER;
	for (; san != NULL && best != NAME_EXACT; san = san->next) {
		enum name_match m;

		if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) != MBEDTLS_X509_SAN_DNS_NAME)
			continue;
		m = name_match(span_of((const char *)san->buf.p, san->buf.len), name);
		if (m > best)
			best = m;
	}
	return best;
}
