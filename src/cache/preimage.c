#include "cache/preimage.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "crypto/crypto.h"
#include "crypto/memo.h"
#include "http/message.h"
#include "http/target.h"
#include "json/canon.h"
#include "provider/redact.h"
#include "provider/registry.h"

#define PREIMAGE_VERSION 1
#define IGNORE_MAX 35
#define CREDENTIALS_SIZE_MAX (256 * 1024)
#define CREDENTIALS_MAX 32 /* fields that count; more of them make the request uncacheable */

struct cache_keys {
	uint8_t scope[32];
	uint64_t seed;
};

/* Tags of the fields. Each is written as tag, 32-bit length, bytes. */
enum field {
	F_GATEWAY = 1,
	F_SCOPE,
	F_PROVIDER,
	F_ORIGIN,
	F_METHOD,
	F_PATH,
	F_QUERY,
	F_HEADER,
	F_CODING,
	F_STREAM,
	F_CANONICAL,
	F_RAW,
	F_CUSTOM,
	F_ITEM
};

struct cache_keys *
cache_keys_new(const uint8_t scope_key[32], const uint8_t seed_key[32])
{
	struct cache_keys *k = xcalloc(1, sizeof(*k));
	memcpy(k->scope, scope_key, sizeof(k->scope));
	memcpy(&k->seed, seed_key, sizeof(k->seed));
	return k;
}

void
cache_keys_free(struct cache_keys *k)
{
	if (k != NULL)
		zeroize(k, sizeof(*k));
	free(k);
}

#define FIELD_HEAD (1 + sizeof(uint32_t))

static char *
head_of_field(char *to, enum field tag, uint32_t length)
{
	*to = (char)tag;
	memcpy(to + 1, &length, sizeof(length));
	return to + FIELD_HEAD;
}

static bool
put(struct buf *out, enum field tag, struct span value)
{
	char *to = value.n > UINT32_MAX ? NULL : buf_room(out, FIELD_HEAD + value.n);

	if (to == NULL)
		return false;
	to = head_of_field(to, tag, (uint32_t)value.n);
	if (value.n > 0)
		memcpy(to, value.p, value.n);
	buf_commit(out, FIELD_HEAD + value.n);
	return true;
}

/* What tells callers apart: every credential header and parameter in full, and whose bill it is. */
static size_t
collect_credentials(const struct cache_request *rq, struct span *parts, bool *too_many)
{
	size_t n = 0;
	for (size_t i = 0; i < rq->headers->n; i++) {
		const struct header *h = &rq->headers->items[i];
		if (!is_credential_header(h) && h->id != H_OPENAI_ORGANIZATION &&
		    h->id != H_OPENAI_PROJECT)
			continue;
		if (n + 2 > CREDENTIALS_MAX * 2)
			*too_many = true;
		else {
			parts[n++] = h->name;
			parts[n++] = h->value;
		}
	}
	struct span rest = rq->query, name, value;
	while (query_next(&rest, &name, &value)) {
		if (!is_credential_param(name))
			continue;
		if (n + 2 > CREDENTIALS_MAX * 2)
			*too_many = true;
		else {
			parts[n++] = name;
			parts[n++] = value;
		}
	}
	return n;
}

static char *
part(char *to, struct span s)
{
	uint32_t length = (uint32_t)s.n;

	memcpy(to, &length, sizeof(length));
	if (s.n > 0)
		memcpy(to + sizeof(length), s.p, s.n);
	return to + sizeof(length) + s.n;
}

static char *
lower_part(char *to, struct span s)
{
	char *end = part(to, s);

	for (char *p = end - s.n; p < end; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 32);
	return end;
}

/* HMAC over the parts with a length before each and names in lower case. False: no room. */
static bool
mac_credentials(const struct cache_keys *k, const struct cache_request *rq,
    const struct span *parts, size_t n, uint8_t mac[SHA256_BYTES])
{
	char few[1024], *text = few, *end;
	size_t size = 0;
	for (size_t i = 0; i < n && size <= CREDENTIALS_SIZE_MAX; i++)
		size += sizeof(uint32_t) + parts[i].n;
	if (size > CREDENTIALS_SIZE_MAX)
		return false;
	if (size > sizeof(few))
		text = malloc(size);
	if (text == NULL)
		return false;
	end = text;
	for (size_t i = 0; i < n; i++)
		end = i % 2 == 0 ? lower_part(end, parts[i]) : part(end, parts[i]);
	memo_hmac(rq->scope_memo, k->scope, span_of(text, size), mac);
	zeroize(text, size);
	if (text != few)
		free(text);
	return true;
}

static bool
put_scope(const struct cache_keys *k, const struct cache_request *rq, struct buf *out)
{
	struct span parts[CREDENTIALS_MAX * 2];
	uint8_t mac[SHA256_BYTES];
	bool too_many = false;
	if (rq->is_shared)
		return put(out, F_SCOPE, SPAN_NONE);
	size_t n = collect_credentials(rq, parts, &too_many);
	if (too_many)
		return false;
	if (n == 0)
		return put(out, F_SCOPE, SPAN_LIT("anonymous"));
	return mac_credentials(k, rq, parts, n, mac) &&
	    put(out, F_SCOPE, span_of(mac, sizeof(mac)));
}

uint64_t
cache_caller_hash(const struct cache_keys *k, const struct cache_request *rq)
{
	struct span parts[CREDENTIALS_MAX * 2];
	uint8_t mac[SHA256_BYTES] = {0};
	bool too_many = false;
	size_t n = collect_credentials(rq, parts, &too_many);
	if (n > 0 && !mac_credentials(k, rq, parts, n, mac))
		return 0;
	return cache_hash(k, span_of(mac, sizeof(mac))) ^ cache_hash(k, rq->provider);
}

