/*
 * text_int: bytes of a string that stand for themselves, many at a time: most of most bodies.
 */
#ifndef JSON_TEXT_INT_H
#define JSON_TEXT_INT_H

#include "json/json_int.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* text_plain. */
size_t text_plain_long(struct span s, bool *is_ascii);

#ifdef __SSE2__
static inline __m128i
bytes_at(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* All ones in each byte of a or b that is a quote or a backslash, or that the smaller of the two is a control byte. */
static inline __m128i
special_in(__m128i a, __m128i b)
{
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'),
		      low = _mm_set1_epi8(0x1f);
	__m128i names =
	    _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(a, quote), _mm_cmpeq_epi8(b, quote)),
		_mm_or_si128(_mm_cmpeq_epi8(a, backslash), _mm_cmpeq_epi8(b, backslash)));

	return _mm_or_si128(names, _mm_cmpeq_epi8(_mm_max_epu8(_mm_min_epu8(a, b), low), low));
}

/* Plain ones of the 16 bytes at p. *high: not 0 when one of those is not ASCII. */
static inline size_t
plain_of_16(const char *p, uint64_t *high)
{
	__m128i a = bytes_at(p);
	unsigned special = (unsigned)_mm_movemask_epi8(special_in(a, a)) | 1u << 16;

	*high |= (unsigned)_mm_movemask_epi8(a) & (special - 1) & ~special & 0xffff;
	return (size_t)__builtin_ctz(special);
}

#endif

/* Length of the head of s without quote, backslash or control byte. *is_ascii stays as it is when that head is ASCII, else false.
 * Most strings end in their first 16 bytes, so those are looked at here. */
static inline size_t
text_plain(struct span s, bool *is_ascii)
{
#ifdef __SSE2__
	uint64_t high = 0;
	size_t n = s.n < 16 ? 16 : plain_of_16(s.p, &high);

	if (n < 16) {
		*is_ascii = *is_ascii && high == 0;
		return n;
	}
#endif
	return text_plain_long(s, is_ascii);
}

#endif
