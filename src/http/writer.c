#include "http/writer.h"

#include "base/num.h"
#include "base/word8.h"

#define STATUS_TABLE(X)                                                                            \
	X(100, "Continue")                                                                         \
	X(101, "Switching Protocols")                                                              \
	X(102, "Processing")                                                                       \
	X(103, "Early Hints")                                                                      \
	X(200, "OK")                                                                               \
	X(201, "Created")                                                                          \
	X(202, "Accepted")                                                                         \
	X(203, "Non-Authoritative Information")                                                    \
	X(204, "No Content")                                                                       \
	X(205, "Reset Content")                                                                    \
	X(206, "Partial Content")                                                                  \
	X(207, "Multi-Status")                                                                     \
	X(208, "Already Reported")                                                                 \
	X(226, "IM Used")                                                                          \
	X(300, "Multiple Choices")                                                                 \
	X(301, "Moved Permanently")                                                                \
	X(302, "Found")                                                                            \
	X(303, "See Other")                                                                        \
	X(304, "Not Modified")                                                                     \
	X(305, "Use Proxy")                                                                        \
	X(307, "Temporary Redirect")                                                               \
	X(308, "Permanent Redirect")                                                               \
	X(400, "Bad Request")                                                                      \
	X(401, "Unauthorized")                                                                     \
	X(402, "Payment Required")                                                                 \
	X(403, "Forbidden")                                                                        \
	X(404, "Not Found")                                                                        \
	X(405, "Method Not Allowed")                                                               \
	X(406, "Not Acceptable")                                                                   \
	X(407, "Proxy Authentication Required")                                                    \
	X(408, "Request Timeout")                                                                  \
	X(409, "Conflict")                                                                         \
	X(410, "Gone")                                                                             \
	X(411, "Length Required")                                                                  \
	X(412, "Precondition Failed")                                                              \
	X(413, "Content Too Large")                                                                \
	X(414, "URI Too Long")                                                                     \
	X(415, "Unsupported Media Type")                                                           \
	X(416, "Range Not Satisfiable")                                                            \
	X(417, "Expectation Failed")                                                               \
	X(421, "Misdirected Request")                                                              \
	X(422, "Unprocessable Content")                                                            \
	X(423, "Locked")                                                                           \
	X(424, "Failed Dependency")                                                                \
	X(425, "Too Early")                                                                        \
	X(426, "Upgrade Required")                                                                 \
	X(428, "Precondition Required")                                                            \
	X(429, "Too Many Requests")                                                                \
	X(431, "Request Header Fields Too Large")                                                  \
	X(451, "Unavailable For Legal Reasons")                                                    \
	X(500, "Internal Server Error")                                                            \
	X(501, "Not Implemented")                                                                  \
	X(502, "Bad Gateway")                                                                      \
	X(503, "Service Unavailable")                                                              \
	X(504, "Gateway Timeout")                                                                  \
	X(505, "HTTP Version Not Supported")                                                       \
	X(506, "Variant Also Negotiates")                                                          \
	X(507, "Insufficient Storage")                                                             \
	X(508, "Loop Detected")                                                                    \
	X(511, "Network Authentication Required")

struct span
status_reason(int status)
{
#define STATUS_CASE(code, text)                                                                    \
	case code:                                                                                 \
		return SPAN_LIT(text);
	switch (status) {
		STATUS_TABLE(STATUS_CASE)
	default:
		return span_of("", 0);
	}
#undef STATUS_CASE
}

static inline bool
has_below(struct span s, unsigned char limit)
{
	size_t i = 0;

	if (s.n >= sizeof(uint64_t)) {
		for (; i < s.n - sizeof(uint64_t); i += sizeof(uint64_t))
			if (word8_has_below(word8_load(s.p + i), limit))
				return true;
		return word8_has_below(word8_load(s.p + s.n - sizeof(uint64_t)), limit);
	}
	for (; i < s.n; i++)
		if ((unsigned char)s.p[i] < limit)
			return true;
	return false;
}

static bool
is_line_safe(struct span s)
{
	if (!has_below(s, ' '))
		return true;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return true;
}

static bool
is_word(struct span s)
{
	if (!has_below(s, ' ' + 1))
		return s.n > 0;
	return is_line_safe(s) && span_find(s, ' ') == s.n;
}

