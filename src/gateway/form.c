#include "base/clock.h"
#include "cache/answer_head.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/exchange_int.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"
#include "gateway/reader.h"
#include "http/gunzip.h"
#include "json/canon.h"
#include "json/json.h"
#include "provider/convert.h"

/* Larger entries are not converted: that is done on the loop. */
#define CONVERT_MAX (256 * 1024)

static const struct span plain_form = {"json", 4};

/* "json", "stream", or "stream" and the stream_options in canonical form. In the arena. */
struct span
form_of(struct exchange *x)
{
	if (!x->route.gateway->cache.cross_form || !convert_knows(&x->endpoint) || x->doc == NULL)
		return SPAN_NONE;
	if (!x->facts.is_stream)
		return plain_form;
	struct json_val options = json_get(json_root(x->doc), "stream_options");
	struct buf text;
	buf_init(&text, 1024);
	bool ok = buf_printf(&text, "stream") &&
	    (json_type(options) == JSON_NONE || json_write(options, &text));
	struct span form = ok ? arena_dup(&x->arena, buf_view(&text)) : SPAN_NONE;
	buf_fini(&text);
	return form;
}

/* The form to look for besides one's own. Of OpenAI's streams only those with usage can be converted. */
static struct span
other_form(const struct exchange *x)
{
	if (x->facts.is_stream)
		return plain_form;
	return x->endpoint.dialect == DIALECT_ANTHROPIC
	    ? SPAN_LIT("stream")
	    : SPAN_LIT("stream{\"include_usage\":true}");
}

static struct entry *
find_other(struct exchange *x, struct buf *preimage, struct entry_key *key)
{
	struct entry *e = NULL;
	int64_t now_ms = clock_wall_ms();
	if (exchange_preimage(x, other_form(x), preimage) == PREIMAGE_OK) {
		*key = preimage_key(x->g->parts.cache_keys, buf_view(preimage));
		e = find_entry(x, key, buf_view(preimage), now_ms);
	}
	if (e != NULL &&
	    (entry_meta(e)->fresh_ms <= now_ms || entry_meta(e)->body_size > CONVERT_MAX)) {
		entry_release(e);
		e = NULL;
	}
	return e;
}

static bool
read_body(struct reader *r, struct buf *out)
{
	while (r->given < r->size) {
		struct span piece;
		if (reader_piece(r, &piece) != E_OK || !buf_put_span(out, piece))
			return false;
	}
	return true;
}

/* In place: what the entry holds may be compressed. False: not in a way that can be read. */
static bool
decode(struct span fields, struct buf *body)
{
	if (!span_contains_nocase(fields, SPAN_LIT("content-encoding:")))
		return true;
	if (!span_contains_nocase(fields, SPAN_LIT("content-encoding: gzip\r\n")))
		return false;
	struct buf plain;
	buf_init(&plain, CONVERT_MAX * 8);
	bool ok = gunzip_whole(buf_view(body), &plain);
	buf_fini(body);
	*body = plain;
	return ok;
}

/* The stored bytes in the form that was asked for, into the buffer that an answer's capture has. */
static bool
convert(struct exchange *x, struct reader *from)
{
	struct buf stored, *out = &x->capture.body;
	struct answer_head head;
	buf_init(&stored, CONVERT_MAX);
	buf_reset(out);
	out->max = CONVERT_MAX * 16;
	enum convert_result r = CONVERT_UNKNOWN;
	bool with_usage = false;
	bool ok = answer_head_read(entry_headers(from->entry), &head) && read_body(from, &stored) &&
	    decode(head.fields, &stored);
	json_bool(json_path(json_root(x->doc), "stream_options.include_usage"), &with_usage);
	if (ok && x->facts.is_stream)
		r = convert_json_to_stream(&x->endpoint, buf_view(&stored), with_usage, out);
	else if (ok)
		r = convert_stream_to_json(&x->endpoint, buf_view(&stored), out);
	buf_fini(&stored);
	return r == CONVERT_OK;
}

static bool
put_answer(struct exchange *x)
{
	struct span fields = x->facts.is_stream
	    ? SPAN_LIT(
		  "content-type: text/event-stream; charset=utf-8\r\npostern-cache-form: converted\r\n")
	    : SPAN_LIT("content-type: application/json\r\npostern-cache-form: converted\r\n");
	int64_t age_s = (clock_wall_ms() - x->found.stored_ms) / 1000;
	x->status = x->found.status;
	x->response_size = buf_len(&x->capture.body);
	x->is_kept_alive = client_may_keep(x->client);
	x->replied_us = clock_mono_us();
	buf_reset(&x->out);
	return own_response(x->status, gateway_date(x->g), fields,
		   &(struct gateway_fields){.id = x->id_text,
		       .event_id = headers_value(&x->head.headers, H_CF_AIG_EVENT_ID),
		       .cache_status = "HIT",
		       .age_s = age_s > 0 ? age_s : 0,
		       .overhead_us = (int64_t)(x->replied_us - x->ready_us),
		       .framing = BODY_LENGTH,
		       .length = x->response_size,
		       .is_http10 = x->head.minor == 0,
		       .keep_alive = x->is_kept_alive},
		   &x->out) &&
	    box_put(x, buf_view(&x->out), false) && box_put(x, buf_view(&x->capture.body), true);
}

bool
look_up_other_form(struct exchange *x)
{
	if (!x->route.gateway->cache.cross_form || !convert_knows(&x->endpoint) || x->doc == NULL ||
	    x->wishes.key.n > 0)
		return false;
	struct buf preimage;
	struct entry_key key;
	struct answer_head head;
	buf_init(&preimage, 0);
	gateway_reads_entries(x->g);
	struct entry *e = find_other(x, &preimage, &key);
	bool ok = e != NULL && answer_head_read(entry_headers(e), &head);
	if (ok) {
		struct reader reader;
		reader_init(&reader, e, x->is_sealed ? &x->seal_key : NULL, &key,
		    buf_view(&preimage), head.size);
		ok = convert(x, &reader);
		reader_fini(&reader);
	}
	buf_fini(&preimage);
	if (!ok) {
		if (e != NULL)
			entry_release(e);
		buf_reset(&x->capture.body);
		return false;
	}
	x->entry = e;
	x->found = *entry_meta(e);
	x->is_converted = x->is_head_sent = true;
	CHK(put_answer(x));
	return true;
}
