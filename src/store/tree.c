#include "store/tree_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/page_int.h"

struct level {
	uint64_t number; /* of the page that is read; 0: none */
	unsigned count, at;
	char *page;
};
struct tree_cursor {
	struct tree *t;
	unsigned table;
	struct level level[TREE_DEPTH_MAX];
	char *value;
	size_t room;
};

static int
compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* ---- pages ---- */

bool
tree_read_at(const struct tree *t, uint64_t at, char *to, size_t n)
{
	while (n > 0) {
		ssize_t got = pread(t->fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

static bool
is_page(const struct tree *t, uint64_t number, uint64_t n)
{
	return number >= 2 && number <= t->last_page && n <= t->last_page - number + 1;
}

static unsigned
depth_of(const struct tree_cursor *c)
{
	return c->t->table[c->table].depth;
}

static bool
damaged(struct tree_cursor *c)
{
	atomic_store(&c->t->is_damaged, true);
	return false;
}

/* Makes level i stand at a page; `at` is left to the caller. */
static bool
visit(struct tree_cursor *c, unsigned i, uint64_t number)
{
	const struct tree *t = c->t;
	struct level *l = &c->level[i];
	enum page_kind kind = i + 1 == depth_of(c) ? PAGE_LEAF : PAGE_BRANCH;

	if (l->number != number || l->count == 0) {
		if (l->page == NULL)
			l->page = xmalloc(t->page_size);
		l->number = 0;
		if (!is_page(t, number, 1) ||
		    !tree_read_at(t, number * t->page_size, l->page, t->page_size))
			return damaged(c);
		l->number = number;
	}
	l->count = page_count(l->page, t->page_size, kind, number);
	return l->count > 0 || damaged(c);
}

static bool
node_at(struct tree_cursor *c, unsigned i, unsigned at, struct page_node *out)
{
	return page_node(c->level[i].page, c->t->page_size, at, out) || damaged(c);
}

/* Of a branch the last node whose key is not greater; of a leaf the first whose key is not less:
 * one past the end, if none. */
static unsigned
search(struct tree_cursor *c, unsigned i, struct span key)
{
	bool is_leaf = i + 1 == depth_of(c);
	unsigned low = is_leaf ? 0 : 1, high = c->level[i].count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		struct page_node n;
		int order = node_at(c, i, middle, &n) ? compare(n.key, key) : 1;

		if (order < 0 || (order == 0 && !is_leaf))
			low = middle + 1;
		else
			high = middle;
	}
	return is_leaf ? low : low - 1;
}

static bool
visit_child(struct tree_cursor *c, unsigned i)
{
	struct page_node n;

	return node_at(c, i, c->level[i].at, &n) && visit(c, i + 1, n.child);
}

/* Between the separators of the branches above. */
static bool
belongs(struct tree_cursor *c, struct span key)
{
	bool has_least = false, has_most = false;
	struct page_node n;

	for (unsigned i = depth_of(c) - 1; i-- > 0 && !(has_least && has_most);) {
		const struct level *l = &c->level[i];

		if (!has_least && l->at > 0) {
			has_least = true;
			if (!node_at(c, i, l->at, &n) || compare(key, n.key) < 0)
				return false;
		}
		if (!has_most && l->at + 1 < l->count) {
			has_most = true;
			if (!node_at(c, i, l->at + 1, &n) || compare(key, n.key) >= 0)
				return false;
		}
	}
	return true;
}

static bool
read_value(struct tree_cursor *c, const struct page_node *n, struct span *out)
{
	const struct tree *t = c->t;
	uint64_t pages = (PAGE_HEAD + n->size + t->page_size - 1) / t->page_size;

	*out = n->value;
	if (n->child == 0)
		return true;
	*out = SPAN_NONE;
	if (n->size > TREE_VALUE_MAX || !is_page(t, n->child, pages))
		return damaged(c);
	if (c->room < n->size) {
		c->room = n->size;
		c->value = xrealloc(c->value, c->room);
	}
	if (!tree_read_at(t, n->child * t->page_size + PAGE_HEAD, c->value, n->size))
		return damaged(c);
	*out = span_of(c->value, n->size);
	return true;
}

/* The node under the cursor. False: it is to be stepped over. */
static bool
take(struct tree_cursor *c, struct span *key, struct span *value)
{
	unsigned leaf = depth_of(c) - 1;
	struct page_node n;

	if (!node_at(c, leaf, c->level[leaf].at, &n) || n.is_table)
		return false;
	if (!belongs(c, n.key))
		return damaged(c);
	*key = n.key;
	(void)read_value(c, &n, value);
	return true;
}

/* ---- the way ---- */

/* From the node at level i down, along one edge. Returns how far it came: the leaf's level, or
 * that of the node whose page cannot be read. */
static unsigned
descend(struct tree_cursor *c, unsigned i, enum tree_edge edge)
{
	for (; i + 1 < depth_of(c); i++) {
		if (!visit_child(c, i))
			return i;
		c->level[i + 1].at = edge == TREE_FIRST ? 0 : c->level[i + 1].count - 1;
	}
	return i;
}

static bool
can_move(const struct level *l, bool is_forward)
{
	return is_forward ? l->at + 1 < l->count : l->at > 0;
}

/* From the node at level i to the nearest that can be read. */
static bool
move(struct tree_cursor *c, unsigned i, bool is_forward, struct span *key, struct span *value)
{
	for (;;) {
		while (!can_move(&c->level[i], is_forward))
			if (i-- == 0)
				return false;
		c->level[i].at += is_forward ? 1u : -1u;
		i = descend(c, i, is_forward ? TREE_FIRST : TREE_LAST);
		if (i + 1 == depth_of(c) && take(c, key, value))
			return true;
	}
}

static bool
enter(struct tree_cursor *c, unsigned table)
{
	CHK(table < TREE_TABLES_MAX);
	if (c->table != table) /* a page may be right at one depth only */
		for (unsigned i = 0; i < TREE_DEPTH_MAX; i++)
			c->level[i].number = 0;
	c->table = table;
	return depth_of(c) > 0 && visit(c, 0, c->t->table[table].root);
}

bool
tree_start(struct tree_cursor *c, unsigned table, enum tree_edge from, struct span *key,
    struct span *value)
{
	unsigned i;

	if (!enter(c, table))
		return false;
	c->level[0].at = from == TREE_FIRST ? 0 : c->level[0].count - 1;
	i = descend(c, 0, from);
	return (i + 1 == depth_of(c) && take(c, key, value)) ||
	    move(c, i, from == TREE_FIRST, key, value);
}

/* To where the key is or would be. Returns as descend does. */
static unsigned
seek(struct tree_cursor *c, struct span key)
{
	unsigned i = 0;

	c->level[0].at = search(c, 0, key);
	while (i + 1 < depth_of(c) && visit_child(c, i)) {
		i++;
		c->level[i].at = search(c, i, key);
	}
	return i;
}

bool
tree_start_at(
    struct tree_cursor *c, unsigned table, struct span most, struct span *key, struct span *value)
{
	unsigned i;

	if (!enter(c, table))
		return false;
	i = seek(c, most);
	if (i + 1 == depth_of(c) && c->level[i].at < c->level[i].count && take(c, key, value) &&
	    compare(*key, most) <= 0)
		return true;
	return move(c, i, false, key, value);
}

bool
tree_next(struct tree_cursor *c, struct span *key, struct span *value)
{
	return move(c, depth_of(c) - 1, true, key, value);
}

bool
tree_prev(struct tree_cursor *c, struct span *key, struct span *value)
{
	return move(c, depth_of(c) - 1, false, key, value);
}

bool
tree_get(struct tree_cursor *c, unsigned table, struct span key, struct span *value)
{
	struct page_node n;
	unsigned i;

	if (!enter(c, table))
		return false;
	i = seek(c, key);
	return i + 1 == depth_of(c) && c->level[i].at < c->level[i].count &&
	    node_at(c, i, c->level[i].at, &n) && compare(n.key, key) == 0 && !n.is_table &&
	    read_value(c, &n, value);
}

bool
tree_find_table(struct tree_cursor *c, struct span name, struct page_table *out)
{
	struct page_node n;
	unsigned i;

	out->root = PAGE_NONE;
	if (depth_of(c) == 0)
		return true;
	if (!enter(c, 0))
		return false;
	i = seek(c, name);
	if (i + 1 != depth_of(c))
		return false;
	if (c->level[i].at == c->level[i].count)
		return true;
	if (!node_at(c, i, c->level[i].at, &n))
		return false;
	return compare(n.key, name) != 0 || (n.is_table && page_read_table(n.value, out));
}

/* ---- cursors ---- */

struct tree_cursor *
tree_cursor_new(struct tree *t)
{
	struct tree_cursor *c = xcalloc(1, sizeof(*c));

	c->t = t;
	return c;
}

void
tree_cursor_free(struct tree_cursor *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < TREE_DEPTH_MAX; i++)
		free(c->level[i].page);
	free(c->value);
	free(c);
}
