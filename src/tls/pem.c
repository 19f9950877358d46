#include "tls/pem_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/pem.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>

#include "tls/context_int.h"

#define PEM_MAX (4u << 20)

static void
say(const struct pem_detail *d, const char *file, const char *what)
{
	snprintf(d->text, d->size, "%s: %s", file, what);
}

static void
say_code(const struct pem_detail *d, const char *file, int code)
{
	char text[128];

	tls_error_text(code, text, sizeof(text));
	say(d, file, text);
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

int
pem_certificates(mbedtls_x509_crt *crt, const char *file)
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

bool
pem_chain(mbedtls_x509_crt *chain, const char *file, const struct pem_detail *d)
{
	int r = pem_certificates(chain, file);

	if (r == 0)
		return true;
	if (r == MBEDTLS_ERR_X509_FILE_IO_ERROR)
		say(d, file, strerror(errno));
	else if (r > 0)
		say(d, file, "one of its certificates cannot be read");
	else if (r == MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT)
		say(d, file, "no PEM certificate in it");
	else
		say_code(d, file, r);
	return false;
}

bool
pem_key(mbedtls_pk_context *key, const char *file, const struct pem_detail *d)
{
	size_t n;
	char *text = slurp(file, &n);
	int r;

	if (text == NULL) {
		say(d, file, strerror(errno));
		return false;
	}
	r = mbedtls_pk_parse_key(key, (const unsigned char *)text, n, NULL, 0,
	    mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
	forget(text, n);
	if (r == 0)
		return true;
	if (r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
		say(d, file, "the key is encrypted with a password");
	else if (r == MBEDTLS_ERR_PK_KEY_INVALID_FORMAT)
		say(d, file, "no PEM private key in it (EC and RSA keys are understood)");
	else
		say_code(d, file, r);
	return false;
}

bool
pem_authorities(mbedtls_x509_crt *roots, const char *file, const struct pem_detail *d)
{
	int r = pem_certificates(roots, file);

	if (r >= 0 && roots->version != 0)
		return true;
	if (r == MBEDTLS_ERR_X509_FILE_IO_ERROR)
		say(d, file, strerror(errno));
	else if (r == MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT)
		say(d, file, "no PEM certificate in it");
	else
		say_code(d, file, r);
	return false;
}
