/*
 * nearest: the valid name that a misspelt one was probably meant to be.
 */
#ifndef CONFIG_NEAREST_INT_H
#define CONFIG_NEAREST_INT_H

#include "base/span.h"

/* Fewest insertions, deletions, changes and swaps of neighbours (ASCII case ignored) that make b
 * of a. Names over 64 bytes are as far as they are long. */
unsigned nearest_distance(struct span a, struct span b);

/* Keeps the best of the names it is shown. Start with {.wanted = name}. */
struct nearest {
	struct span wanted;
	struct span best; /* p == NULL: none is near */
	unsigned distance;
};
/* A name counts as near when a third of it at most differs, one letter of a short one. */
void nearest_try(struct nearest *n, struct span name);

#endif
