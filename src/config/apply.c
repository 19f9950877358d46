#include "config/load_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/nearest_int.h"
#include "config/syntax_int.h"
#include "config/value_int.h"

/* Where in the table and in the structs the walk is. */
struct walk {
	struct config *c;
	struct buf *err;
	void *base;       /* of the rows under this section */
	struct span name; /* the gateway's or provider's */
};

static bool apply_section(const struct walk *w, const char *section, const struct node *map);

/* A row's path with the operator's name for '*', for messages. */
static const char *
name_of(const struct walk *w, const char *path, char out[CONFIG_PATH_SIZE + 64])
{
	const char *star = strchr(path, '*');

	if (star == NULL)
		return path;
	(void)snprintf(out, CONFIG_PATH_SIZE + 64, "%.*s%.*s%s", (int)(star - path), path,
	    SPAN_FMT(w->name), star + 1);
	return out;
}

/* The names under a section for a message: "listen, data and admin". */
static void
list_names(const char *section, char *out, size_t size)
{
	struct table_iter it = {.section = section};
	size_t n = 0;

	out[0] = '\0';
	while (table_next(&it) && n < size)
		if (it.row == NULL || table_is_available(it.row))
			n += (size_t)snprintf(
			    out + n, size - n, "%s%.*s", n > 0 ? ", " : "", SPAN_FMT(it.name));
}

static bool
unknown_key(const struct walk *w, const char *section, const struct node *n)
{
	struct table_iter it = {.section = section};
	struct nearest near = {.wanted = n->key};
	const struct config_row *elsewhere = table_find_leaf(n->key);
	char shown[QUOTED_SIZE], names[512], flat[CONFIG_PATH_SIZE];

	while (table_next(&it))
		if (it.row == NULL || table_is_available(it.row))
			nearest_try(&near, it.name);
	quoted(n->key, shown);
	table_join(section, n->key, flat);
	if (near.best.p != NULL)
		return problem(w->err, &n->key_place, "unknown key %s; did you mean '%.*s'?", shown,
		    SPAN_FMT(near.best));
	if (elsewhere != NULL)
		return problem(w->err, &n->key_place, "unknown key %s here; did you mean '%s'?",
		    shown, elsewhere->path);
	if (table_find(flat) != NULL)
		return problem(w->err, &n->key_place,
		    "unknown key %s; write its parts as keys inside each other", shown);
	list_names(section, names, sizeof(names));
	return problem(w->err, &n->key_place, "unknown key %s; known here are %s", shown, names);
}

static bool
apply_row(const struct walk *w, const struct config_row *row, const struct node *n)
{
	char name[CONFIG_PATH_SIZE + 64];
	struct target t = {.row = row, .name = name_of(w, row->path, name), .base = w->base};

	if (row->flags & CONFIG_NOT_YET)
		return problem(
		    w->err, &n->key_place, "%s is not in this version; remove it", t.name);
	return value_read(&t, n, w->err);
}

static bool
apply_child(const struct walk *w, const char *section, const struct node *n)
{
	char path[CONFIG_PATH_SIZE];
	const struct config_row *row;

	table_join(section, n->key, path);
	if (span_find(n->key, '.') < n->key.n || span_find(n->key, '*') < n->key.n ||
	    span_find(n->key, '\0') < n->key.n)
		return unknown_key(w, section, n);
	row = table_find(path);
	if (row != NULL)
		return apply_row(w, row, n);
	/* "" is a section too: an empty key must not find it. */
	if (n->key.n > 0 && table_section(path) != NULL)
		return apply_section(w, path, n);
	return unknown_key(w, section, n);
}

static bool
name_check(const struct walk *w, const char *section, const struct node *n)
{
	const char *wrong = table_section(section)->check_name(n->key);
	char shown[QUOTED_SIZE];

	return wrong == NULL ||
	    problem(w->err, &n->key_place, "%s %s", quoted(n->key, shown), wrong);
}

static void
copy_rows(enum config_root root, void *to, const void *from)
{
	for (size_t i = 0; i < table_count(); i++)
		if (table_root(table_at(i)) == root)
			value_copy(table_at(i), to, from);
}

static void
default_rows(enum config_root root, void *base)
{
	for (size_t i = 0; i < table_count(); i++)
		if (table_root(table_at(i)) == root)
			value_set_default(table_at(i), base);
}

/* A gateway begins as a copy of "default", which must be complete by then. */
static bool
apply_gateway(const struct walk *w, const struct node *n)
{
	struct config *c = w->c;
	struct walk inner = *w;
	struct config_gateway *g;

	if (!name_check(w, "gateways", n))
		return false;
	if (span_eq(n->key, SPAN_LIT("default"))) {
		g = &c->gateways[0];
	} else {
		c->gateways = xrealloc(c->gateways, (c->n_gateways + 1) * sizeof(*g));
		g = &c->gateways[c->n_gateways++];
		memset(g, 0, sizeof(*g));
		g->name = span_dup(n->key);
		copy_rows(ROOT_GATEWAY, g, &c->gateways[0]);
	}
	inner.base = g;
	inner.name = n->key;
	return apply_section(&inner, "gateways.*", n);
}

static bool
apply_gateways(const struct walk *w, const struct node *map)
{
	const struct node *first = node_get(map, SPAN_LIT("default"));

	if (first != NULL && !apply_gateway(w, first))
		return false;
	for (const struct node *n = map->first; n != NULL; n = n->next)
		if (n != first && !apply_gateway(w, n))
			return false;
	return true;
}

static bool
apply_providers(const struct walk *w, const struct node *map)
{
	struct config *c = w->c;
	struct walk inner = *w;

	for (const struct node *n = map->first; n != NULL; n = n->next) {
		if (!name_check(w, "providers", n))
			return false;
		c->providers = xrealloc(c->providers, (c->n_providers + 1) * sizeof(*c->providers));
		inner.base = &c->providers[c->n_providers++];
		inner.name = n->key;
		memset(inner.base, 0, sizeof(*c->providers));
		((struct config_provider *)inner.base)->slug = span_dup(n->key);
		default_rows(ROOT_PROVIDER, inner.base);
		if (!apply_section(&inner, "providers.*", n))
			return false;
	}
	return true;
}

static bool
apply_section(const struct walk *w, const char *section, const struct node *map)
{
	char name[CONFIG_PATH_SIZE + 64];

	if (node_is_null(map) || map->is_unset)
		return true;
	if (map->kind != NODE_MAP && section[0] == '\0')
		return problem(w->err, &map->place,
		    "the configuration is not a mapping of keys; write KEY: VALUE");
	if (map->kind != NODE_MAP)
		return problem(w->err, &map->place,
		    "%s is not a mapping; write its keys under it, or {KEY: VALUE}",
		    name_of(w, section, name));
	if (strcmp(section, "gateways") == 0)
		return apply_gateways(w, map);
	if (strcmp(section, "providers") == 0)
		return apply_providers(w, map);
	for (const struct node *n = map->first; n != NULL; n = n->next)
		if (!apply_child(w, section, n))
			return false;
	return true;
}

bool
config_apply(struct config *c, const struct node *root, struct buf *err)
{
	struct walk w = {.c = c, .err = err, .base = c};

	return root == NULL || apply_section(&w, "", root);
}

struct config *
config_defaults(void)
{
	struct config *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->gateways = xcalloc(1, sizeof(*c->gateways));
	c->n_gateways = 1;
	c->gateways[0].name = xstrdup("default");
	default_rows(ROOT_SERVER, c);
	default_rows(ROOT_GATEWAY, &c->gateways[0]);
	return c;
}
