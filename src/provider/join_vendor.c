#include "provider/join_int.h"

#include "http/target.h"

/* The nth (from 0) segment; empty when there is none. */
static struct span
nth_segment(struct span path, size_t n)
{
	struct span segment;

	while (path_next(&path, &segment)) {
		if (n-- == 0)
			return segment;
	}
	return SPAN_LIT("");
}

/* An account of Cloudflare's: 32 hex digits. */
bool
join_is_account(struct span s)
{
	if (s.n != 32)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'f') || (c >= '0' && c <= '9')))
			return false;
	}
	return true;
}

/* Operations that stand behind a deployment's name and nowhere else under /openai. */
static bool
is_deployment_operation(struct span segment)
{
	static const char *const operations[] = {
	    "chat", "completions", "embeddings", "images", "audio", "extensions", NULL};

	for (const char *const *op = operations; *op != NULL; op++) {
		if (span_eq(segment, span_str(*op)))
			return true;
	}
	return false;
}

/* /{resource}/{deployment}/chat/completions as Cloudflare has it; /{resource}/openai/... as the
 * vendor's SDKs write it behind an endpoint; /{resource}/v1/... and /{resource}/deployments/... */
enum err
join_azure(struct join *j)
{
	if (!join_take_label(j, 0))
		return E_BAD_UPSTREAM_HOST;
	struct span first = join_segment(j->rest);
	if (first.n == 0 || join_is_version(first) || span_eq(first, SPAN_LIT("deployments")))
		return E_OK;
	/* A deployment may be called "openai": then an operation follows at once. */
	if (span_eq(first, SPAN_LIT("openai")) && !is_deployment_operation(nth_segment(j->rest, 1)))
		return E_OK;
	j->direct = SPAN_LIT("/openai/deployments");
	return E_OK;
}

static bool
is_bedrock_service(struct span s)
{
	return span_eq(s, SPAN_LIT("bedrock-runtime")) || span_eq(s, SPAN_LIT("bedrock")) ||
	    span_eq(s, SPAN_LIT("bedrock-runtime-fips")) ||
	    span_eq(s, SPAN_LIT("bedrock-agent-runtime"));
}

/* /{service}/{region}/...: the service decides the domain, so only AWS's own Bedrock is reached. */
enum err
join_bedrock(struct join *j)
{
	struct span service = join_segment(j->rest);
	bool is_mantle = span_eq(service, SPAN_LIT("bedrock-mantle"));
	bool is_fixed = join_count_labels(j->provider->host) == 0;

	if (!is_mantle && !is_bedrock_service(service))
		return is_fixed ? E_OK : E_BAD_UPSTREAM_HOST;
	if (!join_take_label(j, 0) || !join_take_label(j, 1))
		return E_BAD_UPSTREAM_HOST;
	if (is_fixed || !is_mantle)
		return E_OK;
	j->host = SPAN_LIT("{1}.{2}.api.aws");
	/* Beside the OpenAI dialect's base the host has Anthropic's. */
	if (!span_eq(join_segment(j->rest), SPAN_LIT("anthropic")))
		j->base = SPAN_LIT("/openai/v1");
	return E_OK;
}

/* /v1/projects/{p}/locations/{region}/...: the region's host. "global", and paths without a
 * location (express mode, /v1/publishers/...), go to the host without region. */
enum err
join_vertex(struct join *j)
{
	struct span rest = j->rest, segment;

	if (join_is_under_root(j->provider, j->rest))
		return E_OK;
	while (path_next(&rest, &segment)) {
		if (span_eq(segment, SPAN_LIT("locations")))
			break;
	}
	struct span region = join_segment(rest);
	if (region.n == 0 || span_eq(region, SPAN_LIT("global")))
		return E_OK;
	if (!join_is_label(region))
		return E_BAD_UPSTREAM_HOST;
	j->labels[0] = region;
	bool is_multi_region = span_eq(region, SPAN_LIT("us")) || span_eq(region, SPAN_LIT("eu"));
	j->host = is_multi_region ? SPAN_LIT("aiplatform.{1}.rep.googleapis.com")
				  : SPAN_LIT("{1}-aiplatform.googleapis.com");
	return E_OK;
}

/* /{account}/@cf/..., /{account}/run/@cf/..., /{account}/v1/..., and the API's own path. */
enum err
join_workers(struct join *j)
{
	struct span rest = j->rest, account;

	if (join_is_under(rest, SPAN_LIT("/client/v4/accounts"))) {
		j->base = SPAN_LIT("/client/v4/accounts");
		return E_OK;
	}
	if (!path_next(&rest, &account) || !join_is_account(account))
		return E_BAD_UPSTREAM_HOST;
	j->labels[0] = account;
	j->rest = rest;
	struct span first = join_segment(rest);
	const char *below = "";
	if (span_starts(first, SPAN_LIT("@")) || span_starts_nocase(first, SPAN_LIT("%40")))
		below = "/run";
	else if (span_eq(first, SPAN_LIT("chat")) || span_eq(first, SPAN_LIT("responses")) ||
	    span_eq(first, SPAN_LIT("embeddings")) || span_eq(first, SPAN_LIT("messages")))
		below = "/v1";
	j->direct = arena_printf(j->arena, "%.*s%s", SPAN_FMT(j->provider->path), below);
	return j->direct.p == NULL ? E_NOMEM : E_OK;
}

/* The router's own paths as ever; "/{org}/{model}" is what Cloudflare's form names. */
enum err
join_huggingface(struct join *j)
{
	struct span first = join_segment(j->rest), second = nth_segment(j->rest, 1);

	if (second.n == 0 || join_is_version(first) || join_is_under_root(j->provider, j->rest) ||
	    span_eq(first, SPAN_LIT("chat")) || span_eq(first, SPAN_LIT("models")))
		return E_OK;
	j->direct = SPAN_LIT("/hf-inference/models");
	return E_OK;
}

/* /model/{id} is served by a host of the model's own. */
enum err
join_baseten(struct join *j)
{
	struct span rest = j->rest, id;

	if (!join_is_under(rest, SPAN_LIT("/model")))
		return E_OK;
	rest = span_skip(rest, sizeof("/model") - 1);
	if (!path_next(&rest, &id) || !join_is_label(id) ||
	    id.n > LABEL_MAX - (sizeof("model-") - 1))
		return E_BAD_UPSTREAM_HOST;
	j->labels[0] = id;
	j->host = SPAN_LIT("model-{1}.api.baseten.co");
	j->rest = rest;
	j->direct = SPAN_LIT("/production/predict");
	/* /production/{predict, async_predict, sync/...} written out is taken as it is. */
	if (rest.n > 0) {
		j->base = SPAN_LIT("");
		j->direct = SPAN_LIT("");
	}
	return E_OK;
}
