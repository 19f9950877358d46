/*
 * config: the settings of a server, typed, defaulted, checked; from a YAML file, the environment,
 * --set and flags, the later over the earlier, key by key (design.md 3.1, 3.2).
 *
 * Every key is one row of the table in config/table.c: parser, defaults, schema and documentation
 * follow from it. Unknown keys, wrong types and keys whose feature does not exist yet are errors
 * with file:line:column and the nearest valid name.
 * Merging: mappings are merged, lists and values replaced. A gateway has from "default" what it
 * does not set itself, whatever source set it there. Each source must be right by itself, also
 * where a later one overrides it.
 * Ownership: a loaded config never changes and is reference counted (not atomically: one
 * thread); an exchange keeps the one it began with.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct config_pair { /* PEM files */
	char *certificate, *key;
};
enum client_certificates { CLIENTS_OFF, CLIENTS_REQUEST, CLIENTS_REQUIRE };
struct config_listen {
	char *address;           /* as address_parse_listen reads it */
	struct config_pair *tls; /* the first is for all names that no other one has; NULL: plain */
	size_t n_tls;
	char *client_ca; /* PEM file; NULL: none */
	enum client_certificates client_certificates;
};

enum cache_mode { CACHE_ALL, CACHE_DETERMINISTIC, CACHE_OFF };
enum cache_scope { SCOPE_CREDENTIAL, SCOPE_SHARED };
enum payload_mode { PAYLOAD_FULL, PAYLOAD_HEAD, PAYLOAD_NONE };
enum on_disconnect { DISCONNECT_CANCEL, DISCONNECT_FINISH };

struct config_gateway {
	char *name;
	enum on_disconnect on_disconnect;
	struct {
		enum cache_mode mode;
		uint64_t ttl_ms;
		enum cache_scope scope;
		uint64_t max_entry;
		char **ignore; /* NULL-terminated */
		uint64_t stale_if_error_ms, stale_while_revalidate_ms;
		bool coalesce, cross_form, respect_upstream, seal, split_embeddings;
	} cache;
	struct {
		bool collect, scrub, seal;
		enum payload_mode payload;
		uint64_t max_payload;
	} log;
};

struct config_provider { /* under `providers`: new, or built in with some values replaced */
	char *slug;
	char *base_url; /* NULL: the built-in row's */
	char *dialect;  /* NULL: the built-in row's, else "openai" */
	char *ca;       /* PEM file; NULL: upstream.ca */
	bool allow_private;
};

struct config {
	struct config_listen *listen;
	size_t n_listen;
	char *data;
	bool sandbox;
	char **admin_listen, **admin_hosts, **trusted_proxies; /* NULL-terminated */
	struct {
		uint64_t header_size, headers, request_line, body, connections,
		    connections_per_address;
		uint64_t header_timeout_ms, tls_timeout_ms, body_idle_ms, body_grace_ms,
		    body_min_rate, keepalive_idle_ms, keepalive_requests, write_stall_ms, drain_ms,
		    takeover_drain_ms, memory;
		bool half_close;
	} limits;
	struct {
		uint64_t connect_ms, tls_ms, first_byte_ms, idle_ms, pool_idle_ms;
		char *ca;        /* NULL: the system's roots */
		char *proxy;     /* as proxy_read takes it (config/proxy.h); NULL: none */
		char **no_proxy; /* NULL-terminated */
	} upstream;
	uint64_t cache_max_size;
	uint64_t log_max_size, log_payload_max_size, log_retention_ms, log_payload_retention_ms;
	struct config_gateway *gateways; /* "default" is always there, first */
	size_t n_gateways;
	struct config_provider *providers;
	size_t n_providers;
	unsigned refs;
};

struct config_source {
	const char *file; /* NULL: none (cli/settings.c decides about POSTERN_CONFIG and /etc) */
	const char *const *set;    /* NULL-terminated "a.b.c=VALUE" */
	char *const *environ;      /* NULL-terminated, for ${VAR} and POSTERN_* */
	const char *const *listen; /* flags; NULL or NULL-terminated; replaces the list */
	const char *data;          /* flag; NULL: none */
};

/* 0 and *out, or -1 and one line in err: "postern.yaml:3:9: unknown key 'cach'; did you mean
 * 'cache'?" */
int config_load(const struct config_source *src, struct config **out, struct buf *err);
struct config *config_ref(struct config *c);
void config_unref(struct config *c);
const struct config_gateway *config_gateway(
    const struct config *c, const char *name, size_t n); /* NULL: none */
/* Appends the keys that differ and that a server reads only when it starts: "listen, log.max_size". */
MUST_CHECK bool config_name_fixed(const struct config *a, const struct config *b, struct buf *out);
/* The effective configuration as YAML that loads again. */
MUST_CHECK bool config_print(const struct config *c, struct buf *out);
/* JSON Schema (2020-12) of the file. */
MUST_CHECK bool config_schema(struct buf *out);

#endif
