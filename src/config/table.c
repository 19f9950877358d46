#include "config/table.h"

#include <stdio.h>

#include "base/chk.h"
#include "config/config.h"
#include "config/syntax_int.h"

#define KB ((uint64_t)1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define MS ((uint64_t)1)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

#define ADDRESS_PATTERN "^(unix:/.+|(\\[[0-9A-Fa-f:.]+\\]|[0-9.]+|localhost)?:[0-9]{1,5})$"
#define PATH_PATTERN "^[^~]"

static const struct config_choice disconnect_choices[] = {
    {"cancel", DISCONNECT_CANCEL, false},
    {"finish", DISCONNECT_FINISH, false},
    {NULL, 0, false},
};
static const struct config_choice mode_choices[] = {
    {"all", CACHE_ALL, false},
    {"deterministic", CACHE_DETERMINISTIC, false},
    {"off", CACHE_OFF, false},
    {NULL, 0, false},
};
static const struct config_choice scope_choices[] = {
    {"credential", SCOPE_CREDENTIAL, false},
    {"shared", SCOPE_SHARED, false},
    {NULL, 0, false},
};
static const struct config_choice payload_choices[] = {
    {"full", PAYLOAD_FULL, false},
    {"head", PAYLOAD_HEAD, false},
    {"none", PAYLOAD_NONE, false},
    {NULL, 0, false},
};
static const struct config_choice dialect_choices[] = {
    {"openai", 0, false},
    {"anthropic", 0, false},
    {"gemini", 0, false},
    {"bedrock", 0, false},
    {"cohere", 0, false},
    {"ollama", 0, false},
    {"other", 0, false},
    {NULL, 0, false},
};

#define SERVER(member) offsetof(struct config, member)
#define GATEWAY(member) offsetof(struct config_gateway, member)
#define PROVIDER(member) offsetof(struct config_provider, member)

