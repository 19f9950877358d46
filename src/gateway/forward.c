#include "gateway/forward.h"

#include "base/num.h"
#include "http/writer.h"
#include "provider/registry.h"

#include <time.h>

/* Fields that end here whatever Connection says: written anew, for us, or about a client that the
 * provider has no business to know (security.md 1.3). */
static bool
is_for_us(const struct header *f)
{
	if (f->id >= H_CF_AIG_AUTHORIZATION && f->id <= H_CF_AIG_ANY)
		return true;
	switch ((int)f->id) {
	case H_HOST:
	case H_CONTENT_LENGTH:
	case H_TRANSFER_ENCODING:
	case H_EXPECT:
	case H_VIA:
	case H_CDN_LOOP:
	case H_FORWARDED:
	case H_X_FORWARDED_FOR:
	case H_X_FORWARDED_PROTO:
	case H_X_FORWARDED_HOST:
	case H_X_FORWARDED_PORT:
	case H_X_REAL_IP:
	case H_TRUE_CLIENT_IP:
	case H_ACCEPT_ENCODING:
	case H_X_FAL_TARGET_URL:
	case H_CF_CACHE_TTL:
	case H_CF_SKIP_CACHE:
		return true;
	case H_OTHER: /* CF-Connecting-IP, X-Forwarded-Server ... */
		return span_starts_nocase(f->name, SPAN_LIT("cf-")) ||
		    span_starts_nocase(f->name, SPAN_LIT("x-forwarded-"));
	default:
		return false;
	}
}

static bool
is_cache_directive(const struct headers *h, const struct header *f)
{
	return f->id == H_CACHE_CONTROL &&
	    (headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("no-cache")) ||
		headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("no-store")));
}

struct span
accepted_coding(const struct request_head *head)
{
	struct span accept = headers_value(&head->headers, H_ACCEPT_ENCODING);
	if (accept.p == NULL)
		return SPAN_LIT("identity");
	struct span rest = accept, item;
	while (span_next(&rest, ',', &item)) {
		struct span coding = item;
		coding.n = span_find(item, ';');
		coding = span_trim(coding);
		if (!span_eq_nocase(coding, SPAN_LIT("gzip")) &&
		    !span_eq_nocase(coding, SPAN_LIT("x-gzip")))
			continue;
		struct span q = span_trim(span_skip(item, span_find(item, ';') + 1));
		bool is_refused = span_eq(q, SPAN_LIT("q=0")) || span_starts(q, SPAN_LIT("q=0.0"));
		return is_refused ? SPAN_LIT("identity") : SPAN_LIT("gzip");
	}
	return SPAN_LIT("identity");
}

bool
is_looping(const struct request_head *head, const char *via)
{
	for (size_t i = 0; i < head->headers.n; i++) {
		const struct header *f = &head->headers.items[i];
		if ((f->id == H_VIA || f->id == H_CDN_LOOP) &&
		    span_contains_nocase(f->value, span_str(via)))
			return true;
	}
	return false;
}

/* A browser cannot set headers: what is meant for the gateway comes as "cf-aig-authorization.TOKEN". */
static bool
is_subprotocol_for_us(struct span item)
{
	return span_starts_nocase(span_trim(item), SPAN_LIT("cf-aig-"));
}

static bool
put_subprotocols(const struct header *f, struct buf *out)
{
	struct span rest = f->value, item;
	size_t n = 0, start = buf_len(out);
	bool ok = buf_put_span(out, f->name) && buf_put(out, ": ", 2);
	while (ok && span_next(&rest, ',', &item)) {
		if (is_subprotocol_for_us(item))
			continue;
		ok = (n++ == 0 || buf_put(out, ", ", 2)) && buf_put_span(out, span_trim(item));
	}
	if (n == 0)
		buf_cut(out, start);
	return ok && (n == 0 || buf_put(out, "\r\n", 2));
}

