#include "provider/registry.h"

/* Cloudflare's WebSocket URLs end with the provider: "/openai?model=...". What is meant there (cloudflare.md 1.8). */
static const struct {
	const char *slug, *rest;
} endpoints[] = {
    {"openai", "/v1/realtime"},
    {"google-ai-studio",
	"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"},
    {"cartesia", "/tts/websocket"},
    {"elevenlabs", "/v1/convai/conversation"},
    {"deepgram", "/v1/listen"},
};

struct span
provider_realtime_rest(const struct provider *p, struct span rest)
{
	if (rest.n > 0 && !span_eq(rest, SPAN_LIT("/")))
		return rest;
	for (size_t i = 0; i < COUNT_OF(endpoints); i++)
		if (span_eq(p->slug, span_str(endpoints[i].slug)))
			return span_str(endpoints[i].rest);
	return rest;
}
