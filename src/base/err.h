/*
 * err: every way an exchange or a call can fail, one table row each. The HTTP status, who is to
 * blame, the log level, the word of `postern-error` and the text all come from the row.
 *
 * E_OK is 0. E_AGAIN is flow, not failure. Library codes are converted in the room that owns the
 * library.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err_blame { BLAME_NONE, BLAME_CLIENT, BLAME_UPSTREAM, BLAME_GATEWAY, BLAME_TIMEOUT };

/* clang-format off */
/*   name                  status blame     code  word                   text
 * `code` is Cloudflare's (cloudflare.md 2.3) or 0; it goes into the envelope. */
#define ERR_TABLE(X)                                                                               \
	X(OK, 200, NONE, 0, "ok", "ok")                                                            \
	X(AGAIN, 500, GATEWAY, 0, "again", "not yet")                                              \
	X(BAD_REQUEST, 400, CLIENT, 0, "bad-request", "the request is not valid HTTP/1.1")         \
	X(BAD_FRAMING, 400, CLIENT, 0, "bad-framing", "the length of the request body is ambiguous") \
	X(BAD_HOST, 400, CLIENT, 0, "bad-host", "the Host header is missing, repeated or malformed") \
	X(BAD_PATH, 400, CLIENT, 0, "bad-path", "the path has '.' or '..' segments or bytes that no URL may have") \
	X(BAD_HEADER, 400, CLIENT, 0, "bad-header", "a header has a value that is not allowed")    \
	X(BAD_UPSTREAM_HOST, 400, CLIENT, 0, "bad-upstream-host", "this path does not name a valid upstream host") \
	X(SIGV4_CLIENT, 400, CLIENT, 0, "sigv4-client-signature", "a request signed with AWS SigV4 for AWS's host cannot pass a reverse proxy: use a Bedrock API key (Authorization: Bearer)") \
	X(UNKNOWN_GATEWAY, 400, CLIENT, 2001, "unknown-gateway", "no gateway of that name is configured") \
	X(UNAUTHORIZED, 401, CLIENT, 2009, "unauthorized", "Unauthorized")                         \
	X(FORBIDDEN, 403, CLIENT, 0, "forbidden", "not allowed from here")                         \
	X(UNKNOWN_PROVIDER, 404, CLIENT, 0, "unknown-provider", "no provider of that name: the path is /{provider}/... (built in or configured under 'providers')") \
	X(NOT_FOUND, 404, CLIENT, 0, "not-found", "no such resource")                              \
	X(METHOD_NOT_ALLOWED, 405, CLIENT, 0, "method-not-allowed", "this method is not allowed here") \
	X(REQUEST_TIMEOUT, 408, TIMEOUT, 0, "request-timeout", "the request did not arrive in time") \
	X(BODY_TOO_LARGE, 413, CLIENT, 0, "body-too-large", "the request body is larger than limits.body allows here") \
	X(URI_TOO_LONG, 414, CLIENT, 0, "uri-too-long", "the request line is longer than limits.request_line") \
	X(EXPECTATION_FAILED, 417, CLIENT, 0, "expectation-failed", "only 'Expect: 100-continue' is understood") \
	X(MISDIRECTED, 421, CLIENT, 0, "misdirected", "the Host header does not name this server (admin.hosts)") \
	X(HEADERS_TOO_LARGE, 431, CLIENT, 0, "headers-too-large", "the headers are more or larger than limits.headers and limits.header_size") \
	X(CLIENT_GONE, 499, CLIENT, 0, "client-gone", "the client went away")                      \
	X(INTERNAL, 500, GATEWAY, 0, "internal", "the gateway failed")                             \
	X(NOT_IMPLEMENTED, 501, CLIENT, 0, "not-implemented", "this is not supported")             \
	X(UPSTREAM_CONNECT, 502, UPSTREAM, 2005, "upstream-connect", "could not connect to the provider") \
	X(UPSTREAM_DNS, 502, UPSTREAM, 2005, "upstream-dns", "the provider's name could not be resolved") \
	X(UPSTREAM_DNS_TIMEOUT, 504, TIMEOUT, 2005, "upstream-dns-timeout", "no DNS server answered for the provider's name in time") \
	X(UPSTREAM_ADDRESS, 502, GATEWAY, 2005, "upstream-address", "the provider's name resolves to a private address; set allow_private for it if that is meant") \
	X(UPSTREAM_PROXY, 502, UPSTREAM, 2005, "upstream-proxy", "the proxy (upstream.proxy) did not open a way to the provider; the gateway's own log says why") \
	X(UPSTREAM_TLS, 502, UPSTREAM, 2005, "upstream-tls", "the provider's TLS certificate or handshake was not acceptable") \
	X(UPSTREAM_PROTOCOL, 502, UPSTREAM, 2005, "upstream-protocol", "the provider's answer is not valid HTTP") \
	X(UPSTREAM_CLOSED, 502, UPSTREAM, 2005, "upstream-closed", "the provider closed the connection before its answer was complete") \
	X(OVERLOADED, 503, GATEWAY, 0, "overloaded", "the gateway is at its limit; try again")     \
	X(SHUTTING_DOWN, 503, GATEWAY, 0, "shutting-down", "the gateway is shutting down")         \
	X(UPSTREAM_CONNECT_TIMEOUT, 504, TIMEOUT, 2005, "upstream-connect-timeout", "connecting to the provider took longer than upstream.connect or upstream.tls") \
	X(UPSTREAM_TIMEOUT, 504, TIMEOUT, 2005, "upstream-timeout", "the provider sent nothing within upstream.first_byte or upstream.idle") \
	X(BAD_VERSION, 505, CLIENT, 0, "bad-version", "only HTTP/1.0 and HTTP/1.1 are spoken")     \
	X(LOOP, 508, CLIENT, 0, "loop", "the request came through this gateway already")           \
	X(WRITE_STALL, 499, TIMEOUT, 0, "write-stall", "the client did not read within limits.write_stall") \
	X(BODY_STALL, 408, TIMEOUT, 0, "body-stall", "the request body came slower than limits.body_idle and limits.body_min_rate allow") \
	/* not of an exchange */                                                                   \
	X(EOF, 500, NONE, 0, "eof", "end of file")                                                 \
	X(CLOSED, 500, NONE, 0, "closed", "closed")                                                \
	X(RESET, 500, NONE, 0, "reset", "connection reset")                                        \
	X(TIMEOUT, 504, TIMEOUT, 0, "timeout", "timed out")                                        \
	X(NOMEM, 503, GATEWAY, 0, "no-memory", "out of memory")                                    \
	X(FULL, 503, GATEWAY, 0, "full", "no room")                                                \
	X(CORRUPT, 500, GATEWAY, 0, "corrupt", "stored data is damaged")                           \
	X(IO, 500, GATEWAY, 0, "io", "input or output failed")                                     \
	X(IN_USE, 500, GATEWAY, 0, "in-use", "another server uses this data directory")            \
	X(USAGE, 500, CLIENT, 0, "usage", "wrong use")

/* clang-format on */
#define ERR_ENUM(name, status, blame, code, word, text) E_##name,
enum err { ERR_TABLE(ERR_ENUM) ERR_COUNT };
#undef ERR_ENUM

struct err_row {
	int status;
	enum err_blame blame;
	int code;
	const char *word; /* kebab-case: postern-error, log word, metric label */
	const char *text;
};

const struct err_row *err_row(enum err e);

#endif
