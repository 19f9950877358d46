/*
 * reader: the answer in a cache entry, piece by piece, sealed or not.
 *
 * A sealed entry (cache.seal) holds, under a key that only the caller's credential gives, the whole preimage and the answer
 * behind it; what the store compares is a keyed hash of the preimage. The preimage is compared whole here, before the first
 * byte of the answer is given.
 */
#ifndef GATEWAY_READER_H
#define GATEWAY_READER_H

#include "base/err.h"
#include "crypto/seal.h"
#include "store/entries.h"

struct reader {
	struct entry *entry;  /* borrowed */
	uint64_t size;        /* of the answer */
	uint64_t given;       /* of it, so far */
	struct span preimage; /* sealed: what must stand in front; borrowed */
	bool is_sealed;
	uint64_t at; /* sealed: stored bytes read */
	struct unseal unseal;
	struct buf plain;
};

/* key NULL: not sealed. size: of the answer, as the entry's head says. */
void reader_init(struct reader *r, struct entry *e, const struct seal_key *key,
    const struct entry_key *place, struct span preimage, uint64_t size);
void reader_fini(struct reader *r); /* fine on a zeroed one */
/* The next piece, at least one byte; valid until the next call into the reader or the store, or the end of the callback.
 * E_CORRUPT: damaged, gone, or not of this request. Not to be called when given == size. */
MUST_CHECK enum err reader_piece(struct reader *r, struct span *piece);

/* What goes into a sealed entry: its body, appended to out. */
MUST_CHECK bool reader_seal(const struct seal_key *key, const struct entry_key *place,
    struct span preimage, struct span answer, struct buf *out);

#endif