/* clang-format off */
/* A kind of row is its type and what it needs; the rest is written out as .field = value. */
#define ROW(key, kind, at, standard, text, ...) \
	{.path = key, .type = CONFIG_##kind, .offset = at, .def = standard, .doc = text, __VA_ARGS__}
#define BOOL(key, at, standard, text) ROW(key, BOOL, at, standard, text, .flags = 0)
#define NUMBER(key, kind, at, standard, least, most, text) \
	ROW(key, kind, at, standard, text, .min = (least), .max = (most))
#define ENUM(key, at, standard, list, text) ROW(key, ENUM, at, standard, text, .choices = (list))
#define NOT_YET(key, text) \
	ROW(key, STRING, CONFIG_NO_FIELD, NULL, text, .flags = CONFIG_NOT_YET)

static const struct config_row rows[] = {
	ROW("listen", LISTEN, SERVER(listen), "[\"127.0.0.1:8787\"]",
	    "Addresses to listen on: host:port (an IP address or localhost; port 0 lets the system "
	    "choose), :port (all IPv4 addresses), [v6]:port or unix:/path. For TLS an object with address and tls.",
	    .check = syntax_address, .pattern = ADDRESS_PATTERN),
	ROW("data", STRING, SERVER(data), NULL,
	    "Directory of the cache, the log and the control socket. "
	    "Not given: $STATE_DIRECTORY, else $XDG_STATE_HOME/postern, else $HOME/.local/state/postern.",
	    .check = syntax_path, .pattern = PATH_PATTERN),
	BOOL("sandbox", SERVER(sandbox), "true",
	    "Once it has started the server gives up what it does not need: writing outside the data directory, "
	    "executing, attaching. false: for a debugger; read at start only."),
	NOT_YET("admin.token", "Bearer token of the admin pages."),
	ROW("admin.listen", STRINGS, SERVER(admin_listen), "[]",
	    "Addresses of 'listen' that serve the admin pages too. Loopback and Unix ones always do.",
	    .check = syntax_address, .pattern = ADDRESS_PATTERN),
	ROW("admin.hosts", STRINGS, SERVER(admin_hosts), "[]",
	    "Further names, without port, that a Host header may have on admin pages.",
	    .check = syntax_host, .pattern = "^[A-Za-z0-9._-]{1,253}$"),
	ROW("trusted_proxies", STRINGS, SERVER(trusted_proxies), "[]",
	    "Proxies in front of Postern: IP addresses, blocks such as 10.0.0.0/8, or unix. Who the client is they "
	    "tell in X-Forwarded-For or Forwarded, for the log; limits.connections_per_address does not count them.",
	    .check = syntax_network, .pattern = "^(unix|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$"),
	NOT_YET("default_provider", "The provider of a bare model name."),

	NUMBER("limits.header_size", SIZE, SERVER(limits.header_size), "32KB", KB, MB,
	    "Most bytes of a request's line and headers."),
	NUMBER("limits.headers", INT, SERVER(limits.headers), "100", 1, 10000,
	    "Most headers of a request."),
	NUMBER("limits.request_line", SIZE, SERVER(limits.request_line), "8KB", 256, MB,
	    "Most bytes of a request line."),
	NUMBER("limits.body", SIZE, SERVER(limits.body), "32MB", KB, GB,
	    "Largest request body that is held to be read; larger ones stream through uncached."),
	NUMBER("limits.connections", INT, SERVER(limits.connections), "10000", 1, 1000000,
	    "Most client connections at once."),
	NUMBER("limits.connections_per_address", INT, SERVER(limits.connections_per_address), "256", 1,
	    1000000, "Most client connections at once from one address (IPv6: a /64); not for loopback, Unix and trusted_proxies."),
	NUMBER("limits.header_timeout", DURATION, SERVER(limits.header_timeout_ms), "10s", MS, DAY,
	    "Longest time from a request's first byte to the end of its headers."),
	NUMBER("limits.tls_timeout", DURATION, SERVER(limits.tls_timeout_ms), "10s", MS, DAY,
	    "Longest TLS handshake of a client."),
	NUMBER("limits.body_idle", DURATION, SERVER(limits.body_idle_ms), "30s", MS, DAY,
	    "Longest pause inside a request body."),
	NUMBER("limits.body_grace", DURATION, SERVER(limits.body_grace_ms), "20s", 0, DAY,
	    "How long a request body may be slower than body_min_rate."),
	NUMBER("limits.body_min_rate", INT, SERVER(limits.body_min_rate), "500", 0, 1000000000,
	    "Slowest request body, in bytes a second, once body_grace is over; 0: any."),
	NUMBER("limits.keepalive_idle", DURATION, SERVER(limits.keepalive_idle_ms), "75s", MS, DAY,
	    "How long a client connection may wait for its next request."),
	NUMBER("limits.keepalive_requests", INT, SERVER(limits.keepalive_requests), "1000", 1, 1000000000,
	    "Most requests on one client connection."),
	NUMBER("limits.write_stall", DURATION, SERVER(limits.write_stall_ms), "60s", MS, DAY,
	    "How long a client may read nothing of its answer."),
	NUMBER("limits.drain", DURATION, SERVER(limits.drain_ms), "30s", 0, DAY,
	    "How long a stopping server lets running requests finish."),
	NUMBER("limits.takeover_drain", DURATION, SERVER(limits.takeover_drain_ms), "10m", 0, DAY,
	    "How long a server that was taken over lets running requests finish."),
	BOOL("limits.half_close", SERVER(limits.half_close), "false",
	    "A client that closed its sending side still gets its answer."),
	NUMBER("limits.memory", SIZE, SERVER(limits.memory), "0", 0, 1024 * 1024 * GB,
	    "Ceiling for the memory of the process; from 90% on it caches and keeps nothing new, from 95% on "
	    "new requests get 503. 0: none."),

	NUMBER("upstream.connect", DURATION, SERVER(upstream.connect_ms), "5s", MS, DAY,
	    "Longest connecting to a provider."),
	NUMBER("upstream.tls", DURATION, SERVER(upstream.tls_ms), "10s", MS, DAY,
	    "Longest TLS handshake with a provider."),
	NUMBER("upstream.first_byte", DURATION, SERVER(upstream.first_byte_ms), "600s", MS, DAY,
	    "Longest wait for the first byte of a provider's answer."),
	NUMBER("upstream.idle", DURATION, SERVER(upstream.idle_ms), "300s", MS, DAY,
	    "Longest pause inside a provider's answer; of a WebSocket: while neither side sends."),
	NUMBER("upstream.pool_idle", DURATION, SERVER(upstream.pool_idle_ms), "60s", 0, DAY,
	    "How long an unused connection to a provider is kept; 0: not at all."),
	ROW("upstream.ca", STRING, SERVER(upstream.ca), "system",
	    "PEM file of the certificate authorities that providers are checked against, or system.",
	    .check = syntax_path, .pattern = PATH_PATTERN, .null_word = "system"),
	ROW("upstream.proxy", STRING, SERVER(upstream.proxy), "none",
	    "HTTP proxy through which https providers are reached (CONNECT): http://[USER:PASSWORD@]HOST[:PORT], or "
	    "none. Not given: $HTTPS_PROXY or $https_proxy.",
	    .check = syntax_proxy, .pattern = "^(none|([Hh][Tt][Tt][Pp]://)?[!-~]+)$", .null_word = "none",
	    .flags = CONFIG_USERINFO),
	ROW("upstream.no_proxy", STRINGS, SERVER(upstream.no_proxy), "[]",
	    "Hosts that are reached without the proxy: names, domains, addresses, or *. localhost and private "
	    "addresses always are. Not given: $NO_PROXY or $no_proxy.", .pattern = "^.+$"),

	NUMBER("cache.max_size", SIZE, SERVER(cache_max_size), "2GB", MB, 16 * 1024 * GB,
	    "Most bytes of the cache on disk."),

	NUMBER("log.max_size", SIZE, SERVER(log_max_size), "5GB", MB, 16 * 1024 * GB,
	    "Most bytes of the log on disk; the oldest days go first."),
	NUMBER("log.payload_max_size", SIZE, SERVER(log_payload_max_size), "4GB", 0, 16 * 1024 * GB,
	    "Most bytes of bodies in the log on disk: past it the oldest go, their records stay; 0: as many as log.max_size allows."),
	NUMBER("log.retention", DURATION, SERVER(log_retention_ms), "30d", SECOND, 3650 * DAY,
	    "How long records are kept."),
	NUMBER("log.payload_retention", DURATION, SERVER(log_payload_retention_ms), "7d", SECOND,
	    3650 * DAY, "How long the bodies of requests and answers are kept."),

	ROW("gateways.*.authentication", BOOL, CONFIG_NO_FIELD, "false",
	    "Callers need a key of the gateway's own. Not in this version: only false is allowed.",
	    .flags = CONFIG_NOT_TRUE),
	ENUM("gateways.*.on_disconnect", GATEWAY(on_disconnect), "cancel", disconnect_choices,
	    "When the client leaves: cancel the provider's answer, or finish it to fill the cache."),
	ENUM("gateways.*.cache.mode", GATEWAY(cache.mode), "all", mode_choices,
	    "all answers, deterministic ones (embeddings, moderation, counting, temperature 0 or seeded), "
	    "or off: only what cf-aig-cache-key or cf-aig-cache-ttl asks for."),
	NUMBER("gateways.*.cache.ttl", DURATION, GATEWAY(cache.ttl_ms), "1h", 0, 365 * DAY,
	    "How long an answer may be replayed; 0: nothing is cached."),
	ENUM("gateways.*.cache.scope", GATEWAY(cache.scope), "credential", scope_choices,
	    "Who gets a cached answer: callers with the same credential, or everyone (shared; only where "
	    "every listener is loopback or Unix)."),
	NUMBER("gateways.*.cache.max_entry", SIZE, GATEWAY(cache.max_entry), "25MB", KB, GB,
	    "Largest answer that is cached; never more than a quarter of cache.max_size."),
	ROW("gateways.*.cache.ignore", STRINGS, GATEWAY(cache.ignore), "[]",
	    "Top-level members of the request body that do not count for the cache.", .pattern = "^.+$"),
	BOOL("gateways.*.cache.coalesce", GATEWAY(cache.coalesce), "true",
	    "Identical requests at the same time share one upstream call."),
	NUMBER("gateways.*.cache.stale_if_error", DURATION, GATEWAY(cache.stale_if_error_ms), "0", 0, 365 * DAY,
	    "So long past its time to live an answer still stands in for an error of the provider."),
	NUMBER("gateways.*.cache.stale_while_revalidate", DURATION, GATEWAY(cache.stale_while_revalidate_ms), "0", 0,
	    365 * DAY,
	    "So long past its time to live an answer is still given, while a fresh one is fetched behind it."),
	BOOL("gateways.*.cache.cross_form", GATEWAY(cache.cross_form), "false",
	    "A stored stream answers the same request without 'stream', and the reverse (OpenAI chat, Anthropic messages)."),
	BOOL("gateways.*.cache.split_embeddings", GATEWAY(cache.split_embeddings), "false",
	    "A batch of inputs for embeddings is looked up one by one; only what is missing goes to the provider."),
	BOOL("gateways.*.cache.respect_upstream", GATEWAY(cache.respect_upstream), "false",
	    "The provider's own cache-control counts."),
	BOOL("gateways.*.cache.seal", GATEWAY(cache.seal), "false",
	    "Cached answers are encrypted under a key that only the caller's credential gives."),
	BOOL("gateways.*.log.collect", GATEWAY(log.collect), "true", "Keep a record of every request."),
	ENUM("gateways.*.log.payload", GATEWAY(log.payload), "full", payload_choices,
	    "Keep the bodies of requests and answers: all (full), the first 4 KB of each (head), or none."),
	NUMBER("gateways.*.log.max_payload", SIZE, GATEWAY(log.max_payload), "10MB", 0, GB,
	    "Most bytes that are kept of one body; the log takes no body over 10MB, and 2MB of a compressed one."),
	BOOL("gateways.*.log.scrub", GATEWAY(log.scrub), "true",
	    "Key-shaped strings in the bodies that are kept become ***."),
	BOOL("gateways.*.log.seal", GATEWAY(log.seal), "false",
	    "Bodies in the log are encrypted under a key that only the caller's credential gives."),

	ROW("providers.*.base_url", STRING, PROVIDER(base_url), NULL,
	    "http://HOST[:PORT][/PATH] or https://... Not given: the built-in one of this name.",
	    .check = syntax_base_url, .pattern = "^https?://[^/?#@]+(/[^?#]*)?$"),
	ROW("providers.*.dialect", STRING, PROVIDER(dialect), NULL,
	    "How its bodies are read. Not given: the built-in one of this name, else openai.",
	    .choices = dialect_choices),
	BOOL("providers.*.allow_private", PROVIDER(allow_private), "false",
	    "Its name may resolve to a private or loopback address."),
	ROW("providers.*.ca", STRING, PROVIDER(ca), NULL,
	    "PEM file of the certificate authorities it is checked against. Not given: upstream.ca.",
	    .check = syntax_path, .pattern = PATH_PATTERN),
};

static const struct config_section sections[] = {
	{"", "Configuration of Postern.", NULL, NULL},
	{"admin", "The admin pages and their protection.", NULL, NULL},
	{"limits", "What one client may use.", NULL, NULL},
	{"upstream", "Connections to providers.", NULL, NULL},
	{"cache", "The cache on disk, of all gateways together.", NULL, NULL},
	{"log", "The log on disk, of all gateways together.", NULL, NULL},
	{"gateways", "Named sets of settings. What one does not set it has from 'default'.",
	    syntax_gateway_name, "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
	{"gateways.*", "A gateway.", NULL, NULL},
	{"gateways.*.cache", "What is cached, and for whom.", NULL, NULL},
	{"gateways.*.log", "What is logged.", NULL, NULL},
	{"providers", "Providers of one's own, and other values for built-in ones.",
	    syntax_provider_slug, "^[a-z0-9][a-z0-9_-]{0,62}$"},
	{"providers.*", "A provider.", NULL, NULL},
};
/* clang-format on */

size_t
table_count(void)
{
	return COUNT_OF(rows);
}

const struct config_row *
table_at(size_t i)
{
	CHK(i < COUNT_OF(rows));
	return &rows[i];
}

const struct config_row *
table_find(const char *path)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (strcmp(rows[i].path, path) == 0)
			return &rows[i];
	return NULL;
}

const struct config_section *
table_section(const char *path)
{
	for (size_t i = 0; i < COUNT_OF(sections); i++)
		if (strcmp(sections[i].path, path) == 0)
			return &sections[i];
	return NULL;
}

const struct config_row *
table_find_leaf(struct span name)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *dot = strrchr(rows[i].path, '.');

		if (dot != NULL && table_is_available(&rows[i]) && span_eq(span_str(dot + 1), name))
			return &rows[i];
	}
	return NULL;
}

