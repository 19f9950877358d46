/*
 * The input makes a value. Two spellings of it have one canonical form; with one leaf changed the
 * form differs; the form says the same as the value.
 */
#include <stddef.h>
#include <stdint.h>

#include "json_spell.h"
#include "json/canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX (1 << 20)

static enum canon_result
canon_of(struct spell s, int *leaves, struct buf *out)
{
	struct buf text = {.max = MAX};
	struct json_doc *d;
	enum canon_result r;

	spell_value(&s, &text, 0);
	d = json_parse(buf_view(&text));
	CHK(d != NULL);
	r = canon_write(d, NULL, 0, out);
	CHK(r == CANON_OK || r == CANON_LOSSY);
	*leaves = s.leaf;
	json_free(d);
	buf_fini(&text);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size < 4096 ? size : 4096);
	struct buf plain = {.max = MAX}, odd = {.max = MAX}, changed = {.max = MAX};
	unsigned pick = size == 0 ? 0 : data[size - 1];
	enum canon_result r;
	int leaves, same;

	r = canon_of((struct spell){.in = in, .change = -1}, &leaves, &plain);
	CHK(canon_of((struct spell){.in = in, .change = -1, .is_odd = true}, &same, &odd) == r);
	CHK(same == leaves);
	CHK(r == CANON_LOSSY || span_eq(buf_view(&plain), buf_view(&odd)));
	if (r == CANON_OK && leaves > 0) {
		r = canon_of(
		    (struct spell){.in = in, .change = (int)pick % leaves}, &same, &changed);
		CHK(r == CANON_LOSSY || !span_eq(buf_view(&plain), buf_view(&changed)));
	}
	buf_fini(&plain);
	buf_fini(&odd);
	buf_fini(&changed);
	return 0;
}
