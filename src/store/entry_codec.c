#include "store/entry_codec_int.h"

#include <string.h>

#include "store/checksum_int.h"

#define SUM_SIZE sizeof(uint64_t)

_Static_assert(sizeof(struct entry_meta) == 120, "no padding: the bytes go to disk");
_Static_assert(sizeof(struct entry_head) == 176, "no padding: the bytes go to disk");
_Static_assert(sizeof(struct entry_age) == 32, "no padding: the bytes go to disk");
_Static_assert(sizeof(struct entry_head) + 3 * ENTRY_NAME_MAX + ENTRY_HEADERS_MAX < ENTRY_VALUE_MAX,
    "what cannot go into chunks fits");

static size_t
fixed_size(const struct entry_head *h)
{
	return sizeof(*h) + h->gateway_size + h->provider_size + h->model_size + h->headers_size;
}

size_t
entry_value_size(const struct entry_head *h)
{
	return fixed_size(h) + (h->has_preimage ? h->preimage_size : 0) +
	    (h->has_body ? h->meta.body_size : 0);
}

static struct span
cut(struct span *rest, size_t n)
{
	struct span head = span_head(*rest, n);

	*rest = span_skip(*rest, n);
	return head;
}

/* Sizes that a damaged head could claim, held against what is there without overflow. */
static bool
is_consistent(const struct entry_head *h, size_t n)
{
	if (h->has_preimage > 1 || h->has_body > 1 || h->headers_size > ENTRY_HEADERS_MAX)
		return false;
	if (h->chunk != ENTRY_CHUNK && h->chunk != ENTRY_PAGE_CHUNK)
		return false;
	if (h->has_preimage && h->preimage_size > ENTRY_VALUE_MAX)
		return false;
	if (h->has_body && h->meta.body_size > ENTRY_VALUE_MAX)
		return false;
	return entry_value_size(h) == n;
}

bool
entry_decode(struct span value, struct entry_view *out)
{
	struct entry_head *h = &out->head;
	struct span rest = value;

	if (value.n < sizeof(*h) || value.n > ENTRY_VALUE_MAX)
		return false;
	memcpy(h, value.p, sizeof(*h));
	if (h->sum != checksum(0, value.p + SUM_SIZE, value.n - SUM_SIZE) ||
	    !is_consistent(h, value.n))
		return false;
	(void)cut(&rest, sizeof(*h));
	out->gateway = cut(&rest, h->gateway_size);
	out->provider = cut(&rest, h->provider_size);
	out->model = cut(&rest, h->model_size);
	out->headers = cut(&rest, h->headers_size);
	out->preimage = h->has_preimage ? cut(&rest, h->preimage_size) : SPAN_NONE;
	out->body = h->has_body ? cut(&rest, h->meta.body_size) : SPAN_NONE;
	return true;
}

/* Of the preimage first, then of the body: what still fits beside names and headers. */
static void
place(const struct entry_new *n, size_t limit, struct entry_head *h)
{
	size_t used = fixed_size(h), room = used < limit ? limit - used : 0;

	h->has_preimage = n->preimage.n <= room;
	room -= h->has_preimage ? n->preimage.n : 0;
	h->has_body = n->body.n <= room;
}

bool
entry_plan(
    const struct entry_new *n, uint64_t generation, enum entry_form form, struct entry_head *out)
{

	if (n->headers.n > ENTRY_HEADERS_MAX || n->gateway.n > ENTRY_NAME_MAX ||
	    n->provider.n > ENTRY_NAME_MAX || n->model.n > ENTRY_NAME_MAX)
		return false;
	*out = (struct entry_head){
	    .generation = generation,
	    .key = n->key,
	    .meta = n->meta,
	    .preimage_size = n->preimage.n,
	    .headers_size = (uint32_t)n->headers.n,
	    .gateway_size = (uint16_t)n->gateway.n,
	    .provider_size = (uint16_t)n->provider.n,
	    .model_size = (uint16_t)n->model.n,
	    .chunk = form == ENTRY_SCATTERED ? ENTRY_PAGE_CHUNK : ENTRY_CHUNK,
	};
	out->meta.body_size = n->body.n;
	place(n, form == ENTRY_SCATTERED ? ENTRY_PAGE_MAX : ENTRY_VALUE_MAX, out);
	return n->preimage.n / out->chunk + n->body.n / out->chunk + 2 <= ENTRY_CHUNKS_MAX;
}

