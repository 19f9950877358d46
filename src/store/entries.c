#include "store/entries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "store/datadir.h"
#include "store/entries_int.h"
#include "store/file_int.h"

#define DATA_FILE "data.mdb"
#define MAP_UNIT (UINT64_C(64) << 10) /* a multiple of every page size */
#define CHECK_MS 8 /* of a start, at most: some 25 MB, if the system still has them in memory */
/* `visited`: 2 MB of bits for a cache of 2 GB. Two entries that share one can cost the second its
 * second chance: so there are many more bits than entries. */
#define VISITED_MIN (UINT64_C(1) << 19)
#define VISITED_MAX (UINT64_C(1) << 25)
#define BYTES_A_BIT 128
#define TAKEN_MIN                                                                                  \
	(64 * 1024) /* smaller bodies are copied: their memory would be one more to free */

/* ---- open ---- */

void
entries_wipe(const char *dir)
{
	static const char *const names[] = {DATA_FILE, DATA_FILE "-lock", "format"};
	char path[FILE_PATH_SIZE];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		file_path(path, dir, names[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			log_line(LOG_WARN, "cache: cannot remove %s: %s", path, strerror(errno));
	}
}

/* LMDB has found pages that cannot be and is about to end the process: the next one shall not find
 * them again. */
static void
on_impossible_page(MDB_env *mdb, const char *what)
{
	const struct entries *e = mdb_env_get_userctx(mdb);
	char path[FILE_PATH_SIZE];

	log_line(LOG_ERROR, "cache: %s is damaged beyond use (%s); it is emptied at the next start",
	    e->dir, what);
	file_path(path, e->dir, "format");
	(void)unlink(path);
}

static uint64_t
map_size_for(uint64_t max_size)
{
	return (max_size - ENTRIES_OVERHEAD) / MAP_UNIT * MAP_UNIT;
}

/* The cache is disposable: what cannot be trusted, or is of another format or size, is not asked
 * about. */
static bool
must_wipe(const struct entries *e, bool was_clean)
{
	char path[FILE_PATH_SIZE], text[64];
	const struct fault f = {text, sizeof(text)};
	struct stat st;

	file_path(path, e->dir, DATA_FILE);
	if (stat(path, &st) != 0)
		return true; /* a lock file alone is of no use either */
	if (!was_clean || (uint64_t)st.st_size > map_size_for(e->max_size))
		return true;
	file_path(path, e->dir, "format");
	return access(path, F_OK) != 0 ||
	    file_check_format(e->dir, ENTRIES_FORMAT, true, &f) != E_OK;
}

static enum err
open_env(struct entries *e)
{
	static const struct env_dbi dbis[ENTRIES_DBIS] = {[DBI_HEAD] = {"head", 0},
	    [DBI_CHUNK] = {"chunk", 0},
	    [DBI_AGE] = {"age", MDB_INTEGERKEY},
	    [DBI_EXPIRY] = {"expiry", 0}};
	const struct env_options o = {
	    .dbis = dbis,
	    .n_dbis = ENTRIES_DBIS,
	    .map_size = map_size_for(e->max_size),
	    .flags = MDB_NOSYNC | MDB_NORDAHEAD,
	    .check_ms = CHECK_MS,
	    .must_be_whole = true,
	};
	char path[FILE_PATH_SIZE];

	file_path(path, e->dir, DATA_FILE);
	return env_open(path, &o, &e->env);
}

enum err
entries_open_store(struct entries *e, bool was_clean, const struct fault *f)
{
	enum err err;

	if (must_wipe(e, was_clean))
		entries_wipe(e->dir);
	err = open_env(e);
	if (err == E_CORRUPT || err == E_EOF) {
		log_line(LOG_WARN, "cache: %s is damaged; starting empty", e->dir);
		entries_wipe(e->dir);
		err = open_env(e);
	}
	if (err != E_OK)
		return fault_set(
		    f, err, "%s/%s cannot be opened: %s", e->dir, DATA_FILE, err_row(err)->text);
	err = file_check_format(e->dir, ENTRIES_FORMAT, false, f);
	if (err != E_OK) {
		env_close(&e->env);
		return err;
	}
	CHK(mdb_env_set_userctx(e->env.mdb, e) == 0);
	CHK(mdb_env_set_assert(e->env.mdb, on_impossible_page) == 0);
	return err;
}

static uint64_t
visited_bits(uint64_t max_size)
{
	uint64_t bits = VISITED_MIN;

	while (bits < max_size / BYTES_A_BIT && bits < VISITED_MAX)
		bits *= 2;
	return bits;
}

static struct entries *
make(const struct datadir *d, uint64_t max_size)
{
	struct entries *e = xcalloc(1, sizeof(*e));
	pthread_condattr_t clock;

	e->max_size = max_size;
	file_path(e->dir, d->path, "cache");
	e->last = &e->first;
	map_init(&e->pending);
	map_reserve(&e->pending, SLABS_MAX * SLAB_SIZE / sizeof(struct op));
	slabs_init(&e->slabs);
	e->visited_mask = visited_bits(max_size) - 1;
	e->visited = xcalloc((e->visited_mask + 1) / 64, sizeof(*e->visited));
	CHK(pthread_mutex_init(&e->lock, NULL) == 0);
	CHK(pthread_mutex_init(&e->reader_lock, NULL) == 0);
	CHK(pthread_condattr_init(&clock) == 0);
	CHK(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
	CHK(pthread_cond_init(&e->has_work, &clock) == 0);
	(void)pthread_condattr_destroy(&clock);
	CHK(pthread_cond_init(&e->has_purged, NULL) == 0);
	return e;
}

static void
unmake(struct entries *e)
{
	map_fini(&e->pending);
	ops_free(e, ops_spent(e));
	slabs_fini(&e->slabs);
	(void)pthread_mutex_destroy(&e->lock);
	(void)pthread_mutex_destroy(&e->reader_lock);
	(void)pthread_cond_destroy(&e->has_work);
	(void)pthread_cond_destroy(&e->has_purged);
	free(e->visited);
	free(e);
}

enum err
entries_open(const struct datadir *d, uint64_t max_size, struct entries **out, char *detail,
    size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	struct entries *e;
	enum err err;

	CHK(d->lock_fd >= 0);
	if (max_size < ENTRIES_SIZE_MIN)
		return fault_set(&f, E_USAGE, "cache.max_size: at least 1MB is needed");
	e = make(d, max_size);
	entries_guard_start(e);
	err = entries_open_store(e, d->was_clean, &f);
	if (err != E_OK)
		goto fail_made;
	e->page_size = e->env.page_size;
	e->page_limit = map_size_for(max_size) / e->page_size * 9 / 10;
	if (pthread_create(&e->thread, NULL, entries_writer, e) != 0) {
		err = fault_set(&f, E_NOMEM, "cache: cannot start the writer's thread");
		goto fail_opened;
	}
	*out = e;
	return E_OK;

fail_opened:
	env_close(&e->env);
fail_made:
	entries_guard_stop();
	unmake(e);
	return err;
}

static void
stop_writer(struct entries *e)
{
	(void)pthread_mutex_lock(&e->lock);
	e->is_stopping = true;
	(void)pthread_cond_signal(&e->has_work);
	(void)pthread_mutex_unlock(&e->lock);
	CHK(pthread_join(e->thread, NULL) == 0);
}

void
entries_leave(struct entries *e)
{
	CHK(!e->has_left);
	stop_writer(e);
	entries_guard_stop(); /* a crash of ours is not the new server's */
	e->has_left = true;
}

void
entries_close(struct entries *e)
{
	if (e == NULL)
		return;
	entries_turn_end(e);
	if (!e->has_left) {
		stop_writer(e);
		entries_guard_stop();
	}
	if (e->reader != NULL)
		mdb_txn_abort(e->reader);
	if (e->has_left) {
		env_close(&e->env);
		unmake(e);
		return;
	}
	/* The clean mark that the caller sets next promises that all is on the disk. */
	if (atomic_load(&e->is_damaged) || e->env.mdb == NULL || mdb_env_sync(e->env.mdb, 1) != 0) {
		log_line(LOG_WARN, "cache: cannot sync %s; starting empty next time", e->dir);
		env_close(&e->env);
		entries_wipe(e->dir);
	}
	env_close(&e->env);
	unmake(e);
}

/* ---- visited bits ---- */

void
visited_set(struct entries *e, const struct entry_key *k)
{
	uint64_t bit = entry_key_hash(k) & e->visited_mask, mask = UINT64_C(1) << bit % 64;
	_Atomic uint64_t *word = &e->visited[bit / 64];

	/* Mostly it is set: do not take the cache line from the writer for nothing. */
	if ((atomic_load_explicit(word, memory_order_relaxed) & mask) == 0)
		atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
}

bool
visited_test_and_clear(struct entries *e, const struct entry_key *k)
{
	uint64_t bit = entry_key_hash(k) & e->visited_mask, mask = UINT64_C(1) << bit % 64;

	return (atomic_fetch_and_explicit(&e->visited[bit / 64], ~mask, memory_order_relaxed) &
		   mask) != 0;
}

/* ---- ops ---- */

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
	if (op != NULL)
		free(op->body);
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

static bool
takes_body(const struct entry_new *n)
{
	return n->body_buf != NULL && n->body.n >= TAKEN_MIN;
}

static void
copy_new(struct op *op, const struct entry_new *n)
{
	char *to = op->bytes;

	op->new = *n;
	op->new.body_buf = NULL;
	op->new.meta.body_size = n->body.n;
	op->new.gateway = keep(&to, n->gateway);
	op->new.provider = keep(&to, n->provider);
	op->new.model = keep(&to, n->model);
	op->new.headers = keep(&to, n->headers);
	op->new.preimage = keep(&to, n->preimage);
	if (takes_body(n)) {
		size_t size;
		op->body = buf_take(n->body_buf, &size);
		op->new.body = span_of(op->body, size);
		op->cost += size;
	} else {
		op->new.body = keep(&to, n->body);
	}
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
	op = op_new(e, OP_PUT, takes_body(n) ? size - n->body.n : size);
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

void
entries_stats(struct entries *e, struct entries_stats *out)
{
	*out = (struct entries_stats){
	    .entries = atomic_load(&e->entries),
	    .bytes = atomic_load(&e->pages) * e->page_size,
	    .max_bytes = e->max_size,
	    .pending = atomic_load(&e->pending_ops),
	    .pending_bytes = atomic_load(&e->pending_bytes),
	};
}
