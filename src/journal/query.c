#include "journal/query.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "json/json.h"
#include "store/records.h"

#define PAYLOAD_MAX (64 * 1024 * 1024)

void
query_init(struct query *q)
{
	*q = (struct query){.cached = -1};
	memset(q->ceiling.b, 0xff, sizeof(q->ceiling.b));
}

bool
query_parse_status(struct span text, struct query *q)
{
	uint64_t low, high;
	size_t dash = span_find(text, '-');
	if (text.n == 3 && text.p[0] >= '1' && text.p[0] <= '5' &&
	    span_eq_nocase(span_skip(text, 1), SPAN_LIT("xx"))) {
		q->status_min = (text.p[0] - '0') * 100;
		q->status_max = q->status_min + 99;
		return true;
	}
	if (!num_u64(span_head(text, dash), &low))
		return false;
	high = low;
	if (dash < text.n && !num_u64(span_skip(text, dash + 1), &high))
		return false;
	if (low < 100 || high > 599 || low > high)
		return false;
	q->status_min = (int)low;
	q->status_max = (int)high;
	return true;
}

bool
query_parse_time(struct span text, int64_t now_ms, int64_t *out)
{
	uint64_t ago;
	if (num_duration_ms(text, &ago) && ago <= (uint64_t)now_ms) {
		*out = now_ms - (int64_t)ago;
		return true;
	}
	*out = clock_parse(text.p, text.n);
	return *out >= 0;
}

struct run {
	const struct query *q;
	query_fn fn;
	void *ctx;
	uint64_t delivered;
};

static bool
matches(const struct query *q, const struct record *r)
{
	bool is_cached = r->cache == RECORD_HIT || r->cache == RECORD_STALE;
	return (q->gateway.n == 0 || span_eq(q->gateway, r->gateway)) &&
	    (q->provider.n == 0 || span_eq(q->provider, r->provider)) &&
	    (q->model.n == 0 || span_eq(q->model, r->model)) &&
	    (q->status_min == 0 || (r->status >= q->status_min && r->status <= q->status_max)) &&
	    (q->cached < 0 || q->cached == is_cached) &&
	    (q->since_ms == 0 || r->created_ms >= q->since_ms) &&
	    (q->until_ms == 0 || r->created_ms < q->until_ms);
}

static bool
visit(void *ctx, const struct id *id, struct span bytes)
{
	struct run *run = ctx;
	struct record r;
	UNUSED(id);
	if (!record_decode(bytes, &r) || !matches(run->q, &r))
		return true;
	if (!run->fn(run->ctx, &r))
		return false;
	run->delivered++;
	return run->q->limit == 0 || run->delivered < run->q->limit;
}

void
query_run(struct records *rs, const struct query *q, query_fn fn, void *ctx)
{
	struct run run = {.q = q, .fn = fn, .ctx = ctx};
	/* Ids carry the time of the request's first byte, or a little more after the clock went back. */
	struct id floor = id_floor_at(q->since_ms > 0 ? q->since_ms : 0);
	records_scan(rs, &floor, &q->ceiling, visit, &run);
}

static const char *
cache_letter(enum record_cache c)
{
	static const char *const words[] = {"HIT", "STALE", "MISS", "-"};
	return words[c];
}

bool
query_heading(struct buf *out)
{
	return buf_printf(out, "%-24s %-6s %-5s %-14s %-28s %9s %8s %8s %-2s %s\n", "TIME",
	    "STATUS", "CACHE", "PROVIDER", "MODEL", "MS", "IN", "OUT", "E", "ID");
}

static const char *
count_text(int64_t n, char text[24])
{
	if (n < 0)
		return "-";
	snprintf(text, 24, "%lld", (long long)n);
	return text;
}

