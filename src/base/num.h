/*
 * num: numbers, durations and sizes to and from text. Parsers take the whole span or fail:
 * no sign unless said, no blanks, no overflow.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

bool num_u64(struct span s, uint64_t *out);
bool num_i64(struct span s, int64_t *out); /* one leading '-' allowed */
/* "500ms" "10s" "5m" "1h" "30d", and a bare "0"; gives milliseconds. */
bool num_duration_ms(struct span s, uint64_t *out);
/* "64KB" "25MB" "10GB" "512B" (1024) or a bare number of bytes. */
bool num_size(struct span s, uint64_t *out);
/* Decimal digits, no NUL; returns how many. */
#define NUM_DEC_SIZE 20
size_t num_dec(uint64_t v, char out[NUM_DEC_SIZE]);
/* The shortest exact spelling, as num_duration_ms and num_size read it. Returns out. */
#define NUM_TEXT_SIZE 24
char *num_duration_text(uint64_t ms, char out[NUM_TEXT_SIZE]);
char *num_size_text(uint64_t bytes, char out[NUM_TEXT_SIZE]);
/* Lower-case hex, NUL-terminated: out holds 2 * n + 1. */
void num_hex(const uint8_t *p, size_t n, char *out);
bool num_unhex(struct span s, uint8_t *out, size_t n); /* exactly 2 * n digits */

#endif
