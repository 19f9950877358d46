/* Rules between keys. Each failure stands at the value that has to change. */
#include "config/load_int.h"
#include "config/syntax_int.h"

#define MEMORY_LEAST (1024 * 1024)

/* The place of what was written at a path of names; of the last part that was, if not all. */
static const struct place *
place_at(const struct node *root, const char *const *names)
{
	static const struct place nowhere = {.source = "configuration"};
	const struct node *n = root;

	for (; n != NULL && *names != NULL; names++) {
		const struct node *child = node_get(n, span_str(*names));

		if (child == NULL)
			break;
		n = child;
	}
	return n == NULL ? &nowhere : &n->place;
}

static const char *
first_public_listener(const struct config *c)
{
	for (size_t i = 0; i < c->n_listen; i++)
		if (!syntax_address_is_local(span_str(c->listen[i].address)))
			return c->listen[i].address;
	return NULL;
}

/* Whoever reaches a public listener would be given others' answers. */
static bool
check_scopes(const struct config *c, const struct node *root, struct buf *err)
{
	const char *public = first_public_listener(c);

	for (size_t i = 0; public != NULL && i < c->n_gateways; i++) {
		const struct config_gateway *g = &c->gateways[i];
		const char *path[] = {"gateways", g->name, "cache", "scope", NULL};
		const struct node *own = node_get(
		    node_get(node_get(node_get(root, span_str(path[0])), span_str(path[1])),
			span_str(path[2])),
		    span_str(path[3]));

		if (g->cache.scope != SCOPE_SHARED)
			continue;
		if (own == NULL)
			path[1] = "default"; /* where it has it from */
		return problem(err, place_at(root, path),
		    "gateways.%s.cache.scope is shared while '%s' is open to the network, which needs "
		    "authentication: true, and that is not in this version; write credential, or listen on "
		    "loopback or Unix addresses only",
		    g->name, public);
	}
	return true;
}

/* What only one caller can read cannot be shared. */
static bool
check_seals(const struct config *c, const struct node *root, struct buf *err)
{
	for (size_t i = 0; i < c->n_gateways; i++) {
		const struct config_gateway *g = &c->gateways[i];
		const char *path[] = {"gateways", g->name, "cache", "seal", NULL};

		if (g->cache.seal && g->cache.scope == SCOPE_SHARED)
			return problem(err, place_at(root, path),
			    "gateways.%s.cache.seal is true while its scope is shared: a sealed answer opens for its own "
			    "caller only; write scope: credential, or seal: false",
			    g->name);
	}
	return true;
}

/* A number without its unit, more likely than a ceiling that no request can pass under. */
static bool
check_memory(const struct config *c, const struct node *root, struct buf *err)
{
	static const char *const path[] = {"limits", "memory", NULL};

	return c->limits.memory == 0 || c->limits.memory >= MEMORY_LEAST ||
	    problem(err, place_at(root, path),
		"limits.memory is less than the process itself needs; write a size such as 256MB, or 0 for no ceiling");
}

static bool
is_listened_on(const struct config *c, const char *address)
{
	for (size_t i = 0; i < c->n_listen; i++)
		if (syntax_address_is_same(span_str(c->listen[i].address), span_str(address)))
			return true;
	return false;
}

static bool
check_admin(const struct config *c, const struct node *root, struct buf *err)
{
	static const char *const path[] = {"admin", "listen", NULL};

	for (char **a = c->admin_listen; *a != NULL; a++)
		if (!is_listened_on(c, *a))
			return problem(err, place_at(root, path),
			    "admin.listen names '%s', which is not in listen; add it there or remove it here",
			    *a);
	return true;
}

/* NULL already means upstream.ca, so another trust than that can only be a file. */
static bool
check_trust(const struct config *c, const struct node *root, struct buf *err)
{
	for (size_t i = 0; i < c->n_providers; i++) {
		const char *const path[] = {"providers", c->providers[i].slug, "ca", NULL};

		if (c->providers[i].ca != NULL && strcmp(c->providers[i].ca, "system") == 0)
			return problem(err, place_at(root, path),
			    "providers.%s.ca is system, which only upstream.ca can be; remove it, or name a PEM file",
			    c->providers[i].slug);
	}
	return true;
}

bool
config_check(const struct config *c, const struct node *root, struct buf *err)
{
	return check_scopes(c, root, err) && check_seals(c, root, err) &&
	    check_admin(c, root, err) && check_trust(c, root, err) && check_memory(c, root, err);
}
