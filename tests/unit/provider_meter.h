/*
 * Helpers of the meter's tests: an answer, read in pieces of several sizes, that must come out alike.
 */
#ifndef TESTS_UNIT_PROVIDER_METER_H
#define TESTS_UNIT_PROVIDER_METER_H

#include "provider/dialect.h"

struct answer {
	enum dialect provider;
	const char *path;
	const char *type;
	struct span body;
	const char *encoding; /* NULL: none */
	int status;           /* 0: 200 */
};

static inline struct meter *
read_in_pieces(const struct answer *a, size_t piece)
{
	struct endpoint e = endpoint_classify(a->provider, true, span_str(a->path));
	struct meter *m = meter_new(&e, a->status == 0 ? 200 : a->status, span_str(a->type),
	    span_str(a->encoding == NULL ? "" : a->encoding));
	struct span rest = a->body;

	assert_non_null(m);
	while (rest.n > 0) {
		meter_feed(m, span_head(rest, piece));
		rest = span_skip(rest, piece);
	}
	meter_finish(m);
	return m;
}

static inline void
assert_same(const struct meter_result *a, const struct meter_result *b)
{
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		assert_int_equal(a->usage.tokens[i], b->usage.tokens[i]);
	assert_int_equal(a->usage.is_present, b->usage.is_present);
	assert_true(span_eq(a->model, b->model));
	assert_int_equal(a->is_stream, b->is_stream);
	assert_int_equal(a->is_complete, b->is_complete);
	assert_int_equal(a->has_error, b->has_error);
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->has_output, b->has_output);
}

/* What is only skimmed says the same of tokens. */
static inline void
check_skimmed(const struct answer *a, const struct meter *whole)
{
	struct endpoint e = endpoint_classify(a->provider, true, span_str(a->path));
	struct meter *m = meter_new(&e, a->status == 0 ? 200 : a->status, span_str(a->type),
	    span_str(a->encoding == NULL ? "" : a->encoding));

	assert_non_null(m);
	meter_skim(m);
	meter_feed(m, a->body);
	meter_finish(m);
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		assert_int_equal(
		    meter_result(m)->usage.tokens[i], meter_result(whole)->usage.tokens[i]);
	assert_int_equal(meter_result(m)->usage.is_present, meter_result(whole)->usage.is_present);
	meter_free(m);
}

/* Read whole, after every other way to cut it was seen to give the same. */
static inline struct meter *
measure(const struct answer *a)
{
	static const size_t pieces[] = {1, 2, 3, 7, 64, 1000};
	struct meter *whole = read_in_pieces(a, a->body.n + 1);

	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct meter *m = read_in_pieces(a, pieces[i]);
		assert_same(meter_result(m), meter_result(whole));
		meter_free(m);
	}
	check_skimmed(a, whole);
	return whole;
}

/* tokens: in the order of enum usage_class. */
static inline void
assert_usage(const struct meter *m, const int64_t tokens[USAGE_CLASSES])
{
	const struct usage *u = &meter_result(m)->usage;

	for (size_t i = 0; i < USAGE_CLASSES; i++) {
		if (u->tokens[i] != tokens[i])
			print_error("%s: %lld\n", usage_class_name((enum usage_class)i),
			    (long long)u->tokens[i]);
		assert_int_equal(u->tokens[i], tokens[i]);
	}
	assert_true(u->is_present);
}
/* input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, audio_in, audio_out */
#define USAGE(...) ((const int64_t[USAGE_CLASSES]){__VA_ARGS__})

#define SSE "text/event-stream; charset=utf-8"
#define JSON "application/json"

#endif