enum config_root
table_root(const struct config_row *row)
{
	if (span_starts(span_str(row->path), SPAN_LIT("gateways.*.")))
		return ROOT_GATEWAY;
	if (span_starts(span_str(row->path), SPAN_LIT("providers.*.")))
		return ROOT_PROVIDER;
	return ROOT_SERVER;
}

bool
table_is_available(const struct config_row *row)
{
	return (row->flags & CONFIG_NOT_YET) == 0;
}

void
table_join(const char *parent, struct span name, char out[CONFIG_PATH_SIZE])
{
	/* A name too long for the buffer is cut; no row is that long, so it matches none either way. */
	(void)snprintf(out, CONFIG_PATH_SIZE, "%s%s%.*s", parent, parent[0] == '\0' ? "" : ".",
	    SPAN_FMT(span_head(name, 64)));
}

/* The part of a path right under a section, or the empty span when it is not under it. */
static struct span
segment_under(const char *section, const char *path)
{
	size_t n = strlen(section);

	if (n > 0 && (strncmp(path, section, n) != 0 || path[n] != '.'))
		return SPAN_NONE;
	path += n > 0 ? n + 1 : 0;
	return span_of(path, strcspn(path, "."));
}

bool
table_next(struct table_iter *it)
{
	for (; it->i < COUNT_OF(rows); it->i++) {
		const struct config_row *row = &rows[it->i];
		struct span name = segment_under(it->section, row->path);

		if (name.n == 0 || span_eq(name, it->name))
			continue;
		it->name = name;
		it->row = name.p[name.n] == '\0' ? row : NULL;
		it->i++;
		return true;
	}
	return false;
}
