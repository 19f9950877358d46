/*
 * node: what a configuration source says, as a tree of located values, before anything is known
 * about its meaning.
 *
 * yaml_read makes one, node_expand puts the environment into it, node_merge lays one over
 * another, and apply.c reads it. All nodes of one load live in one struct tree.
 * Limits: 1 MB of text a source, 100,000 nodes and depth 32 a tree, 4096 children a node. No
 *         anchors, aliases or tags: nothing in a file can stand for more than it is.
 */
#ifndef CONFIG_NODE_INT_H
#define CONFIG_NODE_INT_H

#include "base/arena.h"
#include "config/problem_int.h"

#define NODE_TEXT_MOST ((size_t)1 << 20)
#define NODE_COUNT_MOST 100000
#define NODE_DEPTH_MOST 32
#define NODE_CHILDREN_MOST 4096

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_kind kind;
	bool is_plain;    /* a scalar without quotes */
	bool is_expanded; /* text has something of the environment in it: never show it, show raw */
	bool is_unset;    /* "${NAME:-}" came out empty: as if it had not been written */
	struct place place; /* of the value */
	struct place key_place;
	struct span key;                  /* of a map's child */
	struct span text;                 /* of a scalar */
	struct span raw;                  /* as it was written */
	struct node *first, *last, *next; /* children; the next of one's parent */
	unsigned count;                   /* of children */
};

struct tree {
	struct arena arena;
	unsigned n_nodes;
};

void tree_init(struct tree *t);
void tree_fini(struct tree *t);

/* NULL: a cap of the tree is reached; problem_too_large says so. */
struct node *node_new(struct tree *t, enum node_kind kind, struct place at);
/* A plain scalar with that text, copied. */
struct node *node_scalar(struct tree *t, struct span text, struct place at);
void node_append(struct node *parent, struct node *child);
struct node *node_get(const struct node *map, struct span key); /* NULL: none, or not a map */
bool node_is_null(const struct node *n); /* "key:" with nothing behind it, ~, null */
/* Lays over onto base (maps): maps are merged, everything else replaces; what is unset or null
 * over a map changes nothing. over's nodes become base's. */
void node_merge(struct node *base, struct node *over);
bool problem_too_large(struct buf *err, const struct place *at);

/* Text to *out; *out is NULL when there is no document or only a null. With at.line 0
 * all places are at.source alone, else they get line and column. */
MUST_CHECK bool yaml_read(
    struct tree *t, struct place at, struct span text, struct node **out, struct buf *err);

/* ${NAME} and ${NAME:-default} in every scalar under n; $${ stands for ${. */
MUST_CHECK bool node_expand(
    struct tree *t, struct node *n, char *const *variables, struct buf *err);
/* The value of a variable, NULL: not set. */
const char *environ_get(char *const *variables, struct span name);

#endif
