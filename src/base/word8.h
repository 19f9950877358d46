/*
 * word8: eight bytes of text looked at together, for what is read of every request: names, paths, lines.
 *
 * A word's bytes stand in memory's order; nothing here depends on which that is. Every answer is exact for all byte
 * values. Text of n >= 8 is covered by words at 0, 8, ... and one at n - 8, which may overlap the one before it.
 */
#ifndef BASE_WORD8_H
#define BASE_WORD8_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WORD8_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define WORD8_TOPS WORD8_EACH(0x80)

static inline uint64_t
word8_load(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* Of n bytes, 4 to 8 of them: the first four and the last four. */
static inline uint64_t
word8_load_short(const char *p, size_t n)
{
	uint32_t first, last;

	memcpy(&first, p, sizeof(first));
	memcpy(&last, p + n - sizeof(last), sizeof(last));
	return first | (uint64_t)last << 32;
}

/* Whether a byte is less than `limit`, 1 to 128. */
static inline bool
word8_has_below(uint64_t w, unsigned char limit)
{
	return ((w - WORD8_EACH(limit)) & ~w & WORD8_TOPS) != 0;
}

/* Whether a byte is more than '~': DEL, or none of ASCII. */
static inline bool
word8_has_above_ascii(uint64_t w)
{
	return ((w + WORD8_EACH(1)) & WORD8_TOPS) != 0 || (w & WORD8_TOPS) != 0;
}

static inline bool
word8_has(uint64_t w, char c)
{
	return word8_has_below(w ^ WORD8_EACH((unsigned char)c), 1);
}

/* 'A' to 'Z' as 'a' to 'z', other bytes as they are. */
static inline uint64_t
word8_lower(uint64_t w)
{
	uint64_t low = w & ~WORD8_TOPS; /* no sum below carries into the next byte */
	uint64_t from_a = low + WORD8_EACH(0x80 - 'A'), beyond_z = low + WORD8_EACH(0x7f - 'Z');

	return w | ((from_a & ~beyond_z & ~w & WORD8_TOPS) >> 2);
}

#endif
