/*
 * How mbedTLS' gcm.c moves a block: in one piece. one.mk puts this file in front of it; nothing of the cipher is here. On x86_64
 * gcm.c is empty, for gcm_alt.c has its place.
 *
 * The library writes the sum of two blocks as two halves, and of the counter only the four bytes that change, and then reads all
 * sixteen at once for the AES and CLMUL instructions. A processor does not forward several stores to one load: it waits until they are
 * in its cache, twice for each block, so that not even the cipher of one block runs beside the multiplication of another. With
 * stores as wide as the loads GCM is twice as fast (bench/README.md, on x86_64).
 *
 * Both helpers do what the library's do, whatever they are given: a later gcm.c may use them elsewhere. An offset of 12 is
 * the last word of a block, whose other twelve bytes are written again as they are.
 */
#ifndef POSTERN_MBEDTLS_WIDE_H
#define POSTERN_MBEDTLS_WIDE_H

#include "common.h"

typedef uint32_t wide_block __attribute__((vector_size(16), aligned(1), may_alias));

/* Else the compiler sees that one word changes, and stores just that. */
#if defined(__aarch64__)
#define WIDE_KEEP(block) __asm__("" : "+w"(block))
#else
#define WIDE_KEEP(block) (void)(block)
#endif

static inline __attribute__((always_inline)) void
wide_xor(unsigned char *r, const unsigned char *a, const unsigned char *b, size_t n)
{
	if (n == sizeof(wide_block))
		*(wide_block *)r = *(const wide_block *)a ^ *(const wide_block *)b;
	else
		mbedtls_xor(r, a, b, n);
}

static inline __attribute__((always_inline)) void
wide_put(uint32_t n, unsigned char *data, size_t offset)
{
	uint32_t word = MBEDTLS_IS_BIG_ENDIAN ? n : MBEDTLS_BSWAP32(n);

	if (offset == 12) {
		wide_block block = *(const wide_block *)data;

		block[3] = word;
		WIDE_KEEP(block);
		*(wide_block *)data = block;
	} else {
		mbedtls_put_unaligned_uint32(data + offset, word);
	}
}

#define mbedtls_xor wide_xor
#undef MBEDTLS_PUT_UINT32_BE
#define MBEDTLS_PUT_UINT32_BE(n, data, offset) wide_put((uint32_t)(n), data, offset)

#endif
