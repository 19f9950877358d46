#include "gateway/route.h"

#include "config/config.h"
#include "gateway/setup.h"
#include "http/target.h"
#include "provider/registry.h"

/* Second segments under /v1 that are OpenAI's or Anthropic's own endpoints: they win over an account
 * of that name. */
static const char *const unified_endpoints[] = {"chat", "completions", "responses", "embeddings",
    "models", "messages", "moderations", "images", "audio", "rerank", "files", "batches", "uploads",
    "fine_tuning", "assistants", "threads", "vector_stores", "videos", "realtime", "engines"};

static bool
is_unified_endpoint(struct span segment)
{
	for (size_t i = 0; i < COUNT_OF(unified_endpoints); i++)
		if (span_eq(segment, span_str(unified_endpoints[i])))
			return true;
	return false;
}

static enum err
find_provider(const struct setup *s, struct span slug, struct span rest, struct route *out)
{
	out->slug = slug;
	out->rest = rest;
	out->provider = registry_find(s->registry, slug);
	if (out->provider == NULL)
		return E_UNKNOWN_PROVIDER;
	return E_OK;
}

/* rest: "/{account}/{gateway}/{provider}/..." */
static enum err
find_in_cloudflare_form(const struct setup *s, struct span rest, struct route *out)
{
	struct span name, slug;
	if (!path_next(&rest, &out->account)) {
		out->hint =
		    "the path is /v1/{account}/{gateway}/{provider}/..., or /{provider}/...";
		return E_NOT_FOUND;
	}
	if (is_unified_endpoint(out->account)) {
		out->hint =
		    "put the provider in front of the path: /openai/v1/..., /anthropic/v1/...";
		return E_NOT_FOUND;
	}
	out->is_cloudflare_form = true;
	if (!path_next(&rest, &name) || name.n == 0) {
		out->hint = "the path is /v1/{account}/{gateway}/{provider}/...";
		return E_NOT_FOUND;
	}
	out->gateway_name = name;
	const struct config_gateway *named = config_gateway(s->config, name.p, name.n);
	if (named == NULL) {
		out->hint = "configure it under 'gateways', or use the gateway 'default'";
		return E_UNKNOWN_GATEWAY;
	}
	out->gateway = named;
	if (!path_next(&rest, &slug) || slug.n == 0) {
		out->hint =
		    "name a provider behind the gateway: /v1/{account}/{gateway}/{provider}/...";
		return E_NOT_FOUND;
	}
	return find_provider(s, slug, rest, out);
}

enum err
route_find(const struct setup *s, struct span path, struct route *out)
{
	*out = (struct route){.gateway_name = span_str(s->config->gateways[0].name),
	    .gateway = &s->config->gateways[0]};
	struct span rest = path, first;
	if (!path_next(&rest, &first) || first.n == 0) {
		out->hint = "the path begins with a provider: /openai/v1/chat/completions";
		return E_NOT_FOUND;
	}
	if (span_eq(first, SPAN_LIT("-")) || span_eq(first, SPAN_LIT("client"))) {
		out->is_local = true;
		return E_OK;
	}
	if (span_eq(first, SPAN_LIT("v1")))
		return find_in_cloudflare_form(s, rest, out);
	return find_provider(s, first, rest, out);
}
