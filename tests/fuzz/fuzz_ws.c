/* WebSocket frames: the same counts in any pieces, and those of a reader that has all bytes at once. The first byte chooses the
 * pieces. */
#include <stdlib.h>

#include "base/chk.h"
#include "http/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ws_scan
scan(struct span bytes, size_t step)
{
	struct ws_scan s = {0};

	for (; bytes.n > 0; bytes = span_skip(bytes, step)) {
		char *copy = span_dup(span_head(bytes, step));

		ws_scan(&s, span_of(copy, span_head(bytes, step).n));
		free(copy);
	}
	return s;
}

/* The length of the frame's head, 0 when it is not all there; *payload: what follows it. */
static size_t
head_of(const uint8_t *p, size_t n, uint64_t *payload)
{
	if (n < 2)
		return 0;
	size_t extra = (p[1] & 0x7f) == 126 ? 2 : (p[1] & 0x7f) == 127 ? 8 : 0;
	size_t all = 2 + extra + (p[1] & 0x80 ? 4 : 0);
	if (n < all)
		return 0;
	*payload = extra == 0 ? p[1] & 0x7f : 0;
	for (size_t i = 0; i < extra; i++)
		*payload = *payload << 8 | p[2 + i];
	return all;
}

static uint64_t
count(const uint8_t *p, size_t n, bool *has_closed)
{
	uint64_t frames = 0, payload;
	size_t head;

	*has_closed = false;
	while ((head = head_of(p, n, &payload)) > 0 && payload <= n - head) {
		*has_closed |= (p[0] & 0x0f) == 8;
		frames++;
		p += head + payload;
		n -= head + (size_t)payload;
	}
	return frames;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct span bytes = span_of(data + 1, size - 1);
	struct ws_scan whole = scan(bytes, SIZE_MAX), cut = scan(bytes, data[0] % 7 + 1);
	bool has_closed;
	CHK(whole.frames == count(data + 1, size - 1, &has_closed));
	CHK(whole.has_closed == has_closed);
	CHK(cut.frames == whole.frames && cut.has_closed == whole.has_closed);
	CHK(cut.is_lost == whole.is_lost && (whole.is_lost || cut.left == whole.left));
	return 0;
}
