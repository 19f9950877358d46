#include "provider/redact_int.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/*
 * Where a credential may begin, quickly: bodies of megabytes are looked through on the loop. Every
 * form, scheme and parameter has a bit; three bytes in a row that share one are looked at closely.
 * Test: every form of the table is found.
 */
enum {
	W_SK = 1,
	W_A = 2,
	W_YA = 4,
	W_BEARER = 8,
	W_G = 16,
	W_X = 32,
	W_HF = 64,
	W_R8 = 128,
	W_PPLX = 256,
	W_NVAPI = 512,
	W_CSK = 1024,
	W_FW = 2048,
	W_TGP = 4096,
	W_DAPI = 8192,
	W_EYJ = 16384,
	W_BASIC = 32768,
	W_BEDROCK = 65536,
	W_PARAM = 131072, /* a mark of parameters, anything behind it */
};
static const uint32_t first_byte[256] = {['s'] = W_SK,
    ['A'] = W_A,
    ['y'] = W_YA,
    ['b'] = W_BEARER | W_BASIC | W_BEDROCK,
    ['B'] = W_BEARER | W_BASIC,
    ['g'] = W_G,
    ['x'] = W_X,
    ['h'] = W_HF,
    ['r'] = W_R8,
    ['p'] = W_PPLX,
    ['n'] = W_NVAPI,
    ['c'] = W_CSK,
    ['f'] = W_FW,
    ['t'] = W_TGP,
    ['d'] = W_DAPI,
    ['e'] = W_EYJ,
    ['?'] = W_PARAM,
    ['&'] = W_PARAM};
static const uint32_t second_byte[256] = {['k'] = W_SK,
    ['I'] = W_A,
    ['Q'] = W_A,
    ['K'] = W_A,
    ['S'] = W_A,
    ['B'] = W_A,
    ['a'] = W_YA | W_BASIC | W_X | W_DAPI,
    ['A'] = W_BASIC,
    ['e'] = W_BEARER | W_BEDROCK,
    ['E'] = W_BEARER,
    ['h'] = W_G,
    ['i'] = W_G,
    ['s'] = W_G | W_CSK,
    ['o'] = W_X,
    ['f'] = W_HF,
    ['8'] = W_R8,
    ['p'] = W_PPLX,
    ['v'] = W_NVAPI,
    ['w'] = W_FW,
    ['g'] = W_TGP,
    ['y'] = W_EYJ};
static const uint32_t third_byte[256] = {['-'] = W_SK,
    ['_'] = W_SK | W_HF | W_R8 | W_FW,
    ['z'] = W_A,
    ['.'] = W_A,
    ['I'] = W_A,
    ['S'] = W_A | W_BASIC,
    ['2'] = W_YA,
    ['a'] = W_BEARER | W_NVAPI,
    ['A'] = W_BEARER,
    ['d'] = W_BEDROCK,
    ['s'] = W_BASIC | W_G,
    ['p'] = W_G | W_X | W_TGP | W_DAPI,
    ['o'] = W_G,
    ['u'] = W_G,
    ['r'] = W_G,
    ['t'] = W_G,
    ['k'] = W_G | W_CSK,
    ['x'] = W_X,
    ['i'] = W_X,
    ['l'] = W_PPLX,
    ['J'] = W_EYJ};

#define STRIDE 8
#define LOOK_AT(p, k)                                                                              \
	(first_byte[(p)[k]] & ((second_byte[(p)[(k) + 1]] & third_byte[(p)[(k) + 2]]) | W_PARAM))

/* Written out, and without a branch for each byte: this is most of what a request's log costs. */
static bool
is_any_near(const unsigned char *p)
{
	return (LOOK_AT(p, 0) | LOOK_AT(p, 1) | LOOK_AT(p, 2) | LOOK_AT(p, 3) | LOOK_AT(p, 4) |
		   LOOK_AT(p, 5) | LOOK_AT(p, 6) | LOOK_AT(p, 7)) != 0;
}

/* ---- 32 at a time ---- */

#define WIDE (32 + 2) /* bytes that a look reads */

#ifdef __x86_64__
/*
 * The forms in eight groups, a bit each; a byte at a form's first, second or third place has the bits of the groups that it may
 * belong to by its low half, and by its high one. Three bytes in a row that keep a bit through all six tables are looked at
 * closely: in prose that is one in 300.
 *
 *   0  s h r f e | k f 8 w y | - _ J    sk- sk_ hf_ r8_ fw_ eyJ     4  g | h | p o u s r           ghp_ ...
 *   1  A | I Q K S B | z . I S          AIza AQ. AKIA ASIA ABSK     5  g c | i s | t k             github_pat_ gsk_ csk-
 *   2  b | e | a d, any case            Bearer bedrock-             6  x y | o a | x p i 2         xox.- xapp- xai- ya29.
 *   3  b d | a | s p, any case          Basic dapi                  7  p n t | p v g | l a p       pplx- nvapi- tgp_
 *
 * Of the scalar tables it leaves out what is no form: "ght". Tests: all forms at all places; no other finding is missed.
 */
