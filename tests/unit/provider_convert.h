/*
 * Helpers of the converters' tests. JSON is written here with ' for ", so that it can be read.
 */
#ifndef TESTS_UNIT_PROVIDER_CONVERT_H
#define TESTS_UNIT_PROVIDER_CONVERT_H

#include "json/canon.h"
#include "provider/convert.h"

#define OUT_MAX (8 << 20)

static inline struct endpoint
chat(void)
{
	return endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/chat/completions"));
}

static inline struct endpoint
messages(void)
{
	return endpoint_classify(DIALECT_ANTHROPIC, true, SPAN_LIT("/v1/messages"));
}

/* Appends text with its ' made ". */
static inline void
add(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++)
		assert_true(buf_putc(b, *text == '\'' ? '"' : *text));
}

static inline void
canon_of(struct span json, struct buf *out)
{
	struct json_doc *d = json_parse(json);

	assert_non_null(d);
	assert_int_equal(canon_write(d, NULL, 0, out), CANON_OK);
	json_free(d);
}

static inline void
assert_span(struct span got, struct span want)
{
	if (!span_eq(got, want))
		fail_msg("\ngot  %.*s\nwant %.*s", SPAN_FMT(got), SPAN_FMT(want));
}

static inline void
assert_same_json(struct span got, struct span want)
{
	struct buf a = {.max = OUT_MAX}, b = {.max = OUT_MAX};

	canon_of(got, &a);
	canon_of(want, &b);
	assert_span(buf_view(&a), buf_view(&b));
	buf_fini(&a);
	buf_fini(&b);
}

/* The stream (with ' for ") is the JSON answer `want`. */
static inline void
assert_stream_is(const struct endpoint *e, const char *stream, const char *want)
{
	struct buf in = {.max = OUT_MAX}, out = {.max = OUT_MAX}, json = {.max = OUT_MAX};

	add(&in, stream);
	add(&json, want);
	assert_int_equal(convert_stream_to_json(e, buf_view(&in), &out), CONVERT_OK);
	assert_same_json(buf_view(&out), buf_view(&json));
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&json);
}

/* The stream is not converted, and nothing is appended. */
static inline void
assert_stream_unknown(const struct endpoint *e, const char *stream)
{
	struct buf in = {.max = OUT_MAX}, out = {.max = OUT_MAX};

	add(&in, stream);
	add(&out, "before");
	if (convert_stream_to_json(e, buf_view(&in), &out) != CONVERT_UNKNOWN)
		fail_msg("converted: %s", stream);
	assert_int_equal(buf_len(&out), 6);
	buf_fini(&in);
	buf_fini(&out);
}

/* The JSON answer as a stream, to be freed; and that stream is the answer again. */
static inline struct buf
stream_of(const struct endpoint *e, const char *json)
{
	struct buf in = {.max = OUT_MAX}, out = {.max = OUT_MAX}, again = {.max = OUT_MAX};

	add(&in, json);
	if (convert_json_to_stream(e, buf_view(&in), true, &out) != CONVERT_OK)
		fail_msg("not converted: %s", json);
	assert_int_equal(convert_stream_to_json(e, buf_view(&out), &again), CONVERT_OK);
	assert_same_json(buf_view(&again), buf_view(&in));
	buf_fini(&in);
	buf_fini(&again);
	return out;
}

static inline void
assert_goes_round(const struct endpoint *e, const char *json)
{
	struct buf out = stream_of(e, json);

	buf_fini(&out);
}

/* The stream that the JSON answer gives is this (with ' for "), byte for byte. */
static inline void
assert_streams_as(const struct endpoint *e, const char *json, const char *want)
{
	struct buf out = stream_of(e, json), expected = {.max = OUT_MAX};

	add(&expected, want);
	assert_span(buf_view(&out), buf_view(&expected));
	buf_fini(&out);
	buf_fini(&expected);
}

static inline void
assert_json_unknown(const struct endpoint *e, const char *json)
{
	struct buf in = {.max = OUT_MAX}, out = {.max = OUT_MAX};

	add(&in, json);
	add(&out, "before");
	if (convert_json_to_stream(e, buf_view(&in), true, &out) != CONVERT_UNKNOWN)
		fail_msg("converted: %s", json);
	assert_int_equal(buf_len(&out), 6);
	buf_fini(&in);
	buf_fini(&out);
}

/* How often the text is in the bytes. */
static inline size_t
count_of(struct span bytes, const char *text)
{
	struct span needle = span_str(text);
	size_t n = 0;

	for (;;) {
		size_t at = span_find_span(bytes, needle);
		if (at >= bytes.n)
			return n;
		bytes = span_skip(bytes, at + needle.n);
		n++;
	}
}

#endif
