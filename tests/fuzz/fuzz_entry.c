/*
 * The input is the stored value of an entry, as a damaged disk might give it. It is taken only
 * with its checksum; with the checksum made right, what is taken lies within the value and writes
 * the same bytes again, and one flipped bit is enough to refuse it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/chk.h"
#include "store/entry_codec_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct span part, struct span value)
{
	CHK(part.p == NULL || (part.p >= value.p && part.p + part.n <= value.p + value.n));
}

static void
check_same_again(const struct entry_view *v, struct span value)
{
	const struct entry_new n = {.gateway = v->gateway,
	    .provider = v->provider,
	    .model = v->model,
	    .headers = v->headers,
	    .preimage = v->preimage,
	    .body = v->body};
	char *again = malloc(value.n);

	CHK(again != NULL && entry_value_size(&v->head) == value.n);
	entry_encode(&n, &v->head, again);
	CHK(memcmp(again, value.p, value.n) == 0);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct entry_view v;
	struct span value = span_of(data, size), chunk;
	char *copy;

	if (entry_chunk_decode(1, 0, value, &chunk))
		CHK(chunk.n + 8 == size);
	if (size < 8)
		return 0;
	copy = malloc(size);
	CHK(copy != NULL);
	memcpy(copy, data, size);
	entry_seal(copy, size);
	CHK(!entry_decode(value, &v) || memcmp(copy, data, size) == 0);
	value = span_of(copy, size);
	if (entry_decode(value, &v)) {
		check_inside(v.gateway, value);
		check_inside(v.headers, value);
		check_inside(v.preimage, value);
		check_inside(v.body, value);
		check_same_again(&v, value);
		copy[size * data[8] / 256] ^= (char)(1 << (data[9] & 7));
		CHK(!entry_decode(value, &v));
	}
	free(copy);
	return 0;
}
