#include "provider/registry.h"

#include <stdlib.h>

#include "provider/join_int.h"
#include "provider/registry_int.h"
#include "provider/table.inc"

/* For what the operator's configuration says: nothing that a peer chooses. */
#define ARENA_MAX ((size_t)64 << 20)
#define SLUG_MAX 63

/* A name that resolves: a slug or an alias. */
struct name {
	struct span text;
	struct provider *provider;
};

struct registry {
	struct arena arena;
	struct provider **providers; /* by index */
	size_t n, cap;
	struct name *names; /* sorted by text */
	size_t n_names, cap_names;
};

static int
compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return span_cmp(x->text, y->text);
}

static void
sort_names(struct registry *r)
{
	qsort(r->names, r->n_names, sizeof(*r->names), compare_names);
}

static struct name *
find_name(const struct registry *r, struct span text)
{
	struct name key = {text, NULL};

	if (r->n_names == 0)
		return NULL;
	return bsearch(&key, r->names, r->n_names, sizeof(key), compare_names);
}

static void
add_name(struct registry *r, struct span text, struct provider *p)
{
	if (r->n_names == r->cap_names) {
		r->cap_names = r->cap_names == 0 ? 512 : r->cap_names * 2;
		r->names = xrealloc(r->names, r->cap_names * sizeof(*r->names));
	}
	r->names[r->n_names++] = (struct name){text, p};
}

static struct provider *
add_provider(struct registry *r, struct span slug)
{
	struct provider *p = xcalloc(1, sizeof(*p));

	if (r->n == r->cap) {
		r->cap = r->cap == 0 ? 256 : r->cap * 2;
		r->providers = xrealloc(r->providers, r->cap * sizeof(struct provider *));
	}
	p->slug = slug;
	p->index = (unsigned)r->n;
	r->providers[r->n++] = p;
	add_name(r, slug, p);
	return p;
}

static void
set_base_url(struct registry *r, struct provider *p, struct span text, const struct base_url *u)
{
	struct upstream_target to = {.host = u->host, .port = u->port, .is_tls = u->is_tls};

	p->base_url = text;
	p->is_tls = u->is_tls;
	p->host = u->host;
	p->port = u->port;
	p->path = u->path;
	p->host_header = SPAN_NONE;
	if (join_count_labels(u->host) == 0) {
		CHK(join_set_host_header(&r->arena, &to) == E_OK);
		p->host_header = to.host_header;
	}
}

static void
add_row(struct registry *r, const struct provider_row *row)
{
	struct provider *p = add_provider(r, span_str(row->slug));
	struct span aliases = span_str(row->aliases), alias;
	struct base_url u;

	CHK(base_url_parse(span_str(row->base_url), true, &u) == NULL);
	set_base_url(r, p, span_str(row->base_url), &u);
	p->name = span_str(row->name);
	p->dialect = row->dialect;
	p->credentials = row->credentials;
	p->join = row->join;
	p->roots = row->roots;
	p->is_builtin = true;
	p->is_off = row->is_local;
	while (span_next(&aliases, ',', &alias))
		add_name(r, alias, p);
}

struct registry *
registry_new(void)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	arena_init(&r->arena, ARENA_MAX);
	for (size_t i = 0; i < COUNT_OF(provider_rows); i++)
		add_row(r, &provider_rows[i]);
	sort_names(r);
	/* Two rows that claim one name: the table is wrong. */
	for (size_t i = 1; i < r->n_names; i++)
		CHK(!span_eq(r->names[i - 1].text, r->names[i].text));
	return r;
}

void
registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		free(r->providers[i]);
	free(r->providers);
	free(r->names);
	arena_fini(&r->arena);
	free(r);
}

/* First segments that mean something else: a provider of that name could not be reached. */
static const char *const reserved[] = {"v1", "client", "compat", "universal", NULL};

static const char *
check_slug(struct span slug)
{
	if (slug.n == 0 || slug.n > SLUG_MAX)
		return "a provider's name has 1 to 63 characters";
	for (size_t i = 0; i < slug.n; i++) {
		char c = slug.p[i];
		bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!is_alnum && (i == 0 || (c != '-' && c != '_')))
			return "a provider's name is [a-z0-9][a-z0-9_-]*";
	}
	for (const char *const *word = reserved; *word != NULL; word++) {
		if (span_eq(slug, span_str(*word)))
			return "this name is a part of the gateway's own URLs";
	}
	return NULL;
}

