#include "store/entries_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "obs/metric.h"

#define TAKEN_MIN                                                                                  \
	(64 * 1024) /* smaller bodies are copied: their memory would be one more to free */

struct op *
op_find(const struct entries *e, const struct entry_key *k)
{
	struct map_node *n = map_first(&e->pending, entry_key_hash(k));

	for (; n != NULL; n = map_next(n)) {
		struct op *op = CONTAINER_OF(n, struct op, node);

		if (memcmp(&op->new.key, k, sizeof(*k)) == 0)
			return op;
	}
	return NULL;
}

struct op *
op_unref(struct entries *e, struct op *op)
{
	CHK(op->refs > 0);
	if (--op->refs > 0)
		return NULL;
	atomic_fetch_sub(&e->pending_bytes, op->cost);
	return op;
}

void
ops_free(struct entries *e, struct op *list)
{
	while (list != NULL) {
		struct op *next = list->next;

		op_free(e, list);
		list = next;
	}
}

struct op *
ops_spent(struct entries *e)
{
	struct op *list = e->spent;

	e->spent = NULL;
	return list;
}

/* The loop's only; NULL: too much is waiting, or no memory. Small ones come in masses: what malloc
 * would keep of them when the writer has fallen behind once is as much as may ever wait. */
static struct op *
op_new(struct entries *e, enum op_kind kind, size_t bytes)
{
	size_t size = sizeof(struct op) + bytes;
	struct slab *slab = NULL;
	struct op *op = size <= SLAB_PIECE_MAX ? slabs_take(&e->slabs, size, &slab) : malloc(size);

	if (op != NULL)
		*op = (struct op){.kind = kind, .refs = 1, .slab = slab, .cost = size};
	return op;
}

void
op_free(struct entries *e, struct op *op)
{
	if (op != NULL) {
		free(op->body);
		free(op->preimage);
	}
	if (op == NULL || op->slab == NULL)
		free(op);
	else
		slabs_give(&e->slabs, op->slab);
}

void
op_hide(struct entries *e, struct op *op)
{
	if (!op->is_pending)
		return;
	map_remove(&e->pending, &op->node);
	op->is_pending = false;
	atomic_fetch_sub_explicit(pending_like(e, &op->new.key), 1, memory_order_release);
	atomic_fetch_sub(&e->pending_ops, 1);
}

/* An older op of the same key is no longer the one to be found. */
static void
op_show(struct entries *e, struct op *op)
{
	struct op *older = op_find(e, &op->new.key);

	if (older != NULL)
		op_hide(e, older);
	map_insert(&e->pending, &op->node, entry_key_hash(&op->new.key));
	op->is_pending = true;
	atomic_fetch_add(pending_like(e, &op->new.key), 1);
	atomic_fetch_add(&e->pending_ops, 1);
}

/* With the lock held. Once for each sleep: to signal one who is awake but has not run yet is to wait for him. */
static void
wake_if_due(struct entries *e)
{
	bool has_enough = e->is_urgent || atomic_load(&e->pending_bytes) >= ENTRIES_GATHER_BYTES;

	if (!e->is_asleep && !(e->is_gathering && has_enough))
		return;
	e->is_asleep = e->is_gathering = false;
	(void)pthread_cond_signal(&e->has_work);
}

static void
op_push(struct entries *e, struct op *op)
{
	struct op *spent;

	(void)pthread_mutex_lock(&e->lock);
	if (op->request == NULL)
		op_show(e, op);
	else
		e->is_urgent = true;
	atomic_fetch_add(&e->pending_bytes, op->cost);
	*e->last = op;
	e->last = &op->next;
	wake_if_due(e);
	spent = ops_spent(e);
	(void)pthread_mutex_unlock(&e->lock);
	ops_free(e, spent);
}

static struct span
keep(char **to, struct span s)
{
	struct span kept = span_of(*to, s.n);

	if (s.n > 0)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

/* How much of it goes with its memory. */
static size_t
taken(const struct buf *b, struct span s)
{
	return b != NULL && s.n >= TAKEN_MIN ? s.n : 0;
}

static struct span
take(struct op *op, struct buf *b, char **memory)
{
	size_t n;

	*memory = buf_take(b, &n);
	op->cost += n;
	return span_of(*memory, n);
}

static void
copy_new(struct op *op, const struct entry_new *n)
{
	char *to = op->bytes;

	op->new = *n;
	op->new.preimage_buf = op->new.body_buf = NULL;
	op->new.meta.body_size = n->body.n;
	op->new.gateway = keep(&to, n->gateway);
	op->new.provider = keep(&to, n->provider);
	op->new.model = keep(&to, n->model);
	op->new.headers = keep(&to, n->headers);
	op->new.preimage = taken(n->preimage_buf, n->preimage) > 0
	    ? take(op, n->preimage_buf, &op->preimage)
	    : keep(&to, n->preimage);
	op->new.body =
	    taken(n->body_buf, n->body) > 0 ? take(op, n->body_buf, &op->body) : keep(&to, n->body);
}

enum err
entries_put(struct entries *e, const struct entry_new *n)
{
	uint64_t size = (uint64_t)n->gateway.n + n->provider.n + n->model.n + n->headers.n +
	    n->preimage.n + n->body.n;
	struct entry_head h;
	struct op *op;

	if (e->has_left)
		return E_FULL;
	if (size > e->max_size / 4 || !entry_plan(n, 0, ENTRY_COMPACT, &h) ||
	    atomic_load(&e->pending_bytes) + size + sizeof(*op) > ENTRIES_PENDING_MAX) {
		metric_add(M_CACHE_FAILED, 1);
		return E_FULL;
	}
	op = op_new(
	    e, OP_PUT, size - taken(n->preimage_buf, n->preimage) - taken(n->body_buf, n->body));
	if (op == NULL) {
		metric_add(M_CACHE_FAILED, 1);
		return E_FULL;
	}
	copy_new(op, n);
	op_push(e, op);
	return E_OK;
}

void
entries_remove(struct entries *e, const struct entry_key *k)
{
	struct op *op;

	if (e->has_left)
		return;
	op = op_new(e, OP_REMOVE, 0);
	if (op == NULL)
		return;
	op->new.key = *k;
	op_push(e, op);
}

static void
ask_and_wait(struct entries *e, enum op_kind kind, struct request *rq)
{
	struct op *op = xcalloc(1, sizeof(*op));

	*op = (struct op){.kind = kind, .refs = 1, .cost = sizeof(*op), .request = rq};
	op_push(e, op);
	(void)pthread_mutex_lock(&e->lock);
	while (!rq->is_done)
		(void)pthread_cond_wait(&e->has_purged, &e->lock);
	(void)pthread_mutex_unlock(&e->lock);
}

uint64_t
entries_purge(struct entries *e, struct span gateway, struct span provider, struct span model)
{
	struct request rq = {.gateway = gateway, .provider = provider, .model = model};

	ask_and_wait(e, OP_PURGE, &rq);
	return rq.count;
}

enum err
entries_compact(struct entries *e, uint64_t *freed)
{
	struct request rq = {.err = E_OK};

	ask_and_wait(e, OP_COMPACT, &rq);
	*freed = rq.count;
	return rq.err;
}
