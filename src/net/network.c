#include "net/network.h"

#include "base/num.h"
#include "net/address_int.h"

/* The bits of byte i that belong to a prefix of n bits. */
static unsigned char
mask_of(size_t i, unsigned n)
{
	if (n >= 8 * (i + 1))
		return 0xff;
	return n <= 8 * i ? 0 : (unsigned char)(0xff00 >> (n - 8 * i));
}

static bool
is_prefix_alone(const struct network *n)
{
	for (size_t i = 0; i < n->size; i++)
		if ((n->ip[i] & ~mask_of(i, n->bits)) != 0)
			return false;
	return true;
}

bool
network_parse(struct span text, struct network *out)
{
	size_t slash = span_find(text, '/');
	uint64_t bits;
	struct address a;

	if (!address_parse_ip(span_head(text, slash), 0, &a))
		return false;
	*out = network_of(&a, 32, 128);
	if (address_kind(&a) == ADDRESS_V6 && out->size == 4)
		return false;
	if (slash == text.n)
		return true;
	text = span_skip(text, slash + 1);
	if (text.n > 3 || !num_u64(text, &bits) || bits > 8u * out->size)
		return false;
	out->bits = (unsigned char)bits;
	return is_prefix_alone(out);
}

bool
network_has(const struct network *n, const struct address *a)
{
	size_t size;
	const unsigned char *ip = address_ip(a, &size);

	if (size != n->size)
		return false;
	for (size_t i = 0; i < size; i++)
		if (((ip[i] ^ n->ip[i]) & mask_of(i, n->bits)) != 0)
			return false;
	return true;
}

struct network
network_of(const struct address *a, unsigned v4_bits, unsigned v6_bits)
{
	struct network n = {.size = 0};
	size_t size;
	const unsigned char *ip = address_ip(a, &size);

	n.size = (unsigned char)size;
	n.bits = (unsigned char)(size == 4 ? v4_bits : v6_bits);
	for (size_t i = 0; i < size; i++)
		n.ip[i] = ip[i] & mask_of(i, n.bits);
	return n;
}
