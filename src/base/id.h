/*
 * id: UUIDv7 (RFC 9562 5.7), the id of an exchange. 48 bits of wall milliseconds, then a counter
 * that makes ids of one process strictly increase even when the wall clock goes back, then random.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define ID_BYTES 16
#define ID_TEXT_SIZE 37 /* 36 characters and NUL */

struct id {
	uint8_t b[ID_BYTES]; /* big-endian: memcmp order is time order */
};

struct id_source {
	uint64_t last_ms;
	uint32_t counter;
	uint64_t seed[2];
};

/* Ids will be greater than `floor` (NULL: no floor): after a start, the newest id in the log. */
void id_source_init(struct id_source *s, const uint8_t seed[16], const struct id *floor);
struct id id_new(struct id_source *s, int64_t wall_ms);
void id_text(const struct id *id, char out[ID_TEXT_SIZE]);
bool id_parse(struct span text, struct id *out); /* false: not a UUID */
int64_t id_wall_ms(const struct id *id);
/* The smallest id of that millisecond: a bound for ranges by time. */
struct id id_floor_at(int64_t wall_ms);

#endif
