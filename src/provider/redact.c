#include "provider/redact.h"

#include "http/target.h"

/* Longest name that is looked at after unescaping; a longer one counts as a credential. */
#define NAME_MAX_BYTES 256
#define MASK "***"

/* Whole names, '_' read as '-'. */
static const char *const credential_names[] = {"authorization", "apikey", "api-key", "key", "token",
    "secret", "password", "auth", "jwt", "bearer", "sig", "signature", "code", "cookie",
    "set-cookie", "x-auth", "access-token", "accesstoken", NULL};
/* "mj-api-secret", "x-amz-security-token", "cf-access-jwt-assertion", "helicone-auth", ... */
static const char *const credential_endings[] = {"-key", "-token", "-secret", "-signature",
    "-authorization", "-auth", "-apikey", "-password", "-credential", "-credentials", "-assertion",
    "-jwt", "-bearer", NULL};
/* They end like credentials and are none. A name that changes with every request, taken for a
 * credential, would give each request a scope of its own and the cache no hit, ever. */
static const char *const harmless_names[] = {"idempotency-key", "x-idempotency-key",
    "sec-websocket-key", "cf-aig-cache-key", "prompt-cache-key", "helicone-prompt-cache-key",
    "surrogate-key", "x-cache-key", NULL};
/* Signed URLs: every parameter of theirs. */
static const char *const signed_prefixes[] = {"x-amz-", "x-goog-", NULL};

static bool
is_one_of(struct span name, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (span_eq(name, span_str(*list)))
			return true;
	}
	return false;
}

static bool
starts_with_one_of(struct span name, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (span_starts(name, span_str(*list)))
			return true;
	}
	return false;
}

static bool
ends_with_one_of(struct span name, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (span_ends(name, span_str(*list)))
			return true;
	}
	return false;
}

/* In place: lower case, '_' as '-', so that api_key, API-KEY and Api_Key are one name. */
static struct span
fold_name(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + ('a' - 'A'));
		else if (p[i] == '_')
			p[i] = '-';
	}
	return span_of(p, n);
}

static bool
is_credential_name(struct span folded)
{
	if (is_one_of(folded, harmless_names))
		return false;
	return is_one_of(folded, credential_names) || ends_with_one_of(folded, credential_endings);
}

/* Case and '_' ignored, percent escapes not. */
static bool
is_credential_word(struct span name)
{
	char folded[NAME_MAX_BYTES];

	if (name.n > sizeof(folded))
		return true;
	if (name.n > 0)
		memcpy(folded, name.p, name.n);
	return is_credential_name(fold_name(folded, name.n));
}

/* The verdict on the names that have an id, so that most headers need no look at their name; a test
 * holds it against the rule for names. */
static const bool is_credential_id[H_COUNT] = {[H_PROXY_AUTHORIZATION] = true,
    [H_AUTHORIZATION] = true,
    [H_X_API_KEY] = true,
    [H_API_KEY] = true,
    [H_X_GOOG_API_KEY] = true,
    [H_XI_API_KEY] = true,
    [H_X_KEY] = true,
    [H_TOKEN] = true,
    [H_MJ_API_SECRET] = true,
    [H_OCP_APIM_SUBSCRIPTION_KEY] = true,
    [H_X_AMZ_SECURITY_TOKEN] = true,
    [H_X_AMZ_DATE] = true,
    [H_X_AMZ_CONTENT_SHA256] = true,
    [H_COOKIE] = true,
    [H_SET_COOKIE] = true,
    [H_CF_AIG_AUTHORIZATION] = true};

bool
is_credential_header(const struct header *h)
{
	char folded[NAME_MAX_BYTES];

	if (h->id != H_OTHER && h->id != H_CF_AIG_ANY)
		return is_credential_id[h->id];
	if (h->name.n > sizeof(folded))
		return true;
	if (h->name.n > 0)
		memcpy(folded, h->name.p, h->name.n);
	struct span name = fold_name(folded, h->name.n);
	if (span_starts(name, SPAN_LIT("x-amz-")))
		return true;
	return is_credential_name(name);
}

bool
is_credential_param(struct span name)
{
	char plain[NAME_MAX_BYTES];

	/* An escape takes three bytes for one: what is longer cannot fit. */
	if (name.n > sizeof(plain))
		return true;
	struct span folded = fold_name(plain, percent_decode(name, plain, sizeof(plain)));
	return starts_with_one_of(folded, signed_prefixes) || is_credential_name(folded);
}

/* One "name=value" of a query, and whether another follows. Not query_next: the bytes between two
 * '&' must come out as they went in, empty items too. */
static bool
next_param(struct span *rest, struct span *item, struct span *name)
{
	if (rest->p == NULL)
		return false;
	size_t end = span_find(*rest, '&');
	*item = span_head(*rest, end);
	*name = span_head(*item, span_find(*item, '='));
	*rest = end < rest->n ? span_skip(*rest, end + 1) : SPAN_NONE;
	return true;
}