/* As it came, where nothing in it is for us. */
static bool
put_websocket_field(const struct header *f, struct buf *out)
{
	struct span rest = f->value, item;
	if (f->id == H_SEC_WEBSOCKET_PROTOCOL)
		while (span_next(&rest, ',', &item))
			if (is_subprotocol_for_us(item))
				return put_subprotocols(f, out);
	return head_put_field(out, f->name, f->value);
}

struct span
subprotocol_for_us(const struct headers *request, const struct headers *answer)
{
	struct span first = SPAN_NONE, item;
	if (headers_find(answer, H_SEC_WEBSOCKET_PROTOCOL) != NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < request->n; i++) {
		struct span rest = request->items[i].value;
		if (request->items[i].id != H_SEC_WEBSOCKET_PROTOCOL)
			continue;
		while (span_next(&rest, ',', &item)) {
			if (!is_subprotocol_for_us(item))
				return SPAN_NONE;
			first = first.n == 0 ? span_trim(item) : first;
		}
	}
	return first;
}

static bool
put_upgrade(struct buf *out)
{
	return head_put_field(out, SPAN_LIT("connection"), SPAN_LIT("Upgrade")) &&
	    head_put_field(out, SPAN_LIT("upgrade"), SPAN_LIT("websocket"));
}

static bool
put_via(const struct headers *h, const char *via, int minor, struct buf *out)
{
	if (!buf_put(out, "via: ", 5))
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].id == H_VIA &&
		    (!buf_put_span(out, h->items[i].value) || !buf_put(out, ", ", 2)))
			return false;
	return buf_put_span(out, minor == 0 ? SPAN_LIT("1.0 ") : SPAN_LIT("1.1 ")) &&
	    buf_put_span(out, span_str(via)) && buf_put(out, "\r\n", 2);
}

/* A line of which nothing came from a peer: no need to look through it. `name` ends in ": ". */
static bool
put_own(struct buf *out, struct span name, struct span value)
{
	size_t n = name.n + value.n + 2;
	char *to = buf_room(out, n);

	if (to == NULL)
		return false;
	memcpy(to, name.p, name.n);
	memcpy(to + name.n, value.p, value.n);
	memcpy(to + n - 2, "\r\n", 2);
	buf_commit(out, n);
	return true;
}

static bool
put_own_number(struct buf *out, struct span name, uint64_t value)
{
	char digits[NUM_DEC_SIZE];

	return put_own(out, name, span_of(digits, num_dec(value, digits)));
}

static bool
put_framing(enum body_framing framing, uint64_t length, struct buf *out)
{
	if (framing == BODY_LENGTH)
		return put_own_number(out, SPAN_LIT("content-length: "), length);
	if (framing == BODY_CHUNKED)
		return put_own(out, SPAN_LIT("transfer-encoding: "), SPAN_LIT("chunked"));
	return true;
}

bool
forward_request(const struct forward_request *f, struct buf *out)
{
	const struct headers *h = &f->head->headers;
	bool ok = buf_put_span(out, f->head->method_text) && buf_putc(out, ' ') &&
	    buf_put_span(out, f->to->path);
	if (ok && f->query.p != NULL)
		ok = buf_putc(out, '?') && buf_put_span(out, f->query);
	ok = ok && buf_put(out, " HTTP/1.1\r\n", 11) &&
	    head_put_field(out, SPAN_LIT("host"), f->to->host_header);
	for (size_t i = 0; ok && i < h->n; i++) {
		const struct header *field = &h->items[i];
		if (is_for_us(field) || is_hop_by_hop(h, field) || is_cache_directive(h, field))
			continue;
		ok = put_websocket_field(field, out);
	}
	if (ok && f->is_websocket)
		ok = put_upgrade(out);
	return ok && head_put_field(out, SPAN_LIT("accept-encoding"), accepted_coding(f->head)) &&
	    put_via(h, f->via, f->head->minor, out) && put_framing(f->framing, f->length, out) &&
	    head_put_end(out);
}

