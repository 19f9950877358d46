/*
 * Any bytes: the canonical form is canonical itself and that of the minified text; any bytes written
 * as a string are a JSON string; what json_parse says json_parse_view says too.
 */
#include <stddef.h>
#include <stdint.h>

#include "json/canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX (1 << 22)

/* text is JSON. */
static enum canon_result
canon_of(struct span text, struct buf *out)
{
	struct json_doc *d = json_parse(text);
	enum canon_result r;

	CHK(d != NULL);
	CHK((r = canon_write(d, NULL, 0, out)) != CANON_FULL);
	json_free(d);
	return r;
}

static void
check_document(const struct json_doc *d, struct span text)
{
	struct buf once = {.max = MAX}, twice = {.max = MAX}, mini = {.max = MAX};
	enum canon_result r = canon_of(text, &once);

	CHK(json_write(json_root(d), &mini));
	CHK(canon_of(buf_view(&mini), &twice) == r);
	CHK(r != CANON_OK || span_eq(buf_view(&once), buf_view(&twice)));
	buf_reset(&twice);
	CHK(r != CANON_OK || canon_of(buf_view(&once), &twice) == CANON_OK);
	CHK(r != CANON_OK || span_eq(buf_view(&once), buf_view(&twice)));
	buf_fini(&once);
	buf_fini(&twice);
	buf_fini(&mini);
}

/* The text with its A made long enough to stay where it is, its B with escapes too, and blanks in front, for a view copies short ones. */
static void
stretch(struct span text, struct buf *out)
{
	bool ok = buf_printf(out, "%2048s", "");

	for (size_t i = 0; i < text.n; i++) {
		int n = text.p[i] == 'A' ? JSON_VIEW_MIN - 1
		    : text.p[i] == 'B'   ? JSON_VIEW_ESCAPED_MIN - 1
					 : 1;
		ok = ok && (n == 1 ? buf_putc(out, text.p[i]) : buf_printf(out, "%0*d", n, 0));
	}
	CHK(ok);
}

static void
check_view(struct span text, bool keeps_escapes)
{
	struct buf a = {.max = MAX}, b = {.max = MAX};
	struct json_doc *d = json_parse(text), *view = json_parse_view(text, keeps_escapes);

	CHK((d == NULL) == (view == NULL));
	if (d != NULL) {
		CHK(canon_write(view, NULL, 0, &a) == canon_write(d, NULL, 0, &b));
		CHK(span_eq(buf_view(&a), buf_view(&b)));
		buf_reset(&a);
		buf_reset(&b);
		CHK(json_write(json_root(view), &a));
		/* Of the same value, though an escape may be spelled otherwise. */
		json_free(view);
		CHK((view = json_parse(buf_view(&a))) != NULL && json_write(json_root(d), &b));
		buf_reset(&a);
		CHK(json_write(json_root(view), &a) && span_eq(buf_view(&a), buf_view(&b)));
	}
	json_free(d);
	json_free(view);
	buf_fini(&a);
	buf_fini(&b);
}

/* What is found without parsing is what parsing finds. */
static void
check_peek(const struct json_doc *d, struct span text)
{
	struct span found, said;

	if (json_peek_str(text, SPAN_LIT("a"), &found) && d != NULL)
		CHK(json_str(json_get(json_root(d), "a"), &said) && span_eq(found, said));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf longer = {.max = MAX};
	struct span text = span_of(data, size);
	struct json_doc *d = json_parse(text);
	struct buf quoted = {.max = MAX};

	if (d != NULL)
		check_document(d, text);
	check_peek(d, text);
	json_free(d);
	check_view(text, false);
	stretch(span_head(text, MAX / JSON_VIEW_ESCAPED_MIN / 2), &longer);
	check_view(buf_view(&longer), false);
	check_view(buf_view(&longer), true);
	buf_fini(&longer);
	CHK(json_put_str(&quoted, span_head(text, MAX / 8)));
	d = json_parse(buf_view(&quoted));
	CHK(d != NULL && json_type(json_root(d)) == JSON_STRING);
	json_free(d);
	buf_fini(&quoted);
	return 0;
}
