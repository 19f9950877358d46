/*
 * registry: the providers that Postern knows. One table row each (provider/table.inc); the operator's
 * own come from the configuration through provider_define.
 *
 * A row: slug, aliases, name, base URL, dialect, credential headers, further roots. The host of a base URL may
 * hold {1}, {2}: labels taken from the path's first segments (Azure, Bedrock, Vertex).
 * Joining: see provider_join and design.md 3.3.
 * Rows whose host is loopback (ollama, vllm, ...) are off, as if they were not there, until
 * registry_define names them.
 * Ownership: the registry owns the providers; a struct provider stays where it is until registry_free.
 */
#ifndef PROVIDER_REGISTRY_H
#define PROVIDER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "provider/dialect.h"

/* How base URL and path meet. Everything but PLAIN is built in; a base_url of the operator's makes a
 * provider PLAIN (Bedrock excepted), because there is no host left to build. */
enum provider_join {
	JOIN_PLAIN,   /* segments for {1}, {2}, then design.md 3.3 */
	JOIN_AZURE,   /* /{resource}/{deployment}/..., /{resource}/openai/... */
	JOIN_BEDROCK, /* /{service}/{region}/...; with the operator's base_url both may be left out */
	JOIN_VERTEX,      /* the host by /locations/{region}/ of the path */
	JOIN_WORKERS,     /* /{account}/..., /client/v4/accounts/{account}/ai/... */
	JOIN_HUGGINGFACE, /* /{org}/{model} beside the router's own paths */
	JOIN_BASETEN,     /* /model/{id}: a host of its own for each model */
	JOIN_FAL,         /* x-fal-target-url */
};

struct provider {
	struct span slug; /* as it is logged; aliases resolve to it */
	struct span name;
	struct span base_url; /* as written */
	enum dialect dialect;
	bool is_tls;      /* https */
	struct span host; /* of the base URL; may hold {n} for built-in rows */
	uint16_t port;
	struct span host_header; /* of host and port, where host holds no {n}; else empty */
	struct span path;        /* of the base URL without trailing '/'; may be empty */
	const char *const *
	    roots; /* further path prefixes under the origin that count as "begins with P"; NULL-terminated */
	bool
	    allow_private; /* the operator's word, or a literal/localhost in the operator's base_url */
	bool is_builtin;
	bool is_configured; /* registry_define named it */
	bool is_off; /* loopback row that no configuration named: registry_find does not give it */
	enum provider_join join;
	const char *
	    credentials; /* header names that a caller's key comes in, comma-separated; NULL: any */
	struct span ca;  /* PEM file; empty: upstream.ca */
	unsigned index;  /* dense, for tables of TLS contexts and pools */
};

struct registry;

struct registry *registry_new(void); /* with the built-in rows */
void registry_free(struct registry *r);
/* A new provider, or new values for one that is there, by slug or alias (NULL keeps what it has; a new one
 * needs base_url and is "openai" without dialect). Returns NULL, or a static text that says what is wrong with
 * slug, base_url or dialect. slug: [a-z0-9][a-z0-9_-]{0,62}, not a first segment that the URL space uses itself. */
const char *registry_define(struct registry *r, const char *slug, const char *base_url,
    const char *dialect, bool allow_private, const char *ca);
/* By slug or alias, also "custom-{slug}" for one that the operator defined. NULL: none. */
const struct provider *registry_find(const struct registry *r, struct span slug);
size_t registry_count(const struct registry *r);
const struct provider *registry_at(const struct registry *r, size_t i); /* those that are off too */
/* The nearest known slug to a misspelt one, for the refusal's text; empty when none is near. */
struct span registry_nearest(const struct registry *r, struct span slug);

/* Where a request goes. What it points to lives in the arena, the arguments or the registry. */
struct upstream_target {
	struct span host; /* a name or IP literal, lower case */
	uint16_t port;
	bool is_tls;
	struct span host_header; /* "host" or "host:port" when not the default port */
	struct span path;        /* with leading '/', without query: bytes of `rest` as they came */
	struct span
	    query; /* of fal_target, in place of the request's own; p == NULL: the request's own */
};
/* For a provider that wants its account in the path (workers-ai: /{account}/...): rest with "/{account}" put in
 * front where `account` (of a Cloudflare-form URL) is one and rest names none; else rest. p == NULL without memory. */
struct span provider_rest_with_account(
    const struct provider *p, struct span account, struct span rest, struct arena *a);
/* For a WebSocket: the provider's realtime endpoint where rest is "" or "/" and there is one that is meant; else rest. */
struct span provider_realtime_rest(const struct provider *p, struct span rest);
/* rest: the path behind "/{provider}", "" or beginning with '/'; bytes untouched. fal_target: value of
 * x-fal-target-url or SPAN_NONE (only for the provider fal, only towards fal's hosts).
 * E_BAD_UPSTREAM_HOST, E_NOMEM. */
MUST_CHECK enum err provider_join(const struct provider *p, struct span rest,
    struct span fal_target, struct arena *a, struct upstream_target *out);

#endif
