/* The key `listen`: a list of addresses, or of objects with an address and TLS files. */
#include "config/value_int.h"

#include <stdio.h>
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
	for (size_t i = 0; i < l->n_tls; i++) {
		free(l->tls[i].certificate);
		free(l->tls[i].key);
	}
	free(l->tls);
	free(l->client_ca);
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

/* names: NULL-terminated, two at least. */
static bool
unknown_key(const struct node *n, const char *const *names, struct buf *err)
{
	struct nearest near = {.wanted = n->key};
	char shown[QUOTED_SIZE], known[128];
	size_t used = 0;

	for (size_t i = 0; names[i] != NULL; i++) {
		const char *before = i == 0 ? "" : names[i + 1] == NULL ? " and " : ", ";

		nearest_try(&near, span_str(names[i]));
		used +=
		    (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", before, names[i]);
	}
	if (near.best.p != NULL)
		return problem(err, &n->key_place, "unknown key %s; did you mean '%.*s'?",
		    quoted(n->key, shown), SPAN_FMT(near.best));
	return problem(
	    err, &n->key_place, "unknown key %s; known here are %s", quoted(n->key, shown), known);
}

/* ---- certificates ---- */

static bool
is_of_pair(const struct node *n)
{
	return span_eq(n->key, SPAN_LIT("certificate")) || span_eq(n->key, SPAN_LIT("key"));
}

static bool
read_of_pair(const struct node *n, struct config_pair *out, struct buf *err)
{
	if (span_eq(n->key, SPAN_LIT("key")))
		return read_text(n, "listen.tls.key", &out->key, err);
	return read_text(n, "listen.tls.certificate", &out->certificate, err);
}

static bool
check_pair(const struct node *n, const struct config_pair *pair, struct buf *err)
{
	if (pair->certificate != NULL && pair->key != NULL)
		return true;
	return problem(err, &n->place, "%s needs two files; write {certificate: FILE, key: FILE}",
	    span_eq(n->key, SPAN_LIT("tls")) ? "listen.tls" : "an item of listen.tls.certificates");
}

static bool
read_more(const struct node *item, struct item *it)
{
	static const char *const names[] = {"certificate", "key", NULL};
	struct config_pair *pair = &it->out->tls[it->out->n_tls++];

	if (item->kind != NODE_MAP)
		return problem(it->err, &item->place,
		    "an item of listen.tls.certificates is not a mapping; write {certificate: FILE, key: FILE}");
	for (const struct node *n = item->first; n != NULL; n = n->next) {
		if (!is_of_pair(n))
			return unknown_key(n, names, it->err);
		if (!read_of_pair(n, pair, it->err))
			return false;
	}
	return check_pair(item, pair, it->err);
}

static bool
read_certificates(const struct node *list, struct item *it)
{
	if (list->kind != NODE_LIST)
		return problem(it->err, &list->place,
		    "listen.tls.certificates is not a list; write [{certificate: FILE, key: FILE}]");
	for (const struct node *n = list->first; n != NULL; n = n->next)
		if (!n->is_unset && !read_more(n, it))
			return false;
	return true;
}

/* ---- certificates of clients ---- */

const char *const listen_client_words[] = {"off", "request", "require", NULL};

static bool
read_client_word(const struct node *n, struct item *it)
{
	char shown[QUOTED_SIZE];

	for (size_t i = 0; n->kind == NODE_SCALAR && listen_client_words[i] != NULL; i++) {
		if (!span_eq(n->text, span_str(listen_client_words[i])))
			continue;
		it->out->client_certificates = (enum client_certificates)i;
		return true;
	}
	return problem(it->err, &n->place,
	    "listen.tls.client_certificates cannot be %s; write off, request or require",
	    n->kind == NODE_SCALAR ? quoted(n->raw, shown) : "a list or a mapping");
}

static bool
check_clients(const struct node *tls, struct item *it)
{
	struct config_listen *l = it->out;

	if (l->client_ca == NULL && l->client_certificates != CLIENTS_OFF)
		return problem(it->err, &tls->place,
		    "listen.tls.client_certificates needs listen.tls.client_ca; write client_ca: FILE");
	/* Who names an authority means it. */
	if (l->client_ca != NULL && node_get(tls, SPAN_LIT("client_certificates")) == NULL)
		l->client_certificates = CLIENTS_REQUIRE;
	return true;
}

/* ---- items ---- */

static bool
read_tls_key(const struct node *n, struct item *it)
{
	static const char *const names[] = {
	    "certificate", "key", "certificates", "client_ca", "client_certificates", NULL};

	if (is_of_pair(n))
		return read_of_pair(n, &it->out->tls[0], it->err);
	if (span_eq(n->key, SPAN_LIT("certificates")))
		return read_certificates(n, it);
	if (span_eq(n->key, SPAN_LIT("client_ca")))
		return read_text(n, "listen.tls.client_ca", &it->out->client_ca, it->err);
	if (span_eq(n->key, SPAN_LIT("client_certificates")))
		return read_client_word(n, it);
	return unknown_key(n, names, it->err);
}

static bool
read_tls(const struct node *tls, struct item *it)
{
	const struct node *more = node_get(tls, SPAN_LIT("certificates"));

	if (tls->kind != NODE_MAP)
		return problem(it->err, &tls->place,
		    "listen.tls is not a mapping; write {certificate: FILE, key: FILE}");
	it->out->tls = xcalloc(1 + (more == NULL ? 0 : (size_t)more->count), sizeof(*it->out->tls));
	it->out->n_tls = 1;
	for (const struct node *n = tls->first; n != NULL; n = n->next)
		if (!read_tls_key(n, it))
			return false;
	return check_pair(tls, &it->out->tls[0], it->err) && check_clients(tls, it);
}

static bool
read_item(const struct node *item, struct item *it)
{
	static const char *const names[] = {"address", "tls", NULL};

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
