/*
 * tree_int: reads the tables of an LMDB file that nobody writes any more, without LMDB.
 *
 * Why        LMDB trusts its pages: a damaged offset or page number ends the process, and a bad
 *            sector under its map is SIGBUS. What stands in the log for weeks is read through this
 *            instead: pages come by pread, each number and offset is checked before it is used,
 *            and what is damaged is stepped over. LMDB writes the files, and reads those that it
 *            still writes (segment_reader.c).
 * Model      The format is that of LMDB 0.9 (data version 1), in the machine's byte order:
 *
 *              page 0, 1       header, meta: the roots of the last two commits; the newer counts
 *              branch          header, offsets of nodes; node: key -> page; the first has no key
 *              leaf            header, offsets of nodes; node: key, value or where it lies
 *              overflow        header, a large value, over as many pages as it takes
 *
 *            The main table holds the roots of the named ones. Plain tables only (no duplicates).
 * Limits     values up to TREE_VALUE_MAX, trees up to TREE_DEPTH_MAX. A damaged tree gives fewer
 *            keys, never wrong places: each key lies between the separators above it. Whether a
 *            value is whole is for its own checksum to say.
 * Threads    a tree does not change and may be shared; a cursor is one thread's at a time.
 */
#ifndef STORE_TREE_INT_H
#define STORE_TREE_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"

#define TREE_TABLES_MAX 4
#define TREE_DEPTH_MAX 16
#define TREE_VALUE_MAX (UINT64_C(1) << 20)

struct tree_table {
	uint64_t root, entries;
	unsigned depth; /* 0: empty */
};
struct tree {
	int fd;
	unsigned page_size;
	uint64_t last_page;
	struct tree_table table[TREE_TABLES_MAX];
	_Atomic bool is_damaged; /* something was stepped over */
};

/* Tables by their names; one that is not there is empty. E_EOF: no such file, or an empty one; E_CORRUPT: not a
 * file of LMDB's, or neither of its roots is whole; E_IO. */
MUST_CHECK enum err tree_open(
    const char *path, const char *const *names, size_t n, struct tree **out);
void tree_close(struct tree *t); /* fine on NULL */

/* Remembers its way: near keys cost no reading. */
struct tree_cursor;
struct tree_cursor *tree_cursor_new(struct tree *t);
void tree_cursor_free(struct tree_cursor *c); /* fine on NULL */

/* False: not there, or damaged. The value is valid until the cursor is used again. */
MUST_CHECK bool tree_get(
    struct tree_cursor *c, unsigned table, struct span key, struct span *value);

enum tree_edge { TREE_FIRST, TREE_LAST };
/* Each false: no more. A key whose value cannot be read comes with a value of SPAN_NONE. Views are
 * valid until the cursor is used again. */
MUST_CHECK bool tree_start(struct tree_cursor *c, unsigned table, enum tree_edge from,
    struct span *key, struct span *value);
/* At the greatest key that is not greater than this one. */
MUST_CHECK bool tree_start_at(
    struct tree_cursor *c, unsigned table, struct span most, struct span *key, struct span *value);
MUST_CHECK bool tree_next(struct tree_cursor *c, struct span *key, struct span *value);
MUST_CHECK bool tree_prev(struct tree_cursor *c, struct span *key, struct span *value);

/* Before LMDB opens a file to write it: that every page it can come to is in order, each used once,
 * also those that it lists as free; no key or value is looked at. Stops after budget_ms: what lies
 * behind is taken on trust. False: LMDB must not see it. True also where there is no file. */
MUST_CHECK bool tree_check(const char *path, unsigned budget_ms);

/* Among these files only. */
struct page_table;
/* Room for two. How many are whole, the newest first. */
struct page_meta;
unsigned tree_read_metas(const struct tree *t, struct page_meta *out);
MUST_CHECK bool tree_read_at(const struct tree *t, uint64_t at, char *to, size_t n);
/* In the main table, which stands in the place of the first. Root PAGE_NONE: no such name. False:
 * damaged. */
MUST_CHECK bool tree_find_table(struct tree_cursor *c, struct span name, struct page_table *out);

#endif