static struct span
keep(struct registry *r, const char *s)
{
	struct span copy = arena_dup(&r->arena, span_str(s));

	CHK(copy.p != NULL);
	return copy;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static struct span
keep_lower(struct registry *r, struct span s)
{
	char *p = arena_alloc(&r->arena, s.n + 1);

	CHK(p != NULL);
	for (size_t i = 0; i < s.n; i++)
		p[i] = lower(s.p[i]);
	return span_of(p, s.n);
}

static void
redirect(struct registry *r, struct provider *p, const char *base_url, struct base_url *u)
{
	struct span text = keep(r, base_url);

	/* Parsed once more so that the views are into the copy. */
	CHK(base_url_parse(text, false, u) == NULL);
	u->host = keep_lower(r, u->host);
	set_base_url(r, p, text, u);
	if (p->join != JOIN_BEDROCK)
		p->join = JOIN_PLAIN;
}

const char *
registry_define(struct registry *r, const char *slug, const char *base_url, const char *dialect,
    bool allow_private, const char *ca)
{
	struct name *known = find_name(r, span_str(slug));
	struct base_url u = {.is_literal = known != NULL && known->provider->is_off};
	enum dialect d = known != NULL ? known->provider->dialect : DIALECT_OPENAI;
	const char *wrong = check_slug(span_str(slug));

	if (wrong == NULL && base_url != NULL)
		wrong = base_url_parse(span_str(base_url), false, &u);
	if (wrong != NULL)
		return wrong;
	if (base_url == NULL && known == NULL)
		return "base_url is missing, and no built-in provider has this name";
	if (dialect != NULL && !dialect_parse(span_str(dialect), &d))
		return "dialect is not one of openai, anthropic, gemini, bedrock, cohere, ollama, "
		       "other";

	struct provider *p = known != NULL ? known->provider : add_provider(r, keep(r, slug));
	if (known == NULL)
		p->name = p->slug;
	p->dialect = d;
	/* A literal address in the operator's own words is consent, and so is naming a row that has one. */
	p->allow_private = allow_private || u.is_literal || (base_url == NULL && p->allow_private);
	p->is_off = false;
	p->is_configured = true;
	if (base_url != NULL)
		redirect(r, p, base_url, &u);
	if (ca != NULL)
		p->ca = keep(r, ca);
	sort_names(r);
	return NULL;
}

const struct provider *
registry_find(const struct registry *r, struct span slug)
{
	const struct name *found = find_name(r, slug);
	bool is_custom = false;

	if (found == NULL && span_starts(slug, SPAN_LIT("custom-"))) {
		found = find_name(r, span_skip(slug, 7));
		is_custom = true;
	}
	if (found == NULL || found->provider->is_off)
		return NULL;
	if (is_custom && !found->provider->is_configured)
		return NULL;
	return found->provider;
}

size_t
registry_count(const struct registry *r)
{
	return r->n;
}

const struct provider *
registry_at(const struct registry *r, size_t i)
{
	CHK(i < r->n);
	return r->providers[i];
}

/* Levenshtein distance, given up past `most`. Both at most SLUG_MAX long. */
static size_t
distance(struct span a, struct span b, size_t most)
{
	size_t row[SLUG_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0], least = row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t swap = diagonal + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
			diagonal = row[j];
			size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			row[j] = swap < step ? swap : step;
			least = row[j] < least ? row[j] : least;
		}
		if (least > most)
			return most + 1;
	}
	return row[b.n];
}

struct span
registry_nearest(const struct registry *r, struct span slug)
{
	/* A third of the letters may be wrong: "opnai", "antropic", "mistrall", but not anything. */
	size_t best = slug.n / 3 + 1;
	struct span nearest = SPAN_LIT("");

	if (slug.n < 2 || slug.n > SLUG_MAX)
		return nearest;
	for (size_t i = 0; i < r->n_names; i++) {
		struct span text = r->names[i].text;
		if (r->names[i].provider->is_off || text.n + best <= slug.n ||
		    slug.n + best <= text.n)
			continue;
		size_t d = distance(slug, text, best);
		if (d < best) {
			best = d;
			nearest = text;
		}
	}
	return nearest;
}
