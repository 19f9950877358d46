/*
 * clock: the two times. Deadlines and durations use the monotonic one, dates the wall clock.
 * Tests replace both with clock_fake; nothing else in the program asks the kernel for the time.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);
static inline uint64_t
clock_mono_us(void)
{
	return clock_mono_ns() / 1000;
}
/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_wall_ms(void);
/* Fixes both clocks until called with (0, 0). For tests. */
void clock_fake(uint64_t mono_ns, int64_t wall_ms);

#define CLOCK_RFC3339_SIZE 25
/* "2026-11-22T20:43:14.123Z" with its NUL. */
void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);
/* Reads RFC 3339 or a bare date, "2026-11-22" (midnight UTC). Returns -1 when it is neither. */
int64_t clock_parse(const char *s, size_t n);

#endif
