#include "store/checksum_int.h"

/* Half the instructions a byte with AVX2, where there is any: xxHash itself chooses when it is compiled. What is told to it here
 * is what its own dispatcher tells it; the names used below are those of one version. */
#ifdef __x86_64__
#include <immintrin.h>
#define XXH_DISPATCH_AVX2 1
#define XXH_TARGET_AVX2 __attribute__((target("avx2")))
#define XXH_ACC_ALIGN 32
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__) && XXH_VERSION_NUMBER == 803
#define WIDE_MIN 256 /* xxHash's own long form begins at 241 */

/* gcc 12 leaves the upper halves of the wide registers in use here, and then all SSE code of the thread waits for them, until
 * somebody clears them: AES-GCM has half its speed. */
__attribute__((target("avx2"))) static uint64_t
sum_wide(uint64_t seed, const void *p, size_t n)
{
	uint64_t sum = XXH3_hashLong_64b_withSeed_internal(
	    p, n, seed, XXH3_accumulate_avx2, XXH3_scrambleAcc_avx2, XXH3_initCustomSecret_avx2);

	_mm256_zeroupper();
	return sum;
}

uint64_t
checksum(uint64_t seed, const void *p, size_t n)
{
	if (n >= WIDE_MIN && __builtin_cpu_supports("avx2"))
		return sum_wide(seed, p, n);
	return XXH3_64bits_withSeed(p, n, seed);
}
#else
uint64_t
checksum(uint64_t seed, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, seed);
}
#endif
