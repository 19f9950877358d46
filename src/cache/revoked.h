/*
 * revoked: credentials that a provider has just refused (401, 403). Until one of their requests succeeds again nothing
 * is served to them from the cache: a key that was taken away must not go on reading.
 *
 * Limits: remembers the last 4096; in memory only.
 */
#ifndef CACHE_REVOKED_H
#define CACHE_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REVOKED_MAX 4096

struct revoked;

struct revoked *revoked_new(void);
void revoked_free(struct revoked *r);
/* caller: cache_caller_hash of the request. */
void revoked_add(struct revoked *r, uint64_t caller);
void revoked_remove(struct revoked *r, uint64_t caller);
bool revoked_has(const struct revoked *r, uint64_t caller);
size_t revoked_count(const struct revoked *r);

#endif
