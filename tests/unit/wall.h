/*
 * tests/unit/wall.h - bounds on wall time that also hold under an emulator.
 */
#ifndef TESTS_UNIT_WALL_H
#define TESTS_UNIT_WALL_H

#include <stdint.h>
#include <stdlib.h>

/* The bound `us` of this machine; twenty times that where tests/run was told to put an emulator before each program. */
static inline uint64_t
wall_bound(uint64_t us)
{
	const char *runner = getenv("RUNNER");

	return runner != NULL && runner[0] != '\0' ? us * 20 : us;
}

#endif
