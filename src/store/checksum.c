#include "store/checksum_int.h"

#include <string.h>

/*
 * Four lanes, so that the multiplications overlap. A step is a bijection of the lane for every word, and of
 * the word for every lane: a difference cannot vanish again without a second one. The rotation brings
 * the high bits, which a multiplication moves nowhere, down into reach of the next one; the word is multiplied
 * first, because else a flip of its top bit could be undone by one flip in the next word of its lane.
 */
#define LANES 4
#define ODD_A UINT64_C(0x9e3779b97f4a7c15)
#define ODD_B UINT64_C(0xd6e8feb86659fd93)

static inline uint64_t
rotated(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static inline uint64_t
step(uint64_t lane, uint64_t word)
{
	return rotated((lane ^ word * ODD_B) * ODD_A, 29);
}

static inline uint64_t
word_at(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static uint64_t
finished(uint64_t h)
{
	h = (h ^ h >> 32) * ODD_B;
	h = (h ^ h >> 29) * ODD_A;
	return h ^ h >> 32;
}

uint64_t
checksum(uint64_t seed, const void *p, size_t n)
{
	const char *at = p;
	uint64_t a = seed + ODD_B, b = seed + 2 * ODD_B, c = seed + 3 * ODD_B, d = seed + 4 * ODD_B;
	uint64_t h = (seed ^ n * ODD_B) * ODD_A, last = 0;
	size_t left = n;

	/* Lanes by name: kept in an array they would be kept in memory, at half the speed. */
	for (; left >= 8 * LANES; at += 8 * LANES, left -= 8 * LANES) {
		a = step(a, word_at(at));
		b = step(b, word_at(at + 8));
		c = step(c, word_at(at + 16));
		d = step(d, word_at(at + 24));
	}
	for (; left >= 8; at += 8, left -= 8)
		h = step(h, word_at(at));
	memcpy(&last, at, left);
	h = step(h, last);
	h = step(h, finished(a));
	h = step(h, finished(b));
	h = step(h, finished(c));
	h = step(h, finished(d));
	return finished(h);
}
