#include "provider/redact_int.h"

#include <stdbool.h>

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

size_t
redact_candidate(struct span text, size_t i)
{
	const unsigned char *p = (const unsigned char *)text.p;

	if (i > 0 && i < text.n && first_byte[p[i - 1]] == W_PARAM)
		return i;
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
