#include "provider/dialect.h"

#include "provider/dialect_int.h"

static const struct dialect_ops *const table[DIALECT_COUNT] = {
    [DIALECT_OPENAI] = &dialect_openai,
    [DIALECT_ANTHROPIC] = &dialect_anthropic,
    [DIALECT_GEMINI] = &dialect_gemini,
    [DIALECT_BEDROCK] = &dialect_bedrock,
    [DIALECT_COHERE] = &dialect_cohere,
    [DIALECT_OLLAMA] = &dialect_ollama,
    [DIALECT_OTHER] = &dialect_other,
};

/* Vendors whose bodies nobody else speaks: passed, logged, not read. */
static const char *const vendors[] = {"assemblyai", "bfl", "bytez", "cartesia", "cloudflare",
    "cortex", "coze", "dashscope", "deepgram", "dify", "elevenlabs", "fal", "ideogram", "jimeng",
    "kling", "leonardo", "luma", "meshy", "midjourney", "nomic", "oci", "prodia", "reka",
    "replicate", "runway", "sagemaker", "segmind", "stability", "suno", "tencent", "tripo",
    "triton", "vidu", "watsonx", NULL};

const struct dialect_ops *
dialect_ops_of(enum dialect d)
{
	CHK(d < DIALECT_COUNT);
	return table[d];
}

bool
dialect_parse(struct span name, enum dialect *out)
{
	for (size_t d = 0; d < DIALECT_COUNT; d++) {
		if (span_eq(name, span_str(table[d]->name))) {
			*out = (enum dialect)d;
			return true;
		}
	}
	for (const char *const *vendor = vendors; *vendor != NULL; vendor++) {
		if (span_eq(name, span_str(*vendor))) {
			*out = DIALECT_OTHER;
			return true;
		}
	}
	return false;
}

const char *
dialect_name(enum dialect d)
{
	return dialect_ops_of(d)->name;
}

enum refusal_shape
refusal_shape_of(enum dialect d)
{
	return dialect_ops_of(d)->refusal;
}
