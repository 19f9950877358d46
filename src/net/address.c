#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/chk.h"
#include "base/num.h"
#include "net/address_int.h"

_Static_assert(sizeof(struct sockaddr_un) <= sizeof(((struct address *)0)->raw), "fits");

/* The bytes may be read as any of the sockaddr types: the build has -fno-strict-aliasing. */
static const struct sockaddr_in *
as_v4(const struct address *a)
{
	return (const struct sockaddr_in *)(const void *)a->raw;
}

static const struct sockaddr_in6 *
as_v6(const struct address *a)
{
	return (const struct sockaddr_in6 *)(const void *)a->raw;
}

static void
store(struct address *out, const void *sa, size_t len)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->raw, sa, len);
	out->len = (unsigned char)len;
}

const struct sockaddr *
address_sockaddr(const struct address *a)
{
	return (const struct sockaddr *)(const void *)a->raw;
}

enum address_kind
address_kind(const struct address *a)
{
	switch (address_sockaddr(a)->sa_family) {
	case AF_INET:
		return ADDRESS_V4;
	case AF_INET6:
		return ADDRESS_V6;
	default:
		return ADDRESS_UNIX;
	}
}

static void
store_v4(struct address *out, const void *ip, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};

	memcpy(&sa.sin_addr, ip, sizeof(sa.sin_addr));
	store(out, &sa, sizeof(sa));
}

static void
store_unix(struct address *out, struct span path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (path.n > 0)
		memcpy(sa.sun_path, path.p, path.n);
	store(out, &sa, sizeof(sa));
}

bool
address_from_sockaddr(struct address *out, const struct sockaddr *sa, socklen_t len)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;

	if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		store(out, sa, sizeof(struct sockaddr_in));
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(*v6)) {
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			store_v4(out, v6->sin6_addr.s6_addr + 12, ntohs(v6->sin6_port));
		else
			store(out, sa, sizeof(*v6));
	} else {
		store_unix(out, SPAN_NONE);
		return sa->sa_family == AF_UNIX;
	}
	return true;
}

bool
address_parse_ip(struct span text, uint16_t port, struct address *out)
{
	char host[INET6_ADDRSTRLEN];
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct in_addr v4;

	if (text.n == 0 || text.n >= sizeof(host) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(host, text.p, text.n);
	host[text.n] = '\0';
	if (inet_pton(AF_INET, host, &v4) == 1)
		store_v4(out, &v4, port);
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		store(out, &v6, sizeof(v6));
	else
		return false;
	return true;
}

static bool
parse_unix(struct span path, struct address *out)
{
	if (path.n < 2 || path.p[0] != '/' || memchr(path.p, '\0', path.n) != NULL)
		return false;
	if (path.n >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return false;
	store_unix(out, path);
	return true;
}

static bool
parse_port(struct span text, uint16_t *port)
{
	uint64_t n;

	if (text.n > 5 || !num_u64(text, &n) || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

static bool
parse_host(struct span host, uint16_t port, struct address *out)
{
	if (host.n == 0)
		return address_parse_ip(SPAN_LIT("0.0.0.0"), port, out);
	if (span_eq_nocase(host, SPAN_LIT("localhost")))
		return address_parse_ip(SPAN_LIT("127.0.0.1"), port, out);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = span_of(host.p + 1, host.n - 2);
		return span_find(host, ':') < host.n && address_parse_ip(host, port, out);
	}
	return span_find(host, ':') == host.n && address_parse_ip(host, port, out);
}

bool
address_parse_listen(struct span text, struct address *out)
{
	size_t colon = text.n;
	uint16_t port;

	if (span_starts(text, SPAN_LIT("unix:")))
		return parse_unix(span_skip(text, 5), out);
	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || !parse_port(span_skip(text, colon), &port))
		return false;
	return parse_host(span_head(text, colon - 1), port, out);
}

static bool
is_all(struct span s, const char *set)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return false;
	}
	return true;
}

/* The rule of the WHATWG's URL standard: a host that ends in a number is an IPv4 address or
 * nothing. No top-level domain is a number, so no real name is refused. */
bool
address_is_numeric_trick(struct span host)
{
	struct address unused;
	size_t start;

	if (address_parse_ip(host, 0, &unused))
		return false;
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	for (start = host.n; start > 0 && host.p[start - 1] != '.'; start--)
		;
	host = span_skip(host, start);
	if (span_starts_nocase(host, SPAN_LIT("0x")))
		return is_all(span_skip(host, 2), "0123456789abcdefABCDEF");
	return host.n > 0 && is_all(host, "0123456789");
}

uint16_t
address_port(const struct address *a)
{
	switch (address_kind(a)) {
	case ADDRESS_V4:
		return ntohs(as_v4(a)->sin_port);
	case ADDRESS_V6:
		return ntohs(as_v6(a)->sin6_port);
	case ADDRESS_UNIX:
		break;
	}
	return 0;
}

