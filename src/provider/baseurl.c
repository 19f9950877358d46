#include "provider/registry_int.h"

#include <arpa/inet.h>

#include "base/num.h"
#include "http/target.h"

#define HOST_MAX 253

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_host_char(char c, bool may_have_labels)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c))
		return true;
	return c == '-' || c == '.' || c == '_' || (may_have_labels && (c == '{' || c == '}'));
}

static bool
is_address(struct span host, int family)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (host.n == 0 || host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(family, text, &address) == 1;
}

/* "127.1", "0x7f.1", "2130706433": resolvers take them for addresses, and so for loopback. */
static bool
looks_numeric(struct span host)
{
	size_t start = host.n;

	while (start > 0 && host.p[start - 1] != '.')
		start--;
	struct span label = span_skip(host, start);
	if (span_starts_nocase(label, SPAN_LIT("0x")))
		return true;
	for (size_t i = 0; i < label.n; i++) {
		if (!is_digit(label.p[i]))
			return false;
	}
	return true;
}

static const char *
check_name(struct span host, bool may_have_labels)
{
	if (host.n == 0)
		return "base_url has no host";
	if (host.n > HOST_MAX)
		return "base_url has a host longer than 253 bytes";
	for (size_t i = 0; i < host.n; i++) {
		if (!is_host_char(host.p[i], may_have_labels))
			return "base_url has a host with characters that no host name has";
		if (host.p[i] == '.' && (i == 0 || i + 1 == host.n || host.p[i - 1] == '.'))
			return "base_url has a host with an empty label";
	}
	if (looks_numeric(host) && !is_address(host, AF_INET))
		return "base_url has a host that looks like an address and is none";
	return NULL;
}

/* Cuts "host[:port]" apart; *port is "" when there is none. */
static const char *
split_authority(struct span authority, struct span *host, struct span *port, bool *is_v6)
{
	size_t end;

	*is_v6 = authority.n > 0 && authority.p[0] == '[';
	end = span_find(authority, *is_v6 ? ']' : ':');
	if (*is_v6 && end == authority.n)
		return "base_url has '[' without ']'";
	*host = *is_v6 ? span_of(authority.p + 1, end - 1) : span_head(authority, end);
	struct span rest = span_skip(authority, *is_v6 ? end + 1 : end);
	if (rest.n > 0 && (rest.p[0] != ':' || rest.n == 1))
		return "base_url has something other than ':port' behind the host";
	*port = span_skip(rest, 1);
	return NULL;
}

static const char *
parse_authority(struct span authority, bool may_have_labels, struct base_url *out)
{
	struct span port;
	uint64_t number = out->is_tls ? 443 : 80;
	bool is_v6;

	if (span_find(authority, '@') < authority.n)
		return "base_url has a user name or password in it; keys come with the requests";
	const char *wrong = split_authority(authority, &out->host, &port, &is_v6);
	if (wrong != NULL)
		return wrong;
	if (port.n > 0 && (!num_u64(port, &number) || number == 0 || number > 65535))
		return "base_url has a port that is not 1 to 65535";
	out->port = (uint16_t)number;
	if (is_v6 && !is_address(out->host, AF_INET6))
		return "base_url has brackets around something that is not an IPv6 address";
	out->is_literal = is_v6 || is_address(out->host, AF_INET) ||
	    span_eq_nocase(out->host, SPAN_LIT("localhost"));
	return is_v6 ? NULL : check_name(out->host, may_have_labels);
}

/* Trailing slashes go. */
static const char *
parse_path(struct span path, struct base_url *out)
{
	struct target t;

	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	out->path = path;
	if (path.n == 0)
		return NULL;
	if (span_find(path, '?') < path.n || span_find(path, '#') < path.n)
		return "base_url may have neither a query nor a fragment";
	if (target_parse(path, &t) != E_OK)
		return "base_url has '.' or '..' segments or bytes that no URL may have in its "
		       "path";
	return NULL;
}

const char *
base_url_parse(struct span text, bool may_have_labels, struct base_url *out)
{
	*out = (struct base_url){.host = SPAN_LIT("")};
	if (span_starts_nocase(text, SPAN_LIT("https://"))) {
		out->is_tls = true;
		text = span_skip(text, 8);
	} else if (span_starts_nocase(text, SPAN_LIT("http://"))) {
		text = span_skip(text, 7);
	} else {
		return "base_url must begin with https:// or http://";
	}
	size_t end = 0;
	while (end < text.n && text.p[end] != '/' && text.p[end] != '?' && text.p[end] != '#')
		end++;
	const char *wrong = parse_authority(span_head(text, end), may_have_labels, out);
	if (wrong != NULL)
		return wrong;
	out->has_labels = span_find(text, '{') < text.n;
	return parse_path(span_skip(text, end), out);
}
