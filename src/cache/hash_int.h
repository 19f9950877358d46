/*
 * hash_int: XXH3 of what a cache is asked with, the same values whichever way they are made.
 */
#ifndef CACHE_HASH_INT_H
#define CACHE_HASH_INT_H

#include <stdint.h>

#include "base/span.h"

#define HASH_128_BYTES 16

void hash_128(
    uint64_t seed, struct span bytes, uint8_t out[HASH_128_BYTES]); /* in canonical order */
uint64_t hash_64(uint64_t seed, struct span bytes);

#endif
