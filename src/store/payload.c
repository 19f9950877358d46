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
	packer_init(p);
}

static void
make(struct packer *p)
{
	p->context = ZSTD_createCCtx();
	CHK(p->context != NULL);
	p->size = sizeof(struct piece_head) + ZSTD_compressBound(PAYLOAD_PIECE);
	p->out = xmalloc(p->size);
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

bool
piece_unpack(uint64_t seed, struct span value, uint64_t size, struct buf *out)
{
	struct piece_head h;
	char *to;

	/* The size first: a damaged one can reach beyond the end of the file. */
	if (value.n < sizeof(h) || value.n - sizeof(h) > size)
		return false;
	memcpy(&h, value.p, sizeof(h));
	if (h.sum != checksum(seed, value.p + sizeof(h.sum), value.n - sizeof(h.sum)) ||
	    h.raw_size != size || h.raw_size > PAYLOAD_PIECE)
		return false;
	to = buf_reserve(out, h.raw_size);
	if (to == NULL || !unpack_into(&h, span_skip(value, sizeof(h)), to))
		return false;
	buf_commit(out, h.raw_size);
	return true;
}
