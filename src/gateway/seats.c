#include "gateway/seats.h"

#include <stdlib.h>
#include <string.h>

#include "base/chk.h"
#include "cache/preimage.h"
#include "net/network.h"

#define V4_BITS 32
#define V6_BITS 64

struct seat {
	struct map_node node;
	struct network who;
	uint64_t n;
};

void
seats_init(struct seats *s, const struct cache_keys *keys)
{
	map_init(&s->map);
	s->keys = keys;
}

void
seats_fini(struct seats *s)
{
	map_fini(&s->map);
}

struct seat *
seats_take(struct seats *s, const struct address *a, uint64_t most)
{
	struct network who = network_of(a, V4_BITS, V6_BITS);
	uint64_t hash = cache_hash(s->keys, span_of(&who, sizeof(who)));
	struct seat *seat = NULL;
	for (struct map_node *n = map_first(&s->map, hash); n != NULL; n = map_next(n))
		if (memcmp(&CONTAINER_OF(n, struct seat, node)->who, &who, sizeof(who)) == 0)
			seat = CONTAINER_OF(n, struct seat, node);
	if (seat != NULL && seat->n >= most)
		return NULL;
	if (seat == NULL) {
		seat = xcalloc(1, sizeof(*seat));
		seat->who = who;
		map_insert(&s->map, &seat->node, hash);
	}
	seat->n++;
	return seat;
}

void
seats_leave(struct seats *s, struct seat *seat)
{
	if (seat == NULL || --seat->n > 0)
		return;
	map_remove(&s->map, &seat->node);
	free(seat);
}
