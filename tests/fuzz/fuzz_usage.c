/*
 * Whatever an answer says, its counts are disjoint and sane: none below -1, none absurd, parts not
 * larger than what they are parts of, and the prompt's classes add up to what the answer called the
 * prompt. Byte 0 chooses the dialect; the rest is a JSON answer, and numbers for one of OpenAI's.
 */
#include <stddef.h>
#include <stdint.h>

#include "provider/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct meter *
read_answer(enum dialect d, const char *path, struct span body)
{
	struct endpoint e = endpoint_classify(d, true, span_str(path));
	struct meter *m = meter_new(&e, 200, SPAN_LIT("application/json"), SPAN_NONE);

	CHK(m != NULL);
	meter_feed(m, body);
	meter_finish(m);
	return m;
}

static void
check_usage(const struct usage *u)
{
	bool is_said = false;

	for (size_t i = 0; i < USAGE_CLASSES; i++) {
		CHK(u->tokens[i] >= -1 && u->tokens[i] < INT64_MAX / 4);
		is_said |= u->tokens[i] >= 0;
	}
	CHK(u->is_present == is_said);
	CHK(u->tokens[USAGE_OUTPUT] < 0 || u->tokens[USAGE_REASONING] <= u->tokens[USAGE_OUTPUT]);
	CHK(usage_tokens_in(u) >= u->tokens[USAGE_CACHE_READ]);
	CHK(usage_tokens_in(u) >= -1 && usage_tokens_out(u) >= -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[DIALECT_COUNT] = {"/v1/chat/completions", "/v1/messages",
	    "/v1/models/g:generateContent", "/model/m/invoke", "/v2/chat", "/api/chat", "/x"};
	uint32_t n[5] = {0};
	struct buf body;

	if (size < 1)
		return 0;
	enum dialect d = (enum dialect)(data[0] % DIALECT_COUNT);
	struct meter *m = read_answer(d, paths[d], span_of(data + 1, size - 1));
	check_usage(&meter_result(m)->usage);
	meter_free(m);

	memcpy(n, data, size < sizeof(n) ? size : sizeof(n));
	buf_init(&body, 1000);
	CHK(buf_printf(&body,
	    "{\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"prompt_tokens_details\":"
	    "{\"cached_tokens\":%u,\"cache_write_tokens\":%u},\"completion_tokens_details\":"
	    "{\"reasoning_tokens\":%u}}}",
	    n[0], n[1], n[2], n[3], n[4]));
	m = read_answer(DIALECT_OPENAI, paths[DIALECT_OPENAI], buf_view(&body));
	check_usage(&meter_result(m)->usage);
	CHK(usage_tokens_in(&meter_result(m)->usage) == n[0]);
	CHK(usage_tokens_out(&meter_result(m)->usage) >= n[1]);
	meter_free(m);
	buf_fini(&body);
	return 0;
}
