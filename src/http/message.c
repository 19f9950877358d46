#include "http/message.h"

#include "base/word8.h"

#define FIRST_HEADERS 8 /* most exchanges have two heads, and hold them while a stream is open */

#define HEADER_SPAN(name, text) [H_##name] = {"" text, sizeof(text) - 1},
static const struct span names[H_COUNT] = {[H_OTHER] = {"", 0}, HEADER_TABLE(HEADER_SPAN)};
#undef HEADER_SPAN

static inline bool
is_word(const char *p, const char *lower)
{
	return word8_lower(word8_load(p)) == word8_load(lower);
}

/* `lower` has no capitals. n is a constant, and the words of `lower` are then too. */
static inline bool
is_name(const char *p, const char *lower, size_t n)
{
	if (n >= 8) {
		for (size_t i = 0; i < n - 8; i += 8)
			if (!is_word(p + i, lower + i))
				return false;
		return is_word(p + n - 8, lower + n - 8);
	}
	if (n >= 4)
		return word8_lower(word8_load_short(p, n)) == word8_load_short(lower, n);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (unsigned char)lower[i])
			return false;
	}
	return true;
}

/* A switch over the length whose cases the compiler cuts to the rows of that length: the sizes are
 * constants, so every other row of the table folds away, and HEADER_TABLE stays the one place. */
#define TRY(name, text)                                                                            \
	if (sizeof(text) - 1 == LENGTH && is_name(p, text, LENGTH))                                \
		return H_##name;
#define ROWS_OF(n)                                                                                 \
	case (n): {                                                                                \
		enum { LENGTH = (n) };                                                             \
		HEADER_TABLE(TRY)                                                                  \
		break;                                                                             \
	}
#define ROWS_OF_4(n) ROWS_OF(n) ROWS_OF((n) + 1) ROWS_OF((n) + 2) ROWS_OF((n) + 3)
#define LENGTHS 32
#define CHECK_LENGTH(name, text) _Static_assert(sizeof(text) - 1 < LENGTHS, text);
HEADER_TABLE(CHECK_LENGTH)

static enum header_id
find_row(const char *p, size_t n)
{
	switch (n) {
		ROWS_OF_4(0);
		ROWS_OF_4(4);
		ROWS_OF_4(8);
		ROWS_OF_4(12);
		ROWS_OF_4(16);
		ROWS_OF_4(20);
		ROWS_OF_4(24);
		ROWS_OF_4(28);
	default:
		return H_OTHER;
	}
	return H_OTHER;
}

enum header_id
header_id_of(struct span name)
{
	struct span family = names[H_CF_AIG_ANY];
	enum header_id id = find_row(name.p, name.n);

	if (id == H_OTHER && name.n > family.n && is_name(name.p, family.p, family.n))
		return H_CF_AIG_ANY;
	return id;
}

struct span
header_name(enum header_id id)
{
	CHK((unsigned)id < H_COUNT);
	return names[id];
}

static bool
grow(struct headers *h, struct arena *a)
{
	size_t cap = h->cap == 0 ? FIRST_HEADERS : h->cap * 2;
	struct header *items = arena_alloc(a, cap * sizeof(*items));

	if (items == NULL)
		return false;
	if (h->n > 0)
		memcpy(items, h->items, h->n * sizeof(*items));
	h->items = items;
	h->cap = cap;
	return true;
}

bool
headers_add(struct headers *h, struct arena *a, struct span name, struct span value)
{
	if (h->n == h->cap && !grow(h, a))
		return false;
	enum header_id id = header_id_of(name);
	h->items[h->n++] = (struct header){name, value, id};
	h->seen[id / 64] |= UINT64_C(1) << id % 64;
	return true;
}

/* Most of what is asked for is in no head. */
static bool
has_seen(const struct headers *h, enum header_id id)
{
	return (h->seen[id / 64] >> id % 64 & 1) != 0;
}

const struct header *
headers_find(const struct headers *h, enum header_id id)
{
	if (!has_seen(h, id))
		return NULL;
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].id == id)
			return &h->items[i];
	return NULL;
}

struct span
headers_value(const struct headers *h, enum header_id id)
{
	const struct header *f = headers_find(h, id);

	return f == NULL ? SPAN_NONE : f->value;
}

size_t
headers_count(const struct headers *h, enum header_id id)
{
	size_t count = 0;

	for (size_t i = 0; i < h->n; i++)
		count += h->items[i].id == id;
	return count;
}

static bool
list_has_token(struct span list, struct span token)
{
	struct span item;

	while (span_next(&list, ',', &item))
		if (span_eq_nocase(span_trim(item), token))
			return true;
	return false;
}

bool
headers_has_token(const struct headers *h, enum header_id id, struct span token)
{
	if (!has_seen(h, id))
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].id == id && list_has_token(h->items[i].value, token))
			return true;
	return false;
}

bool
request_is_websocket(const struct request_head *h)
{
	return h->is_upgrade && h->method == METHOD_GET && h->framing == BODY_NONE &&
	    headers_has_token(&h->headers, H_UPGRADE, SPAN_LIT("websocket"));
}
