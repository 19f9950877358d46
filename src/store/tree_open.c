#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/page_int.h"
#include "store/tree_int.h"

static bool
set_table(struct tree_table *out, const struct page_table *from)
{
	*out = (struct tree_table){.depth = 0};
	if (from->root == PAGE_NONE)
		return true;
	*out =
	    (struct tree_table){.root = from->root, .entries = from->entries, .depth = from->depth};
	return from->depth > 0 && from->depth <= TREE_DEPTH_MAX;
}

/* The names' roots, by way of the main table. False: what there is is damaged. */
static bool
find_tables(struct tree *t, const struct page_meta *m, const char *const *names, size_t n)
{
	struct tree_table found[TREE_TABLES_MAX] = {{0}};
	struct tree_cursor *c = tree_cursor_new(t);
	bool is_whole;

	t->page_size = m->page_size;
	t->last_page = m->last_page;
	is_whole = set_table(&t->table[0], &m->main);
	for (size_t i = 0; i < n && is_whole; i++) {
		struct page_table table;

		is_whole =
		    tree_find_table(c, span_str(names[i]), &table) && set_table(&found[i], &table);
	}
	tree_cursor_free(c);
	memcpy(t->table, found, sizeof(t->table));
	return is_whole;
}

#define META_SIZE 512 /* of a page, enough for a meta */

/* The second one's place follows from the page size, which a damaged first one does not tell. */
unsigned
tree_read_metas(const struct tree *t, struct page_meta *out)
{
	char page[META_SIZE];
	unsigned n = tree_read_at(t, 0, page, sizeof(page)) && page_read_meta(page, &out[0]);
	unsigned least = n > 0 ? out[0].page_size : PAGE_SIZE_MIN;
	unsigned most = n > 0 ? out[0].page_size : PAGE_SIZE_MAX;

	for (unsigned size = least; size <= most; size *= 2)
		if (tree_read_at(t, size, page, sizeof(page)) && page_read_meta(page, &out[n]) &&
		    out[n].page_size == size) {
			n++;
			break;
		}
	if (n == 2 && out[1].commit > out[0].commit) {
		struct page_meta older = out[0];

		out[0] = out[1];
		out[1] = older;
	}
	return n;
}

enum err
tree_open(const char *path, const char *const *names, size_t n, struct tree **out)
{
	struct page_meta metas[2];
	struct tree *t;
	unsigned n_metas;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	CHK(n <= TREE_TABLES_MAX);
	if (fd < 0)
		return errno == ENOENT ? E_EOF : E_IO;
	if (fstat(fd, &st) == 0 && st.st_size == 0) {
		(void)close(fd); /* who was to write it was killed before it began */
		return E_EOF;
	}
	t = xcalloc(1, sizeof(*t));
	t->fd = fd;
	n_metas = tree_read_metas(t, metas);
	atomic_store(&t->is_damaged, n_metas < 2);
	for (unsigned i = 0; i < n_metas; i++)
		if (find_tables(t, &metas[i], names, n)) {
			*out = t;
			return E_OK;
		}
	tree_close(t);
	return E_CORRUPT;
}

void
tree_close(struct tree *t)
{
	if (t == NULL)
		return;
	(void)close(t->fd);
	free(t);
}