static bool
put_origin(const struct upstream_target *to, struct buf *out)
{
	return put(out, F_ORIGIN, to->host_header) && buf_putc(out, to->is_tls ? 's' : 'p');
}

/* A query where only what is no credential counts. */
static bool
put_query(struct span query, struct buf *out)
{
	if (query.p == NULL)
		return true;
	struct buf kept;
	buf_init(&kept, query.n + 1);
	bool ok = query_without_credentials(query, &kept) && put(out, F_QUERY, buf_view(&kept));
	buf_fini(&kept);
	return ok;
}

/* The part of the query that a custom key does not stand in for. */
static bool
put_alt(struct span query, struct buf *out)
{
	struct span rest = query, name, value;
	while (query_next(&rest, &name, &value))
		if (span_eq(name, SPAN_LIT("alt")) && !put(out, F_QUERY, value))
			return false;
	return true;
}

static struct span
accept_class(const struct headers *h)
{
	struct span accept = headers_value(h, H_ACCEPT);
	if (accept.p == NULL || span_find_by(accept, SPAN_LIT("*/*"), '*') < accept.n)
		return SPAN_LIT("any");
	if (span_contains_nocase(accept, SPAN_LIT("event-stream")))
		return SPAN_LIT("stream");
	if (span_contains_nocase(accept, SPAN_LIT("json")))
		return SPAN_LIT("json");
	return accept;
}

static bool
put_headers(const struct headers *h, bool any_form, struct buf *out)
{
	static const enum header_id ids[] = {H_ANTHROPIC_VERSION, H_ANTHROPIC_BETA, H_OPENAI_BETA};
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		for (size_t j = 0; j < h->n; j++)
			if (h->items[j].id == ids[i] &&
			    (!put(out, F_HEADER, header_name(ids[i])) ||
				!put(out, F_HEADER, h->items[j].value)))
				return false;
	}
	return put(out, F_HEADER, any_form ? SPAN_LIT("any") : accept_class(h));
}

/* The canonical form where it says the same as what was written, else the bytes as they came. */
static enum preimage_result
put_body(const struct cache_request *rq, struct buf *out)
{
	struct span ignore[IGNORE_MAX];
	size_t n = 0;
	if (rq->form.n > 0) {
		ignore[n++] = SPAN_LIT("stream");
		ignore[n++] = SPAN_LIT("stream_options");
	}
	if (rq->is_item)
		ignore[n++] = SPAN_LIT("input");
	for (char *const *name = rq->ignore; name != NULL && *name != NULL && n < IGNORE_MAX;
	    name++)
		ignore[n++] = span_str(*name);
	size_t before = buf_len(out);
	if (!put(out, F_CANONICAL, SPAN_NONE))
		return PREIMAGE_FULL;
	size_t start = buf_len(out);
	switch (canon_write(rq->doc, ignore, n, out)) {
	case CANON_OK:
		break;
	case CANON_LOSSY:
		buf_cut(out, before);
		if (rq->is_item)
			return PREIMAGE_NONE; /* the bytes have the other items in them */
		return put(out, F_RAW, rq->body) ? PREIMAGE_OK : PREIMAGE_FULL;
	case CANON_REFUSED:
		return PREIMAGE_NONE;
	case CANON_FULL:
		return PREIMAGE_FULL;
	}
	uint32_t length = (uint32_t)(buf_len(out) - start);
	memcpy(out->p + out->off + start - sizeof(length), &length, sizeof(length));
	return PREIMAGE_OK;
}

static struct span
form_word(const struct cache_request *rq)
{
	if (rq->form.n > 0)
		return rq->form;
	return rq->is_stream ? SPAN_LIT("1") : SPAN_LIT("0");
}

enum preimage_result
preimage_write(const struct cache_keys *k, const struct cache_request *rq, struct buf *out)
{
	bool ok = buf_putc(out, PREIMAGE_VERSION) && put(out, F_GATEWAY, rq->gateway) &&
	    put_scope(k, rq, out) && put(out, F_PROVIDER, rq->provider) &&
	    put_origin(rq->to, out) && put(out, F_METHOD, rq->method) &&
	    put(out, F_PATH, rq->to->path) && put(out, F_CODING, rq->coding) &&
	    put(out, F_STREAM, form_word(rq));
	if (!ok)
		return PREIMAGE_FULL;
	if (rq->custom_key.n > 0)
		return put_alt(rq->query, out) && put(out, F_CUSTOM, rq->custom_key)
		    ? PREIMAGE_OK
		    : PREIMAGE_FULL;
	if (!put_query(rq->query, out) || !put_headers(rq->headers, rq->form.n > 0, out))
		return PREIMAGE_FULL;
	if (rq->doc == NULL)
		return PREIMAGE_NONE;
	return put_body(rq, out);
}

bool
preimage_put_item(struct span item, struct buf *base)
{
	return put(base, F_ITEM, item);
}

struct entry_key
preimage_key(const struct cache_keys *k, struct span preimage)
{
	struct entry_key key;
	_Static_assert(sizeof(key.b) == HASH_128_BYTES, "a key is a hash");
	hash_128(k->seed, preimage, key.b);
	return key;
}

uint64_t
cache_hash(const struct cache_keys *k, struct span bytes)
{
	return hash_64(k->seed ^ 0x9e3779b97f4a7c15u, bytes);
}
