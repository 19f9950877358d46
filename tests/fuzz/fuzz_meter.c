/*
 * However an answer is cut into pieces, the meter says the same of it. Bytes 0 and 1 of the input
 * choose endpoint and content type, byte 2 the pieces; the rest is the body.
 */
#include <stddef.h>
#include <stdint.h>

#include "provider/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	enum dialect dialect;
	const char *path;
} endpoints[] = {{DIALECT_OPENAI, "/v1/chat/completions"}, {DIALECT_OPENAI, "/v1/responses"},
    {DIALECT_ANTHROPIC, "/v1/messages"}, {DIALECT_GEMINI, "/v1/models/g:streamGenerateContent"},
    {DIALECT_BEDROCK, "/model/m/converse-stream"}, {DIALECT_COHERE, "/v2/chat"},
    {DIALECT_OLLAMA, "/api/chat"}, {DIALECT_OTHER, "/x"}};
static const char *const types[] = {"application/json", "text/event-stream", "application/x-ndjson",
    "application/vnd.amazon.eventstream", "audio/mpeg"};

static struct meter *
read_in_pieces(const struct endpoint *e, const char *type, struct span body, size_t piece)
{
	struct meter *m = meter_new(e, 200, span_str(type), SPAN_NONE);
	size_t n = piece;

	CHK(m != NULL);
	while (body.n > 0) {
		meter_feed(m, span_head(body, n));
		body = span_skip(body, n);
		n = n % 13 + piece; /* not all alike */
	}
	meter_finish(m);
	return m;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	size_t which = data[0] % COUNT_OF(endpoints);
	const char *type = types[data[1] % COUNT_OF(types)];
	struct endpoint e =
	    endpoint_classify(endpoints[which].dialect, true, span_str(endpoints[which].path));
	struct span body = span_of(data + 3, size - 3);
	struct meter *whole = read_in_pieces(&e, type, body, body.n + 1);
	struct meter *cut = read_in_pieces(&e, type, body, 1 + data[2] % 16);
	const struct meter_result *a = meter_result(whole), *b = meter_result(cut);

	CHK(memcmp(&a->usage.tokens, &b->usage.tokens, sizeof(a->usage.tokens)) == 0);
	CHK(a->usage.is_present == b->usage.is_present && span_eq(a->model, b->model));
	CHK(a->is_complete == b->is_complete && a->has_error == b->has_error);
	CHK(a->events == b->events && a->has_output == b->has_output);
	CHK(a->is_stream == b->is_stream);
	meter_free(whole);
	meter_free(cut);
	return 0;
}
