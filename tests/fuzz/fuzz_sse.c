/* Event streams: the same events in any pieces, none over the limit. The first byte chooses the
 * limit and the pieces. */
#include <stdlib.h>

#include "http/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct buf text;
	size_t max;
};

static void
on_event(void *ctx, const struct sse_event *e)
{
	struct seen *s = ctx;

	CHK(e->data.n <= s->max);
	CHK(span_find(e->type, '\n') == e->type.n && span_find(e->type, '\r') == e->type.n);
	CHK(span_find(e->data, '\r') == e->data.n);
	CHK(buf_printf(&s->text, "%zu %zu %d\n", e->type.n, e->data.n, e->is_cut));
	CHK(buf_put_span(&s->text, e->type) && buf_put_span(&s->text, e->data));
}

static void
listen(struct seen *s, struct span bytes, size_t step)
{
	struct sse sse;

	buf_init(&s->text, SIZE_MAX / 2);
	sse_init(&sse, s->max, on_event, s);
	for (; bytes.n > 0; bytes = span_skip(bytes, step)) {
		char *copy = span_dup(span_head(bytes, step));

		sse_feed(&sse, span_of(copy, span_head(bytes, step).n));
		free(copy);
	}
	sse_finish(&sse);
	CHK(sse_is_between_events(&sse));
	sse_fini(&sse);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = {.max = size == 0 ? 0 : data[0]}, cut = whole;

	if (size < 2)
		return 0;
	listen(&whole, span_of(data + 1, size - 1), SIZE_MAX);
	listen(&cut, span_of(data + 1, size - 1), data[0] % 7 + 1);
	CHK(span_eq(buf_view(&whole.text), buf_view(&cut.text)));
	buf_fini(&whole.text);
	buf_fini(&cut.text);
	return 0;
}