void
address_set_port(struct address *a, uint16_t port)
{
	/* In both families the port is where sockaddr_in has it. */
	_Static_assert(
	    offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
	    "same place");
	port = htons(port);
	if (address_kind(a) != ADDRESS_UNIX)
		memcpy(a->raw + offsetof(struct sockaddr_in, sin_port), &port, sizeof(port));
}

const char *
address_path(const struct address *a)
{
	if (address_kind(a) != ADDRESS_UNIX)
		return "";
	return (const char *)a->raw + offsetof(struct sockaddr_un, sun_path);
}

struct block {
	unsigned char bytes[16];
	unsigned bits;
};

/* security.md 5 "Outbound" */
static const struct block private_v4[] = {
    {{0}, 8},
    {{10}, 8},
    {{100, 64}, 10},
    {{127}, 8},
    {{169, 254}, 16},
    {{172, 16}, 12},
    {{192, 0, 0}, 24},
    {{192, 168}, 16},
    {{198, 18}, 15},
    {{224}, 4},
    {{240}, 4},
};
static const struct block private_v6[] = {
    {{0}, 96}, /* unspecified, ::1, and IPv4-compatible ones (RFC 4291 2.5.5.1: deprecated) */
    {{0, 0x64, 0xff, 0x9b}, 96},       /* NAT64: leads to any IPv4 address */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48}, /* NAT64, local use (RFC 8215) */
    {{0x20, 0x02}, 16},                /* 6to4: has an IPv4 address inside */
    {{0xfc}, 7},
    {{0xfe, 0x80}, 10},
    {{0xfe, 0xc0}, 10},
    {{0xff}, 8},
};

static bool
is_in(const unsigned char *ip, const struct block *b)
{
	size_t whole = b->bits / 8;
	unsigned char mask = (unsigned char)(0xff00 >> (b->bits % 8));

	if (memcmp(ip, b->bytes, whole) != 0)
		return false;
	return b->bits % 8 == 0 || (ip[whole] & mask) == (b->bytes[whole] & mask);
}

static bool
is_in_any(const unsigned char *ip, const struct block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_in(ip, &blocks[i]))
			return true;
	}
	return false;
}

const unsigned char *
address_ip(const struct address *a, size_t *n)
{
	const struct in6_addr *v6;

	*n = 0;
	switch (address_kind(a)) {
	case ADDRESS_V4:
		*n = 4;
		return (const unsigned char *)&as_v4(a)->sin_addr;
	case ADDRESS_V6:
		v6 = &as_v6(a)->sin6_addr;
		*n = IN6_IS_ADDR_V4MAPPED(v6) ? 4 : 16;
		return v6->s6_addr + (16 - *n);
	case ADDRESS_UNIX:
		break;
	}
	return a->raw;
}

bool
address_is_private(const struct address *a)
{
	size_t n;
	const unsigned char *ip = address_ip(a, &n);

	if (n == 4)
		return is_in_any(ip, private_v4, COUNT_OF(private_v4));
	if (n == 16)
		return is_in_any(ip, private_v6, COUNT_OF(private_v6));
	return true;
}

bool
address_is_loopback(const struct address *a)
{
	size_t n;
	const unsigned char *ip = address_ip(a, &n);

	if (n == 4)
		return ip[0] == 127;
	if (n == 16)
		return IN6_IS_ADDR_LOOPBACK(&as_v6(a)->sin6_addr);
	return address_sockaddr(a)->sa_family == AF_UNIX; /* not: an address never filled in */
}

bool
address_eq_ip(const struct address *a, const struct address *b)
{
	size_t na, nb;
	const unsigned char *x = address_ip(a, &na), *y = address_ip(b, &nb);

	if (na == 0 || nb == 0)
		return na == nb && strcmp(address_path(a), address_path(b)) == 0;
	return na == nb && memcmp(x, y, na) == 0;
}

void
address_ip_text(const struct address *a, char out[ADDRESS_TEXT_SIZE])
{
	switch (address_kind(a)) {
	case ADDRESS_V4:
		inet_ntop(AF_INET, &as_v4(a)->sin_addr, out, ADDRESS_TEXT_SIZE);
		return;
	case ADDRESS_V6:
		inet_ntop(AF_INET6, &as_v6(a)->sin6_addr, out, ADDRESS_TEXT_SIZE);
		return;
	case ADDRESS_UNIX:
		break;
	}
	snprintf(out, ADDRESS_TEXT_SIZE, "unix:%s", address_path(a));
}

void
address_text(const struct address *a, char out[ADDRESS_TEXT_SIZE])
{
	char ip[ADDRESS_TEXT_SIZE];

	address_ip_text(a, ip);
	if (address_kind(a) == ADDRESS_UNIX)
		memcpy(out, ip, sizeof(ip));
	else if (address_kind(a) == ADDRESS_V6)
		snprintf(out, ADDRESS_TEXT_SIZE, "[%.46s]:%u", ip, address_port(a));
	else
		snprintf(out, ADDRESS_TEXT_SIZE, "%.16s:%u", ip, address_port(a));
}
