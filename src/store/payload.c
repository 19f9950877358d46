#include "store/payload_int.h"

#include <stdlib.h>
#include <string.h>

#include "store/checksum_int.h"

#define LEVEL 1

void
packer_init(struct packer *p)
{
	*p = (struct packer){.context = NULL};
}

void
packer_fini(struct packer *p)
{
	(void)ZSTD_freeCCtx(p->context);
	free(p->out);
	free(p->block);
	packer_init(p);
}

static void
make(struct packer *p)
{
	p->context = ZSTD_createCCtx();
	CHK(p->context != NULL);
	p->size = sizeof(struct piece_head) + ZSTD_compressBound(PAYLOAD_PIECE);
	p->out = xmalloc(p->size);
	p->block = xmalloc(PAYLOAD_BLOCK);
}

struct span
packer_pack(struct packer *p, uint64_t seed, struct span raw)
{
	struct piece_head h = {.raw_size = (uint32_t)raw.n};
	size_t n;

	CHK(raw.n <= PAYLOAD_PIECE);
	if (p->context == NULL)
		make(p);
	n = p->is_hasty ? raw.n
			: ZSTD_compressCCtx(p->context, p->out + sizeof(h), p->size - sizeof(h),
			      raw.p, raw.n, LEVEL);
	h.is_packed = !ZSTD_isError(n) && n < raw.n;
	if (!h.is_packed) {
		n = raw.n;
		if (n > 0)
			memcpy(p->out + sizeof(h), raw.p, n);
	}
	memcpy(p->out, &h, sizeof(h));
	h.sum = checksum(seed, p->out + sizeof(h.sum), sizeof(h) - sizeof(h.sum) + n);
	memcpy(p->out, &h.sum, sizeof(h.sum));
	return span_of(p->out, sizeof(h) + n);
}

void
packer_gather(struct packer *p, struct span raw)
{
	CHK(raw.n <= PAYLOAD_BLOCK - p->gathered);
	if (p->context == NULL)
		make(p);
	if (raw.n > 0)
		memcpy(p->block + p->gathered, raw.p, raw.n);
	p->gathered += raw.n;
}

struct span
packer_pack_gathered(struct packer *p, uint64_t seed)
{
	struct span raw = span_of(p->block, p->gathered);

	p->gathered = 0;
	return packer_pack(p, seed, raw);
}

static bool
unpack_into(const struct piece_head *h, struct span bytes, char *to)
{
	if (h->is_packed)
		return ZSTD_decompress(to, h->raw_size, bytes.p, bytes.n) == h->raw_size;
	if (bytes.n != h->raw_size)
		return false;
	if (bytes.n > 0)
		memcpy(to, bytes.p, bytes.n);
	return true;
}

/* Of at most `most` bytes. The size first: a damaged one can reach beyond the end of the file. */
static bool
read_head(uint64_t seed, struct span value, uint64_t most, struct piece_head *h)
{
	if (value.n < sizeof(*h) || value.n - sizeof(*h) > most)
		return false;
	memcpy(h, value.p, sizeof(*h));
	return h->sum == checksum(seed, value.p + sizeof(h->sum), value.n - sizeof(h->sum)) &&
	    h->raw_size <= most;
}

static bool
append(const struct piece_head *h, struct span value, struct buf *out)
{
	char *to = buf_reserve(out, h->raw_size);

	if (to == NULL || !unpack_into(h, span_skip(value, sizeof(*h)), to))
		return false;
	buf_commit(out, h->raw_size);
	return true;
}

bool
piece_unpack(uint64_t seed, struct span value, uint64_t size, struct buf *out)
{
	struct piece_head h;

	return size <= PAYLOAD_PIECE && read_head(seed, value, size, &h) && h.raw_size == size &&
	    append(&h, value, out);
}

bool
block_unpack(uint64_t seed, struct span value, const struct block_part *part, struct buf *out)
{
	struct piece_head h;
	struct buf block;
	bool is_whole;

	if (!read_head(seed, value, PAYLOAD_BLOCK, &h) || part->from > h.raw_size ||
	    part->size > h.raw_size - part->from)
		return false;
	buf_init(&block, PAYLOAD_BLOCK);
	is_whole = append(&h, value, &block) &&
	    buf_put_span(out, span_head(span_skip(buf_view(&block), part->from), part->size));
	buf_fini(&block);
	return is_whole;
}
