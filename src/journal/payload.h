/*
 * payload: a body as the log keeps it: readable, cut, scrubbed.
 *
 * Readable   gzip is undone, so that what is kept can be read and looked through; up to PAYLOAD_GUNZIP_MAX.
 * Cut        to the gateway's max_payload, or to PAYLOAD_HEAD_BYTES with `payload: head`.
 * Scrubbed   (log.scrub, the default) key-shaped strings become ***. Here and not in the log's writer, because the queue is a file too
 *            and no secret may reach a disk. A body of 10 MB takes 3.4 to 9 ms, one of 4 KB 3 us: large ones
 *            are made by a worker (journal_bodies_make).
 *            What cannot be looked through (another content coding, damaged gzip) is not kept at all. Pictures and sound are kept as
 *            they are. A key that a stream spells over several events is not recognised.
 * The edge   a key must not lose its tell-tale length where a body is cut: PAYLOAD_MARGIN bytes more are looked at than are kept.
 *            Who captures a body keeps that many more (payload_capture_max); without them the kept part is so much shorter.
 */
#ifndef JOURNAL_PAYLOAD_H
#define JOURNAL_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

struct config_gateway;

#define PAYLOAD_HEAD_BYTES 4096
#define PAYLOAD_MARGIN 64
#define PAYLOAD_GUNZIP_MAX (2 * 1024 * 1024)

/* Most bytes of a body that this gateway's log keeps; 0: none. */
uint64_t payload_max(const struct config_gateway *g);
/* The same with the margin: what a capture for the log has to hold. */
uint64_t payload_capture_max(const struct config_gateway *g);

struct payload_body {
	struct span bytes; /* what was captured of it; p == NULL: nothing */
	int64_t size;      /* of the whole */
	struct span content_type, content_encoding;
};
/* Zeroed: empty. Memory that a large body took is given back by payload_fini, or by the next payload_make. */
struct payload {
	struct span bytes; /* a view of the body, or of what is below; p == NULL: not kept */
	int64_t kept;      /* 0: the whole body, else so many of its first bytes */
	struct buf plain, scrubbed;
};
void payload_make(struct payload *p, const struct payload_body *body, uint64_t max, bool scrub);
void payload_fini(struct payload *p);

#endif
