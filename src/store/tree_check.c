#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/page_int.h"
#include "store/tree_int.h"

#define FREE_KEY_SIZE 8

struct check {
	struct tree t; /* of it only the file and its sizes */
	uint64_t end_ns;
	bool is_late;
	uint8_t *used; /* a bit for each page */
	/* of the table that is walked */
	unsigned depth;
	bool is_free_list, is_main;
	struct page_table seen;
	char *page[TREE_DEPTH_MAX];
	uint8_t *taken; /* of a page's units of two bytes */
};

static bool check_table(struct check *c, const struct page_table *table);

/* False: not a place for pages, or one that is used twice. */
static bool
use(struct check *c, uint64_t number, uint64_t n)
{
	if (number < 2 || number > c->t.last_page || n > c->t.last_page - number + 1)
		return false;
	for (; n > 0; n--, number++) {
		uint8_t bit = (uint8_t)(1u << number % 8);

		if ((c->used[number / 8] & bit) != 0)
			return false;
		c->used[number / 8] |= bit;
	}
	return true;
}

/* Its own count of pages is what LMDB frees by: it may be more than the value needs. */
static bool
check_overflow(struct check *c, const struct page_node *n)
{
	uint64_t least = (PAGE_HEAD + n->size + c->t.page_size - 1) / c->t.page_size, pages;
	char head[PAGE_HEAD];

	if (n->child < 2 || n->child > c->t.last_page ||
	    !tree_read_at(&c->t, n->child * c->t.page_size, head, sizeof(head)))
		return false;
	pages = page_overflow_count(head, n->child);
	c->seen.overflows += pages;
	return pages >= least && use(c, n->child, pages);
}

/* A list of free pages: how many, and their numbers, greatest first. */
static bool
check_free(struct check *c, const struct page_node *n)
{
	uint64_t *list, last = UINT64_MAX;
	bool is_whole = n->key.n == FREE_KEY_SIZE && n->size % 8 == 0 && n->size >= 8 &&
	    n->size / 8 <= c->t.last_page + 1;

	if (!is_whole)
		return false;
	list = xmalloc(n->size);
	if (n->child == 0)
		memcpy(list, n->value.p, n->size);
	else
		is_whole = tree_read_at(
		    &c->t, n->child * c->t.page_size + PAGE_HEAD, (char *)list, n->size);
	is_whole = is_whole && list[0] < n->size / 8;
	for (uint64_t i = 1; is_whole && i <= list[0]; i++) {
		is_whole = list[i] < last && use(c, list[i], 1);
		last = list[i];
	}
	free(list);
	return is_whole;
}

/* The main table's: the root of another, which is walked for itself. */
static bool
check_named(struct check *c, const struct page_node *n)
{
	struct check inner = {.t = c->t, .end_ns = c->end_ns, .used = c->used, .taken = c->taken};
	struct page_table table;
	bool is_whole = n->is_table && page_read_table(n->value, &table);

	is_whole = is_whole && check_table(&inner, &table);
	c->is_late = inner.is_late;
	return is_whole;
}

static bool
check_leaf_node(struct check *c, const struct page_node *n)
{
	c->seen.entries++;
	if (n->child != 0 && !check_overflow(c, n))
		return false;
	if (c->is_free_list)
		return check_free(c, n);
	return c->is_main ? check_named(c, n) : !n->is_table;
}

/* Nodes fill a page from its end without gaps, and do not overlap. */
static bool
check_room(struct check *c, const char *page, unsigned n)
{
	unsigned units = c->t.page_size / 2, sum = 0, from;

	memset(c->taken, 0, units);
	for (unsigned i = 0; i < n; i++) {
		struct page_place at;

		if (!page_node_place(page, c->t.page_size, i, &at) || at.from % 2 != 0)
			return false;
		at.size = (at.size + 1) / 2;
		if (at.from / 2 + at.size > units ||
		    memchr(c->taken + at.from / 2, 1, at.size) != NULL)
			return false;
		memset(c->taken + at.from / 2, 1, at.size);
		sum += at.size;
	}
	from = page_upper(page) / 2;
	return from + sum == units;
}

static bool
check_page(struct check *c, unsigned level, uint64_t number)
{
	bool is_leaf = level + 1 == c->depth, is_whole = use(c, number, 1);
	unsigned size = c->t.page_size, n;
	char *page = c->page[level];

	if (clock_mono_ns() > c->end_ns)
		c->is_late = true;
	if (!is_whole || c->is_late)
		return is_whole;
	is_whole = tree_read_at(&c->t, number * size, page, size);
	n = is_whole ? page_count(page, size, is_leaf ? PAGE_LEAF : PAGE_BRANCH, number) : 0;
	is_whole = n > 0 && check_room(c, page, n);
	c->seen.leaves += is_leaf;
	c->seen.branches += !is_leaf;
	for (unsigned i = 0; i < n && is_whole && !c->is_late; i++) {
		struct page_node node;

		is_whole = page_node(page, size, i, &node) &&
		    (is_leaf ? check_leaf_node(c, &node) : check_page(c, level + 1, node.child));
	}
	return is_whole;
}

static bool
check_table(struct check *c, const struct page_table *table)
{
	bool is_whole;

	if (table->root == PAGE_NONE)
		return table->depth == 0 && table->entries == 0;
	if (table->depth == 0 || table->depth > TREE_DEPTH_MAX)
		return false;
	c->depth = table->depth;
	for (unsigned i = 0; i < c->depth; i++)
		c->page[i] = xmalloc(c->t.page_size);
	is_whole = check_page(c, 0, table->root);
	for (unsigned i = 0; i < c->depth; i++)
		free(c->page[i]);
	if (!is_whole || c->is_late)
		return is_whole;
	return c->seen.entries == table->entries && c->seen.leaves == table->leaves &&
	    c->seen.branches == table->branches && c->seen.overflows == table->overflows;
}

static bool
check_all(struct check *c, const struct page_meta *m)
{
	struct check list = *c, main = *c;

	list.is_free_list = main.is_main = true;
	return check_table(&list, &m->free) && (list.is_late || check_table(&main, &m->main));
}

static bool
check_file(struct check *c)
{
	struct page_meta metas[2];
	struct stat st;
	bool is_whole;

	/* LMDB wants both. */
	if (tree_read_metas(&c->t, metas) != 2 || fstat(c->t.fd, &st) != 0)
		return false;
	c->t.page_size = metas[0].page_size;
	c->t.last_page = metas[0].last_page;
	if (c->t.last_page < 1 ||
	    c->t.last_page >=
		(uint64_t)st.st_size / c->t.page_size + (st.st_size % c->t.page_size > 0))
		return false;
	c->used = xcalloc(c->t.last_page / 8 + 1, 1);
	c->taken = xmalloc(c->t.page_size / 2);
	is_whole = check_all(c, &metas[0]);
	free(c->used);
	free(c->taken);
	return is_whole;
}

bool
tree_check(const char *path, unsigned budget_ms)
{
	struct check c = {.end_ns = clock_mono_ns() + (uint64_t)budget_ms * 1000000};
	bool is_whole;

	c.t.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (c.t.fd < 0)
		return true; /* for who opens it to say */
	is_whole = check_file(&c);
	(void)close(c.t.fd);
	return is_whole;
}
