#include "journal/payload.h"

#include <string.h>

#include "config/config.h"
#include "http/gunzip.h"
#include "provider/redact.h"

#define SNIFF_BYTES 4096
#define SCRATCH_KEPT (256 * 1024)

uint64_t
payload_max(const struct config_gateway *g)
{
	uint64_t max = g->log.max_payload;
	if (g->log.payload == PAYLOAD_NONE)
		return 0;
	return g->log.payload == PAYLOAD_HEAD && max > PAYLOAD_HEAD_BYTES ? PAYLOAD_HEAD_BYTES
									  : max;
}

uint64_t
payload_capture_max(const struct config_gateway *g)
{
	uint64_t max = payload_max(g);
	return max == 0 ? 0 : max + PAYLOAD_MARGIN;
}

/* ---- content coding ---- */

struct plain_out {
	struct buf *buf;
	bool is_full;
};

static void
put_plain(void *ctx, struct span piece)
{
	struct plain_out *o = ctx;
	size_t room = o->buf->max - buf_len(o->buf);
	o->is_full = o->is_full || piece.n > room || !buf_put_span(o->buf, span_head(piece, room));
}

static bool
is_gzip(const struct payload_body *b)
{
	return span_eq_nocase(b->content_encoding, SPAN_LIT("gzip")) ||
	    span_eq_nocase(b->content_encoding, SPAN_LIT("x-gzip")) ||
	    span_starts(b->bytes, SPAN_LIT("\x1f\x8b\x08"));
}

static bool
is_coded(const struct payload_body *b)
{
	return b->content_encoding.n > 0 &&
	    !span_eq_nocase(b->content_encoding, SPAN_LIT("identity"));
}

/* False: none of it can be read. *is_whole: all of it was. */
static bool
gunzip_all(struct payload *p, struct span packed, uint64_t max, bool *is_whole)
{
	struct plain_out out = {.buf = &p->plain};
	p->plain.max = max;
	struct gunzip *g = gunzip_new(max + 1);
	if (g == NULL)
		return false;
	for (size_t at = 0; at < packed.n && !out.is_full; at += SNIFF_BYTES)
		if (!gunzip_feed(g, span_head(span_skip(packed, at), SNIFF_BYTES), put_plain, &out))
			break;
	*is_whole = gunzip_is_complete(g) && !out.is_full;
	gunzip_free(g);
	return buf_len(&p->plain) > 0 || *is_whole;
}

/* ---- scrubbing ---- */

/* Says that it is no text, and looks so. */
static bool
is_binary(const struct payload_body *b, struct span plain)
{
	static const char *const types[] = {"image/", "audio/", "video/", "font/",
	    "application/octet-stream", "application/pdf", "application/zip"};
	struct span head = span_head(plain, SNIFF_BYTES);
	if (span_find(head, '\0') == head.n)
		return false;
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (span_starts_nocase(b->content_type, span_str(types[i])))
			return true;
	return false;
}

static struct span
scrub(struct payload *p, struct span text, size_t shown)
{
	if (!body_has_credential(text))
		return span_head(text, shown);
	p->scrubbed.max = text.n + 1024;
	if (!body_redact(text, shown, &p->scrubbed))
		return SPAN_NONE;
	return span_head(buf_view(&p->scrubbed), shown);
}

/* ---- */

static void
shrink(struct buf *b)
{
	if (b->cap > SCRATCH_KEPT)
		buf_fini(b);
	buf_reset(b);
}

void
payload_fini(struct payload *p)
{
	buf_fini(&p->plain);
	buf_fini(&p->scrubbed);
	p->bytes = SPAN_NONE;
}

/* The readable bytes of the body, a little more than max of them if there are so many. */
static struct span
read_body(struct payload *p, const struct payload_body *b, uint64_t max, bool *is_whole)
{
	*is_whole = b->size <= (int64_t)b->bytes.n;
	if (!is_gzip(b))
		return b->bytes;
	bool is_unpacked_whole = false;
	uint64_t most = max < PAYLOAD_GUNZIP_MAX ? max : PAYLOAD_GUNZIP_MAX;
	if (!gunzip_all(p, b->bytes, most + PAYLOAD_MARGIN, &is_unpacked_whole))
		return SPAN_NONE;
	*is_whole = *is_whole && is_unpacked_whole;
	return buf_view(&p->plain);
}

void
payload_make(struct payload *p, const struct payload_body *b, uint64_t max, bool wants_scrub)
{
	bool is_whole = true;
	shrink(&p->plain);
	shrink(&p->scrubbed);
	p->bytes = SPAN_NONE;
	p->kept = 0;
	if (b->bytes.p == NULL || max == 0)
		return;
	struct span plain = read_body(p, b, max, &is_whole);
	if (plain.p == NULL || (wants_scrub && is_coded(b) && !is_gzip(b)))
		return;
	if (wants_scrub && !is_binary(b, plain)) {
		/* Behind what is kept, if it is there; else the end of it. */
		struct span window = span_head(plain, max + PAYLOAD_MARGIN);
		size_t margin = window.n > max ? window.n - max : 0;
		if (!is_whole && margin < PAYLOAD_MARGIN)
			margin = window.n < PAYLOAD_MARGIN ? window.n : PAYLOAD_MARGIN;
		is_whole = is_whole && margin == 0;
		p->kept = is_whole ? 0 : (int64_t)(window.n - margin);
		p->bytes = scrub(p, window, window.n - margin);
		return;
	}
	p->bytes = span_head(plain, max);
	p->kept = is_whole && plain.n <= max ? 0 : (int64_t)p->bytes.n;
}
