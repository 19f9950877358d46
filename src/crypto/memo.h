/*
 * memo: the last HMAC of a connection, kept because its credential rarely changes: 30,000 instructions saved
 * with every request after the first.
 *
 * Ownership: caller's storage; holds a copy of the input until memo_fini, which wipes it. One key per memo.
 * Limits: inputs over 4 KB are computed each time.
 */
#ifndef CRYPTO_MEMO_H
#define CRYPTO_MEMO_H

#include "crypto/crypto.h"

struct memo {
	struct memo_kept *kept; /* NULL: none */
};

void memo_init(struct memo *m);
void memo_fini(struct memo *m);
/* HMAC-SHA-256 of input, from the memo if it is the same as last time. m may be NULL. */
void memo_hmac(struct memo *m, const uint8_t key[32], struct span input, uint8_t out[SHA256_BYTES]);

#endif
