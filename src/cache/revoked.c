#include "cache/revoked.h"

#include <stdlib.h>

#include "base/chk.h"
#include "base/list.h"
#include "base/map.h"

struct one {
	struct map_node node;
	struct list link; /* oldest first */
};
struct revoked {
	struct map map;
	struct list order;
};

struct revoked *
revoked_new(void)
{
	struct revoked *r = xcalloc(1, sizeof(*r));
	map_init(&r->map);
	list_init(&r->order);
	return r;
}

static void
drop(struct revoked *r, struct one *o)
{
	map_remove(&r->map, &o->node);
	list_remove(&o->link);
	free(o);
}

void
revoked_free(struct revoked *r)
{
	LIST_EACH(node, &r->order)
	drop(r, CONTAINER_OF(node, struct one, link));
	map_fini(&r->map);
	free(r);
}

static struct one *
find(const struct revoked *r, uint64_t caller)
{
	struct map_node *n = r->map.count == 0 ? NULL : map_first(&r->map, caller);
	return n == NULL ? NULL : CONTAINER_OF(n, struct one, node);
}

void
revoked_add(struct revoked *r, uint64_t caller)
{
	if (find(r, caller) != NULL)
		return;
	if (r->map.count == REVOKED_MAX)
		drop(r, CONTAINER_OF(r->order.next, struct one, link));
	struct one *o = xcalloc(1, sizeof(*o));
	map_insert(&r->map, &o->node, caller);
	list_append(&r->order, &o->link);
}

void
revoked_remove(struct revoked *r, uint64_t caller)
{
	struct one *o = find(r, caller);
	if (o != NULL)
		drop(r, o);
}

bool
revoked_has(const struct revoked *r, uint64_t caller)
{
	return find(r, caller) != NULL;
}

size_t
revoked_count(const struct revoked *r)
{
	return r->map.count;
}
