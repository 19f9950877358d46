/*
 * An answer taken apart and put together again says the same; a request and its two halves have the same inputs in the same
 * order. Byte 0 chooses which inputs are wanted; the rest is a request, and an answer.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "provider/embeddings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX (64 << 20)

static void
check_same(struct json_val a, struct json_val b)
{
	struct buf x = {.max = MAX}, y = {.max = MAX};

	if (a.v == NULL && b.v == NULL)
		return;
	CHK(json_write(a, &x) && json_write(b, &y));
	CHK(span_eq(buf_view(&x), buf_view(&y)));
	buf_fini(&x);
	buf_fini(&y);
}

/* The half of a request has the inputs that were wanted, and the same other members. */
static void
check_half(struct json_val rq, const struct json_val *inputs, const bool *is_wanted, size_t n)
{
	struct buf text = {.max = MAX};
	size_t j = 0;

	CHK(embeddings_reduce(rq, is_wanted, &text));
	struct json_doc *d = json_parse(buf_view(&text));
	CHK(d != NULL && json_size(json_root(d)) == json_size(rq));
	struct json_val half = json_get(json_root(d), "input");
	for (size_t i = 0; i < n; i++)
		if (is_wanted[i])
			check_same(json_at(half, j++), inputs[i]);
	CHK(json_size(half) == j);
	check_same(json_get(json_root(d), "model"), json_get(rq, "model"));
	json_free(d);
	buf_fini(&text);
}

static void
check_request(struct json_val rq, unsigned choice)
{
	static struct json_val inputs[EMBEDDINGS_ITEMS_MAX];
	static bool is_wanted[EMBEDDINGS_ITEMS_MAX];
	static int64_t shares[EMBEDDINGS_ITEMS_MAX];
	size_t n = embeddings_count(rq, NULL);
	int64_t sum = 0;

	if (n == 0)
		return;
	CHK(n >= 2 && n <= EMBEDDINGS_ITEMS_MAX);
	embeddings_inputs(rq, inputs);
	for (size_t i = 0; i < n; i++)
		is_wanted[i] = choice >> i % 8 & 1;
	check_half(rq, inputs, is_wanted, n);
	embeddings_shares(choice * 100, inputs, n, shares);
	for (size_t i = 0; i < n; i++)
		CHK(shares[i] >= 0 && (sum += shares[i]) <= choice * 100);
	CHK(sum == choice * 100);
}

static void
check_answer(struct span answer, size_t n)
{
	struct embeddings e, again;
	struct buf values = {.max = MAX}, usage = {.max = MAX}, out = {.max = MAX};
	struct span *parts = xcalloc(n, sizeof(*parts));
	size_t *ends = xcalloc(n + 1, sizeof(*ends));

	if (embeddings_read(answer, n, &e)) {
		for (size_t i = 0; i < n; i++) {
			CHK(json_write(e.values[i], &values));
			ends[i + 1] = buf_len(&values);
		}
		for (size_t i = 0; i < n; i++)
			parts[i] = span_of(values.p + ends[i], ends[i + 1] - ends[i]);
		CHK(e.usage_said.v == NULL || json_write(e.usage_said, &usage));
		CHK(embeddings_write(
		    &(struct embeddings_parts){parts, n, e.model, buf_view(&usage)}, &out));
		CHK(embeddings_read(buf_view(&out), n, &again));
		for (size_t i = 0; i < n; i++)
			check_same(e.values[i], again.values[i]);
		CHK(span_eq(e.model, again.model) && e.tokens == again.tokens);
		embeddings_free(&again);
		embeddings_free(&e);
	}
	free(parts);
	free(ends);
	buf_fini(&values);
	buf_fini(&usage);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct span in = span_of(data + 1, size - 1);
	struct json_doc *d = json_parse(in);
	if (d != NULL) {
		size_t n = json_size(json_get(json_root(d), "data"));
		check_request(json_root(d), data[0]);
		if (n > 0)
			check_answer(in, n);
	}
	json_free(d);
	return 0;
}
