#include "journal/record.h"

#include <string.h>

#include "base/clock.h"
#include "journal/record_int.h"

/* Texts in their order; the rest of the columns is in the functions below. */
/* clang-format off */
#define FIRST_TEXTS(X) \
	X(gateway) X(account) X(provider) X(model) X(method) X(path) X(host)
#define LAST_TEXTS(X) \
	X(metadata) X(event_id) X(key_id) X(client) X(user_agent) X(request_content_type) \
	X(response_content_type) X(end_reason) X(ending)
/* clang-format on */

static bool
put_quoted(struct buf *out, struct span s)
{
	bool ok = true;
	while (ok && s.n > 0) {
		size_t n = span_find(s, '"');
		ok = buf_put(out, s.p, n) && (n == s.n || buf_put(out, "\"\"", 2));
		s = span_skip(s, n + 1);
	}
	return ok;
}

static bool
put_text(struct buf *out, struct span s)
{
	if (s.n == 0)
		return buf_putc(out, ',');
	bool is_formula = memchr("=+-@\t\r", s.p[0], 6) != NULL;
	bool needs_quotes = false;
	for (size_t i = 0; i < s.n && !needs_quotes; i++)
		needs_quotes = memchr(",\"\r\n", s.p[i], 4) != NULL;
	if (!buf_put(out, ",\"", needs_quotes ? 2 : 1) || (is_formula && !buf_putc(out, '\'')))
		return false;
	return needs_quotes ? put_quoted(out, s) && buf_putc(out, '"') : buf_put_span(out, s);
}

static bool
put_number(struct buf *out, int64_t v, bool is_known)
{
	return is_known ? buf_printf(out, ",%lld", (long long)v) : buf_putc(out, ',');
}

static bool
put_flag(struct buf *out, bool v)
{
	return v ? buf_put(out, ",true", 5) : buf_put(out, ",false", 6);
}

static bool
put_ms(struct buf *out, int64_t us)
{
	return buf_putc(out, ',') && (us < 0 || record_put_ms(us, out));
}

static bool
put_head(const struct record *r, struct buf *out)
{
	char id[ID_TEXT_SIZE], at[CLOCK_RFC3339_SIZE];
	id_text(&r->id, id);
	clock_rfc3339(r->created_ms, at);
	bool ok = buf_printf(out, "%s,%s", id, at);
#define PUT_TEXT(member) ok = ok && put_text(out, r->member);
	FIRST_TEXTS(PUT_TEXT)
#undef PUT_TEXT
	return ok && put_number(out, r->status, true) && put_flag(out, r->success) &&
	    put_flag(out, r->cache == RECORD_HIT || r->cache == RECORD_STALE) &&
	    buf_printf(out, ",%s", record_cache_word(r->cache));
}

static bool
put_usage(const struct record *r, struct buf *out)
{
	bool ok = put_number(out, r->tokens_in, r->tokens_in >= 0) &&
	    put_number(out, r->tokens_out, r->tokens_out >= 0);
	for (size_t i = 0; i < RECORD_USAGE_CLASSES; i++)
		ok = ok && put_number(out, r->usage[i], r->usage[i] >= 0);
	return ok && buf_putc(out, ',') &&
	    (r->cost_usd12 < 0 || record_put_usd(r->cost_usd12, out));
}

bool
record_csv(const struct record *r, struct buf *out)
{
	bool ok = put_head(r, out) && put_ms(out, r->duration_us) && put_ms(out, r->ttfb_us) &&
	    put_ms(out, r->ttft_us) && put_number(out, r->overhead_us, r->overhead_us >= 0) &&
	    put_usage(r, out) && put_number(out, r->step, true) &&
	    put_number(out, r->attempts, true) && put_number(out, r->request_size, true) &&
	    put_number(out, r->response_size, true) && put_number(out, r->bytes_in, true) &&
	    put_number(out, r->bytes_out, true);
#define PUT_TEXT(member) ok = ok && put_text(out, r->member);
	LAST_TEXTS(PUT_TEXT)
#undef PUT_TEXT
	return ok && put_flag(out, r->is_stream) && put_flag(out, r->is_truncated) &&
	    put_flag(out, r->is_estimated) && put_number(out, r->frames_in, r->frames_in >= 0) &&
	    put_number(out, r->frames_out, r->frames_out >= 0) && buf_put(out, "\r\n", 2);
}

bool
record_csv_heading(struct buf *out)
{
#define NAME(member) "," #member
	bool ok = buf_printf(out,
	    "id,created_at" FIRST_TEXTS(
		NAME) ",status_code,success,cached,cache_status,duration_ms,ttfb_ms,"
		      "ttft_ms,overhead_us,tokens_in,tokens_out");
	for (size_t i = 0; i < RECORD_USAGE_CLASSES; i++)
		ok = ok && buf_printf(out, ",usage_%s", record_usage_names[i]);
	return ok &&
	    buf_printf(out,
		",cost,step,attempts,request_size,response_size,bytes_in,bytes_out" LAST_TEXTS(
		    NAME) ",stream,truncated,estimated,frames_in,frames_out\r\n");
#undef NAME
}
