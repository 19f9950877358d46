/*
 * answer_head: what an entry keeps of an answer's head: a few fields, as the lines that a replay writes,
 * behind the hash of the request body that stored it (so that the log need not keep the same body twice).
 */
#ifndef CACHE_ANSWER_HEAD_H
#define CACHE_ANSWER_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct headers;

struct answer_head {
	uint64_t size;         /* of the answer's body, before any sealing */
	uint64_t request_hash; /* cache_hash of the raw request body */
	struct span fields;    /* "content-type: ...\r\n" ...; a view */
};
/* Of the fields: content-type, content-encoding, content-disposition. */
MUST_CHECK bool answer_head_write(
    const struct headers *h, uint64_t size, uint64_t request_hash, struct buf *out);
/* False: not what answer_head_write makes. */
MUST_CHECK bool answer_head_read(struct span stored, struct answer_head *out);

#endif
