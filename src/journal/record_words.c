#include "journal/record_int.h"

#include <stdio.h>

#define W(s) {"" s, sizeof(s) - 1}

/* Their numbers are on disk: add at the end, take none away. */
static const struct span words[] = {
    W("ok"),
    W("--"),
    W("POST"),
    W("GET"),
    W("default"),
    W("application/json"),
    W("application/json; charset=utf-8"),
    W("application/json; charset=UTF-8"),
    W("text/event-stream"),
    W("text/event-stream; charset=utf-8"),
    W("127.0.0.1"),
    W("::1"),
    W("openai"),
    W("api.openai.com"),
    W("/openai/v1/chat/completions"),
    W("/openai/v1/responses"),
    W("/openai/v1/embeddings"),
    W("/openai/chat/completions"),
    W("/openai/responses"),
    W("/openai/embeddings"),
    W("anthropic"),
    W("api.anthropic.com"),
    W("/anthropic/v1/messages"),
    W("google-ai-studio"),
    W("generativelanguage.googleapis.com"),
    W("/v1/chat/completions"),
    W("/v1/responses"),
    W("/v1/embeddings"),
    W("/v1/messages"),
};
_Static_assert(COUNT_OF(words) <= 256, "a number is one byte");

bool
record_word_find(struct span text, int *number)
{
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (words[i].n == text.n && words[i].p[0] == text.p[0] &&
		    memcmp(words[i].p, text.p, text.n) == 0) {
			*number = (int)i;
			return true;
		}
	}
	return false;
}

bool
record_word(int number, struct span *text)
{
	if ((size_t)number >= COUNT_OF(words))
		return false;
	*text = words[number];
	return true;
}

const char *const record_usage_names[RECORD_USAGE_CLASSES] = {"input", "cache_read",
    "cache_write_5m", "cache_write_1h", "output", "reasoning", "audio_in", "audio_out"};

const char *
record_cache_word(enum record_cache c)
{
	static const char *const names[] = {"HIT", "STALE", "MISS", "BYPASS"};
	return names[c];
}

bool
record_put_ms(int64_t us, struct buf *out)
{
	return buf_printf(out, "%lld.%03lld", (long long)(us / 1000), (long long)(us % 1000));
}

bool
record_put_usd(int64_t usd12, struct buf *out)
{
	char fraction[16];
	snprintf(fraction, sizeof(fraction), "%012lld", (long long)(usd12 % 1000000000000));
	size_t n = 12;
	while (n > 0 && fraction[n - 1] == '0')
		n--;
	return buf_printf(out, "%lld%s%.*s", (long long)(usd12 / 1000000000000), n > 0 ? "." : "",
	    (int)n, fraction);
}
