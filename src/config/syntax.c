#include "config/syntax_int.h"

#include <stdint.h>

/* Bytes of the UTF-8 character at p, its code in *code; 0 when it is none (RFC 3629). */
static size_t
utf8_read(const unsigned char *p, size_t n, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1
	    : p[0] < 0xc2        ? 0
	    : p[0] < 0xe0        ? 2
	    : p[0] < 0xf0        ? 3
	    : p[0] < 0xf5        ? 4
				 : 0;

	if (len == 0 || len > n)
		return 0;
	*code = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code < smallest[len] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return len;
}

/* YAML 1.1 folds U+0085, U+2028 and U+2029 like line breaks, and has no C1 controls, BOM or
 * noncharacters. */
static bool
is_printable(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	return c != 0x2028 && c != 0x2029 && c != 0xfeff && c != 0xfffe && c != 0xffff;
}

const char *
syntax_text(struct span s)
{
	uint32_t code = 0;
	size_t len;

	if (s.n == 0)
		return "is empty; write a value or remove the key";
	for (size_t i = 0; i < s.n; i += len) {
		len = utf8_read((const unsigned char *)s.p + i, s.n - i, &code);
		if (len == 0)
			return "is not UTF-8 text; write it in UTF-8";
		if (!is_printable(code))
			return "has a line break or another control character; remove it";
	}
	return NULL;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Are all bytes of s letters, digits or one of `more`? */
static bool
is_made_of(struct span s, const char *more)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && !is_digit(s.p[i]) &&
		    (s.p[i] == '\0' || strchr(more, s.p[i]) == NULL))
			return false;
	return true;
}

const char *
syntax_path(struct span s)
{
	if (s.n > 0 && s.p[0] == '~')
		return "begins with '~', which only a shell expands; write ${HOME} instead";
	return s.n > 4096 ? "is longer than 4096 bytes; shorten it" : NULL;
}

const char *
syntax_host(struct span s)
{
	if (s.n > 253 || !is_made_of(s, "._-"))
		return "has a value that is not a host name; write it without port, as in gateway.example.com";
	return NULL;
}

const char *
syntax_gateway_name(struct span s)
{
	if (s.n == 0 || s.n > 64 || !is_made_of(s, "._-") || !is_made_of(span_head(s, 1), ""))
		return "is not a name of a gateway; use up to 64 letters, digits, '.', '_' and '-', a letter "
		       "or digit first";
	return NULL;
}

const char *
syntax_provider_slug(struct span s)
{
	static const char *const reserved[] = {"v1", "compat", "client"};

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return "is not a name of a provider; use small letters";
	if (s.n == 0 || s.n > 63 || !is_made_of(s, "_-") || !is_made_of(span_head(s, 1), ""))
		return "is not a name of a provider; use up to 63 of a-z, 0-9, '_' and '-', a letter or digit "
		       "first";
	/* Their paths are others' (design.md 3.3): such a provider could not be reached. */
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (span_eq(s, span_str(reserved[i])))
			return "is a path of Postern's own, not a name for a provider; choose another";
	return NULL;
}