static char *
put(char *to, struct span s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

void
entry_encode(const struct entry_new *n, const struct entry_head *h, char *out)
{
	char *to = put(out, span_of(h, sizeof(*h)));

	to = put(to, n->gateway);
	to = put(to, n->provider);
	to = put(to, n->model);
	to = put(to, n->headers);
	if (h->has_preimage)
		to = put(to, n->preimage);
	if (h->has_body)
		to = put(to, n->body);
	entry_seal(out, (size_t)(to - out));
}

void
entry_seal(char *value, size_t n)
{
	uint64_t sum;

	CHK(n >= SUM_SIZE);
	sum = checksum(0, value + SUM_SIZE, n - SUM_SIZE);
	memcpy(value, &sum, SUM_SIZE);
}

static uint32_t
chunks_for(const struct entry_head *h, uint64_t size)
{
	return (uint32_t)((size + h->chunk - 1) / h->chunk);
}

uint32_t
entry_preimage_chunks(const struct entry_head *h)
{
	return h->has_preimage ? 0 : chunks_for(h, h->preimage_size);
}

uint32_t
entry_chunks(const struct entry_head *h)
{
	return entry_preimage_chunks(h) + (h->has_body ? 0 : chunks_for(h, h->meta.body_size));
}

struct span
entry_chunk_of(const struct entry_new *n, const struct entry_head *h, uint32_t i)
{
	uint32_t first = entry_preimage_chunks(h);

	if (i < first)
		return span_head(span_skip(n->preimage, (size_t)i * h->chunk), h->chunk);
	return span_head(span_skip(n->body, (size_t)(i - first) * h->chunk), h->chunk);
}

static void
put_be64(uint64_t v, uint8_t out[8])
{
	for (int b = 7; b >= 0; b--, v >>= 8)
		out[b] = (uint8_t)v;
}

static uint64_t
get_be64(const uint8_t p[8])
{
	uint64_t v = 0;

	for (int b = 0; b < 8; b++)
		v = v << 8 | p[b];
	return v;
}

void
entry_chunk_key(uint64_t generation, uint32_t i, uint8_t out[ENTRY_CHUNK_KEY_SIZE])
{
	put_be64(generation, out);
	out[8] = (uint8_t)(i >> 8);
	out[9] = (uint8_t)i;
}

uint64_t
entry_chunk_generation(const uint8_t key[ENTRY_CHUNK_KEY_SIZE])
{
	return get_be64(key);
}

/* A time before 1970 has its place before all others, where it belongs. */
void
entry_expiry_key(int64_t expires_ms, uint64_t generation, uint8_t out[ENTRY_EXPIRY_KEY_SIZE])
{
	put_be64(expires_ms > 0 ? (uint64_t)expires_ms : 0, out);
	put_be64(generation, out + 8);
}

void
entry_expiry_read(
    const uint8_t key[ENTRY_EXPIRY_KEY_SIZE], int64_t *expires_ms, uint64_t *generation)
{
	*expires_ms = (int64_t)get_be64(key);
	*generation = get_be64(key + 8);
}

static uint64_t
chunk_sum(uint64_t generation, uint32_t i, const void *p, size_t n)
{
	return checksum(generation << 16 ^ i, p, n);
}

void
entry_chunk_encode(uint64_t generation, uint32_t i, struct span bytes, char *out)
{
	uint64_t sum = chunk_sum(generation, i, bytes.p, bytes.n);

	memcpy(out, &sum, SUM_SIZE);
	(void)put(out + SUM_SIZE, bytes);
}

bool
entry_chunk_decode(uint64_t generation, uint32_t i, struct span value, struct span *out)
{
	uint64_t sum;

	if (value.n <= SUM_SIZE || value.n > ENTRY_VALUE_MAX)
		return false;
	memcpy(&sum, value.p, SUM_SIZE);
	*out = span_skip(value, SUM_SIZE);
	return sum == chunk_sum(generation, i, out->p, out->n);
}
