/*
 * Whether a function that uses AVX leaves the upper halves of the wide registers clear. Where it does not, all SSE code behind it in
 * that thread is slow, and nothing else tells. Asked at once behind the call: a memcpy may clear them too.
 */
#ifndef TESTS_WIDE_REGISTERS_H
#define TESTS_WIDE_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
#define WIDE_UPPER(n) "vextractf128 $1, %%ymm" #n ", 16*" #n "(%0)\n\t"

static inline bool
wide_registers_are_clear(void)
{
	uint64_t upper[32], any = 0;

	__asm__ volatile(WIDE_UPPER(0) WIDE_UPPER(1) WIDE_UPPER(2) WIDE_UPPER(3) WIDE_UPPER(4)
		WIDE_UPPER(5) WIDE_UPPER(6) WIDE_UPPER(7) WIDE_UPPER(8) WIDE_UPPER(9) WIDE_UPPER(10)
		    WIDE_UPPER(11) WIDE_UPPER(12) WIDE_UPPER(13) WIDE_UPPER(14) WIDE_UPPER(15)
	    :
	    : "r"(upper)
	    : "memory");
	for (size_t i = 0; i < 32; i++)
		any |= upper[i];
	return any == 0;
}

/* True where there are such registers, which then are cleared: the question above can be answered with no. */
static inline bool
wide_registers_can_be_told(void)
{
	bool are_clear;

	if (!__builtin_cpu_supports("avx2"))
		return false;
	__asm__ volatile("vpcmpeqd %%ymm7, %%ymm7, %%ymm7" : : : "xmm7");
	are_clear = wide_registers_are_clear();
	__asm__ volatile("vzeroupper" : : : "memory");
	return !are_clear && wide_registers_are_clear();
}
#else
static inline bool
wide_registers_are_clear(void)
{
	return true;
}

static inline bool
wide_registers_can_be_told(void)
{
	return false;
}
#endif
#endif
