#include "provider/dialect.h"

#include "base/chk.h"

static const char *const class_names[USAGE_CLASSES] = {
    [USAGE_INPUT] = "input",
    [USAGE_CACHE_READ] = "cache_read",
    [USAGE_CACHE_WRITE_5M] = "cache_write_5m",
    [USAGE_CACHE_WRITE_1H] = "cache_write_1h",
    [USAGE_OUTPUT] = "output",
    [USAGE_REASONING] = "reasoning",
    [USAGE_AUDIO_IN] = "audio_in",
    [USAGE_AUDIO_OUT] = "audio_out",
};

void
usage_init(struct usage *u)
{
	for (size_t i = 0; i < USAGE_CLASSES; i++)
		u->tokens[i] = -1;
	u->is_present = false;
}

int64_t
usage_tokens_in(const struct usage *u)
{
	static const enum usage_class prompt[] = {
	    USAGE_INPUT, USAGE_CACHE_READ, USAGE_CACHE_WRITE_5M, USAGE_CACHE_WRITE_1H};
	int64_t sum = -1;

	for (size_t i = 0; i < COUNT_OF(prompt); i++) {
		int64_t n = u->tokens[prompt[i]];
		if (n >= 0)
			sum = (sum < 0 ? 0 : sum) + n;
	}
	return sum;
}

int64_t
usage_tokens_out(const struct usage *u)
{
	return u->tokens[USAGE_OUTPUT];
}

const char *
usage_class_name(enum usage_class c)
{
	CHK(c < USAGE_CLASSES);
	return class_names[c];
}
