/*
 * map: intrusive hash table keyed by a 64-bit hash that the caller computes (keyed where a peer
 * chooses the key). Nodes are the caller's; equal hashes chain, the caller compares the rest.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t hash;
};
struct map {
	struct map_node **slots;
	size_t mask; /* slots - 1; 0 before the first insert */
	size_t count;
};

void map_init(struct map *m);
void map_fini(struct map *m);              /* forgets the nodes, frees the table */
void map_reserve(struct map *m, size_t n); /* n nodes and more will not make it grow; empty yet */
void map_insert(struct map *m, struct map_node *n, uint64_t hash);
void map_remove(struct map *m, struct map_node *n); /* n must be in m */
/* First node with that hash, then map_next for the others; NULL at the end. */
struct map_node *map_first(const struct map *m, uint64_t hash);
struct map_node *map_next(const struct map_node *n);

#endif
