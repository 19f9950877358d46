#include "config/node_int.h"

/* Enough for NODE_COUNT_MOST nodes and some sources' text; a tree that needs more is no
 * configuration. */
#define TREE_BYTES_MOST ((size_t)64 << 20)

void
tree_init(struct tree *t)
{
	arena_init(&t->arena, TREE_BYTES_MOST);
	t->n_nodes = 0;
}

void
tree_fini(struct tree *t)
{
	arena_fini(&t->arena);
}

struct node *
node_new(struct tree *t, enum node_kind kind, struct place at)
{
	struct node *n;

	if (t->n_nodes >= NODE_COUNT_MOST)
		return NULL;
	n = arena_zalloc(&t->arena, sizeof(*n));
	if (n == NULL)
		return NULL;
	t->n_nodes++;
	n->kind = kind;
	n->place = at;
	n->key_place = at;
	return n;
}

struct node *
node_scalar(struct tree *t, struct span text, struct place at)
{
	struct node *n = node_new(t, NODE_SCALAR, at);

	if (n == NULL)
		return NULL;
	n->text = n->raw = arena_dup(&t->arena, text);
	n->is_plain = true;
	return n->text.p == NULL ? NULL : n;
}

void
node_append(struct node *parent, struct node *child)
{
	child->next = NULL;
	if (parent->last == NULL)
		parent->first = child;
	else
		parent->last->next = child;
	parent->last = child;
	parent->count++;
}

struct node *
node_get(const struct node *map, struct span key)
{
	if (map == NULL || map->kind != NODE_MAP)
		return NULL;
	for (struct node *n = map->first; n != NULL; n = n->next)
		if (span_eq(n->key, key))
			return n;
	return NULL;
}

bool
node_is_null(const struct node *n)
{
	static const char *const spellings[] = {"", "~", "null", "Null", "NULL"};

	if (n->kind != NODE_SCALAR || !n->is_plain || n->is_expanded)
		return false;
	for (size_t i = 0; i < COUNT_OF(spellings); i++)
		if (span_eq(n->text, span_str(spellings[i])))
			return true;
	return false;
}

static void
replace(struct node *old, const struct node *new)
{
	struct node *next = old->next;

	*old = *new;
	old->next = next;
}

void
node_merge(struct node *base, struct node *over)
{
	struct node *next;

	for (struct node *n = over->first; n != NULL; n = next) {
		struct node *old = node_get(base, n->key);

		next = n->next;
		if (old == NULL)
			node_append(base, n);
		else if (n->is_unset || (old->kind == NODE_MAP && node_is_null(n)))
			continue;
		else if (old->kind == NODE_MAP && n->kind == NODE_MAP)
			node_merge(old, n);
		else
			replace(old, n);
	}
}

bool
problem_too_large(struct buf *err, const struct place *at)
{
	return problem(err, at,
	    "larger than any configuration needs (%d values, %zu MB of text); shorten it",
	    NODE_COUNT_MOST, NODE_TEXT_MOST >> 20);
}
