/*
 * checksum_int: tells damaged bytes from whole ones (XXH3, 64 bits); against accidents, not against
 * an attacker. Damage goes unseen with a chance of about 2^-64.
 */
#ifndef STORE_CHECKSUM_INT_H
#define STORE_CHECKSUM_INT_H

#include "base/hash.h"

/* seed: what the bytes belong to, so that whole bytes in a wrong place do not pass. To go on over
 * several pieces, give the sum of the piece before as the seed. */
static inline uint64_t
checksum(uint64_t seed, const void *p, size_t n)
{
	return hash_64(seed, span_of(p, n));
}

#endif
