/*
 * tap: who watches an answer on its way. Taps hang on one list of the exchange, see each piece of the body
 * after it was written to the client, and can delay nothing.
 */
#ifndef GATEWAY_TAP_H
#define GATEWAY_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct flight;
struct meter;

struct tap {
	struct tap *next;
	void (*bytes)(struct tap *t, struct span piece);
	void (*end)(struct tap *t); /* the whole body was seen */
};

/* Keeps the body, for the cache and the log's payload, and for a meter that borrows it. */
struct capture_tap {
	struct tap tap;
	struct buf body;
	size_t wanted; /* by cache and log */
	bool is_cut;   /* there was more than that */
	bool is_full;  /* there was more than body.max: the rest is missing */
};
/* max: of what is held, at least `wanted`. body must be zeroed or reusable. */
void capture_tap_init(struct capture_tap *t, size_t wanted, size_t max);
void capture_tap_stop(struct capture_tap *t); /* keeps no more, for good: the body is cut */

/* Reads usage and completeness. */
struct meter_tap {
	struct tap tap;
	struct meter *meter; /* owned; NULL: nothing to read */
	bool is_borrowing;   /* it reads what the capture has: meter_finish_with, by who settles */
	uint64_t first_output_us; /* monotonic; 0: none yet */
};
void meter_tap_init(struct meter_tap *t, struct meter *m);

/* Passes the body on to those who follow. */
struct flight_tap {
	struct tap tap;
	struct flight *flight;
};
void flight_tap_init(struct flight_tap *t, struct flight *f);

#endif
