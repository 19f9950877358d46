/*
 * policy: may this request read the cache, may its answer be stored, for how long (design.md 4.2).
 * Pure; the words of the verdicts are design.md 3.4's.
 */
#ifndef CACHE_POLICY_H
#define CACHE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"

struct config_gateway;
struct endpoint;
struct headers;
struct request_facts;
struct response_head;

/* What the request's headers ask for. */
struct cache_wishes {
	bool has_ttl, skip, no_store;
	uint64_t ttl_s;
	struct span key; /* cf-aig-cache-key; empty: none */
};
/* E_OK, or E_BAD_HEADER with *hint: a static text. Ranges: ttl 0 .. 31536000 s, key 1 .. 1024 bytes. */
MUST_CHECK enum err cache_wishes_read(
    const struct headers *h, struct cache_wishes *out, const char **hint);

struct cache_plan {
	bool may_read;
	bool may_store;
	uint64_t ttl_ms; /* of what is stored; > 0 when may_store */
};
/* False: nothing is read or stored for it, whatever its body says. */
bool cache_may_plan(
    const struct config_gateway *g, const struct cache_wishes *w, const struct endpoint *e);
/* has_body_key: the body has a canonical or raw form that can be a key. */
struct cache_plan cache_plan_make(const struct config_gateway *g, const struct cache_wishes *w,
    const struct endpoint *e, const struct request_facts *facts, bool has_body_key);

/* What is known of an answer when it is complete. */
struct cache_answer {
	const struct response_head *head;
	bool is_complete; /* by framing and by the meter: the stream's proper end, parsed JSON */
	bool has_error;
	uint64_t size;
};
/* The time to live of that answer in ms, 0: not to be stored. */
uint64_t cache_answer_ttl_ms(
    const struct config_gateway *g, const struct cache_plan *p, const struct cache_answer *a);

#endif