static bool
put_ids(const struct gateway_fields *f, struct buf *out)
{
	struct span id = span_str(f->id);
	bool is_asked = f->event_id.n > 0;

	return put_own(out, SPAN_LIT("cf-aig-log-id: "), id) &&
	    put_own(out, SPAN_LIT("cf-aig-request-id: "), id) &&
	    (is_asked ? head_put_field(out, SPAN_LIT("cf-aig-event-id"), f->event_id)
		      : put_own(out, SPAN_LIT("cf-aig-event-id: "), id)) &&
	    put_own(out, SPAN_LIT("cf-aig-step: "), SPAN_LIT("0"));
}

static bool
put_connection(const struct gateway_fields *f, struct buf *out)
{
	if (f->is_websocket)
		return put_upgrade(out);
	if (!f->keep_alive)
		return put_own(out, SPAN_LIT("connection: "), SPAN_LIT("close"));
	return !f->is_http10 || put_own(out, SPAN_LIT("connection: "), SPAN_LIT("keep-alive"));
}

static bool
put_gateway_fields(const struct gateway_fields *f, struct buf *out)
{
	bool ok = f->id == NULL || put_ids(f, out);
	if (ok && f->cache_status != NULL)
		ok = put_own(out, SPAN_LIT("cf-aig-cache-status: "), span_str(f->cache_status));
	if (ok && f->cache_items != NULL)
		ok = put_own(out, SPAN_LIT("postern-cache-items: "), span_str(f->cache_items));
	if (ok && f->age_s >= 0)
		ok = put_own_number(out, SPAN_LIT("age: "), (uint64_t)f->age_s);
	if (ok && f->overhead_us >= 0)
		ok = put_own_number(
		    out, SPAN_LIT("postern-overhead-us: "), (uint64_t)f->overhead_us);
	if (ok && f->error_word != NULL)
		ok = put_own(out, SPAN_LIT("postern-error: "), span_str(f->error_word));
	if (ok && f->subprotocol.n > 0)
		ok = head_put_field(out, SPAN_LIT("sec-websocket-protocol"), f->subprotocol);
	return ok && put_connection(f, out) && put_framing(f->framing, f->length, out) &&
	    head_put_end(out);
}

/* Ours replace the same fields of a provider that is a gateway itself. */
static bool
is_replaced(const struct header *f)
{
	return f->id == H_CONTENT_LENGTH || f->id == H_TRANSFER_ENCODING ||
	    span_starts_nocase(f->name, SPAN_LIT("cf-aig-")) ||
	    span_starts_nocase(f->name, SPAN_LIT("postern-"));
}

static bool
put_fields(const struct response_head *head, struct buf *out)
{
	bool ok = head_put_status_line(out, head->status, head->reason);
	for (size_t i = 0; ok && i < head->headers.n; i++) {
		const struct header *field = &head->headers.items[i];
		if (!is_replaced(field) && !is_hop_by_hop(&head->headers, field))
			ok = head_put_field(out, field->name, field->value);
	}
	return ok;
}

bool
forward_informational(const struct response_head *head, struct buf *out)
{
	return put_fields(head, out) && head_put_end(out);
}

bool
forward_response(const struct response_head *head, const struct gateway_fields *f, struct buf *out)
{
	return put_fields(head, out) && put_gateway_fields(f, out);
}

struct span
date_line(int64_t wall_ms, char out[DATE_LINE_SIZE])
{
	struct tm tm;
	time_t seconds = (time_t)(wall_ms / 1000);
	gmtime_r(&seconds, &tm);
	return span_of(
	    out, strftime(out, DATE_LINE_SIZE, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm));
}

bool
own_response(int status, struct span date, struct span fields, const struct gateway_fields *f,
    struct buf *out)
{
	return head_put_status_line(out, status, SPAN_NONE) && buf_put_span(out, date) &&
	    buf_put_span(out, fields) && put_gateway_fields(f, out);
}
