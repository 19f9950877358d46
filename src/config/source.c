/* The sources that are not files: --set, POSTERN_* and flags. Each becomes a tree of its own. */
#include "config/load_int.h"

struct key_path {
	struct span part[NODE_DEPTH_MOST];
	size_t n;
	struct span text; /* all of it, as written */
};

/* Takes one part off *s: up to a '.' or '=', or in quotes. What stands behind it is left in *s. */
static bool
take_part(struct span *s, struct span *part)
{
	size_t n = 0;

	if (s->n > 0 && (s->p[0] == '"' || s->p[0] == '\'')) {
		char quote = s->p[0];

		*s = span_skip(*s, 1);
		n = span_find(*s, quote);
		if (n == s->n)
			return false;
		*part = span_head(*s, n);
		*s = span_skip(*s, n + 1);
	} else {
		while (n < s->n && s->p[n] != '.' && s->p[n] != '=')
			n++;
		*part = span_head(*s, n);
		*s = span_skip(*s, n);
	}
	return part->n > 0;
}

/* No name in the table or of the operator's is anything else, and errors show the key as it is. */
static bool
is_printable(struct span key)
{
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] < ' ' || key.p[i] > '~')
			return false;
	return true;
}

/* False: set does not begin with KEY=. *value: what is behind the '='. */
static bool
path_read(struct span set, struct key_path *path, struct span *value)
{
	struct span rest = set;

	for (path->n = 0; path->n < COUNT_OF(path->part);) {
		if (!take_part(&rest, &path->part[path->n++]) || rest.n == 0)
			return false;
		if (rest.p[0] == '=') {
			path->text = span_head(set, set.n - rest.n);
			*value = span_skip(rest, 1);
			return is_printable(path->text);
		}
		if (rest.p[0] != '.')
			return false;
		rest = span_skip(rest, 1);
	}
	return false;
}

/* {part: {part: ... value}}, all of it at the value's place. */
static struct node *
nest(struct tree *t, const struct key_path *path, struct node *value)
{
	for (size_t i = path->n; value != NULL && i-- > 0;) {
		struct node *map = node_new(t, NODE_MAP, value->place);

		if (map == NULL)
			return NULL;
		value->key = arena_dup(&t->arena, path->part[i]);
		value->key_place = value->place;
		node_append(map, value);
		value = map;
	}
	return value;
}

struct node *
source_set(struct tree *t, const char *set, struct buf *err)
{
	struct place at = {.source = "--set"};
	struct key_path path;
	struct span value;
	struct node *n = NULL;
	char shown[QUOTED_SIZE];

	if (!path_read(span_str(set), &path, &value)) {
		/* Cut at the '=': what is behind it may be a secret. */
		problem(err, &at, "%s is not KEY=VALUE; write --set cache.max_size=1GB",
		    quoted(span_head(span_str(set), span_find(span_str(set), '=')), shown));
		return NULL;
	}
	at.source = arena_printf(&t->arena, "--set %.*s", SPAN_FMT(path.text)).p;
	if (at.source == NULL)
		at.source = "--set";
	if (!yaml_read(t, at, value, &n, err))
		return NULL;
	if (n == NULL)
		n = node_scalar(t, SPAN_LIT(""), at);
	n = nest(t, &path, n);
	if (n == NULL)
		problem_too_large(err, &at);
	return n;
}

static struct node *
single(struct tree *t, const char *const *keys, struct node *value)
{
	struct key_path path = {.n = 0};

	for (; keys[path.n] != NULL; path.n++)
		path.part[path.n] = span_str(keys[path.n]);
	return nest(t, &path, value);
}

/* A value that is no YAML: taken as it is, so even "true" or "" stays a string. */
static struct node *
verbatim(struct tree *t, struct span text, const char *source)
{
	struct node *n = node_scalar(t, text, (struct place){.source = source});

	if (n != NULL)
		n->is_plain = false;
	return n;
}

static struct node *
address_list(struct tree *t, const char *comma_separated)
{
	struct node *list = node_new(t, NODE_LIST, (struct place){.source = "POSTERN_LISTEN"});
	struct span rest = span_str(comma_separated), item;

	while (list != NULL && span_next(&rest, ',', &item)) {
		struct node *n = verbatim(t, span_trim(item), "POSTERN_LISTEN");

		if (n == NULL)
			return NULL;
		node_append(list, n);
	}
	return list;
}

