/*
 * message: the heads of HTTP/1 requests and responses as values, and the known header names.
 *
 * All spans point into the arena that was given to the parser and die with it.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"

/* Names that some part of the program asks for. Looked up once, at parse time. */
#define HEADER_TABLE(X)                                                                            \
	X(HOST, "host")                                                                            \
	X(CONNECTION, "connection")                                                                \
	X(CONTENT_LENGTH, "content-length")                                                        \
	X(TRANSFER_ENCODING, "transfer-encoding")                                                  \
	X(TE, "te")                                                                                \
	X(TRAILER, "trailer")                                                                      \
	X(UPGRADE, "upgrade")                                                                      \
	X(HTTP2_SETTINGS, "http2-settings")                                                        \
	X(KEEP_ALIVE, "keep-alive")                                                                \
	X(PROXY_CONNECTION, "proxy-connection")                                                    \
	X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                \
	X(PROXY_AUTHORIZATION, "proxy-authorization")                                              \
	X(EXPECT, "expect")                                                                        \
	X(VIA, "via")                                                                              \
	X(CDN_LOOP, "cdn-loop")                                                                    \
	X(FORWARDED, "forwarded")                                                                  \
	X(X_FORWARDED_FOR, "x-forwarded-for")                                                      \
	X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                  \
	X(X_FORWARDED_HOST, "x-forwarded-host")                                                    \
	X(X_FORWARDED_PORT, "x-forwarded-port")                                                    \
	X(X_REAL_IP, "x-real-ip")                                                                  \
	X(TRUE_CLIENT_IP, "true-client-ip")                                                        \
	X(ACCEPT, "accept")                                                                        \
	X(ACCEPT_ENCODING, "accept-encoding")                                                      \
	X(AUTHORIZATION, "authorization")                                                          \
	X(X_API_KEY, "x-api-key")                                                                  \
	X(API_KEY, "api-key")                                                                      \
	X(X_GOOG_API_KEY, "x-goog-api-key")                                                        \
	X(XI_API_KEY, "xi-api-key")                                                                \
	X(X_KEY, "x-key")                                                                          \
	X(TOKEN, "token")                                                                          \
	X(MJ_API_SECRET, "mj-api-secret")                                                          \
	X(OCP_APIM_SUBSCRIPTION_KEY, "ocp-apim-subscription-key")                                  \
	X(X_AMZ_SECURITY_TOKEN, "x-amz-security-token")                                            \
	X(X_AMZ_DATE, "x-amz-date")                                                                \
	X(X_AMZ_CONTENT_SHA256, "x-amz-content-sha256")                                            \
	X(COOKIE, "cookie")                                                                        \
	X(SET_COOKIE, "set-cookie")                                                                \
	X(ANTHROPIC_VERSION, "anthropic-version")                                                  \
	X(ANTHROPIC_BETA, "anthropic-beta")                                                        \
	X(OPENAI_BETA, "openai-beta")                                                              \
	X(OPENAI_ORGANIZATION, "openai-organization")                                              \
	X(OPENAI_PROJECT, "openai-project")                                                        \
	X(CACHE_CONTROL, "cache-control")                                                          \
	X(CONTENT_TYPE, "content-type")                                                            \
	X(CONTENT_ENCODING, "content-encoding")                                                    \
	X(CONTENT_DISPOSITION, "content-disposition")                                              \
	X(AGE, "age")                                                                              \
	X(DATE, "date")                                                                            \
	X(ORIGIN, "origin")                                                                        \
	X(SEC_FETCH_SITE, "sec-fetch-site")                                                        \
	X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                        \
	X(USER_AGENT, "user-agent")                                                                \
	X(RETRY_AFTER, "retry-after")                                                              \
	X(X_FAL_TARGET_URL, "x-fal-target-url")                                                    \
	X(CF_AIG_AUTHORIZATION, "cf-aig-authorization")                                            \
	X(CF_AIG_CACHE_TTL, "cf-aig-cache-ttl")                                                    \
	X(CF_AIG_SKIP_CACHE, "cf-aig-skip-cache")                                                  \
	X(CF_AIG_CACHE_KEY, "cf-aig-cache-key")                                                    \
	X(CF_CACHE_TTL, "cf-cache-ttl")                                                            \
	X(CF_SKIP_CACHE, "cf-skip-cache")                                                          \
	X(CF_AIG_COLLECT_LOG, "cf-aig-collect-log")                                                \
	X(CF_AIG_COLLECT_LOG_PAYLOAD, "cf-aig-collect-log-payload")                                \
	X(CF_AIG_METADATA, "cf-aig-metadata")                                                      \
	X(CF_AIG_EVENT_ID, "cf-aig-event-id")                                                      \
	X(CF_AIG_REQUEST_TIMEOUT, "cf-aig-request-timeout")                                        \
	X(CF_AIG_ANY, "cf-aig-") /* any other name that begins so */

#define HEADER_ENUM(name, text) H_##name,
enum header_id { H_OTHER, HEADER_TABLE(HEADER_ENUM) H_COUNT };
#undef HEADER_ENUM

struct header {
	struct span name;  /* as it came */
	struct span value; /* trimmed of SP and HTAB */
	enum header_id id;
};
/* Fields may be taken out of items, but are put in by headers_add only: a name not in `seen` is not there. */
struct headers {
	struct header *items;
	size_t n;
	size_t cap;
	uint64_t seen[(H_COUNT + 63) / 64]; /* a bit for each id */
};

enum header_id header_id_of(struct span name); /* ASCII case ignored */
struct span header_name(enum header_id id);    /* lower case */
/* Grows in a. False without room. Does not copy name or value. */
MUST_CHECK bool headers_add(
    struct headers *h, struct arena *a, struct span name, struct span value);
/* The first with that id; NULL when there is none. */
const struct header *headers_find(const struct headers *h, enum header_id id);
struct span headers_value(const struct headers *h, enum header_id id); /* p == NULL: absent */
size_t headers_count(const struct headers *h, enum header_id id);
/* Whether a comma-separated list in any field of that id holds the token (case ignored). */
bool headers_has_token(const struct headers *h, enum header_id id, struct span token);

enum body_framing { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

enum method {
	METHOD_OTHER,
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS
};

struct request_head {
	enum method method;
	struct span method_text;
	struct span target; /* as it came: origin-form, absolute-form or "*" */
	int minor;          /* HTTP/1.minor */
	struct headers headers;
	enum body_framing framing; /* never BODY_UNTIL_CLOSE */
	uint64_t length;           /* with BODY_LENGTH */
	bool keep_alive;
	bool expects_continue;
	bool is_upgrade;  /* Connection: upgrade and an Upgrade header */
	unsigned dropped; /* fields taken out of headers: their names have a '_' */
};
static inline bool
request_has_body(const struct request_head *h)
{
	return h->framing == BODY_CHUNKED || (h->framing == BODY_LENGTH && h->length > 0);
}
/* GET without a body, HTTP/1.1, to be upgraded to websocket (RFC 6455 4.1). Any other upgrade is ignored. */
bool request_is_websocket(const struct request_head *h);
struct response_head {
	int status;
	struct span reason;
	int minor;
	struct headers headers;
	enum body_framing framing;
	uint64_t length;
	bool keep_alive;
};

#endif
