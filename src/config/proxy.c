#include "config/proxy.h"

#include "base/num.h"
#include "config/syntax_int.h"

#define FORM "; write http://[USER:PASSWORD@]HOST[:PORT], or none"
#define PORT_STANDARD 80

/* "HOST", "HOST:PORT", "[v6]", "[v6]:PORT"; a bare IPv6 address has no port. *port stays without one. */
static struct span
split_port(struct span s, uint64_t *port)
{
	bool has_brackets = s.n > 0 && s.p[0] == '[' && span_find(s, ']') < s.n;
	size_t end = has_brackets ? span_find(s, ']') + 1 : span_find(s, ':');
	struct span rest = span_skip(s, end);

	if (!has_brackets && span_find(span_skip(rest, 1), ':') < span_skip(rest, 1).n)
		return s;
	if (rest.n > 1 && rest.p[0] == ':' && !num_u64(span_skip(rest, 1), port))
		*port = 0;
	return has_brackets ? span_of(s.p + 1, end - 2) : span_head(s, end);
}

static bool
is_clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return true;
}

/* What is behind the last '@': a password may have one. */
static struct span
take_user(struct span *s)
{
	size_t at = s->n;
	struct span user = SPAN_LIT("");

	while (at > 0 && s->p[at - 1] != '@')
		at--;
	if (at == 0)
		return user;
	user = span_head(*s, at - 1);
	*s = span_skip(*s, at);
	return user;
}

const char *
proxy_read(struct span text, struct proxy *out)
{
	struct span s = text;
	uint64_t port = PORT_STANDARD;

	if (span_starts_nocase(s, SPAN_LIT("http://")))
		s = span_skip(s, 7);
	else if (span_find_span(s, SPAN_LIT("://")) < s.n)
		return "is no http:// proxy, which is the only kind that this version speaks to" FORM;
	if (!is_clean(s))
		return "has spaces or other characters that no URL may have" FORM;
	if (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	out->user = take_user(&s);
	if (syntax_authority(s) != NULL)
		return "has no valid host and port" FORM;
	out->host = split_port(s, &port);
	out->port = (uint16_t)port;
	return NULL;
}

const char *
syntax_proxy(struct span s)
{
	struct proxy unused;

	return span_eq(s, SPAN_LIT("none")) ? NULL : proxy_read(s, &unused);
}

static bool
item_has(struct span item, struct span host, uint16_t port)
{
	uint64_t only = 0;
	struct span name, tail;

	if (span_eq(item, SPAN_LIT("*")))
		return true;
	name = split_port(item, &only);
	if (span_starts(name, SPAN_LIT("*.")))
		name = span_skip(name, 1);
	if (span_starts(name, SPAN_LIT(".")))
		name = span_skip(name, 1);
	if (name.n == 0 || name.n > host.n || (only != 0 && only != port))
		return false;
	tail = span_skip(host, host.n - name.n);
	return span_eq_nocase(tail, name) &&
	    (tail.n == host.n || host.p[host.n - tail.n - 1] == '.');
}

bool
no_proxy_has(char *const *list, struct span host, uint16_t port)
{
	for (; *list != NULL; list++) {
		struct span rest = span_str(*list), item;

		while (span_next(&rest, ',', &item))
			if (item_has(span_trim(item), host, port))
				return true;
	}
	return false;
}
