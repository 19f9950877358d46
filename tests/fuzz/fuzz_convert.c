/*
 * Whatever is converted comes back: JSON over a stream is the same JSON, and what a stream gives is such a JSON. What is not
 * converted leaves the output as it was. Byte 0 chooses endpoint and form; the rest is the answer.
 */
#include <stddef.h>
#include <stdint.h>

#include "json/canon.h"
#include "provider/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX (64 << 20)

static enum canon_result
canon_of(struct span json, struct buf *out)
{
	struct json_doc *d = json_parse(json);
	enum canon_result r;

	CHK(d != NULL);
	r = canon_write(d, NULL, 0, out);
	json_free(d);
	return r;
}

/* True when the JSON was converted. */
static bool
goes_round(const struct endpoint *e, struct span json)
{
	struct buf stream = {.max = MAX}, again = {.max = MAX}, a = {.max = MAX}, b = {.max = MAX};
	enum convert_result r = convert_json_to_stream(e, json, true, &stream);

	if (r == CONVERT_OK) {
		CHK(convert_stream_to_json(e, buf_view(&stream), &again) == CONVERT_OK);
		/* twice the same name in a value that is carried whole: no canonical form */
		if (canon_of(json, &a) != CANON_REFUSED) {
			CHK(canon_of(buf_view(&again), &b) != CANON_REFUSED);
			CHK(span_eq(buf_view(&a), buf_view(&b)));
		}
	}
	CHK(r == CONVERT_OK || buf_len(&stream) == 0);
	buf_fini(&stream);
	buf_fini(&again);
	buf_fini(&a);
	buf_fini(&b);
	return r == CONVERT_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct endpoint e = (data[0] & 1) != 0
	    ? endpoint_classify(DIALECT_ANTHROPIC, true, SPAN_LIT("/v1/messages"))
	    : endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/chat/completions"));
	struct span in = span_of(data + 1, size - 1);
	struct buf json = {.max = MAX};

	if ((data[0] & 2) != 0)
		goes_round(&e, in);
	else if (convert_stream_to_json(&e, in, &json) == CONVERT_OK)
		CHK(goes_round(&e, buf_view(&json)));
	else
		CHK(buf_len(&json) == 0);
	buf_fini(&json);
	return 0;
}