static char *
put(char *to, struct span s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

/* The parts, back to back, in one reservation: all or nothing. */
static bool
put_parts(struct buf *out, const struct span *parts, size_t count)
{
	size_t n = 0;
	char *to;

	for (size_t i = 0; i < count; i++)
		n += parts[i].n;
	to = buf_room(out, n);
	if (to == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
		to = put(to, parts[i]);
	buf_commit(out, n);
	return true;
}

bool
head_put_request_line(struct buf *out, struct span method, struct span target)
{
	const struct span parts[] = {method, SPAN_LIT(" "), target, SPAN_LIT(" HTTP/1.1\r\n")};

	return is_word(method) && is_word(target) && put_parts(out, parts, COUNT_OF(parts));
}

bool
head_put_status_line(struct buf *out, int status, struct span reason)
{
	static const char start[] = "HTTP/1.1 ??? ";
	const size_t n = sizeof(start) - 1;

	CHK(status >= 100 && status <= 999);
	if (reason.n == 0 || !is_line_safe(reason))
		reason = status_reason(status);
	char *to = buf_room(out, n + reason.n + 2);
	if (to == NULL)
		return false;
	memcpy(to, start, n);
	for (int i = 0, rest = status; i < 3; i++, rest /= 10)
		to[n - 2 - (size_t)i] = (char)('0' + rest % 10);
	memcpy(put(to + n, reason), "\r\n", 2);
	buf_commit(out, n + reason.n + 2);
	return true;
}

/* Most of what is written of a head: two copies are less than put_parts of four. */
static bool
put_line(struct buf *out, struct span name, struct span value)
{
	char *start = buf_room(out, name.n + value.n + 4), *to;

	if (start == NULL)
		return false;
	to = put(start, name);
	*to++ = ':';
	*to++ = ' ';
	to = put(to, value);
	*to++ = '\r';
	*to++ = '\n';
	buf_commit(out, (size_t)(to - start));
	return true;
}

bool
head_put_field(struct buf *out, struct span name, struct span value)
{
	if (!is_word(name) || !is_line_safe(value)) {
#ifdef CHK_PARANOID
		UNREACHED("a field that would split the head");
#endif
		return true;
	}
	return put_line(out, name, value);
}

bool
head_put_field_u64(struct buf *out, struct span name, uint64_t value)
{
	char digits[NUM_DEC_SIZE];

	return head_put_field(out, name, span_of(digits, num_dec(value, digits)));
}

bool
head_put_end(struct buf *out)
{
	return buf_put(out, "\r\n", 2);
}

size_t
chunk_line(size_t n, char line[CHUNK_LINE_SIZE])
{
	size_t len = 1;

	CHK(n > 0); /* would end the body */
	for (size_t rest = n >> 4; rest > 0; rest >>= 4)
		len++;
	for (size_t i = len; i > 0; i--, n >>= 4)
		line[i - 1] = "0123456789abcdef"[n & 15];
	memcpy(line + len, "\r\n", 2);
	return len + 2;
}

static bool
ends_at_hop(const struct header *field)
{
	switch ((int)field->id) {
	case H_CONNECTION:
	case H_KEEP_ALIVE:
	case H_PROXY_CONNECTION:
	case H_PROXY_AUTHENTICATE:
	case H_PROXY_AUTHORIZATION:
	case H_TE:
	case H_TRAILER:
	case H_TRANSFER_ENCODING:
	case H_UPGRADE:
	case H_HTTP2_SETTINGS:
		return true;
	case H_OTHER:
		return span_starts_nocase(field->name, SPAN_LIT("proxy-auth"));
	default:
		return false;
	}
}

/* Dropping one of these would change whom the request is for, who asks, or where its body ends. */
static bool
must_not_drop(struct span name)
{
	switch ((int)header_id_of(name)) {
	case H_HOST:
	case H_CONTENT_LENGTH:
	case H_TRANSFER_ENCODING:
	case H_CONTENT_TYPE:
	case H_CONTENT_ENCODING:
	case H_AUTHORIZATION:
	case H_X_API_KEY:
	case H_API_KEY:
	case H_X_GOOG_API_KEY:
	case H_XI_API_KEY:
	case H_X_KEY:
	case H_TOKEN:
	case H_MJ_API_SECRET:
	case H_OCP_APIM_SUBSCRIPTION_KEY:
	case H_X_AMZ_SECURITY_TOKEN:
	case H_X_AMZ_DATE:
	case H_X_AMZ_CONTENT_SHA256:
	case H_COOKIE:
	case H_CACHE_CONTROL:
	case H_X_FAL_TARGET_URL:
	case H_CF_CACHE_TTL:
	case H_CF_SKIP_CACHE:
		return true;
	default:
		break;
	}
	return span_starts_nocase(name, SPAN_LIT("anthropic-")) ||
	    span_starts_nocase(name, SPAN_LIT("openai-")) ||
	    span_starts_nocase(name, SPAN_LIT("cf-aig-")) ||
	    span_starts_nocase(name, SPAN_LIT("postern-"));
}

bool
is_hop_by_hop(const struct headers *h, const struct header *field)
{
	return ends_at_hop(field) ||
	    (headers_has_token(h, H_CONNECTION, field->name) && !must_not_drop(field->name));
}

bool
connection_nominates_forbidden(const struct headers *h)
{
	struct span list, item;

	for (size_t i = 0; i < h->n; i++) {
		if (h->items[i].id != H_CONNECTION)
			continue;
		list = h->items[i].value;
		while (span_next(&list, ',', &item))
			if (must_not_drop(span_trim(item)))
				return true;
	}
	return false;
}
