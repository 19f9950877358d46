/*
 * page_int: the pages of an LMDB file as they lie on the disk (tree_int.h), taken apart with each
 * length and offset checked. Functions over bytes.
 */
#ifndef STORE_PAGE_INT_H
#define STORE_PAGE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/span.h"

#define PAGE_HEAD 16
#define PAGE_SIZE_MIN 512
#define PAGE_SIZE_MAX 32768
#define PAGE_NONE UINT64_MAX /* the root of an empty table */

enum page_kind { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };

struct page_table {
	uint32_t pad;
	uint16_t flags, depth;
	uint64_t branches, leaves, overflows, entries, root;
};
struct page_meta {
	unsigned page_size;
	struct page_table free, main;
	uint64_t last_page, commit;
};
struct page_node {
	struct span key;
	uint64_t child;    /* branch: page number. Leaf, value elsewhere: its first page, else 0 */
	uint64_t size;     /* leaf: of the value */
	struct span value; /* leaf, when it lies here */
	bool is_table;     /* the value is a page_table */
};

/* False: not a meta page. */
MUST_CHECK bool page_read_meta(const char *page, struct page_meta *out);
/* How many nodes; 0: not a page of that kind and number. */
unsigned page_count(const char *page, unsigned size, enum page_kind kind, uint64_t number);
/* i below the count. False: it does not lie within the page. */
MUST_CHECK bool page_node(const char *page, unsigned size, unsigned i, struct page_node *out);
/* Where it lies, head included; no more than that is checked. */
struct page_place {
	unsigned from, size;
};
MUST_CHECK bool page_node_place(
    const char *page, unsigned size, unsigned i, struct page_place *out);
unsigned page_upper(const char *page); /* where the nodes begin */
/* Pages of an overflow, by its head; 0: not one. */
uint64_t page_overflow_count(const char *page, uint64_t number);
/* The value of a node that is_table. */
MUST_CHECK bool page_read_table(struct span value, struct page_table *out);

#endif
