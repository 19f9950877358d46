/*
 * preimage: everything that makes two requests the same, as bytes: length-prefixed fields, so that no two
 * requests can spell one preimage. It is stored with the entry and compared whole before a hit; the key
 * is only its hash (XXH3-128 with a seed of the installation).
 */
#ifndef CACHE_PREIMAGE_H
#define CACHE_PREIMAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "store/entries.h"

struct headers;
struct json_doc;
struct memo;
struct upstream_target;

struct cache_keys; /* the installation's secrets for scope and key */

/* Copies both keys (32 bytes each). */
struct cache_keys *cache_keys_new(const uint8_t scope_key[32], const uint8_t seed_key[32]);
void cache_keys_free(struct cache_keys *k);

struct cache_request {
	struct span gateway, provider, method;
	const struct upstream_target *to;
	struct span query; /* p == NULL: none */
	const struct headers *headers;
	struct span coding; /* accepted: "gzip" or "identity" */
	bool is_shared;     /* scope: shared */
	bool is_stream;
	/* Not empty: the body counts without "stream" and "stream_options", and Accept not at all; this word stands in
	 * for them (cross_form). */
	struct span form;
	/* The base of an item of a batch: the body counts without "input"; preimage_put_item puts the item behind it. */
	bool is_item;
	struct span custom_key; /* cf-aig-cache-key; empty: none */
	struct span body;       /* as it came */
	const struct json_doc *doc;
	struct memo *scope_memo; /* of the connection; NULL: none */
	char *const *ignore;     /* top-level members to leave out; NULL-terminated, or NULL */
};

enum preimage_result {
	PREIMAGE_OK,
	PREIMAGE_NONE, /* the body has no canonical form: BYPASS */
	PREIMAGE_FULL, /* no room */
};
MUST_CHECK enum preimage_result preimage_write(
    const struct cache_keys *k, const struct cache_request *rq, struct buf *out);
/* item: in canonical form. False: no room. */
MUST_CHECK bool preimage_put_item(struct span item, struct buf *base);
struct entry_key preimage_key(const struct cache_keys *k, struct span preimage);
/* Who asks whom: a keyed hash of all credentials and the provider. Of rq it reads provider, headers, query, scope_memo. */
uint64_t cache_caller_hash(const struct cache_keys *k, const struct cache_request *rq);
/* 64-bit keyed hash of any bytes: for tables whose keys a peer chooses. */
uint64_t cache_hash(const struct cache_keys *k, struct span bytes);

#endif
