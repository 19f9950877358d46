#include "gateway/proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "config/proxy.h"
#include "http/parser.h"
#include "http/target.h"
#include "net/address.h"

/* ---- what the configuration says ---- */

static void
base64(const unsigned char *p, size_t n, char *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)p[i] << 16;

		v |= i + 1 < n ? (unsigned)p[i + 1] << 8 : 0;
		v |= i + 2 < n ? p[i + 2] : 0;
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = '\0';
}

/* RFC 7617: always a colon between the two, so "token" alone is a user without a password. */
static char *
basic(struct span user)
{
	char *plain = xmalloc(user.n + 1);
	size_t n = percent_decode(user, plain, user.n);
	char *out = xmalloc(sizeof("Basic ") + (n + 3) / 3 * 4 + 4);

	if (span_find(user, ':') == user.n)
		plain[n++] = ':';
	memcpy(out, "Basic ", 6);
	base64((const unsigned char *)plain, n, out + 6);
	free(plain);
	return out;
}

struct proxy_way *
proxy_way_new(const struct config *c)
{
	struct proxy_way *p;
	struct proxy read;
	size_t room;

	if (c->upstream.proxy == NULL)
		return NULL;
	CHK(proxy_read(span_str(c->upstream.proxy), &read) == NULL); /* as config_load found */
	p = xcalloc(1, sizeof(*p));
	p->host = span_dup(read.host);
	p->port = read.port;
	p->no_proxy = c->upstream.no_proxy;
	room = read.host.n + sizeof(":65535");
	p->authority = xmalloc(room);
	(void)snprintf(p->authority, room, "%s:%u", p->host, p->port);
	if (read.user.n > 0)
		p->authorization = basic(read.user);
	return p;
}

void
proxy_way_free(struct proxy_way *p)
{
	if (p == NULL)
		return;
	free(p->host);
	free(p->authority);
	free(p->authorization);
	free(p);
}

static bool
is_here(struct span host)
{
	struct span tail = span_skip(host, host.n < 10 ? 0 : host.n - 10);
	struct address literal;

	if (address_parse_ip(host, 0, &literal))
		return address_is_private(&literal);
	return span_eq_nocase(host, SPAN_LIT("localhost")) ||
	    span_eq_nocase(tail, SPAN_LIT(".localhost"));
}

bool
proxy_way_is_for(const struct proxy_way *p, struct span host, uint16_t port)
{
	return p != NULL && !is_here(host) && !no_proxy_has(p->no_proxy, host, port);
}

/* ---- CONNECT ---- */

bool
proxy_request(const struct proxy_way *p, struct span host, uint16_t port, struct buf *out)
{
	const char *open = span_find(host, ':') < host.n ? "[" : "";
	const char *end = open[0] != '\0' ? "]" : "";

	for (int line = 0; line < 2; line++)
		if (!buf_printf(out, "%s%s%.*s%s:%u%s", line == 0 ? "CONNECT " : "Host: ", open,
			SPAN_FMT(host), end, port, line == 0 ? " HTTP/1.1\r\n" : "\r\n"))
			return false;
	if (p->authorization != NULL &&
	    !buf_printf(out, "Proxy-Authorization: %s\r\n", p->authorization))
		return false;
	return buf_put(out, "\r\n", 2);
}

void
proxy_reset(struct parser *parser, struct arena *head)
{
	/* As after HEAD no body follows a 2xx head, whatever it says of one (RFC 9110 9.3.6). */
	parser_reset(parser, head, METHOD_HEAD);
}

static enum proxy_answer
judge(int status, struct span rest, char detail[PROXY_DETAIL_SIZE])
{
	const char *hint = status == 407 ? " (user and password in upstream.proxy)" : "";

	/* TLS begins with a word of ours: what comes before it is not the provider's. */
	if (status / 100 == 2 && rest.n == 0)
		return PROXY_OPEN;
	if (status / 100 == 2)
		(void)snprintf(
		    detail, PROXY_DETAIL_SIZE, "the proxy sent bytes behind its answer to CONNECT");
	else
		(void)snprintf(detail, PROXY_DETAIL_SIZE, "the proxy answered CONNECT with %d%s",
		    status, hint);
	return PROXY_REFUSED;
}

enum proxy_answer
proxy_take(
    struct parser *parser, struct arena *head, struct span in, char detail[PROXY_DETAIL_SIZE])
{
	struct span body;

	for (;;) {
		switch (parser_next(parser, &in, &body)) {
		case PARSE_MORE:
			return PROXY_MORE;
		case PARSE_HEAD:
			if (parser_response(parser)->status / 100 != 1)
				return judge(parser_response(parser)->status, in, detail);
			break;
		case PARSE_END:
			proxy_reset(parser, head);
			break;
		case PARSE_BODY:
		case PARSE_FAILED:
			(void)snprintf(detail, PROXY_DETAIL_SIZE,
			    "the proxy's answer to CONNECT is not valid HTTP");
			return PROXY_REFUSED;
		}
	}
}