static const char *const listen_path[] = {"listen", NULL};
static const char *const data_path[] = {"data", NULL};
static const char *const token_path[] = {"admin", "token", NULL};
static const char *const proxy_path[] = {"upstream", "proxy", NULL};
static const char *const no_proxy_path[] = {"upstream", "no_proxy", NULL};

/* Merges value, if the tree still holds it. */
static bool
add(struct tree *t, struct node *root, const char *const *path, struct node *value)
{
	struct node *n = value == NULL ? NULL : single(t, path, value);

	if (root == NULL || n == NULL)
		return false;
	node_merge(root, n);
	return true;
}

/* Empty counts as not set, as compose files and unit files leave it. */
static const char *
variable(char *const *variables, const char *name)
{
	const char *v = environ_get(variables, span_str(name));

	return v != NULL && v[0] != '\0' ? v : NULL;
}

/* The first of the two spellings that is set; *name is it. */
static const char *
either(char *const *variables, const char *upper, const char *lower, const char **name)
{
	const char *v = variable(variables, upper);

	*name = v != NULL ? upper : lower;
	return v != NULL ? v : variable(variables, lower);
}

/* NO_PROXY often ends in a comma or has spaces in it: no item is empty. */
static struct node *
no_proxy_list(struct tree *t, const char *text, const char *source)
{
	struct node *list = node_new(t, NODE_LIST, (struct place){.source = source});
	struct span rest = span_str(text), item;

	while (list != NULL && span_next(&rest, ',', &item)) {
		struct node *n;

		if (span_trim(item).n == 0)
			continue;
		n = verbatim(t, span_trim(item), source);
		if (n == NULL)
			return NULL;
		node_append(list, n);
	}
	return list;
}

struct node *
source_standard(struct tree *t, char *const *variables, struct buf *err)
{
	const struct place at = {.source = "environment"};
	struct node *root = node_new(t, NODE_MAP, at);
	const char *name, *proxy = either(variables, "HTTPS_PROXY", "https_proxy", &name);

	if (proxy != NULL && !add(t, root, proxy_path, verbatim(t, span_str(proxy), name)))
		root = NULL;
	proxy = either(variables, "NO_PROXY", "no_proxy", &name);
	if (proxy != NULL && !add(t, root, no_proxy_path, no_proxy_list(t, proxy, name)))
		root = NULL;
	if (root == NULL)
		problem_too_large(err, &at);
	return root;
}

/* admin.token is not in this version, so its variable has to be an error as well: it must not look
 * as if it protected something. */
struct node *
source_environ(struct tree *t, char *const *variables, struct buf *err)
{
	const struct place at = {.source = "environment"};
	struct node *root = node_new(t, NODE_MAP, at);
	const char *listen = variable(variables, "POSTERN_LISTEN");
	const char *data = variable(variables, "POSTERN_DATA");
	const char *token = variable(variables, "POSTERN_ADMIN_TOKEN");

	if ((listen != NULL && !add(t, root, listen_path, address_list(t, listen))) ||
	    (data != NULL &&
		!add(t, root, data_path, verbatim(t, span_str(data), "POSTERN_DATA"))) ||
	    (token != NULL &&
		!add(t, root, token_path, verbatim(t, span_str(token), "POSTERN_ADMIN_TOKEN"))))
		root = NULL;
	if (root == NULL)
		problem_too_large(err, &at);
	return root;
}

static struct node *
flag_list(struct tree *t, const char *const *addresses)
{
	struct node *list = node_new(t, NODE_LIST, (struct place){.source = "--listen"});

	for (; list != NULL && *addresses != NULL; addresses++) {
		struct node *n = verbatim(t, span_str(*addresses), "--listen");

		if (n == NULL)
			return NULL;
		node_append(list, n);
	}
	return list;
}

struct node *
source_flags(struct tree *t, const struct config_source *src, struct buf *err)
{
	const struct place at = {.source = "command line"};
	struct node *root = node_new(t, NODE_MAP, at);
	bool has_listen = src->listen != NULL && src->listen[0] != NULL;

	if ((has_listen && !add(t, root, listen_path, flag_list(t, src->listen))) ||
	    (src->data != NULL &&
		!add(t, root, data_path, verbatim(t, span_str(src->data), "--data"))))
		root = NULL;
	if (root == NULL)
		problem_too_large(err, &at);
	return root;
}
