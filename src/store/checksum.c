#include "store/checksum_int.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t
checksum(uint64_t seed, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, seed);
}