static const uint8_t halves[3][2][16] = {
    {{0x80, 0x02, 0x0d, 0x21, 0x88, 0x01, 0x01, 0x30, 0x41, 0x40, 0, 0, 0, 0, 0x80, 0},
	{0, 0, 0, 0, 0x0e, 0, 0xbd, 0xc1}},
    {{0x80, 0x4a, 0x02, 0x22, 0, 0x04, 0x81, 0x81, 0x11, 0x23, 0, 0x03, 0, 0, 0, 0x40},
	{0, 0, 0, 0x01, 0x0e, 0x02, 0xfd, 0xa1}},
    {{0xd8, 0x84, 0x50, 0x1a, 0x24, 0x10, 0, 0, 0x40, 0x42, 0x03, 0x20, 0x80, 0x01, 0x02, 0x11},
	{0, 0, 0x03, 0x40, 0x07, 0x0b, 0xf4, 0xfa}},
};

__attribute__((target("avx2"))) static inline __m256i
bytes_at(const unsigned char *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

__attribute__((target("avx2"))) static inline __m256i
table(int place, int half)
{
	return _mm256_broadcastsi128_si256(
	    _mm_loadu_si128((const __m128i *)(const void *)halves[place][half]));
}

/* The groups that 32 bytes may belong to at that place. */
__attribute__((target("avx2"))) static inline __m256i
groups(__m256i bytes, int place)
{
	const __m256i low = _mm256_set1_epi8(0x0f);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);

	return _mm256_and_si256(_mm256_shuffle_epi8(table(place, 0), _mm256_and_si256(bytes, low)),
	    _mm256_shuffle_epi8(table(place, 1), high));
}

/* A bit for each of 32 places that is to be looked at closely. */
__attribute__((target("avx2"))) static inline unsigned
look_wide(const unsigned char *p)
{
	const __m256i query = _mm256_set1_epi8('?'), next = _mm256_set1_epi8('&');
	__m256i first = bytes_at(p);
	__m256i none = _mm256_cmpeq_epi8(
	    _mm256_and_si256(groups(first, 0),
		_mm256_and_si256(groups(bytes_at(p + 1), 1), groups(bytes_at(p + 2), 2))),
	    _mm256_setzero_si256());
	__m256i marks =
	    _mm256_or_si256(_mm256_cmpeq_epi8(first, query), _mm256_cmpeq_epi8(first, next));

	return ~(unsigned)_mm256_movemask_epi8(_mm256_andnot_si256(marks, none));
}

/* The first place from i on that is to be looked at closely, or the end; text has WIDE bytes. */
__attribute__((target("avx2"))) static inline size_t
find_wide(struct span text, size_t i)
{
	const unsigned char *p = (const unsigned char *)text.p;
	const size_t last = text.n - WIDE;
	unsigned found;

	for (; i <= last; i += 32) {
		found = look_wide(p + i);
		if (found != 0)
			return i + (size_t)__builtin_ctz(found);
	}
	if (i > last + 31)
		return text.n;
	found = look_wide(p + last) & ~0u << (i - last); /* some of it for the second time */
	return found != 0 ? last + (size_t)__builtin_ctz(found) : text.n;
}

/* The compiler does not always clear what would make all SSE code behind it slow (base/hash.c). */
__attribute__((target("avx2"))) static size_t
skip_wide(struct span text, size_t i)
{
	size_t at = find_wide(text, i);

	_mm256_zeroupper();
	return at;
}

static bool
has_wide(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
static size_t
skip_wide(struct span text, size_t i)
{
	UNUSED(text);
	return i;
}

static bool
has_wide(void)
{
	return false;
}
#endif

/* ---- */

size_t
redact_candidate_narrow(struct span text, size_t i)
{
	const unsigned char *p = (const unsigned char *)text.p;

	for (;;) {
		while (i + STRIDE + 2 <= text.n && !is_any_near(p + i))
			i += STRIDE;
		for (size_t k = 0; k < STRIDE && i + 2 < text.n; k++, i++) {
			unsigned found = LOOK_AT(p, i);
			if (found != 0)
				return found == W_PARAM ? i + 1 : i;
		}
		if (i + 2 >= text.n)
			return text.n;
	}
}

size_t
redact_candidate(struct span text, size_t i)
{
	const unsigned char *p = (const unsigned char *)text.p;

	if (i > 0 && i < text.n && first_byte[p[i - 1]] == W_PARAM)
		return i;
	if (text.n < WIDE || !has_wide())
		return redact_candidate_narrow(text, i);
	while ((i = skip_wide(text, i)) < text.n) {
		unsigned found = LOOK_AT(p, i);
		if (found != 0)
			return found == W_PARAM ? i + 1 : i;
		i++;
	}
	return text.n;
}
