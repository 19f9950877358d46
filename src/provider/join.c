#include "provider/registry.h"

#include "base/num.h"
#include "http/target.h"
#include "provider/join_int.h"

#define HOST_MAX 253

bool
join_is_label(struct span s)
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

/* v[0-9]+((alpha|beta)[0-9]*)? */
bool
join_is_version(struct span s)
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

struct span
join_segment(struct span path)
{
	struct span segment;

	return path_next(&path, &segment) ? segment : SPAN_LIT("");
}

bool
join_is_under(struct span path, struct span root)
{
	return span_starts(path, root) && (path.n == root.n || path.p[root.n] == '/');
}

static struct span
without_version(struct span base)
{
	size_t slash = base.n;

	while (slash > 0 && base.p[slash - 1] != '/')
		slash--;
	if (slash == 0 || !join_is_version(span_skip(base, slash)))
		return base;
	return span_head(base, slash - 1);
}

bool
join_is_under_root(const struct provider *p, struct span path)
{
	if (p->roots == NULL)
		return false;
	for (const char *const *root = p->roots; *root != NULL; root++) {
		if (join_is_under(path, span_str(*root)))
			return true;
	}
	return false;
}

/* design.md 3.3. The base that goes before rest, or "" when rest is the whole path. */
static struct span
base_for(const struct join *j)
{
	if (join_is_under(j->rest, j->base) || join_is_under_root(j->provider, j->rest))
		return SPAN_LIT("");
	if (join_is_version(join_segment(j->rest)))
		return without_version(j->base);
	return j->base;
}

bool
join_take_label(struct join *j, size_t n)
{
	struct span label;

	if (!path_next(&j->rest, &label) || !join_is_label(label))
		return false;
	j->labels[n] = label;
	return true;
}

size_t join_count_labels(struct span template)
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
	const struct span parts[] = {span_head(template, open), j->labels[n], tail};
	return fill_labels(j, arena_join(j->arena, parts, COUNT_OF(parts)));
}

static enum err
join_plain(struct join *j)
{
	size_t n = join_count_labels(j->provider->host);

	for (size_t i = 0; i < n; i++) {
		if (!join_take_label(j, i))
			return E_BAD_UPSTREAM_HOST;
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

enum err
join_set_host_header(struct arena *a, struct upstream_target *out)
{
	bool is_default = out->port == (out->is_tls ? 443 : 80);
	bool is_v6 = span_find(out->host, ':') < out->host.n;

	if (is_default && !is_v6) {
		out->host_header = out->host;
		return E_OK;
	}
	char port[NUM_DEC_SIZE];
	const struct span parts[] = {is_v6 ? SPAN_LIT("[") : SPAN_LIT(""), out->host,
	    is_v6 ? SPAN_LIT("]") : SPAN_LIT(""), is_default ? SPAN_LIT("") : SPAN_LIT(":"),
	    span_of(port, is_default ? 0 : num_dec(out->port, port))};
	out->host_header = arena_join(a, parts, COUNT_OF(parts));
	return out->host_header.p == NULL ? E_NOMEM : E_OK;
}

static enum err
set_path(struct arena *a, struct span base, struct span rest, struct upstream_target *out)
{
	if (base.n == 0)
		out->path = rest.n == 0 ? SPAN_LIT("/") : rest;
	else if (rest.n == 0)
		out->path = base;
	else
		out->path = arena_join(a, (const struct span[]){base, rest}, 2);
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
		if (!join_is_label(label))
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
	enum err e = join_set_host_header(a, out);
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
	out->host_header = p->host_header;
	if (out->host.p != p->host.p || p->host_header.n == 0)
		e = join_set_host_header(a, out);
	return e != E_OK ? e : set_path(a, base, j.rest, out);
}

struct span
provider_rest_with_account(
    const struct provider *p, struct span account, struct span rest, struct arena *a)
{
	if (p->join != JOIN_WORKERS || !join_is_account(account) ||
	    join_is_account(join_segment(rest)) || join_is_under(rest, SPAN_LIT("/client")))
		return rest;
	return arena_printf(a, "/%.*s%.*s", SPAN_FMT(account), SPAN_FMT(rest));
}
