/*
 * Why a certificate is not acceptable, in words, and the match of IP literals.
 */
#include "tls/verify_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mbedtls/oid.h>

/* The library would send an IP literal as SNI, which RFC 6066 3 forbids and strict servers refuse;
 * so for literals it gets no name, and the match is made here. */
static bool
has_ip(const mbedtls_x509_crt *crt, const struct peer_check *p)
{
	const mbedtls_x509_sequence *san = &crt->subject_alt_names;

	if ((crt->MBEDTLS_PRIVATE(ext_types) & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME) == 0)
		return false;
	for (; san != NULL; san = san->next) {
		if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    san->buf.len == p->ip_len && memcmp(san->buf.p, p->ip, p->ip_len) == 0)
			return true;
	}
	return false;
}

static bool
is_self_signed(const mbedtls_x509_crt *crt)
{
	return crt->issuer_raw.len == crt->subject_raw.len &&
	    memcmp(crt->issuer_raw.p, crt->subject_raw.p, crt->subject_raw.len) == 0;
}

/* Called for each certificate of the chain, the root first, the server's own (depth 0) last. */
int
peer_check_certificate(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct peer_check *p = ctx;

	if ((*flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0)
		p->not_after = crt->valid_to;
	if ((*flags & MBEDTLS_X509_BADCERT_FUTURE) != 0)
		p->not_before = crt->valid_from;
	if (depth != 0)
		return 0;
	p->is_self_signed = is_self_signed(crt);
	if (p->ip_len > 0 && !has_ip(crt, p))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	return 0;
}

struct text {
	char *p;
	size_t room;
};

static void PRINTF_LIKE(2, 3) add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p, t->room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->room)
		n = (int)t->room - 1;
	t->p += n;
	t->room -= (size_t)n;
}

void
peer_check_text(const struct peer_check *p, uint32_t flags, char *out, size_t size)
{
	struct text t = {out, size};
	const uint32_t told = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE |
	    MBEDTLS_X509_BADCERT_CN_MISMATCH | MBEDTLS_X509_BADCERT_NOT_TRUSTED;
	const mbedtls_x509_time *day;

	add(&t, "the certificate is not acceptable");
	day = &p->not_after;
	if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0)
		add(&t, ": it expired on %04d-%02d-%02d", day->year, day->mon, day->day);
	day = &p->not_before;
	if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0)
		add(&t, ": it is not valid before %04d-%02d-%02d", day->year, day->mon, day->day);
	if ((flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0)
		add(&t, ": it is not for the name %s", p->name);
	if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0)
		add(&t,
		    p->is_self_signed ? ": it is self-signed" : ": its issuer is an unknown CA");
	if ((flags & ~told) != 0)
		add(&t,
		    ": a key or signature in the chain is too weak, or a use is not allowed (0x%x)",
		    (unsigned)(flags & ~told));
}
