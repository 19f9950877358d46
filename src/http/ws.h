/*
 * ws: counts the frames of a WebSocket connection that passes by (RFC 6455 5.2), one direction each.
 *
 * Model      only heads of frames are read: payloads are skipped, nothing is unmasked, nothing is judged. Any
 *            chunking of the same bytes gives the same counts. Bytes that cannot be frames (a length over
 *            2^63) end the counting, never the connection.
 * Ownership  a plain value; zeroed is ready.
 */
#ifndef HTTP_WS_H
#define HTTP_WS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct ws_scan {
	uint64_t frames; /* complete ones, control frames too */
	uint64_t
	    left; /* of the frame's payload; while its head is read: the length as far as it is known */
	uint8_t opcode;
	uint8_t stage;   /* which byte of a head comes next */
	uint8_t lengths; /* bytes of an extended length still to come */
	uint8_t masks;   /* bytes of the masking key still to come */
	bool has_closed; /* a close frame was seen, whole */
	bool is_lost;    /* these are no frames: the counts stand still */
};

void ws_scan(struct ws_scan *s, struct span bytes);

#endif
