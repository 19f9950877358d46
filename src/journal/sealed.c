#include "journal/sealed.h"

#include <string.h>

#include "crypto/seal.h"

#define PURPOSE "log/v1"

/* No body that somebody sends begins like this: a NUL is no text, and binary bodies that do are sealed all the same. */
static const struct span magic = {"\0postern-sealed-1\n", 18};

static void
place_of(const struct id *record, int which, char out[ID_BYTES + 1])
{
	memcpy(out, record->b, ID_BYTES);
	out[ID_BYTES] = (char)which;
}

static void
key_of(const struct sealer *s, struct seal_key *out)
{
	seal_key_derive(s->salt, s->credential, SPAN_LIT(PURPOSE), out);
}

bool
sealed_put(
    const struct sealer *s, const struct id *record, int which, struct span body, struct buf *out)
{
	char place[ID_BYTES + 1];
	struct seal_key key;
	place_of(record, which, place);
	key_of(s, &key);
	bool ok =
	    buf_put_span(out, magic) && seal_put(&key, span_of(place, sizeof(place)), body, out);
	zeroize(&key, sizeof(key));
	return ok;
}

bool
sealed_is(struct span stored)
{
	return span_starts(stored, magic);
}

bool
sealed_open(
    const struct sealer *s, const struct id *record, int which, struct span stored, struct buf *out)
{
	char place[ID_BYTES + 1];
	struct seal_key key;
	if (!sealed_is(stored))
		return false;
	place_of(record, which, place);
	key_of(s, &key);
	bool ok = unseal_all(&key, span_of(place, sizeof(place)), span_skip(stored, magic.n), out);
	zeroize(&key, sizeof(key));
	return ok;
}
