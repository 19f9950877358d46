/*
 * Any bytes: the canonical form is canonical itself and that of the minified text; any bytes written
 * as a string are a JSON string.
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct json_doc *d = json_parse(text);
	struct buf quoted = {.max = MAX};

	if (d != NULL)
		check_document(d, text);
	json_free(d);
	CHK(json_put_str(&quoted, span_head(text, MAX / 8)));
	d = json_parse(buf_view(&quoted));
	CHK(d != NULL && json_type(json_root(d)) == JSON_STRING);
	json_free(d);
	buf_fini(&quoted);
	return 0;
}
