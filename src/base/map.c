#include "base/map.h"

#include <stdlib.h>

#include "base/chk.h"

#define FIRST_SLOTS 16

void
map_init(struct map *m)
{
	*m = (struct map){.slots = NULL};
}

void
map_fini(struct map *m)
{
	free(m->slots);
	map_init(m);
}

/* Folded, because some callers' hashes (ids, addresses) differ in their high bits only. */
static struct map_node **
slot_of(const struct map *m, uint64_t hash)
{
	return &m->slots[((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & m->mask];
}

static void
push(struct map *m, struct map_node *n)
{
	struct map_node **slot = slot_of(m, n->hash);

	n->next = *slot;
	*slot = n;
}

/* Only the first slots must be had: with too few of them it is slower. */
static void
grow(struct map *m)
{
	struct map_node **old = m->slots, **slots;
	size_t n_old = old == NULL ? 0 : m->mask + 1;
	size_t n_new = old == NULL ? FIRST_SLOTS : n_old * 2;

	slots = old == NULL ? xcalloc(n_new, sizeof(*slots)) : calloc(n_new, sizeof(*slots));
	if (slots == NULL)
		return;
	m->slots = slots;
	m->mask = n_new - 1;
	for (size_t i = 0; i < n_old; i++) {
		for (struct map_node *n = old[i], *next; n != NULL; n = next) {
			next = n->next;
			push(m, n);
		}
	}
	free(old);
}

void
map_reserve(struct map *m, size_t n)
{
	size_t slots = FIRST_SLOTS;

	CHK(m->slots == NULL);
	while (slots < n)
		slots *= 2;
	m->slots = xcalloc(slots, sizeof(struct map_node *));
	m->mask = slots - 1;
}

void
map_insert(struct map *m, struct map_node *n, uint64_t hash)
{
	if (m->slots == NULL || m->count > m->mask)
		grow(m);
	n->hash = hash;
	push(m, n);
	m->count++;
}

void
map_remove(struct map *m, struct map_node *n)
{
	struct map_node **at;

	CHK(m->count > 0);
	for (at = slot_of(m, n->hash); *at != n; at = &(*at)->next)
		CHK(*at != NULL);
	*at = n->next;
	n->next = NULL;
	m->count--;
}

static struct map_node *
same_hash(struct map_node *n, uint64_t hash)
{
	while (n != NULL && n->hash != hash)
		n = n->next;
	return n;
}

struct map_node *
map_first(const struct map *m, uint64_t hash)
{
	return m->slots == NULL ? NULL : same_hash(*slot_of(m, hash), hash);
}

struct map_node *
map_next(const struct map_node *n)
{
	return same_hash(n->next, n->hash);
}
