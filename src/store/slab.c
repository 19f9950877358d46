#include "store/slab_int.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/chk.h"

struct slab {
	struct slab *next;       /* of the spare ones */
	_Atomic unsigned in_use; /* pieces, and 1 while it is the current one */
	size_t used;             /* bytes cut off; the taker's */
	alignas(max_align_t) char bytes[];
};

void
slabs_init(struct slabs *s)
{
	*s = (struct slabs){.current = NULL};
	CHK(pthread_mutex_init(&s->lock, NULL) == 0);
}

static void
unmap(struct slab *slab)
{
	CHK(munmap(slab, SLAB_SIZE) == 0);
}

/* Nobody uses it any more. */
static void
retire(struct slabs *s, struct slab *slab)
{
	(void)pthread_mutex_lock(&s->lock);
	if (s->n_spare < SLABS_SPARE) {
		slab->next = s->spare;
		s->spare = slab;
		s->n_spare++;
		slab = NULL;
	}
	s->n -= slab != NULL;
	(void)pthread_mutex_unlock(&s->lock);
	if (slab != NULL)
		unmap(slab);
}

static struct slab *
take_spare(struct slabs *s, bool *may_map)
{
	struct slab *slab;

	(void)pthread_mutex_lock(&s->lock);
	slab = s->spare;
	if (slab != NULL) {
		s->spare = slab->next;
		s->n_spare--;
	}
	*may_map = slab == NULL && s->n < SLABS_MAX;
	s->n += *may_map;
	(void)pthread_mutex_unlock(&s->lock);
	return slab;
}

static struct slab *
map_one(struct slabs *s)
{
	void *p = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		return p;
	(void)pthread_mutex_lock(&s->lock);
	s->n--;
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

void
slabs_give(struct slabs *s, struct slab *of)
{
	if (atomic_fetch_sub(&of->in_use, 1) == 1)
		retire(s, of);
}

/* False: there is none. */
static bool
renew_current(struct slabs *s)
{
	bool may_map;
	struct slab *slab = take_spare(s, &may_map);

	if (may_map)
		slab = map_one(s);
	if (slab == NULL)
		return false;
	if (s->current != NULL)
		slabs_give(s, s->current);
	slab->used = 0;
	atomic_store(&slab->in_use, 1);
	s->current = slab;
	return true;
}

static bool
has_room(struct slab *slab, size_t size)
{
	if (slab == NULL)
		return false;
	if (atomic_load(&slab->in_use) == 1)
		slab->used = 0;
	return slab->used + size <= SLAB_SIZE - sizeof(*slab);
}

void *
slabs_take(struct slabs *s, size_t size, struct slab **of)
{
	char *p;

	size = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	CHK(size <= SLAB_PIECE_MAX);
	if (!has_room(s->current, size) && !renew_current(s))
		return NULL;
	p = s->current->bytes + s->current->used;
	s->current->used += size;
	atomic_fetch_add(&s->current->in_use, 1);
	*of = s->current;
	return p;
}

void
slabs_fini(struct slabs *s)
{
	if (s->current != NULL)
		slabs_give(s, s->current);
	CHK(s->n == s->n_spare);
	for (struct slab *slab = s->spare, *next; slab != NULL; slab = next) {
		next = slab->next;
		unmap(slab);
	}
	(void)pthread_mutex_destroy(&s->lock);
}
