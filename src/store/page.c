#include "store/page_int.h"

#include <stddef.h>
#include <string.h>

#define MAGIC 0xBEEFC0DEu
#define VERSION 1

#define NODE_HEAD 8
#define NODE_ELSEWHERE 1
#define NODE_TABLE 2
#define NODE_DUPLICATES 4

struct head {
	uint64_t number;
	uint16_t pad, flags, lower, upper;
};
struct meta {
	uint32_t magic, version;
	uint64_t address, map_size;
	struct page_table free, main; /* the page size stands in the first's pad */
	uint64_t last_page, commit;
};

_Static_assert(sizeof(struct head) == PAGE_HEAD, "as on the disk");
_Static_assert(sizeof(struct page_table) == 48, "as on the disk");
_Static_assert(sizeof(struct meta) == 136, "as on the disk");
_Static_assert(sizeof(void *) == 8, "page numbers and sizes of 8 bytes");

bool
page_read_meta(const char *page, struct page_meta *out)
{
	struct head h;
	struct meta m;

	memcpy(&h, page, sizeof(h));
	memcpy(&m, page + PAGE_HEAD, sizeof(m));
	if ((h.flags & PAGE_META) == 0 || m.magic != MAGIC || m.version != VERSION ||
	    m.free.pad < PAGE_SIZE_MIN || m.free.pad > PAGE_SIZE_MAX ||
	    (m.free.pad & (m.free.pad - 1)) != 0)
		return false;
	*out = (struct page_meta){.page_size = m.free.pad,
	    .free = m.free,
	    .main = m.main,
	    .last_page = m.last_page,
	    .commit = m.commit};
	return true;
}

bool
page_read_table(struct span value, struct page_table *out)
{
	if (value.n != sizeof(*out))
		return false;
	memcpy(out, value.p, sizeof(*out));
	return true;
}

unsigned
page_count(const char *page, unsigned size, enum page_kind kind, uint64_t number)
{
	struct head h;

	memcpy(&h, page, sizeof(h));
	/* No other flag may be on the disk: "dirty" would make LMDB write where it only reads. */
	if (h.number != number || h.flags != kind || h.lower < PAGE_HEAD || h.lower > h.upper ||
	    h.upper > size || h.lower % 2 != 0)
		return 0;
	return (h.lower - PAGE_HEAD) / 2u;
}

/* The words of a node's length stand the lower one first, as the machine does. */
static uint32_t
two_words(const uint16_t words[2])
{
	const uint16_t one = 1;
	bool is_little = *(const uint8_t *)&one == 1;

	return is_little ? words[0] | (uint32_t)words[1] << 16
			 : words[1] | (uint32_t)words[0] << 16;
}

static bool
take_leaf(struct span rest, uint16_t flags, uint32_t size, struct page_node *out)
{
	out->size = size;
	out->is_table = (flags & NODE_TABLE) != 0;
	if ((flags & NODE_DUPLICATES) != 0)
		return false;
	if ((flags & NODE_ELSEWHERE) == 0) {
		out->value = span_head(rest, size);
		return size <= rest.n;
	}
	if (rest.n < sizeof(out->child))
		return false;
	memcpy(&out->child, rest.p, sizeof(out->child));
	return !out->is_table;
}

static bool
page_is_leaf(const char *page)
{
	struct head h;

	memcpy(&h, page, sizeof(h));
	return (h.flags & PAGE_LEAF) != 0;
}

bool
page_node(const char *page, unsigned size, unsigned i, struct page_node *out)
{
	uint16_t at, words[4]; /* length, flags, length of the key */
	struct span rest;
	struct head h;

	memcpy(&h, page, sizeof(h));
	memcpy(&at, page + PAGE_HEAD + 2 * (size_t)i, sizeof(at));
	if (at < h.upper || (unsigned)at + NODE_HEAD > size)
		return false;
	memcpy(words, page + at, sizeof(words));
	rest = span_of(page + at + NODE_HEAD, size - at - NODE_HEAD);
	if (words[3] > rest.n)
		return false;
	*out = (struct page_node){.key = span_head(rest, words[3]), .value = SPAN_NONE};
	if (page_is_leaf(page))
		return take_leaf(span_skip(rest, words[3]), words[2], two_words(words), out);
	out->child = two_words(words) | (uint64_t)words[2] << 32;
	return true;
}

bool
page_node_place(const char *page, unsigned size, unsigned i, struct page_place *out)
{
	struct page_node n;
	uint16_t at;

	if (!page_node(page, size, i, &n))
		return false;
	memcpy(&at, page + PAGE_HEAD + 2 * (size_t)i, sizeof(at));
	*out = (struct page_place){.from = at, .size = (unsigned)(NODE_HEAD + n.key.n + n.value.n)};
	if (page_is_leaf(page) && n.child != 0)
		out->size += (unsigned)sizeof(n.child);
	return true;
}

unsigned
page_upper(const char *page)
{
	struct head h;

	memcpy(&h, page, sizeof(h));
	return h.upper;
}

uint64_t
page_overflow_count(const char *page, uint64_t number)
{
	struct head h;
	uint32_t pages;

	memcpy(&h, page, sizeof(h));
	if (h.number != number || h.flags != PAGE_OVERFLOW)
		return 0;
	memcpy(&pages, page + offsetof(struct head, lower), sizeof(pages));
	return pages;
}
