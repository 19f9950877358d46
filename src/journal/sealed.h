/*
 * sealed: payloads that only the caller can read (log.seal): under a key derived from the caller's credential and the
 * installation's salt, bound to their record and to whether they are request or response.
 *
 * Limits: SEALED_BODY_MAX bytes of a body are kept; more would hold the loop for milliseconds.
 */
#ifndef JOURNAL_SEALED_H
#define JOURNAL_SEALED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/id.h"

#define SEALED_BODY_MAX (1024 * 1024)

/* Who may read: the installation's salt and the caller's credential as it was sent, without its scheme. */
struct sealer {
	uint8_t salt[32];
	struct span credential;
};

/* which: enum record_payload. Appends to out. */
MUST_CHECK bool sealed_put(
    const struct sealer *s, const struct id *record, int which, struct span body, struct buf *out);
bool sealed_is(struct span stored);
/* False: not sealed, or not under this credential and for this place. */
MUST_CHECK bool sealed_open(const struct sealer *s, const struct id *record, int which,
    struct span stored, struct buf *out);

#endif
