#include "base/hash.h"

#include <string.h>

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

static inline bool
is_wide(size_t n)
{
	return n >= WIDE_MIN && __builtin_cpu_supports("avx2");
}

/* gcc 12 leaves the upper halves of the wide registers in use behind both, and then all SSE code of the thread waits for them,
 * until somebody clears them: AES-GCM by SSE has half its speed. */
__attribute__((target("avx2"))) static XXH128_hash_t
wide_128(uint64_t seed, struct span s)
{
	XXH128_hash_t hash = XXH3_hashLong_128b_withSeed_internal(s.p, s.n, seed,
	    XXH3_accumulate_avx2, XXH3_scrambleAcc_avx2, XXH3_initCustomSecret_avx2);

	_mm256_zeroupper();
	return hash;
}

__attribute__((target("avx2"))) static uint64_t
wide_64(uint64_t seed, struct span s)
{
	uint64_t hash = XXH3_hashLong_64b_withSeed_internal(s.p, s.n, seed, XXH3_accumulate_avx2,
	    XXH3_scrambleAcc_avx2, XXH3_initCustomSecret_avx2);

	_mm256_zeroupper();
	return hash;
}
#else
static inline bool
is_wide(size_t n)
{
	(void)n;
	return false;
}
#define wide_128(seed, s) XXH3_128bits_withSeed((s).p, (s).n, seed)
#define wide_64(seed, s) XXH3_64bits_withSeed((s).p, (s).n, seed)
#endif

void
hash_128(uint64_t seed, struct span bytes, uint8_t out[HASH_128_BYTES])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical,
	    is_wide(bytes.n) ? wide_128(seed, bytes)
			     : XXH3_128bits_withSeed(bytes.p, bytes.n, seed));
	memcpy(out, canonical.digest, HASH_128_BYTES);
}

uint64_t
hash_64(uint64_t seed, struct span bytes)
{
	return is_wide(bytes.n) ? wide_64(seed, bytes)
				: XXH3_64bits_withSeed(bytes.p, bytes.n, seed);
}
