#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "obs/log.h"
#include "store/entries_int.h"
#include "store/file_int.h"

/* ---- the loop out of the way ---- */

#define AWAIT_PAUSES 2500 /* half a second: a turn is not longer, but for a machine that stands */

/* Returns with reader_lock held and no read transaction under way: between two turns. */
static void
await_turn(struct entries *e)
{
	const struct timespec pause = {.tv_nsec = 200000};

	(void)pthread_mutex_lock(&e->reader_lock);
	while (e->is_reading) {
		(void)pthread_mutex_unlock(&e->reader_lock);
		(void)nanosleep(&pause, NULL);
		(void)pthread_mutex_lock(&e->reader_lock);
	}
}

/* Of the snapshot that the loop reads from; 0: none. */
static size_t
reader_id(struct entries *e)
{
	size_t id;

	(void)pthread_mutex_lock(&e->reader_lock);
	id = e->is_reading ? mdb_txn_id(e->reader) : 0;
	(void)pthread_mutex_unlock(&e->reader_lock);
	return id;
}

void
entries_await_reader(struct entries *e)
{
	const struct timespec pause = {.tv_nsec = 200000};
	size_t id = reader_id(e);

	for (int i = 0; i < AWAIT_PAUSES && id != 0 && reader_id(e) == id; i++)
		(void)nanosleep(&pause, NULL);
}

/* ---- damage ---- */

void
entries_suspect(struct entries *e, int rc)
{
	if (rc != MDB_PANIC && env_err(rc) != E_CORRUPT)
		return;
	if (atomic_exchange(&e->is_damaged, true))
		return;
	log_line(LOG_ERROR, "cache: %s: %s; it is emptied", e->dir, mdb_strerror(rc));
	(void)pthread_mutex_lock(&e->lock);
	e->is_suspected = true;
	(void)pthread_cond_signal(&e->has_work);
	(void)pthread_mutex_unlock(&e->lock);
}

/* Generations go on: what the loop found in the old file is not in the new one. */
void
entries_renew(struct entries *e)
{
	char detail[FILE_PATH_SIZE];
	const struct fault f = {detail, sizeof(detail)};

	await_turn(e);
	mdb_txn_abort(e->reader);
	e->reader = NULL;
	(void)pthread_mutex_unlock(&e->reader_lock);
	env_close(&e->env);
	entries_wipe(e->dir);
	atomic_store(&e->pages, 0);
	atomic_store(&e->entries, 0);
	index_clear(&e->index);
	e->is_learnt = true;
	e->hand = e->lap_end = 0;
	e->expires_next = INT64_MAX;
	if (entries_open_store(e, true, &f) != E_OK) {
		log_line(LOG_ERROR, "cache: %s; nothing is stored until that is mended", detail);
		return;
	}
	atomic_fetch_add(&e->commits, 1);
	atomic_store(&e->is_damaged, false);
}

/* ---- compact ---- */

/* LMDB's list of free pages, its table 0: number of the transaction that freed them -> how many,
 * and their numbers, greatest first. */
#define FREE_DBI 0

static bool
punch(int fd, uint64_t from, uint64_t bytes)
{
	return fallocate(
		   fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)bytes) == 0;
}

/* Runs of neighbours are one hole. */
static bool
punch_list(const struct entries *e, int fd, const size_t *pages, size_t n)
{
	for (size_t i = 0, run = 1; i < n; i += run) {
		run = 1;
		while (i + run < n && pages[i + run] + run == pages[i])
			run++;
		if (!punch(fd, pages[i + run - 1] * e->page_size, run * e->page_size))
			return false;
	}
	return true;
}

/* LMDB shows its list to read transactions only. */
static int
punch_all(struct entries *e, int fd)
{
	MDB_cursor *c;
	MDB_val key, value;
	MDB_txn *txn;
	int rc = mdb_txn_begin(e->env.mdb, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_open(txn, FREE_DBI, &c);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	while ((rc = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
		const size_t *list = value.mv_data;

		if (value.mv_size < sizeof(*list) || list[0] >= value.mv_size / sizeof(*list)) {
			rc = MDB_CORRUPTED;
			break;
		}
		if (!punch_list(e, fd, list + 1, list[0])) {
			rc = errno;
			break;
		}
	}
	mdb_cursor_close(c);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static uint64_t
disk_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/*
 * While this transaction holds LMDB's lock nothing is freed or taken, and a reader that begins sees
 * the newest state, which has none of the free pages in it. Only one that began earlier could: so
 * the loop's turn is awaited. The rest is the kernel's: a hole reads as zeros, which nobody reads,
 * and a page that is taken again is written whole.
 */
void
entries_run_compact(struct entries *e, struct request *rq)
{
	mdb_filehandle_t fd;
	uint64_t before;
	MDB_txn *txn;
	int rc = entries_begin(e, &txn);

	if (rc != 0) {
		rq->err = E_IO;
		return;
	}
	CHK(mdb_env_get_fd(e->env.mdb, &fd) == 0);
	before = disk_bytes(fd);
	await_turn(e);
	(void)pthread_mutex_unlock(&e->reader_lock);
	rc = punch_all(e, fd);
	mdb_txn_abort(txn);
	entries_suspect(e, rc);
	if (before > disk_bytes(fd))
		rq->count = before - disk_bytes(fd);
	if (rc != 0) {
		log_line(LOG_WARN, "cache: compact: %s: %s", e->dir, mdb_strerror(rc));
		rq->err = E_IO;
	}
}
