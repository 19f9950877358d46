/*
 * redact_int: the first, quick look for credentials in a text: where one may begin. redact_text.c looks closely there.
 */
#ifndef PROVIDER_REDACT_INT_H
#define PROVIDER_REDACT_INT_H

#include "base/span.h"

/* The first place from i on where a credential may begin, as far as three bytes tell; text.n: none. */
size_t redact_candidate(struct span text, size_t i);
/* The same for any processor, a few bytes at a time; it may find more places, and does not look in front of i. */
size_t redact_candidate_narrow(struct span text, size_t i);

#endif
