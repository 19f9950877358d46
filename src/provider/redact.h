/*
 * redact: what is a credential. The one place that knows; scope, log and forwarding all ask here.
 */
#ifndef PROVIDER_REDACT_H
#define PROVIDER_REDACT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "http/message.h"

/* Authorization, x-api-key, api-key, x-goog-api-key, xi-api-key, x-key, token, cookie, proxy-authorization,
 * cf-aig-authorization, x-amz-*, mj-api-secret, ... and any name that ends in -key, -token, -secret or -signature. */
bool is_credential_header(const struct header *h);
/* The first credential there is, of the headers, else of the query, else of a WebSocket's subprotocols, without its scheme: the same key is the same whichever
 * SDK sends it. Empty: none. */
struct span credential_value(const struct headers *h, struct span query);
/* key, api_key, api-key, apikey, token, access_token, auth, sig, signature, code, X-Amz-*, X-Goog-*; also
 * percent-encoded and in any case. */
bool is_credential_param(struct span name);
/* The query without credential parameters, order and bytes of the others kept; appended. */
MUST_CHECK bool query_without_credentials(struct span query, struct buf *out);
/* The same with their values as "***", for the log. */
MUST_CHECK bool query_redact(struct span query, struct buf *out);
/* Sec-WebSocket-Protocol with credential items (openai-insecure-api-key.X, cf-aig-authorization.X, xi-api-key.X) as "name.***". */
MUST_CHECK bool subprotocols_redact(struct span value, struct buf *out);
/* Headers that a record may keep with their value (allow-list: content-type, user-agent, accept, anthropic-version, ...). */
bool is_loggable_header(const struct header *h);
/* Text that may hold keys (error messages, paths): sk-..., sk-ant-..., AIza..., ghp_..., AKIA..., xox?-..., JWTs, "Bearer x" become "***". */
MUST_CHECK bool text_redact(struct span text, struct buf *out);
/* The same for a body, of which somebody wants to read the rest: there "Bearer x", "?key=x" and eyJ... have to look like a secret,
 * not like a word of a sentence or a piece of base64. Looks at all of it, but writes only what begins in its first `shown` bytes. What
 * was JSON or UTF-8 stays so. Looks through one to three gigabytes a second. */
MUST_CHECK bool body_redact(struct span body, size_t shown, struct buf *out);
/* Whether body_redact would change it. */
bool body_has_credential(struct span body);

#endif
