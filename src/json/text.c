#include "json/text_int.h"

/* The escape of a control byte, quote or backslash, written to e; returns its length. */
static size_t
escape(unsigned char c, char e[6])
{
	static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	e[0] = '\\';
	for (size_t i = 0; i + 1 < sizeof(names); i += 2) {
		if ((unsigned char)names[i] == c) {
			e[1] = names[i + 1];
			return 2;
		}
	}
	memcpy(e + 1, "u00", 3);
	e[4] = "0123456789abcdef"[c >> 4];
	e[5] = "0123456789abcdef"[c & 15];
	return 6;
}

/* ---- plain bytes: most of most bodies, so these are looked at many at a time ---- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

#ifdef __SSE2__
/* Nothing is looked at where there are not 16. The last ones are with some before them that are known to be plain. */
static size_t
plain_wide(struct span s, uint64_t *high)
{
	__m128i seen = _mm_setzero_si128();
	size_t i = 0, n;

	if (s.n < 16)
		return 0;
	for (; i + 32 <= s.n; i += 32) {
		__m128i a = bytes_at(s.p + i), b = bytes_at(s.p + i + 16);

		if (_mm_movemask_epi8(special_in(a, b)) != 0)
			break;
		seen = _mm_or_si128(seen, _mm_or_si128(a, b));
	}
	*high |= (uint64_t)_mm_movemask_epi8(seen);
	for (; i + 16 <= s.n; i += n) {
		n = plain_of_16(s.p + i, high);
		if (n < 16)
			return i + n;
	}
	return i == s.n ? i : s.n - 16 + plain_of_16(s.p + s.n - 16, high);
}
#else
/* A byte of x is zero iff (x - ONES) & ~x & HIGH is not; w - 0x20 * ONES borrows into the high bit of the first byte below
 * 0x20. So it is right about whether there is a special one, and that is all it is asked. */
static bool
any_special(uint64_t w)
{
	uint64_t quote = w ^ (ONES * '"'), backslash = w ^ (ONES * '\\');

	return ((((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash) |
		    ((w - ONES * 0x20) & ~w)) &
		   HIGH) != 0;
}

static size_t
plain_wide(struct span s, uint64_t *high)
{
	uint64_t w;
	size_t i = 0;

	for (; i + sizeof(w) <= s.n; i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		if (any_special(w))
			break;
		*high |= w & HIGH;
	}
	return i;
}
#endif

size_t
text_plain_long(struct span s, bool *is_ascii)
{
	uint64_t high = 0;
	size_t i = plain_wide(s, &high);

	for (; i < s.n && (unsigned char)s.p[i] >= 0x20 && s.p[i] != '"' && s.p[i] != '\\'; i++)
		high |= (unsigned char)s.p[i] & 0x80;
	*is_ascii = *is_ascii && high == 0;
	return i;
}

static bool
put_inside(struct buf *out, struct span s)
{
	char e[6];

	while (s.n > 0) {
		bool is_ascii = true;
		size_t run = text_plain(s, &is_ascii);

		if (!buf_put(out, s.p, run))
			return false;
		s = span_skip(s, run);
		if (s.n > 0 && !buf_put(out, e, escape((unsigned char)s.p[0], e)))
			return false;
		s = span_skip(s, 1);
	}
	return true;
}

bool
text_put(struct buf *out, struct span s)
{
	return buf_putc(out, '"') && put_inside(out, s) && buf_putc(out, '"');
}

/* Length of the well-formed UTF-8 character at s (RFC 3629 4), 0 when there is none. */
static size_t
utf8_length(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	unsigned char low = 0x80, high = 0xbf;

	if (n == 0 || n > s.n || p[0] > 0xf4)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* shorter forms exist below */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f; /* U+10FFFF */
	for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf)
		if (p[i] < low || p[i] > high)
			return 0;
	return n;
}

static size_t
ascii_run(struct span s)
{
	size_t i = 0;
	uint64_t w;

	for (; i + sizeof(w) <= s.n; i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		if ((w & HIGH) != 0)
			break;
	}
	while (i < s.n && (unsigned char)s.p[i] < 0x80)
		i++;
	return i;
}

bool
text_is_utf8(struct span s)
{
	while ((s = span_skip(s, ascii_run(s))).n > 0) {
		size_t n = utf8_length(s);

		if (n == 0)
			return false;
		s = span_skip(s, n);
	}
	return true;
}

bool
json_put_str(struct buf *out, struct span s)
{
	if (!buf_putc(out, '"'))
		return false;
	while (s.n > 0) {
		size_t good = 0, n;

		while (good < s.n && (n = utf8_length(span_skip(s, good))) > 0)
			good += n;
		if (!put_inside(out, span_head(s, good)))
			return false;
		if (good < s.n && !buf_put(out, "\xef\xbf\xbd", 3))
			return false;
		s = span_skip(s, good + 1);
	}
	return buf_putc(out, '"');
}
