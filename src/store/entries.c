#include "store/entries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "obs/log.h"
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

/* One for each 400 to 800 bytes: an entry that is asked and answered in a line or two takes 900. */
static uint64_t
slots_for(uint64_t max_size)
{
	uint64_t slots = 1;

	while (2 * slots * sizeof(struct index_slot) <= max_size / ENTRIES_INDEX_PART)
		slots *= 2;
	return slots;
}

static uint64_t
map_size_for(uint64_t max_size)
{
	uint64_t others = ENTRIES_OVERHEAD + index_bytes_max(slots_for(max_size));

	return (max_size - others) / MAP_UNIT * MAP_UNIT;
}

static const struct format format = {.version = ENTRIES_FORMAT, .oldest = ENTRIES_FORMAT};

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
	return access(path, F_OK) != 0 || file_check_format(e->dir, format, true, &f) != E_OK;
}

static enum err
open_env(struct entries *e)
{
	static const struct env_dbi dbis[ENTRIES_DBIS] = {[DBI_HEAD] = {"head", MDB_INTEGERKEY},
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
	err = file_check_format(e->dir, format, false, f);
	if (err != E_OK) {
		env_close(&e->env);
		return err;
	}
	CHK(mdb_env_set_userctx(e->env.mdb, e) == 0);
	CHK(mdb_env_set_assert(e->env.mdb, on_impossible_page) == 0);
	return err;
}

static enum err
open_index(struct entries *e, const struct fault *f)
{
	char path[FILE_PATH_SIZE];

	file_path(path, e->dir, "index");
	return index_open(path, slots_for(e->max_size), &e->index, f);
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
	err = open_index(e, &f);
	if (err != E_OK)
		goto fail_store;
	e->page_size = e->env.page_size;
	e->page_limit = map_size_for(max_size) / e->page_size * 9 / 10;
	e->count_limit = slots_for(max_size) / 8 * 7;
	if (pthread_create(&e->thread, NULL, entries_writer, e) != 0) {
		err = fault_set(&f, E_NOMEM, "cache: cannot start the writer's thread");
		goto fail_opened;
	}
	*out = e;
	return E_OK;

fail_opened:
	index_close(&e->index);
fail_store:
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

/* When the writer has ended. */
static void
seal(struct entries *e)
{
	if (e->is_learnt)
		index_seal(&e->index);
}

static bool
sync_all(struct entries *e)
{
	if (atomic_load(&e->is_damaged) || e->env.mdb == NULL)
		return false;
	seal(e);
	return mdb_env_sync(e->env.mdb, 1) == 0 && index_sync(&e->index) == E_OK;
}

void
entries_leave(struct entries *e)
{
	CHK(!e->has_left);
	stop_writer(e);
	seal(e);
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
	/* The clean mark that the caller sets next promises that all is on the disk. */
	if (!e->has_left && !sync_all(e)) {
		log_line(LOG_WARN, "cache: cannot sync %s; starting empty next time", e->dir);
		env_close(&e->env);
		entries_wipe(e->dir);
	}
	index_close(&e->index);
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
