#include "cache/answer_head.h"

#include <string.h>

#include "http/message.h"
#include "http/writer.h"

#define FIXED_SIZE (2 * sizeof(uint64_t))

bool
answer_head_write(const struct headers *h, uint64_t size, uint64_t request_hash, struct buf *out)
{
	static const enum header_id kept[] = {
	    H_CONTENT_TYPE, H_CONTENT_ENCODING, H_CONTENT_DISPOSITION};
	bool ok =
	    buf_put(out, &size, sizeof(size)) && buf_put(out, &request_hash, sizeof(request_hash));
	for (size_t i = 0; ok && i < COUNT_OF(kept); i++) {
		struct span value = headers_value(h, kept[i]);
		if (value.p != NULL)
			ok = head_put_field(out, header_name(kept[i]), value);
	}
	return ok;
}

bool
answer_head_read(struct span stored, struct answer_head *out)
{
	if (stored.n < FIXED_SIZE)
		return false;
	memcpy(&out->size, stored.p, sizeof(out->size));
	memcpy(&out->request_hash, stored.p + sizeof(out->size), sizeof(out->request_hash));
	out->fields = span_skip(stored, FIXED_SIZE);
	return out->fields.n == 0 || span_ends(out->fields, SPAN_LIT("\r\n"));
}
