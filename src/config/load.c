#include "config/load_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/value_int.h"

struct loader {
	const struct config_source *src;
	struct buf *err;
	struct tree tree;
	struct node *root; /* all sources so far, the later over the earlier */
};

/* Each source has to be right by itself, also where a later one overrides it. */
static bool
add_source(struct loader *l, struct node *n)
{
	struct config *alone;
	bool ok;

	if (n == NULL)
		return true;
	alone = config_defaults();
	ok = config_apply(alone, n, l->err);
	config_unref(alone);
	if (!ok)
		return false;
	if (n->kind != NODE_MAP) /* a file that is one variable, and that came out empty */
		return true;
	node_merge(l->root, n);
	return true;
}

static bool
file_problem(struct loader *l)
{
	struct place at = {.source = l->src->file};

	return problem(l->err, &at,
	    "cannot be read: %s; check the path given with --config or POSTERN_CONFIG",
	    strerror(errno));
}

/* The whole file into text; it may be a pipe. */
static bool
read_file(struct loader *l, struct buf *text)
{
	struct place at = {.source = l->src->file};
	int fd = open(l->src->file, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	char *room;

	if (fd < 0)
		return file_problem(l);
	do {
		room = buf_reserve(text, 4096);
		n = room == NULL ? 0 : read(fd, room, 4096);
		if (n > 0)
			buf_commit(text, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		(void)file_problem(l);
	else if (room == NULL || buf_len(text) > NODE_TEXT_MOST)
		n = problem_too_large(l->err, &at) ? 0 : -1;
	(void)close(fd);
	return n == 0;
}

static bool
add_file(struct loader *l)
{
	struct place at = {.line = 1, .column = 1};
	struct node *n = NULL;
	struct buf text;
	bool ok;

	if (l->src->file == NULL)
		return true;
	at.source = arena_dup(&l->tree.arena, span_str(l->src->file)).p;
	if (at.source == NULL)
		return problem_too_large(l->err, &(struct place){.source = "configuration"});
	buf_init(&text, NODE_TEXT_MOST + 8192);
	ok = read_file(l, &text) && yaml_read(&l->tree, at, buf_view(&text), &n, l->err) &&
	    (n == NULL || node_expand(&l->tree, n, l->src->environ, l->err)) && add_source(l, n);
	buf_fini(&text);
	return ok;
}

static bool
add_sets(struct loader *l)
{
	for (const char *const *s = l->src->set; s != NULL && *s != NULL; s++) {
		struct node *n = source_set(&l->tree, *s, l->err);

		if (n == NULL || !node_expand(&l->tree, n, l->src->environ, l->err) ||
		    !add_source(l, n))
			return false;
	}
	return true;
}

static bool
add_all(struct loader *l)
{
	struct node *n;

	/* Not judged by itself: what is set elsewhere makes it not count, whatever it says. */
	l->root = source_standard(&l->tree, l->src->environ, l->err);
	if (l->root == NULL || !add_file(l))
		return false;
	n = source_environ(&l->tree, l->src->environ, l->err);
	if (n == NULL || !add_source(l, n) || !add_sets(l))
		return false;
	n = source_flags(&l->tree, l->src, l->err);
	return n != NULL && add_source(l, n);
}

static char *
join(const char *directory, size_t n, const char *rest)
{
	char *path = xmalloc(n + strlen(rest) + 1);

	memcpy(path, directory, n);
	memcpy(path + n, rest, strlen(rest) + 1);
	return path;
}

/* systemd gives a list separated by colons where a unit has several; the first is the unit's
 * own. */
static bool
set_data(struct config *c, char *const *variables, struct buf *err)
{
	static const struct {
		const char *variable, *below, *ends;
	} places[] = {
	    {"STATE_DIRECTORY", "", ":"},
	    {"XDG_STATE_HOME", "/postern", ""},
	    {"HOME", "/.local/state/postern", ""},
	};

	for (size_t i = 0; c->data == NULL && i < COUNT_OF(places); i++) {
		const char *v = environ_get(variables, span_str(places[i].variable));

		/* The XDG specification: a path that is not absolute is to be ignored. */
		if (v != NULL && v[0] == '/')
			c->data = join(v, strcspn(v, places[i].ends), places[i].below);
	}
	return c->data != NULL ||
	    problem(err, &(struct place){.source = "data"},
		"none of STATE_DIRECTORY, XDG_STATE_HOME and HOME names a directory; use --data DIR");
}

int
config_load(const struct config_source *src, struct config **out, struct buf *err)
{
	struct loader l = {.src = src, .err = err};
	struct config *c = config_defaults();
	bool ok;

	tree_init(&l.tree);
	ok = add_all(&l) && config_apply(c, l.root, err) && set_data(c, src->environ, err) &&
	    config_check(c, l.root, err);
	tree_fini(&l.tree);
	if (!ok) {
		config_unref(c);
		return -1;
	}
	*out = c;
	return 0;
}

struct config *
config_ref(struct config *c)
{
	CHK(c->refs > 0);
	c->refs++;
	return c;
}

static void
free_rows(enum config_root root, void *base)
{
	for (size_t i = 0; i < table_count(); i++)
		if (table_root(table_at(i)) == root)
			value_free(table_at(i), base);
}

void
config_unref(struct config *c)
{
	if (c == NULL)
		return;
	CHK(c->refs > 0);
	if (--c->refs > 0)
		return;
	for (size_t i = 0; i < c->n_gateways; i++) {
		free_rows(ROOT_GATEWAY, &c->gateways[i]);
		free(c->gateways[i].name);
	}
	for (size_t i = 0; i < c->n_providers; i++) {
		free_rows(ROOT_PROVIDER, &c->providers[i]);
		free(c->providers[i].slug);
	}
	free_rows(ROOT_SERVER, c);
	free(c->gateways);
	free(c->providers);
	free(c);
}

const struct config_gateway *
config_gateway(const struct config *c, const char *name, size_t n)
{
	for (size_t i = 0; i < c->n_gateways; i++)
		if (span_eq(span_str(c->gateways[i].name), span_of(name, n)))
			return &c->gateways[i];
	return NULL;
}
