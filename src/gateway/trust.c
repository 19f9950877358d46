#include "gateway/trust.h"

#include <stdlib.h>

#include "base/chk.h"
#include "net/network.h"

struct trust {
	bool has_unix;
	size_t n;
	struct network networks[];
};

struct trust *
trust_new(char *const *list, const char **wrong)
{
	size_t n = 0;
	while (list[n] != NULL)
		n++;
	struct trust *t = xcalloc(1, sizeof(*t) + n * sizeof(t->networks[0]));
	for (; *list != NULL; list++) {
		if (strcmp(*list, "unix") == 0) {
			t->has_unix = true;
		} else if (network_parse(span_str(*list), &t->networks[t->n])) {
			t->n++;
		} else {
			*wrong = *list;
			trust_free(t);
			return NULL;
		}
	}
	return t;
}

void
trust_free(struct trust *t)
{
	free(t);
}

bool
trust_has(const struct trust *t, const struct address *peer)
{
	if (address_kind(peer) == ADDRESS_UNIX)
		return t->has_unix && address_is_loopback(peer);
	for (size_t i = 0; i < t->n; i++)
		if (network_has(&t->networks[i], peer))
			return true;
	return false;
}

/* ---- what the headers say ---- */

/* Entries come from left to right; what stands at the end is what reading from the right would find. */
struct hops {
	const struct trust *trust;
	bool has_client;
	struct address client;
};

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". Ports do not matter:
 * some proxies write them. */
static bool
parse_node(struct span node, struct address *out)
{
	if (address_parse_ip(node, 0, out))
		return true;
	if (node.n > 0 && node.p[0] == '[' && span_find(node, ']') < node.n) {
		struct span port = span_skip(node, span_find(node, ']') + 1);
		if (port.n > 0 && port.p[0] != ':')
			return false;
		node = span_skip(span_head(node, span_find(node, ']')), 1);
		return span_find(node, ':') < node.n && address_parse_ip(node, 0, out);
	}
	return address_parse_ip(span_head(node, span_find(node, ':')), 0, out) &&
	    address_kind(out) == ADDRESS_V4;
}

static void
add_hop(struct hops *h, struct span node)
{
	struct address a;
	if (!parse_node(node, &a)) {
		h->has_client =
		    false; /* "unknown", "_hidden" or nonsense: what stands before it is hearsay */
		return;
	}
	if (h->has_client && trust_has(h->trust, &a))
		return;
	h->client = a;
	h->has_client = true;
}

static void
read_x_forwarded_for(struct hops *h, struct span value)
{
	struct span item;
	while (span_next(&value, ',', &item)) {
		item = span_trim(item);
		if (item.n > 0) /* RFC 9110 5.6.1.2: empty elements of a list do not count */
			add_hop(h, item);
	}
}

/* Up to the next `end` outside quotes; *rest is what follows it. */
static struct span
next_part(struct span *rest, char end)
{
	bool is_quoted = false;
	size_t i;
	for (i = 0; i < rest->n && (is_quoted || rest->p[i] != end); i++) {
		if (is_quoted && rest->p[i] == '\\')
			i++;
		else if (rest->p[i] == '"')
			is_quoted = !is_quoted;
	}
	struct span part = span_head(*rest, i);
	*rest = span_skip(*rest, i + 1);
	return part;
}

/* The value of for= in an element of Forwarded; empty where there is none, or more than one. */
static struct span
for_of(struct span element)
{
	struct span found = SPAN_NONE;
	while (element.n > 0) {
		struct span pair = span_trim(next_part(&element, ';'));
		if (!span_starts_nocase(pair, SPAN_LIT("for=")))
			continue;
		if (found.p != NULL)
			return SPAN_NONE;
		found = span_skip(pair, 4);
	}
	if (found.n >= 2 && found.p[0] == '"' && found.p[found.n - 1] == '"')
		return span_of(found.p + 1, found.n - 2);
	return found;
}

static void
read_forwarded(struct hops *h, struct span value)
{
	while (value.n > 0) {
		struct span element = span_trim(next_part(&value, ','));
		if (element.n > 0)
			add_hop(h, for_of(element));
	}
}

static bool
read_field(struct hops *hops, const struct headers *h, enum header_id id)
{
	bool is_there = false;
	for (size_t i = 0; i < h->n; i++) {
		if (h->items[i].id != id)
			continue;
		is_there = true;
		if (id == H_FORWARDED)
			read_forwarded(hops, h->items[i].value);
		else
			read_x_forwarded_for(hops, h->items[i].value);
	}
	return is_there;
}

bool
trust_client(const struct trust *t, const struct headers *h, struct address *out)
{
	struct hops x = {.trust = t}, f = {.trust = t};
	bool has_x = read_field(&x, h, H_X_FORWARDED_FOR);
	bool has_f = read_field(&f, h, H_FORWARDED);
	const struct hops *chosen = has_x ? &x : &f;
	if (has_x && has_f &&
	    !(x.has_client && f.has_client && address_eq_ip(&x.client, &f.client)))
		return false;
	if (!chosen->has_client)
		return false;
	*out = chosen->client;
	return true;
}
