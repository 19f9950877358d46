#include "journal/record.h"

#include "base/clock.h"
#include "journal/record_int.h"
#include "json/json.h"

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
	return buf_printf(out, ",\"%s\":", name) &&
	    (us < 0 ? buf_put(out, "null", 4) : record_put_ms(us, out));
}

static bool
json_cost(struct buf *out, int64_t usd12)
{
	return buf_printf(out, ",\"cost\":") &&
	    (usd12 < 0 ? buf_put(out, "null", 4) : record_put_usd(usd12, out));
}

static bool
json_usage(struct buf *out, const struct record *r)
{
	bool first = true, ok = buf_printf(out, ",\"usage\":{");
	for (size_t i = 0; ok && i < RECORD_USAGE_CLASSES; i++) {
		if (r->usage[i] < 0)
			continue;
		ok = buf_printf(out, "%s\"%s\":%lld", first ? "" : ",", record_usage_names[i],
		    (long long)r->usage[i]);
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
	    buf_printf(out, ",\"cache_status\":\"%s\"", record_cache_word(r->cache));
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
	    json_number(out, "bytes_out", r->bytes_out, true) &&
	    (r->frames_in < 0 || json_number(out, "frames_in", r->frames_in, true)) &&
	    (r->frames_out < 0 || json_number(out, "frames_out", r->frames_out, true));
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
