#include "journal/query.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "journal/sealed.h"
#include "json/json.h"
#include "store/records.h"

#define PAYLOAD_MAX (64 * 1024 * 1024)

void
query_init(struct query *q)
{
	*q = (struct query){.cached = -1,
	    .duration_min_us = -1,
	    .duration_max_us = -1,
	    .tokens_min = -1,
	    .tokens_max = -1};
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

bool
query_parse_duration(struct span text, int64_t *out_us)
{
	uint64_t ms;
	if (!num_duration_ms(text, &ms) || ms > INT64_MAX / 1000)
		return false;
	*out_us = (int64_t)ms * 1000;
	return true;
}

bool
query_add_metadata(struct span text, struct query *q)
{
	size_t n = span_find(text, '=');
	if (n == 0 || n == text.n || q->n_metadata == QUERY_METADATA_MAX)
		return false;
	q->metadata[q->n_metadata++] =
	    (struct query_pair){span_head(text, n), span_skip(text, n + 1)};
	return true;
}

/* ---- matching ---- */

static bool
is_within(int64_t v, int64_t min, int64_t max)
{
	if (min < 0 && max < 0)
		return true;
	return v >= 0 && v >= min && (max < 0 || v <= max);
}

static int64_t
tokens_of(const struct record *r)
{
	if (r->tokens_in < 0 || r->tokens_out < 0)
		return r->tokens_in < 0 ? r->tokens_out : r->tokens_in;
	return r->tokens_in + r->tokens_out;
}

static bool
is_value(struct json_val v, struct span wanted)
{
	struct span s;
	struct buf text;
	if (json_str(v, &s))
		return span_eq(s, wanted);
	buf_init(&text, 4096);
	bool ok = json_write(v, &text) && span_eq(buf_view(&text), wanted);
	buf_fini(&text);
	return ok;
}

static bool
has_pair(struct json_val root, const struct query_pair *p)
{
	struct json_iter it = json_iter(root);
	struct span key;
	struct json_val v;
	while (json_next(&it, &key, &v))
		if (span_eq(key, p->key) && is_value(v, p->value))
			return true;
	return false;
}

/* Last of all: it parses. */
static bool
has_metadata(const struct query *q, struct span metadata)
{
	if (q->n_metadata == 0)
		return true;
	if (metadata.n == 0)
		return false;
	struct json_doc *doc = json_parse(metadata);
	bool ok = doc != NULL && json_type(json_root(doc)) == JSON_OBJECT;
	for (size_t i = 0; ok && i < q->n_metadata; i++)
		ok = has_pair(json_root(doc), &q->metadata[i]);
	json_free(doc);
	return ok;
}

bool
query_matches(const struct query *q, const struct record *r)
{
	bool is_cached = r->cache == RECORD_HIT || r->cache == RECORD_STALE;
	return (q->gateway.n == 0 || span_eq(q->gateway, r->gateway)) &&
	    (q->provider.n == 0 || span_eq(q->provider, r->provider)) &&
	    (q->model.n == 0 || span_eq(q->model, r->model)) &&
	    (q->status_min == 0 || (r->status >= q->status_min && r->status <= q->status_max)) &&
	    (q->cached < 0 || q->cached == is_cached) &&
	    (q->since_ms == 0 || r->created_ms >= q->since_ms) &&
	    (q->until_ms == 0 || r->created_ms < q->until_ms) &&
	    is_within(r->duration_us, q->duration_min_us, q->duration_max_us) &&
	    is_within(tokens_of(r), q->tokens_min, q->tokens_max) && has_metadata(q, r->metadata);
}

/* ---- running ---- */

struct run {
	struct query *q;
	query_fn fn;
	void *ctx;
	uint64_t delivered, looked_at;
	bool is_stopped;
};

/* The id just below; false: there is none. */
static bool
step_back(struct id *id)
{
	for (int i = ID_BYTES - 1; i >= 0; i--)
		if (id->b[i]-- != 0)
			return true;
	return false;
}

static bool
visit(void *ctx, const struct id *id, struct span bytes)
{
	struct run *run = ctx;
	struct record r;
	if (record_decode(bytes, &r) && query_matches(run->q, &r)) {
		if (!run->fn(run->ctx, &r)) {
			run->q->ceiling = *id;
			run->is_stopped = true;
			return false;
		}
		run->delivered++;
	}
	if (++run->looked_at < QUERY_SLICE &&
	    (run->q->limit == 0 || run->delivered < run->q->limit))
		return true;
	run->q->ceiling = *id;
	run->is_stopped = step_back(&run->q->ceiling);
	return false;
}

bool
query_run(struct records *rs, struct query *q, query_fn fn, void *ctx)
{
	struct run run = {.q = q, .fn = fn, .ctx = ctx};
	/* Ids carry the time of the request's first byte, or a little more after the clock went back. */
	struct id floor = id_floor_at(q->since_ms > 0 ? q->since_ms : 0);
	struct id ceiling = q->ceiling;
	records_scan(rs, &floor, &ceiling, visit, &run);
	return run.is_stopped;
}

/* ---- showing ---- */

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

/* A payload to be shown: of this record, or of the one whose bodies it shares. */
struct shown {
	struct buf bytes;
	int64_t size, kept; /* of the body; kept 0: all of it */
	bool is_sealed;     /* and could not be opened: bytes is empty */
};

static bool
has_own(const struct record *r, enum record_payload which)
{
	return which == RECORD_REQUEST ? r->has_payload_request : r->has_payload_response;
}

static bool
has_shared(const struct record *r)
{
	static const struct id none;
	return memcmp(r->body_record.b, none.b, sizeof(none.b)) != 0;
}

static struct id
owner_of(const struct record *r, enum record_payload which)
{
	return has_own(r, which) || !has_shared(r) ? r->id : r->body_record;
}

/* Why there is none: retention has taken it, or it was never kept. */
static const char *
absence(const struct record *r, enum record_payload which)
{
	return has_own(r, which) || has_shared(r)
	    ? "gone (log.payload_retention, log.payload_max_size)"
	    : "not kept";
}

static void
read_kept(struct records *rs, const struct id *owner, enum record_payload which, struct shown *out)
{
	struct buf bytes;
	struct record r;
	buf_init(&bytes, 64 * 1024);
	if (record_read(rs, owner, &bytes) && record_decode(buf_view(&bytes), &r)) {
		out->kept = which == RECORD_REQUEST ? r.request_kept : r.response_kept;
		out->size = which == RECORD_REQUEST ? r.request_size : r.response_size;
	}
	buf_fini(&bytes);
}

static void
open_sealed(const struct id *owner, enum record_payload which, const struct sealer *sealer,
    struct shown *out)
{
	struct buf plain;
	buf_init(&plain, PAYLOAD_MAX);
	out->is_sealed = sealer == NULL ||
	    !sealed_open(sealer, owner, (int)which, buf_view(&out->bytes), &plain);
	if (out->is_sealed)
		buf_reset(&plain);
	buf_fini(&out->bytes);
	out->bytes = plain;
}

/* out->bytes is the caller's in any case. */
static bool
read_payload(struct records *rs, const struct record *r, enum record_payload which,
    const struct sealer *sealer, struct shown *out)
{
	struct id owner = owner_of(r, which);
	*out = (struct shown){.size = 0};
	buf_init(&out->bytes, PAYLOAD_MAX);
	if (!record_read_payload(rs, &owner, which, &out->bytes))
		return false;
	read_kept(rs, &owner, which, out);
	if (sealed_is(buf_view(&out->bytes)))
		open_sealed(&owner, which, sealer, out);
	return true;
}

bool
query_show_json(
    struct records *rs, const struct record *r, const struct sealer *sealer, struct buf *out)
{
	static const char *const names[RECORD_PAYLOADS] = {"request", "response"};
	bool ok = record_json(r, out);
	buf_cut(out, buf_len(out) - 1);
	for (int i = 0; ok && i < RECORD_PAYLOADS; i++) {
		struct shown payload;
		bool is_there = read_payload(rs, r, (enum record_payload)i, sealer, &payload);
		ok = !is_there || payload.kept == 0 ||
		    buf_printf(out, ",\"%s_kept\":%lld", names[i], (long long)payload.kept);
		if (is_there && payload.is_sealed)
			ok = ok && buf_printf(out, ",\"%s_sealed\":true", names[i]);
		ok = ok && buf_printf(out, ",\"%s\":", names[i]) &&
		    (is_there && !payload.is_sealed ? json_put_str(out, buf_view(&payload.bytes))
						    : buf_put(out, "null", 4));
		buf_fini(&payload.bytes);
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

static bool
put_title(struct buf *out, const char *title, const struct shown *s)
{
	if (s->kept == 0)
		return buf_printf(out, "\n--- %s (%zu bytes) ---\n", title, buf_len(&s->bytes));
	if (s->size <= s->kept) /* it was compressed */
		return buf_printf(
		    out, "\n--- %s (first %lld bytes) ---\n", title, (long long)s->kept);
	return buf_printf(out, "\n--- %s (first %lld of %lld bytes) ---\n", title,
	    (long long)s->kept, (long long)s->size);
}

bool
query_show(struct records *rs, const struct record *r, const struct sealer *sealer, struct buf *out)
{
	static const char *const titles[RECORD_PAYLOADS] = {"request", "response"};
	bool ok = show_fields(r, out);
	for (int i = 0; ok && i < RECORD_PAYLOADS; i++) {
		struct shown payload;
		bool is_there = read_payload(rs, r, (enum record_payload)i, sealer, &payload);
		if (is_there && payload.is_sealed)
			ok = buf_printf(out,
			    "\n--- %s: sealed; --unseal-env VAR opens it with the caller's key ---\n",
			    titles[i]);
		else if (is_there)
			ok = put_title(out, titles[i], &payload) &&
			    put_printable(out, buf_view(&payload.bytes)) && buf_putc(out, '\n');
		else
			ok = buf_printf(out, "\n--- %s: %s ---\n", titles[i],
			    absence(r, (enum record_payload)i));
		buf_fini(&payload.bytes);
	}
	return ok;
}
