#include "provider/registry.h"

#include "http/target.h"

#define LABEL_MAX 63
#define HOST_MAX 253
#define LABELS 2

/* What a join works on: where the request goes so far. */
struct join {
	const struct provider *provider;
	struct arena *arena;
	struct span host; /* may hold {n} until fill_labels */
	struct span base; /* path of the base URL, filled */
	struct span rest; /* what is left of the request's path */
	struct span labels[LABELS];
	struct span direct; /* not empty: rest goes to the host as it is under this base */
};

static bool
is_label(struct span s)
{
	if (s.n == 0 || s.n > LABEL_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return true;
}

/* An account of Cloudflare's: 32 hex digits. */
static bool
is_account(struct span s)
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

/* v[0-9]+((alpha|beta)[0-9]*)? */
static bool
is_version(struct span s)
{
	size_t i = 1;

	if (s.n < 2 || s.p[0] != 'v')
		return false;
	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	if (i == 1)
		return false;
	struct span tail = span_skip(s, i);
	if (span_starts(tail, SPAN_LIT("alpha")))
		tail = span_skip(tail, 5);
	else if (span_starts(tail, SPAN_LIT("beta")))
		tail = span_skip(tail, 4);
	else
		return tail.n == 0;
	for (i = 0; i < tail.n; i++) {
		if (tail.p[i] < '0' || tail.p[i] > '9')
			return false;
	}
	return true;
}

/* The first segment of "/a/b"; empty when there is none. */
static struct span
first_segment(struct span path)
{
	struct span segment;

	return path_next(&path, &segment) ? segment : SPAN_LIT("");
}

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

/* Whether path is root or goes on below it with a '/'. */
static bool
is_under(struct span path, struct span root)
{
	return span_starts(path, root) && (path.n == root.n || path.p[root.n] == '/');
}

static struct span
without_version(struct span base)
{
	size_t slash = base.n;

	while (slash > 0 && base.p[slash - 1] != '/')
		slash--;
	if (slash == 0 || !is_version(span_skip(base, slash)))
		return base;
	return span_head(base, slash - 1);
}

static bool
is_under_root(const struct provider *p, struct span path)
{
	if (p->roots == NULL)
		return false;
	for (const char *const *root = p->roots; *root != NULL; root++) {
		if (is_under(path, span_str(*root)))
			return true;
	}
	return false;
}

/* design.md 3.3. The base that goes before rest, or "" when rest is the whole path. */
static struct span
base_for(const struct join *j)
{
	if (is_under(j->rest, j->base) || is_under_root(j->provider, j->rest))
		return SPAN_LIT("");
	if (is_version(first_segment(j->rest)))
		return without_version(j->base);
	return j->base;
}

/* Takes the first segment off rest as the next {n}. */
static bool
take_label(struct join *j, size_t n)
{
	struct span label;

	if (!path_next(&j->rest, &label) || !is_label(label))
		return false;
	j->labels[n] = label;
	return true;
}

static size_t count_labels(struct span template)
{
	size_t n = 0;

	for (size_t i = 0; i < template.n; i++)
		n += template.p[i] == '{';
	return n;
}

/* "{1}.services.ai.azure.com" with its labels put in. p == NULL without memory. */
static struct span
fill_labels(const struct join *j, struct span template)
{
	size_t open = span_find(template, '{'), n;

	if (open == template.n)
		return template;
	CHK(open + 2 < template.n && template.p[open + 2] == '}');
	n = (size_t)(template.p[open + 1] - '1');
	CHK(n < LABELS);
	struct span tail = span_skip(template, open + 3);
	return fill_labels(j,
	    arena_printf(j->arena, "%.*s%.*s%.*s", (int)open, template.p, SPAN_FMT(j->labels[n]),
		SPAN_FMT(tail)));
}

static enum err
join_plain(struct join *j)
{
	size_t n = count_labels(j->provider->host);

	for (size_t i = 0; i < n; i++) {
		if (!take_label(j, i))
			return E_BAD_UPSTREAM_HOST;
	}
	return E_OK;
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
static enum err
join_azure(struct join *j)
{
	if (!take_label(j, 0))
		return E_BAD_UPSTREAM_HOST;
	struct span first = first_segment(j->rest);
	if (first.n == 0 || is_version(first) || span_eq(first, SPAN_LIT("deployments")))
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
static enum err
join_bedrock(struct join *j)
{
	struct span service = first_segment(j->rest);
	bool is_mantle = span_eq(service, SPAN_LIT("bedrock-mantle"));
	bool is_fixed = count_labels(j->provider->host) == 0;

	if (!is_mantle && !is_bedrock_service(service))
		return is_fixed ? E_OK : E_BAD_UPSTREAM_HOST;
	if (!take_label(j, 0) || !take_label(j, 1))
		return E_BAD_UPSTREAM_HOST;
	if (is_fixed || !is_mantle)
		return E_OK;
	j->host = SPAN_LIT("{1}.{2}.api.aws");
	/* Beside the OpenAI dialect's base the host has Anthropic's. */
	if (!span_eq(first_segment(j->rest), SPAN_LIT("anthropic")))
		j->base = SPAN_LIT("/openai/v1");
	return E_OK;
}

/* /v1/projects/{p}/locations/{region}/...: the region's host. "global", and paths without a
 * location (express mode, /v1/publishers/...), go to the host without region. */
static enum err
join_vertex(struct join *j)
{
	struct span rest = j->rest, segment;

	if (is_under_root(j->provider, j->rest))
		return E_OK;
	while (path_next(&rest, &segment)) {
		if (span_eq(segment, SPAN_LIT("locations")))
			break;
	}
	struct span region = first_segment(rest);
	if (region.n == 0 || span_eq(region, SPAN_LIT("global")))
		return E_OK;
	if (!is_label(region))
		return E_BAD_UPSTREAM_HOST;
	j->labels[0] = region;
	bool is_multi_region = span_eq(region, SPAN_LIT("us")) || span_eq(region, SPAN_LIT("eu"));
	j->host = is_multi_region ? SPAN_LIT("aiplatform.{1}.rep.googleapis.com")
				  : SPAN_LIT("{1}-aiplatform.googleapis.com");
	return E_OK;
}

/* /{account}/@cf/..., /{account}/run/@cf/..., /{account}/v1/..., and the API's own path. */
static enum err
join_workers(struct join *j)
{
	struct span rest = j->rest, account;

	if (is_under(rest, SPAN_LIT("/client/v4/accounts"))) {
		j->base = SPAN_LIT("/client/v4/accounts");
		return E_OK;
	}
	if (!path_next(&rest, &account) || !is_account(account))
		return E_BAD_UPSTREAM_HOST;
	j->labels[0] = account;
	j->rest = rest;
	struct span first = first_segment(rest);
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
static enum err
join_huggingface(struct join *j)
{
	struct span first = first_segment(j->rest), second = nth_segment(j->rest, 1);

	if (second.n == 0 || is_version(first) || is_under_root(j->provider, j->rest) ||
	    span_eq(first, SPAN_LIT("chat")) || span_eq(first, SPAN_LIT("models")))
		return E_OK;
	j->direct = SPAN_LIT("/hf-inference/models");
	return E_OK;
}

/* /model/{id} is served by a host of the model's own. */
static enum err
join_baseten(struct join *j)
{
	struct span rest = j->rest, id;

	if (!is_under(rest, SPAN_LIT("/model")))
		return E_OK;
	rest = span_skip(rest, sizeof("/model") - 1);
	if (!path_next(&rest, &id) || !is_label(id) || id.n > LABEL_MAX - (sizeof("model-") - 1))
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

static enum err
join_by_kind(struct join *j)
{
	switch (j->provider->join) {
	case JOIN_PLAIN:
	case JOIN_FAL:
		return join_plain(j);
	case JOIN_AZURE:
		return join_azure(j);
	case JOIN_BEDROCK:
		return join_bedrock(j);
	case JOIN_VERTEX:
		return join_vertex(j);
	case JOIN_WORKERS:
		return join_workers(j);
	case JOIN_HUGGINGFACE:
		return join_huggingface(j);
	case JOIN_BASETEN:
		return join_baseten(j);
	}
	UNREACHED("a kind of join without a function");
}

static enum err
set_host_header(struct arena *a, struct upstream_target *out)
{
	bool is_default = out->port == (out->is_tls ? 443 : 80);
	bool is_v6 = span_find(out->host, ':') < out->host.n;

	if (is_default && !is_v6) {
		out->host_header = out->host;
		return E_OK;
	}
	struct span bracketed = is_v6 ? arena_printf(a, "[%.*s]", SPAN_FMT(out->host)) : out->host;
	if (bracketed.p != NULL && !is_default)
		bracketed = arena_printf(a, "%.*s:%u", SPAN_FMT(bracketed), (unsigned)out->port);
	out->host_header = bracketed;
	return bracketed.p == NULL ? E_NOMEM : E_OK;
}

static enum err
set_path(struct arena *a, struct span base, struct span rest, struct upstream_target *out)
{
	if (base.n == 0)
		out->path = rest.n == 0 ? SPAN_LIT("/") : rest;
	else if (rest.n == 0)
		out->path = base;
	else
		out->path = arena_printf(a, "%.*s%.*s", SPAN_FMT(base), SPAN_FMT(rest));
	return out->path.p == NULL ? E_NOMEM : E_OK;
}

/* fal.run, fal.ai and what is below them: the hosts that fal's own client proxies to. */
static bool
is_fal_host(struct span host)
{
	if (host.n > HOST_MAX)
		return false;
	if (span_eq(host, SPAN_LIT("fal.run")) || span_eq(host, SPAN_LIT("fal.ai")))
		return true;
	if (!span_ends(host, SPAN_LIT(".fal.run")) && !span_ends(host, SPAN_LIT(".fal.ai")))
		return false;
	struct span rest = host, label;
	while (span_next(&rest, '.', &label)) {
		if (!is_label(label))
			return false;
	}
	return true;
}

static enum err
join_fal_target(struct span url, struct arena *a, struct upstream_target *out)
{
	struct target t;

	if (!span_starts(url, SPAN_LIT("https://")) || target_parse(url, &t) != E_OK)
		return E_BAD_UPSTREAM_HOST;
	if (span_ends(t.authority, SPAN_LIT(":443")))
		t.authority.n -= 4;
	if (!is_fal_host(t.authority))
		return E_BAD_UPSTREAM_HOST;
	out->host = t.authority;
	out->port = 443;
	out->is_tls = true;
	out->query = t.query.p == NULL ? SPAN_LIT("") : t.query;
	enum err e = set_host_header(a, out);
	return e != E_OK ? e : set_path(a, SPAN_LIT(""), t.path, out);
}

enum err
provider_join(const struct provider *p, struct span rest, struct span fal_target, struct arena *a,
    struct upstream_target *out)
{
	struct join j = {.provider = p, .arena = a, .host = p->host, .base = p->path, .rest = rest};

	*out = (struct upstream_target){.port = p->port, .is_tls = p->is_tls};
	if (p->join == JOIN_FAL && fal_target.p != NULL)
		return join_fal_target(fal_target, a, out);
	enum err e = join_by_kind(&j);
	if (e != E_OK)
		return e;
	struct span base = j.direct.n > 0 ? j.direct : base_for(&j);
	out->host = fill_labels(&j, j.host);
	base = fill_labels(&j, base);
	if (out->host.p == NULL || base.p == NULL)
		return E_NOMEM;
	if (out->host.n > HOST_MAX)
		return E_BAD_UPSTREAM_HOST;
	e = set_host_header(a, out);
	return e != E_OK ? e : set_path(a, base, j.rest, out);
}

struct span
provider_rest_with_account(
    const struct provider *p, struct span account, struct span rest, struct arena *a)
{
	if (p->join != JOIN_WORKERS || !is_account(account) || is_account(first_segment(rest)) ||
	    is_under(rest, SPAN_LIT("/client")))
		return rest;
	return arena_printf(a, "/%.*s%.*s", SPAN_FMT(account), SPAN_FMT(rest));
}
