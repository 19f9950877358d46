#include "http/rules_int.h"

#include "http/target.h"

/* The fields that decide, found in one pass. Spans hold the last of a name, counts say how many. */
struct summary {
	struct span length, coding, host, expect;
	unsigned n_length, n_coding, n_host, n_expect;
	bool has_upgrade, says_close, says_keep_alive, says_upgrade;
	enum err misspelt; /* E_OK: none */
};

static void
read_connection(struct summary *s, struct span list)
{
	struct span item;

	while (span_next(&list, ',', &item)) {
		item = span_trim(item);
		s->says_close |= span_eq_nocase(item, SPAN_LIT("close"));
		s->says_keep_alive |= span_eq_nocase(item, SPAN_LIT("keep-alive"));
		s->says_upgrade |= span_eq_nocase(item, SPAN_LIT("upgrade"));
	}
}

/* name without '-' and '_' is `bare`. */
static bool
spells(struct span name, const char *bare)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c == '-' || c == '_')
			continue;
		if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != *bare)
			return false;
		bare++;
	}
	return *bare == '\0';
}

/* Servers that turn '_' and '-' into one (CGI, WSGI) would read these as the real thing. */
static enum err
misspelling(struct span name)
{
	if (span_find(name, '_') == name.n)
		return E_OK;
	if (spells(name, "contentlength") || spells(name, "transferencoding"))
		return E_BAD_FRAMING;
	return spells(name, "host") ? E_BAD_HOST : E_OK;
}

/* What is behind us may read "x_api_key" as X-Api-Key; security.md 1.2. */
static unsigned
drop_underscored(struct headers *h)
{
	size_t kept = 0, n = h->n;

	for (size_t i = 0; i < n; i++)
		if (h->items[i].id != H_OTHER ||
		    span_find(h->items[i].name, '_') == h->items[i].name.n)
			h->items[kept++] = h->items[i];
	h->n = kept;
	return (unsigned)(n - kept);
}

static void
summarise_field(struct summary *s, const struct header *f)
{
	if (f->id == H_OTHER) {
		if (s->misspelt == E_OK)
			s->misspelt = misspelling(f->name);
	} else if (f->id == H_CONTENT_LENGTH) {
		s->length = f->value;
		s->n_length++;
	} else if (f->id == H_TRANSFER_ENCODING) {
		s->coding = f->value;
		s->n_coding++;
	} else if (f->id == H_HOST) {
		s->host = f->value;
		s->n_host++;
	} else if (f->id == H_EXPECT) {
		s->expect = f->value;
		s->n_expect++;
	} else if (f->id == H_CONNECTION) {
		read_connection(s, f->value);
	} else if (f->id == H_UPGRADE) {
		s->has_upgrade = true;
	}
}

static struct summary
summarise(const struct headers *h)
{
	struct summary s = {.misspelt = E_OK};

	for (size_t i = 0; i < h->n; i++)
		summarise_field(&s, &h->items[i]);
	return s;
}

/* 1*DIGIT without a leading zero, below 2^63: no sum with a length can wrap. */
static bool
read_length(struct span s, uint64_t *out)
{
	uint64_t value = 0;

	if (s.n == 0 || s.n > 19 || (s.p[0] == '0' && s.n > 1))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = value;
	return value <= INT64_MAX;
}

static bool
ends_chunked(struct span codings)
{
	struct span item = SPAN_NONE;

	while (span_next(&codings, ',', &item))
		;
	return span_eq_nocase(span_trim(item), SPAN_LIT("chunked"));
}

