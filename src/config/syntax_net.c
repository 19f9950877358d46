/* Addresses to listen on and base URLs: the part of config/syntax_int.h that has hosts and
 * ports. */
#include "config/syntax_int.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

#define FORMS "; write host:port, :port, [v6]:port or unix:/path"
#define URL_FORM "; write http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]"
#define NETWORK_FORMS "; write addresses, blocks such as 10.0.0.0/8, or unix"
#define SOCKET_PATH_MOST 107 /* sun_path, without its NUL */

struct where {
	enum { WHERE_V4, WHERE_V6, WHERE_UNIX } kind;
	uint8_t ip[16];
	uint64_t port;
	struct span path;
};

/* s as a C string in out, false when it does not fit (then it is no IP address either). */
static bool
ip_read(int family, struct span s, void *ip)
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof(text) || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, ip) == 1;
}

static const char *
unix_read(struct span path, struct where *out)
{
	if (path.n < 2 || path.p[0] != '/')
		return "has no absolute path behind unix:; write unix:/path";
	if (path.n > SOCKET_PATH_MOST)
		return "has a socket path longer than 107 bytes; shorten it";
	out->kind = WHERE_UNIX;
	out->path = path;
	return NULL;
}

static const char *
host_read(struct span host, struct where *out)
{
	if (host.n == 0)
		host = SPAN_LIT("0.0.0.0");
	if (span_eq_nocase(host, SPAN_LIT("localhost")))
		host = SPAN_LIT("127.0.0.1");
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		out->kind = WHERE_V6;
		if (ip_read(AF_INET6, span_of(host.p + 1, host.n - 2), out->ip))
			return NULL;
		return "has no IPv6 address between its brackets" FORMS;
	}
	out->kind = WHERE_V4;
	if (ip_read(AF_INET, host, out->ip))
		return NULL;
	return "has a host that is neither an IP address nor localhost" FORMS;
}

static const char *
address_read(struct span s, struct where *out)
{
	size_t colon = s.n;

	memset(out, 0, sizeof(*out));
	if (span_starts(s, SPAN_LIT("unix:")))
		return unix_read(span_skip(s, 5), out);
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || (s.p[0] == '[' && s.p[s.n - 1] == ']'))
		return "has no port" FORMS;
	if (!num_u64(span_skip(s, colon), &out->port) || out->port > 65535)
		return "has a port that is not a number from 0 to 65535" FORMS;
	return host_read(span_head(s, colon - 1), out);
}

const char *
syntax_address(struct span s)
{
	struct where w;

	return address_read(s, &w);
}

bool
syntax_address_is_local(struct span s)
{
	static const uint8_t v6_loopback[16] = {[15] = 1};
	struct where w;

	if (address_read(s, &w) != NULL)
		return false;
	if (w.kind == WHERE_UNIX)
		return true;
	return w.kind == WHERE_V4 ? w.ip[0] == 127 : memcmp(w.ip, v6_loopback, 16) == 0;
}

bool
syntax_address_is_same(struct span a, struct span b)
{
	struct where x, y;

	if (address_read(a, &x) != NULL || address_read(b, &y) != NULL || x.kind != y.kind)
		return false;
	if (x.kind == WHERE_UNIX)
		return span_eq(x.path, y.path);
	return x.port == y.port && memcmp(x.ip, y.ip, 16) == 0;
}

static bool
has_bits_behind(const uint8_t *ip, size_t n, uint64_t bits)
{
	for (size_t i = 0; i < n * 8; i++)
		if (i >= bits && (ip[i / 8] & (0x80 >> (i % 8))) != 0)
			return true;
	return false;
}

/* As net/network.h reads them. */
const char *
syntax_network(struct span s)
{
	static const uint8_t v4_in_v6[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t ip[16] = {0};
	size_t slash = span_find(s, '/'), n = 4;
	uint64_t bits;

	if (span_eq(s, SPAN_LIT("unix")))
		return NULL;
	if (!ip_read(AF_INET, span_head(s, slash), ip)) {
		n = 16;
		if (!ip_read(AF_INET6, span_head(s, slash), ip))
			return "has an item that is no address" NETWORK_FORMS;
		if (memcmp(ip, v4_in_v6, sizeof(v4_in_v6)) == 0)
			return "has an IPv4 address inside IPv6; write it as IPv4";
	}
	if (slash == s.n)
		return NULL;
	s = span_skip(s, slash + 1);
	if (s.n > 3 || !num_u64(s, &bits) || bits > n * 8)
		return "has a block whose length is not a number up to 32 (IPv6: 128)" NETWORK_FORMS;
	if (has_bits_behind(ip, n, bits))
		return "has a block with bits set behind its length; write the first address of the block";
	return NULL;
}

static bool
is_host_name(struct span host)
{
	if (host.n == 0 || host.n > 253)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '_' || c == '.'))
			return false;
		if (c == '.' && (i == 0 || host.p[i - 1] == '.'))
			return false;
	}
	return true;
}

const char *
syntax_authority(struct span s)
{
	uint8_t ip[16];
	uint64_t port;
	size_t end = s.n > 0 && s.p[0] == '[' ? span_find(s, ']') + 1 : span_find(s, ':');
	struct span host = span_head(s, end), rest = span_skip(s, end);

	if (host.n > 0 && host.p[0] == '[') {
		if (end > s.n || !ip_read(AF_INET6, span_of(host.p + 1, host.n - 2), ip))
			return "has no IPv6 address between its brackets" URL_FORM;
	} else if (!is_host_name(host)) {
		return "has no valid host" URL_FORM;
	}
	if (rest.n == 0)
		return NULL;
	if (rest.p[0] != ':' || !num_u64(span_skip(rest, 1), &port) || port == 0 || port > 65535)
		return "has a port that is not a number from 1 to 65535" URL_FORM;
	return NULL;
}

static const char *
url_path_check(struct span path)
{
	struct span segment;

	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] <= ' ' || path.p[i] > '~' || strchr("\"<>\\^`{|}", path.p[i]) != NULL)
			return "has characters in its path that no URL may have; write them as %XX";
	while (span_next(&path, '/', &segment))
		if (span_eq(segment, SPAN_LIT(".")) || span_eq(segment, SPAN_LIT("..")))
			return "has '.' or '..' in its path; write the path without them";
	return NULL;
}

const char *
syntax_base_url(struct span s)
{
	struct span rest = span_starts(s, SPAN_LIT("https://")) ? span_skip(s, 8)
	    : span_starts(s, SPAN_LIT("http://"))               ? span_skip(s, 7)
								: SPAN_NONE;
	struct span authority = span_head(rest, span_find(rest, '/'));
	const char *wrong;

	if (rest.p == NULL)
		return "does not begin with http:// or https://" URL_FORM;
	if (span_find(rest, '?') < rest.n || span_find(rest, '#') < rest.n)
		return "has a query or a fragment; remove it";
	if (span_find(authority, '@') < authority.n)
		return "has a user or a password; remove them: the caller's own key goes to the provider";
	wrong = syntax_authority(authority);
	return wrong != NULL ? wrong : url_path_check(span_skip(rest, authority.n));
}