bool
query_without_credentials(struct span query, struct buf *out)
{
	struct span item, name;
	bool is_first = true;

	while (next_param(&query, &item, &name)) {
		if (is_credential_param(name))
			continue;
		if (!is_first && !buf_putc(out, '&'))
			return false;
		if (!buf_put_span(out, item))
			return false;
		is_first = false;
	}
	return true;
}

bool
query_redact(struct span query, struct buf *out)
{
	struct span item, name;

	while (next_param(&query, &item, &name)) {
		bool is_hidden = name.n < item.n && is_credential_param(name);
		bool ok = is_hidden
		    ? buf_put_span(out, name) && buf_put(out, "=" MASK, sizeof("=" MASK) - 1)
		    : buf_put_span(out, item);
		if (!ok || (query.p != NULL && !buf_putc(out, '&')))
			return false;
	}
	return true;
}

/* "openai-insecure-api-key.X", "cf-aig-authorization.X", "base64url.bearer.authorization.k8s.io.X":
 * up to the dot behind the first word that names a credential. item.n when none does. */
static size_t
subprotocol_name(struct span item)
{
	size_t start = 0;

	for (size_t i = 0; i < item.n; i++) {
		if (item.p[i] != '.')
			continue;
		if (is_credential_word(span_of(item.p + start, i - start)))
			return i;
		start = i + 1;
	}
	return item.n;
}

/* Deepgram's browser form is two items, "token, KEY". */
static bool
is_announcing(struct span item)
{
	return item.n < sizeof("authorization") && is_credential_word(item);
}

/* A browser's WebSocket has no other place for it. What is for the gateway is no provider's key. */
static struct span
subprotocol_credential(struct span value)
{
	bool is_announced = false;
	struct span item;

	while (span_next(&value, ',', &item)) {
		item = span_trim(item);
		size_t name = subprotocol_name(item);
		if (name < item.n && !span_starts_nocase(item, SPAN_LIT("cf-aig-")))
			return span_skip(item, name + 1);
		if (is_announced && item.n > 0)
			return item;
		is_announced = is_announcing(item);
	}
	return SPAN_NONE;
}

struct span
credential_value(const struct headers *headers, struct span query)
{
	struct span name, value;

	for (size_t i = 0; i < headers->n; i++) {
		const struct header *h = &headers->items[i];
		if (!is_credential_header(h) || h->value.n == 0)
			continue;
		size_t blank = span_find(h->value, ' ');
		return h->id == H_AUTHORIZATION && blank < h->value.n
		    ? span_trim(span_skip(h->value, blank))
		    : h->value;
	}
	while (query_next(&query, &name, &value))
		if (is_credential_param(name) && value.n > 0)
			return value;
	return subprotocol_credential(headers_value(headers, H_SEC_WEBSOCKET_PROTOCOL));
}

static bool
put_subprotocol(struct span item, bool is_announced, struct buf *out)
{
	size_t name = subprotocol_name(item);

	if (name < item.n)
		return buf_put(out, item.p, name) && buf_put(out, "." MASK, sizeof("." MASK) - 1);
	if (is_announced && item.n > 0)
		return buf_put(out, MASK, sizeof(MASK) - 1);
	return text_redact(item, out);
}

bool
subprotocols_redact(struct span value, struct buf *out)
{
	bool is_announced = false, is_first = true;

	for (;;) {
		size_t end = span_find(value, ',');
		struct span item = span_trim(span_head(value, end));
		if (!is_first && !buf_put(out, ", ", 2))
			return false;
		if (!put_subprotocol(item, is_announced, out))
			return false;
		is_announced = is_announcing(item);
		is_first = false;
		if (end >= value.n)
			return true;
		value = span_skip(value, end + 1);
	}
}

/* What a record may keep. An allow-list: a header that nobody thought of is not written down. */
static const char *const loggable_names[] = {"content-type", "content-length", "content-encoding",
    "user-agent", "accept", "accept-encoding", "cache-control", "retry-after", "date", "age",
    "server", "via", "anthropic-version", "anthropic-beta", "openai-beta", "openai-version",
    "openai-model", "openai-processing-ms", "x-request-id", "request-id", "x-amzn-requestid",
    "x-amzn-errortype", "x-generation-id", "x-goog-api-client", "x-runway-version",
    "x-dashscope-async", "x-title", "x-openrouter-title", "x-should-retry", "cf-ray", NULL};
static const char *const loggable_prefixes[] = {"x-ratelimit-", "ratelimit-",
    "anthropic-ratelimit-", "x-stainless-", "x-openrouter-cache-", "x-amzn-bedrock-", NULL};

bool
is_loggable_header(const struct header *h)
{
	char name[NAME_MAX_BYTES];

	if (h->name.n > sizeof(name) || is_credential_header(h))
		return false;
	for (size_t i = 0; i < h->name.n; i++) {
		char c = h->name.p[i];
		name[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	struct span lower = span_of(name, h->name.n);
	return is_one_of(lower, loggable_names) || starts_with_one_of(lower, loggable_prefixes);
}