bool
query_row(const struct record *r, struct buf *out)
{
	char at[CLOCK_RFC3339_SIZE], id[ID_TEXT_SIZE], in[24], tokens_out[24];
	clock_rfc3339(r->created_ms, at);
	id_text(&r->id, id);
	struct span model = span_head(r->model, 28);
	return buf_printf(out, "%-24s %-6d %-5s %-14.*s %-28.*s %9.1f %8s %8s %-2.*s %s\n", at,
	    r->status, cache_letter(r->cache), SPAN_FMT(r->provider),
	    model.n > 0 ? (int)model.n : 1, model.n > 0 ? model.p : "-",
	    (double)r->duration_us / 1000.0, count_text(r->tokens_in, in),
	    count_text(r->tokens_out, tokens_out), SPAN_FMT(r->ending), id);
}

/* The payload of this record, or of the one whose bodies it shares. */
static bool
read_payload(struct records *rs, const struct record *r, enum record_payload which, struct buf *out)
{
	static const struct id none;
	bool own = which == RECORD_REQUEST ? r->has_payload_request : r->has_payload_response;
	bool is_shared = memcmp(r->body_record.b, none.b, sizeof(none.b)) != 0;
	buf_init(out, PAYLOAD_MAX);
	if (!own && !is_shared)
		return false;
	return record_read_payload(rs, own ? &r->id : &r->body_record, which, out);
}

bool
query_show_json(struct records *rs, const struct record *r, struct buf *out)
{
	static const char *const names[RECORD_PAYLOADS] = {"request", "response"};
	bool ok = record_json(r, out);
	buf_cut(out, buf_len(out) - 1);
	for (int i = 0; ok && i < RECORD_PAYLOADS; i++) {
		struct buf payload;
		ok = buf_printf(out, ",\"%s\":", names[i]);
		if (read_payload(rs, r, (enum record_payload)i, &payload))
			ok = ok && json_put_str(out, buf_view(&payload));
		else
			ok = ok && buf_put(out, "null", 4);
		buf_fini(&payload);
	}
	return ok && buf_putc(out, '}');
}

/* Peers' bytes on a terminal: control characters but line feed and tab are shown, not obeyed. */
static bool
put_printable(struct buf *out, struct span s)
{
	bool ok = true;
	for (size_t i = 0; ok && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool is_plain = (c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t';
		ok = is_plain ? buf_putc(out, (char)c) : buf_printf(out, "\\x%02x", c);
	}
	return ok;
}

static bool
show_fields(const struct record *r, struct buf *out)
{
	struct buf text;
	buf_init(&text, 64 * 1024);
	bool ok = record_json(r, &text);
	struct json_doc *doc = ok ? json_parse(buf_view(&text)) : NULL;
	struct json_val root = {NULL};
	if (doc != NULL)
		root = json_root(doc);
	struct json_iter it = json_iter(root);
	struct span key, s;
	struct json_val v;
	while (ok && json_next(&it, &key, &v)) {
		ok = buf_printf(out, "%-22.*s ", SPAN_FMT(key));
		if (json_str(v, &s))
			ok = ok && put_printable(out, s);
		else
			ok = ok && json_write(v, out);
		ok = ok && buf_putc(out, '\n');
	}
	json_free(doc);
	buf_fini(&text);
	return ok;
}

bool
query_show(struct records *rs, const struct record *r, struct buf *out)
{
	static const char *const titles[RECORD_PAYLOADS] = {"request", "response"};
	bool ok = show_fields(r, out);
	for (int i = 0; ok && i < RECORD_PAYLOADS; i++) {
		struct buf payload;
		if (read_payload(rs, r, (enum record_payload)i, &payload))
			ok = buf_printf(
				 out, "\n--- %s (%zu bytes) ---\n", titles[i], buf_len(&payload)) &&
			    put_printable(out, buf_view(&payload)) && buf_putc(out, '\n');
		else
			ok = buf_printf(out, "\n--- %s: not kept ---\n", titles[i]);
		buf_fini(&payload);
	}
	return ok;
}
