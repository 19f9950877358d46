#include "http/target.h"

#include "base/word8.h"

static bool
is_printable_word(const char *p)
{
	uint64_t w = word8_load(p);

	return !word8_has_below(w, ' ' + 1) && !word8_has_above_ascii(w) && !word8_has(w, '#');
}

static bool
is_printable(struct span s)
{
	for (; s.n >= sizeof(uint64_t); s = span_skip(s, sizeof(uint64_t)))
		if (!is_printable_word(s.p))
			return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#')
			return false;
	return true;
}

/* "." or "%2e" at the front: its length, else 0. */
static size_t
dot_length(struct span s)
{
	if (s.n >= 1 && s.p[0] == '.')
		return 1;
	if (s.n >= 3 && s.p[0] == '%' && s.p[1] == '2' && (s.p[2] == 'e' || s.p[2] == 'E'))
		return 3;
	return 0;
}

static bool
is_dot_segment(struct span segment)
{
	size_t first = dot_length(segment);

	if (first == 0)
		return false;
	segment = span_skip(segment, first);
	return segment.n == 0 || dot_length(segment) == segment.n;
}

static bool
has_dot_segment(struct span path)
{
	struct span segment;

	if (span_find(path, '.') == path.n && span_find(path, '%') == path.n)
		return false;
	while (path_next(&path, &segment))
		if (is_dot_segment(segment))
			return true;
	return false;
}

static bool
cut_prefix_nocase(struct span *s, struct span prefix)
{
	if (!span_starts_nocase(*s, prefix))
		return false;
	*s = span_skip(*s, prefix.n);
	return true;
}

/* Takes scheme and authority off the front of an absolute-form target. */
static bool
cut_authority(struct span *rest, struct span *authority)
{
	struct span name, port;
	size_t n = 0;

	if (!cut_prefix_nocase(rest, SPAN_LIT("http://")) &&
	    !cut_prefix_nocase(rest, SPAN_LIT("https://")))
		return false;
	while (n < rest->n && rest->p[n] != '/' && rest->p[n] != '?' && rest->p[n] != '#')
		n++;
	*authority = span_head(*rest, n);
	*rest = span_skip(*rest, n);
	return host_parse(*authority, &name, &port);
}

enum err
target_parse(struct span raw, struct target *out)
{
	struct span rest = raw;
	size_t at;

	*out = (struct target){SPAN_LIT("/"), SPAN_NONE, span_of("", 0)};
	if (raw.n == 0 || (raw.p[0] != '/' && !cut_authority(&rest, &out->authority)))
		return E_BAD_REQUEST;
	if (!is_printable(rest))
		return E_BAD_PATH;
	at = span_find(rest, '?');
	if (at > 0) /* "http://host?query" has the path "/" */
		out->path = span_head(rest, at);
	if (at < rest.n)
		out->query = span_skip(rest, at + 1);
	return has_dot_segment(out->path) ? E_BAD_PATH : E_OK;
}

bool
path_next(struct span *rest, struct span *segment)
{
	struct span s = *rest;

	if (s.n == 0)
		return false;
	if (s.p[0] == '/')
		s = span_skip(s, 1);
	*segment = span_head(s, span_find(s, '/'));
	*rest = span_skip(s, segment->n);
	return true;
}

bool
query_next(struct span *rest, struct span *name, struct span *value)
{
	struct span item;
	size_t at;

	do {
		if (!span_next(rest, '&', &item))
			return false;
	} while (item.n == 0);
	at = span_find(item, '=');
	*name = span_head(item, at);
	*value = at == item.n ? SPAN_NONE : span_skip(item, at + 1);
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The byte that the three characters at i stand for, or -1: not an escape. */
static int
escaped_byte(struct span in, size_t i)
{
	int high, low;

	if (in.p[i] != '%' || in.n - i < 3)
		return -1;
	high = hex_digit(in.p[i + 1]);
	low = hex_digit(in.p[i + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t
percent_decode(struct span in, char *out, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < in.n && len < n; i++) {
		int c = escaped_byte(in, i);

		out[len++] = c < 0 ? in.p[i] : (char)c;
		if (c >= 0)
			i += 2;
	}
	return len;
}

static bool
is_name_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
	    c == '.' || c == '_';
}

static bool
is_ipv6_char(char c)
{
	return hex_digit(c) >= 0 || c == ':' || c == '.';
}

/* The length of "[...]" or of a name at the front; 0: neither. */
static size_t
host_length(struct span s)
{
	size_t n = 0;

	if (s.n == 0 || s.p[0] != '[') {
		while (n < s.n && is_name_char(s.p[n]))
			n++;
		return n;
	}
	n = 1;
	while (n < s.n && is_ipv6_char(s.p[n]))
		n++;
	return n > 2 && n < s.n && s.p[n] == ']' ? n + 1 : 0;
}

static bool
is_port(struct span s)
{
	unsigned value = 0;

	if (s.n == 0 || s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		value = value * 10 + (unsigned)(s.p[i] - '0');
	}
	return value <= 65535;
}

bool
host_parse(struct span raw, struct span *name, struct span *port)
{
	size_t n = host_length(raw);

	if (n == 0 || n > HOST_NAME_MAX_BYTES)
		return false;
	*name = span_head(raw, n);
	*port = SPAN_NONE;
	if (n == raw.n)
		return true;
	*port = span_skip(raw, n + 1);
	return raw.p[n] == ':' && is_port(*port);
}
