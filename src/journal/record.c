#include "journal/record.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "json/json.h"

#define FORMAT_VERSION 1

/* The stored fields: tag (never reused), kind, member. A field at its initial value is not written. */
#define RECORD_FIELDS(INT, TEXT)                                                                   \
	INT(1, created_ms)                                                                         \
	TEXT(2, gateway) TEXT(3, account) TEXT(4, provider) TEXT(5, model) TEXT(6, method)         \
	    TEXT(7, path) TEXT(8, event_id) TEXT(9, key_id) TEXT(10, client) TEXT(11, user_agent)  \
		TEXT(12, end_reason) TEXT(13, ending) TEXT(14, metadata)                           \
		    TEXT(15, request_content_type) TEXT(16, response_content_type) TEXT(17, host)  \
			INT(18, status) INT(19, step) INT(20, attempts) INT(21, duration_us)       \
			    INT(22, ttfb_us) INT(23, ttft_us) INT(24, overhead_us)                 \
				INT(25, request_size) INT(26, response_size) INT(27, bytes_in)     \
				    INT(28, bytes_out) INT(29, tokens_in) INT(30, tokens_out)      \
					INT(31, cost_usd12) INT(32, usage[0]) INT(33, usage[1])    \
					    INT(34, usage[2]) INT(35, usage[3]) INT(36, usage[4])  \
						INT(37, usage[5]) INT(38, usage[6])                \
						    INT(39, usage[7])

#define TAG_FLAGS 60
#define TAG_BODY_RECORD 61
enum {
	FLAG_SUCCESS = 1,
	FLAG_STREAM = 2,
	FLAG_TRUNCATED = 4,
	FLAG_ESTIMATED = 8,
	FLAG_REQUEST = 16,
	FLAG_RESPONSE = 32,
	FLAG_CACHE_SHIFT = 6
};

static const struct id no_id;

void
record_init(struct record *r)
{
	*r = (struct record){.duration_us = -1,
	    .ttfb_us = -1,
	    .ttft_us = -1,
	    .overhead_us = -1,
	    .tokens_in = -1,
	    .tokens_out = -1,
	    .cost_usd12 = -1};
	for (size_t i = 0; i < RECORD_USAGE_CLASSES; i++)
		r->usage[i] = -1;
}

/* ---- stored form: version, id, then tag and value until the end ---- */

static bool
put_varint(struct buf *out, uint64_t v)
{
	while (v >= 0x80) {
		if (!buf_putc(out, (char)(v | 0x80)))
			return false;
		v >>= 7;
	}
	return buf_putc(out, (char)v);
}

static bool
put_int(struct buf *out, int tag, int64_t v, int64_t initial)
{
	if (v == initial)
		return true;
	uint64_t zigzag = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
	return buf_putc(out, (char)tag) && put_varint(out, zigzag);
}

static bool
put_text(struct buf *out, int tag, struct span s)
{
	return s.n == 0 ||
	    (buf_putc(out, (char)tag) && put_varint(out, s.n) && buf_put_span(out, s));
}

static int64_t
flags_of(const struct record *r)
{
	return (r->success ? FLAG_SUCCESS : 0) | (r->is_stream ? FLAG_STREAM : 0) |
	    (r->is_truncated ? FLAG_TRUNCATED : 0) | (r->is_estimated ? FLAG_ESTIMATED : 0) |
	    (r->has_payload_request ? FLAG_REQUEST : 0) |
	    (r->has_payload_response ? FLAG_RESPONSE : 0) | ((int64_t)r->cache << FLAG_CACHE_SHIFT);
}

bool
record_encode(const struct record *r, struct buf *out)
{
	struct record initial;
	record_init(&initial);
	bool ok = buf_putc(out, FORMAT_VERSION) && buf_put(out, r->id.b, sizeof(r->id.b)) &&
	    put_int(out, TAG_FLAGS, flags_of(r), 0);
#define PUT_INT(tag, member) ok = ok && put_int(out, tag, r->member, initial.member);
#define PUT_TEXT(tag, member) ok = ok && put_text(out, tag, r->member);
	RECORD_FIELDS(PUT_INT, PUT_TEXT)
#undef PUT_INT
#undef PUT_TEXT
	if (ok && memcmp(r->body_record.b, no_id.b, sizeof(no_id.b)) != 0)
		ok = put_text(out, TAG_BODY_RECORD, span_of(r->body_record.b, sizeof(no_id.b)));
	return ok;
}

