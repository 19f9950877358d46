#include "gateway/reader.h"

#include <string.h>

#define PREFIX_SIZE sizeof(uint32_t) /* the preimage's length */

void
reader_init(struct reader *r, struct entry *e, const struct seal_key *key,
    const struct entry_key *place, struct span preimage, uint64_t size)
{
	*r = (struct reader){
	    .entry = e, .size = size, .preimage = preimage, .is_sealed = key != NULL};
	if (!r->is_sealed)
		return;
	unseal_init(&r->unseal, key, span_of(place->b, sizeof(place->b)), entry_meta(e)->body_size);
	buf_init(&r->plain, PREFIX_SIZE + preimage.n + 2 * (SEAL_CHUNK + 1));
}

void
reader_fini(struct reader *r)
{
	if (r->is_sealed)
		unseal_fini(&r->unseal);
	buf_fini(&r->plain);
	*r = (struct reader){0};
}

static enum err
more_plain(struct reader *r)
{
	struct span stored;
	enum err e = entry_body(r->entry, r->at, &stored);
	if (e != E_OK)
		return e;
	r->at += stored.n;
	return unseal_feed(&r->unseal, stored, &r->plain) ? E_OK : E_CORRUPT;
}

/* Takes the preimage off the front; it must be the one that is asked for. */
static enum err
take_preimage(struct reader *r)
{
	size_t n = PREFIX_SIZE + r->preimage.n;
	while (buf_len(&r->plain) < n) {
		enum err e = more_plain(r);
		if (e != E_OK)
			return e;
	}
	uint32_t length;
	struct span front = buf_view(&r->plain);
	memcpy(&length, front.p, sizeof(length));
	if (length != r->preimage.n ||
	    !span_eq(span_head(span_skip(front, PREFIX_SIZE), length), r->preimage))
		return E_CORRUPT;
	buf_drop(&r->plain, n);
	return E_OK;
}

static enum err
sealed_piece(struct reader *r, struct span *piece)
{
	if (r->at == 0) {
		enum err e = take_preimage(r);
		if (e != E_OK)
			return e;
	} else {
		buf_reset(&r->plain); /* it was given */
	}
	while (buf_len(&r->plain) == 0) {
		enum err e = more_plain(r);
		if (e != E_OK)
			return e;
	}
	*piece = buf_view(&r->plain);
	return E_OK;
}

enum err
reader_piece(struct reader *r, struct span *piece)
{
	enum err e = r->is_sealed ? sealed_piece(r, piece) : entry_body(r->entry, r->given, piece);
	if (e != E_OK || piece->n > r->size - r->given)
		return E_CORRUPT;
	r->given += piece->n;
	return E_OK;
}

bool
reader_seal(const struct seal_key *key, const struct entry_key *place, struct span preimage,
    struct span answer, struct buf *out)
{
	struct buf plain;
	uint32_t length = (uint32_t)preimage.n;
	buf_init(&plain, PREFIX_SIZE + preimage.n + answer.n);
	bool ok = buf_put(&plain, &length, sizeof(length)) && buf_put_span(&plain, preimage) &&
	    buf_put_span(&plain, answer) &&
	    seal_put(key, span_of(place->b, sizeof(place->b)), buf_view(&plain), out);
	if (plain.p != NULL)
		zeroize(plain.p, plain.cap);
	buf_fini(&plain);
	return ok;
}
