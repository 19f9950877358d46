#include "journal/record_int.h"

#include <stdio.h>
#include <string.h>

/* `before`: the number of the word before it that is as long, -1 if there is none. */
#define W(s, before) {{"" s, sizeof(s) - 1}, before}

/* Their numbers are on disk: add at the end, take none away. */
static const struct {
	struct span text;
	int before;
} words[] = {
    W("ok", -1),
    W("--", 0),
    W("POST", -1),
    W("GET", -1),
    W("default", -1),
    W("application/json", -1),
    W("application/json; charset=utf-8", -1),
    W("application/json; charset=UTF-8", 6),
    W("text/event-stream", -1),
    W("text/event-stream; charset=utf-8", -1),
    W("127.0.0.1", -1),
    W("::1", 3),
    W("openai", -1),
    W("api.openai.com", -1),
    W("/openai/v1/chat/completions", -1),
    W("/openai/v1/responses", -1),
    W("/openai/v1/embeddings", -1),
    W("/openai/chat/completions", -1),
    W("/openai/responses", 8),
    W("/openai/embeddings", -1),
    W("anthropic", 10),
    W("api.anthropic.com", 18),
    W("/anthropic/v1/messages", -1),
    W("google-ai-studio", 5),
    W("generativelanguage.googleapis.com", -1),
    W("/v1/chat/completions", 15),
    W("/v1/responses", -1),
    W("/v1/embeddings", 13),
    W("/v1/messages", -1),
};
_Static_assert(COUNT_OF(words) <= 256, "a number is one byte");

/* The number + 1 of the last word of a length. */
static const unsigned char last_of[] = {
    [2] = 2,
    [3] = 12,
    [4] = 3,
    [6] = 13,
    [7] = 5,
    [9] = 21,
    [12] = 29,
    [13] = 27,
    [14] = 28,
    [16] = 24,
    [17] = 22,
    [18] = 20,
    [20] = 26,
    [21] = 17,
    [22] = 23,
    [24] = 18,
    [27] = 15,
    [31] = 8,
    [32] = 10,
    [33] = 25,
};

/* As long. Nearly all are asked for twice, the second time as record_word gave them. */
static bool
is_same(struct span word, struct span text)
{
	return word.p == text.p ||
	    (word.p[text.n - 1] == text.p[text.n - 1] && memcmp(word.p, text.p, text.n) == 0);
}

bool
record_word_find(struct span text, int *number)
{
	int i = text.n < COUNT_OF(last_of) ? last_of[text.n] - 1 : -1;

	while (i >= 0 && !is_same(words[i].text, text))
		i = words[i].before;
	if (i >= 0)
		*number = i;
	return i >= 0;
}

bool
record_word(int number, struct span *text)
{
	if ((size_t)number >= COUNT_OF(words))
		return false;
	*text = words[number].text;
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