/* RFC 9112 6.3 allows more than this; what it allows more is ambiguous to somebody. */
static enum err
frame_request(struct request_head *h, const struct summary *s)
{
	h->framing = BODY_NONE;
	if (s->n_length + s->n_coding > 1)
		return E_BAD_FRAMING;
	if (s->n_length == 1) {
		h->framing = BODY_LENGTH;
		return read_length(s->length, &h->length) ? E_OK : E_BAD_FRAMING;
	}
	if (s->n_coding == 0)
		return E_OK;
	if (h->minor == 0)
		return E_BAD_FRAMING;
	h->framing = BODY_CHUNKED;
	if (span_eq_nocase(s->coding, SPAN_LIT("chunked")))
		return E_OK;
	/* RFC 9112 6.1: a coding that is not known is 501; 7.1: chunked twice is never right. */
	if (!ends_chunked(s->coding) || span_starts_nocase(s->coding, SPAN_LIT("chunked")))
		return E_BAD_FRAMING;
	return E_NOT_IMPLEMENTED;
}

static enum err
check_host(const struct request_head *h, const struct summary *s)
{
	struct span name, port;

	if (s->n_host == 0)
		return h->minor == 0 ? E_OK : E_BAD_HOST;
	return s->n_host == 1 && host_parse(s->host, &name, &port) ? E_OK : E_BAD_HOST;
}

static enum err
check_target(const struct request_head *h, const struct summary *s)
{
	struct target t;
	enum err e;

	if (h->target.n > 0 && memchr(h->target.p, '#', h->target.n) != NULL)
		return E_BAD_PATH;
	if (h->target.n > 0 && h->target.p[0] == '/')
		return E_OK;
	if (span_eq(h->target, SPAN_LIT("*")))
		return h->method == METHOD_OPTIONS ? E_OK : E_BAD_REQUEST;
	e = target_parse(h->target, &t);
	if (e == E_OK && s->n_host == 1 && !span_eq_nocase(t.authority, s->host))
		return E_BAD_HOST;
	return e;
}

enum err
rules_apply_request(struct request_head *h)
{
	struct summary s = summarise(&h->headers);
	enum err e = s.misspelt;

	if (e == E_OK)
		e = frame_request(h, &s);
	if (e == E_OK)
		e = check_host(h, &s);
	if (e == E_OK)
		e = check_target(h, &s);
	if (e != E_OK)
		return e;
	h->dropped = drop_underscored(&h->headers);
	h->keep_alive = !s.says_close && (h->minor == 1 || s.says_keep_alive);
	h->is_upgrade = h->minor == 1 && s.says_upgrade && s.has_upgrade;
	if (s.n_expect == 0 || h->minor == 0) /* RFC 9110 10.1.1: 1.0 is ignored */
		return E_OK;
	h->expects_continue = span_eq_nocase(s.expect, SPAN_LIT("100-continue"));
	return s.n_expect == 1 && h->expects_continue ? E_OK : E_EXPECTATION_FAILED;
}

static bool
has_no_body(const struct response_head *h, enum method asked)
{
	return asked == METHOD_HEAD || h->status / 100 == 1 || h->status == 204 || h->status == 304;
}

enum err
rules_apply_response(struct response_head *h, enum method asked)
{
	struct summary s = summarise(&h->headers);
	uint64_t length = 0;

	if (h->status < 100 || s.n_length + s.n_coding > 1)
		return E_UPSTREAM_PROTOCOL;
	if (s.n_length == 1 && !read_length(s.length, &length))
		return E_UPSTREAM_PROTOCOL;
	if (s.n_coding == 1 && (h->minor == 0 || !span_eq_nocase(s.coding, SPAN_LIT("chunked"))))
		return E_UPSTREAM_PROTOCOL;
	if (has_no_body(h, asked))
		h->framing = BODY_NONE;
	else if (s.n_length == 1)
		h->framing = BODY_LENGTH;
	else
		h->framing = s.n_coding == 1 ? BODY_CHUNKED : BODY_UNTIL_CLOSE;
	h->length = h->framing == BODY_LENGTH ? length : 0;
	h->keep_alive =
	    !s.says_close && (h->minor == 1 || s.says_keep_alive) && h->framing != BODY_UNTIL_CLOSE;
	return E_OK;
}
