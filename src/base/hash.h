/*
 * hash: XXH3, the same values on every processor. For looking up and against accidents, not against an attacker.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/span.h"

#define HASH_128_BYTES 16

void hash_128(
    uint64_t seed, struct span bytes, uint8_t out[HASH_128_BYTES]); /* in canonical order */
uint64_t hash_64(uint64_t seed, struct span bytes);

#endif