static bool
get_varint(struct span *in, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; in->n > 0 && shift < 64; shift += 7) {
		unsigned char c = (unsigned char)in->p[0];
		*in = span_skip(*in, 1);
		*out |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return true;
	}
	return false;
}

static bool
get_int(struct span *in, int64_t *out)
{
	uint64_t zigzag;
	if (!get_varint(in, &zigzag))
		return false;
	*out = (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
	return true;
}

static bool
get_text(struct span *in, struct span *out)
{
	uint64_t n;
	if (!get_varint(in, &n) || n > in->n)
		return false;
	*out = span_head(*in, n);
	*in = span_skip(*in, n);
	return true;
}

static bool
get_flags(struct span *in, struct record *r)
{
	int64_t f;
	if (!get_int(in, &f) || f < 0 || f >> FLAG_CACHE_SHIFT > RECORD_BYPASS)
		return false;
	r->success = f & FLAG_SUCCESS;
	r->is_stream = f & FLAG_STREAM;
	r->is_truncated = f & FLAG_TRUNCATED;
	r->is_estimated = f & FLAG_ESTIMATED;
	r->has_payload_request = f & FLAG_REQUEST;
	r->has_payload_response = f & FLAG_RESPONSE;
	r->cache = (enum record_cache)(f >> FLAG_CACHE_SHIFT);
	return true;
}

static bool
get_field(int tag, struct span *in, struct record *r)
{
	struct span text;
	int64_t number;
	switch (tag) {
#define GET_INT(t, member)                                                                         \
	case t:                                                                                    \
		if (!get_int(in, &number))                                                         \
			return false;                                                              \
		r->member = (__typeof__(r->member))number;                                         \
		return true;
#define GET_TEXT(t, member)                                                                        \
	case t:                                                                                    \
		return get_text(in, &r->member);
		RECORD_FIELDS(GET_INT, GET_TEXT)
#undef GET_INT
#undef GET_TEXT
	case TAG_FLAGS:
		return get_flags(in, r);
	case TAG_BODY_RECORD:
		if (!get_text(in, &text) || text.n != sizeof(r->body_record.b))
			return false;
		memcpy(r->body_record.b, text.p, text.n);
		return true;
	default:
		return false;
	}
}

bool
record_decode(struct span in, struct record *out)
{
	record_init(out);
	if (in.n < 1 + sizeof(out->id.b) || in.p[0] != FORMAT_VERSION)
		return false;
	memcpy(out->id.b, in.p + 1, sizeof(out->id.b));
	in = span_skip(in, 1 + sizeof(out->id.b));
	while (in.n > 0) {
		int tag = (unsigned char)in.p[0];
		in = span_skip(in, 1);
		if (!get_field(tag, &in, out))
			return false;
	}
	return true;
}

/* ---- JSON ---- */

static bool
json_text(struct buf *out, const char *name, struct span s)
{
	return buf_printf(out, ",\"%s\":", name) &&
	    (s.n == 0 ? buf_put(out, "null", 4) : json_put_str(out, s));
}

static bool
json_number(struct buf *out, const char *name, int64_t v, bool is_known)
{
	return is_known ? buf_printf(out, ",\"%s\":%lld", name, (long long)v)
			: buf_printf(out, ",\"%s\":null", name);
}

static bool
json_flag(struct buf *out, const char *name, bool v)
{
	return buf_printf(out, ",\"%s\":%s", name, v ? "true" : "false");
}

/* Microseconds as milliseconds with their fraction. */
static bool
json_ms(struct buf *out, const char *name, int64_t us)
{
	return us < 0 ? buf_printf(out, ",\"%s\":null", name)
		      : buf_printf(out, ",\"%s\":%lld.%03lld", name, (long long)(us / 1000),
			    (long long)(us % 1000));
}

/* Pico-USD as USD, without a double in between. */
static bool
json_cost(struct buf *out, int64_t usd12)
{
	if (usd12 < 0)
		return buf_printf(out, ",\"cost\":null");
	char fraction[16];
	snprintf(fraction, sizeof(fraction), "%012lld", (long long)(usd12 % 1000000000000));
	size_t n = 12;
	while (n > 0 && fraction[n - 1] == '0')
		n--;
	return buf_printf(out, ",\"cost\":%lld%s%.*s", (long long)(usd12 / 1000000000000),
	    n > 0 ? "." : "", (int)n, fraction);
}

static bool
json_usage(struct buf *out, const struct record *r)
{
	static const char *const names[RECORD_USAGE_CLASSES] = {"input", "cache_read",
	    "cache_write_5m", "cache_write_1h", "output", "reasoning", "audio_in", "audio_out"};
	bool first = true, ok = buf_printf(out, ",\"usage\":{");
	for (size_t i = 0; ok && i < RECORD_USAGE_CLASSES; i++) {
		if (r->usage[i] < 0)
			continue;
		ok = buf_printf(
		    out, "%s\"%s\":%lld", first ? "" : ",", names[i], (long long)r->usage[i]);
		first = false;
	}
	return ok && buf_putc(out, '}');
}

/* What the caller sent is JSON when it was taken; if redaction broke it, it is shown as text. */
static bool
json_metadata(struct buf *out, struct span metadata)
{
	if (metadata.n == 0)
		return buf_printf(out, ",\"metadata\":null");
	struct json_doc *doc = json_parse(metadata);
	bool ok = buf_printf(out, ",\"metadata\":") &&
	    (doc != NULL ? json_write(json_root(doc), out) : json_put_str(out, metadata));
	json_free(doc);
	return ok;
}

static const char *
cache_word(enum record_cache c)
{
	static const char *const words[] = {"HIT", "STALE", "MISS", "BYPASS"};
	return words[c];
}

static bool
json_head(const struct record *r, struct buf *out)
{
	char id[ID_TEXT_SIZE], at[CLOCK_RFC3339_SIZE];
	id_text(&r->id, id);
	clock_rfc3339(r->created_ms, at);
	return buf_printf(out, "{\"id\":\"%s\",\"created_at\":\"%s\"", id, at) &&
	    json_text(out, "gateway", r->gateway) && json_text(out, "account", r->account) &&
	    json_text(out, "provider", r->provider) && json_text(out, "model", r->model) &&
	    json_text(out, "method", r->method) && json_text(out, "path", r->path) &&
	    json_text(out, "host", r->host) && json_number(out, "status_code", r->status, true) &&
	    json_flag(out, "success", r->success) &&
	    json_flag(out, "cached", r->cache == RECORD_HIT || r->cache == RECORD_STALE) &&
	    buf_printf(out, ",\"cache_status\":\"%s\"", cache_word(r->cache));
}

static bool
json_figures(const struct record *r, struct buf *out)
{
	return json_number(out, "duration", (r->duration_us + 500) / 1000, r->duration_us >= 0) &&
	    json_ms(out, "duration_ms", r->duration_us) && json_ms(out, "ttfb_ms", r->ttfb_us) &&
	    json_ms(out, "ttft_ms", r->ttft_us) &&
	    json_number(out, "overhead_us", r->overhead_us, r->overhead_us >= 0) &&
	    json_number(out, "tokens_in", r->tokens_in, r->tokens_in >= 0) &&
	    json_number(out, "tokens_out", r->tokens_out, r->tokens_out >= 0) &&
	    json_usage(out, r) && json_cost(out, r->cost_usd12) &&
	    json_number(out, "step", r->step, true) &&
	    json_number(out, "attempts", r->attempts, true) &&
	    json_number(out, "request_size", r->request_size, true) &&
	    json_number(out, "response_size", r->response_size, true) &&
	    json_number(out, "bytes_in", r->bytes_in, true) &&
	    json_number(out, "bytes_out", r->bytes_out, true);
}

bool
record_json(const struct record *r, struct buf *out)
{
	return json_head(r, out) && json_figures(r, out) && json_metadata(out, r->metadata) &&
	    json_text(out, "event_id", r->event_id) && json_text(out, "key_id", r->key_id) &&
	    json_text(out, "client", r->client) && json_text(out, "user_agent", r->user_agent) &&
	    json_text(out, "request_content_type", r->request_content_type) &&
	    json_text(out, "response_content_type", r->response_content_type) &&
	    json_text(out, "end_reason", r->end_reason) && json_text(out, "ending", r->ending) &&
	    json_flag(out, "stream", r->is_stream) &&
	    json_flag(out, "truncated", r->is_truncated) &&
	    json_flag(out, "estimated", r->is_estimated) && buf_putc(out, '}');
}
