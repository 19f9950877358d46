/* The key `listen`: a list of addresses, or of objects with an address and TLS files. */
#include "config/value_int.h"

#include <stdlib.h>

#include "config/nearest_int.h"
#include "config/syntax_int.h"

struct item {
	struct config_listen *out;
	struct buf *err;
};

static void
item_free(struct config_listen *l)
{
	free(l->address);
	free(l->tls_certificate);
	free(l->tls_key);
}

void
listen_free(struct config *c)
{
	for (size_t i = 0; i < c->n_listen; i++)
		item_free(&c->listen[i]);
	free(c->listen);
	c->listen = NULL;
	c->n_listen = 0;
}

/* name: what is read, "listen.tls.key". */
static bool
read_text(const struct node *n, const char *name, char **out, struct buf *err)
{
	const char *wrong;

	if (n->kind != NODE_SCALAR || node_is_null(n))
		return problem(err, &n->place, "%s has no value; write one", name);
	wrong = syntax_text(n->text);
	if (wrong == NULL)
		wrong = syntax_path(n->text);
	if (wrong != NULL)
		return problem(err, &n->place, "%s %s", name, wrong);
	*out = span_dup(n->text);
	return true;
}

static bool
read_address(const struct node *n, struct item *it)
{
	char shown[QUOTED_SIZE];
	const char *wrong = n->kind == NODE_SCALAR ? syntax_address(n->text) : NULL;

	if (wrong == NULL && n->kind == NODE_SCALAR)
		wrong = syntax_text(n->text);
	if (wrong != NULL)
		return problem(
		    it->err, &n->place, "the address %s %s", quoted(n->raw, shown), wrong);
	return read_text(n, "listen.address", &it->out->address, it->err);
}

static bool
unknown_key(const struct node *n, const char *const *names, struct buf *err)
{
	struct nearest near = {.wanted = n->key};
	char shown[QUOTED_SIZE];

	for (size_t i = 0; i < 2; i++)
		nearest_try(&near, span_str(names[i]));
	if (near.best.p != NULL)
		return problem(err, &n->key_place, "unknown key %s; did you mean '%.*s'?",
		    quoted(n->key, shown), SPAN_FMT(near.best));
	return problem(err, &n->key_place, "unknown key %s; known here are %s and %s",
	    quoted(n->key, shown), names[0], names[1]);
}

static bool
read_tls(const struct node *tls, struct item *it)
{
	static const char *const names[] = {"certificate", "key"};

	if (tls->kind != NODE_MAP)
		return problem(it->err, &tls->place,
		    "listen.tls is not a mapping; write {certificate: FILE, key: FILE}");
	for (const struct node *n = tls->first; n != NULL; n = n->next) {
		if (span_eq(n->key, SPAN_LIT("certificate"))) {
			if (!read_text(
				n, "listen.tls.certificate", &it->out->tls_certificate, it->err))
				return false;
		} else if (span_eq(n->key, SPAN_LIT("key"))) {
			if (!read_text(n, "listen.tls.key", &it->out->tls_key, it->err))
				return false;
		} else {
			return unknown_key(n, names, it->err);
		}
	}
	if (it->out->tls_certificate == NULL || it->out->tls_key == NULL)
		return problem(it->err, &tls->place,
		    "listen.tls needs two files; write {certificate: FILE, key: FILE}");
	return true;
}

static bool
read_item(const struct node *item, struct item *it)
{
	static const char *const names[] = {"address", "tls"};

	if (item->kind == NODE_SCALAR && !node_is_null(item))
		return read_address(item, it);
	if (item->kind != NODE_MAP)
		return problem(it->err, &item->place,
		    "an item of listen is not an address; write \"127.0.0.1:8787\"");
	for (const struct node *n = item->first; n != NULL; n = n->next) {
		if (span_eq(n->key, SPAN_LIT("address"))) {
			if (!read_address(n, it))
				return false;
		} else if (span_eq(n->key, SPAN_LIT("tls"))) {
			if (!read_tls(n, it))
				return false;
		} else {
			return unknown_key(n, names, it->err);
		}
	}
	if (it->out->address == NULL)
		return problem(it->err, &item->place,
		    "an item of listen has no address; write {address: \"127.0.0.1:8787\"}");
	return true;
}

static bool
is_twice(const struct config *c, const struct config_listen *l)
{
	struct span address = span_str(l->address);

	if (span_ends(address, SPAN_LIT(":0"))) /* each gets a port of its own */
		return false;
	for (size_t i = 0; i < c->n_listen; i++)
		if (&c->listen[i] != l &&
		    syntax_address_is_same(span_str(c->listen[i].address), address))
			return true;
	return false;
}

bool
listen_read(struct config *c, const struct node *list, struct buf *err)
{
	listen_free(c);
	c->listen = xcalloc((size_t)list->count + 1, sizeof(*c->listen));
	for (const struct node *n = list->first; n != NULL; n = n->next) {
		struct config_listen *l = &c->listen[c->n_listen];
		struct item it = {.out = l, .err = err};

		if (n->is_unset)
			continue;
		c->n_listen++; /* before reading, so that listen_free sees what a failure leaves */
		if (!read_item(n, &it))
			return false;
		if (is_twice(c, l))
			return problem(err, &n->place,
			    "the address '%s' is given twice; remove one", l->address);
	}
	if (c->n_listen == 0)
		return problem(err, &list->place,
		    "listen is empty; write at least one address, as in [\"127.0.0.1:8787\"]");
	return true;
}
