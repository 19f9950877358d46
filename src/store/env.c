#include "store/env_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/file_int.h"
#include "store/tree_int.h"

#define LOCK_SIZE 8192 /* 125 readers: LMDB goes by the file's size */

enum err
env_err(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return E_OK;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return E_FULL;
	case ENOMEM:
		return E_NOMEM;
	case ENOENT:
	case MDB_NOTFOUND:
		return E_EOF;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_BAD_VALSIZE:
	case MDB_INCOMPATIBLE:
		return E_CORRUPT;
	default:
		return E_IO;
	}
}

uint64_t
env_file_bytes(const struct env *e)
{
	MDB_envinfo info;

	CHK(mdb_env_info(e->mdb, &info) == 0);
	return ((uint64_t)info.me_last_pgno + 1) * e->page_size;
}

static bool
is_short(const struct env *e)
{
	struct stat st;
	mdb_filehandle_t fd;

	return mdb_env_get_fd(e->mdb, &fd) != 0 || fstat(fd, &st) != 0 ||
	    (uint64_t)st.st_size < env_file_bytes(e);
}

void
env_cover(const struct env *e)
{
	mdb_filehandle_t fd;

	if (!is_short(e) || mdb_env_get_fd(e->mdb, &fd) != 0)
		return;
	if (ftruncate(fd, (off_t)env_file_bytes(e)) != 0) {
		/* Pages that nothing refers to: they are missed only if the file is damaged. */
	}
}

static bool
can_read_all(const struct env *e, const char *path, const struct env_options *o)
{
	return !is_short(e) || (!o->must_be_whole && truncate(path, (off_t)env_file_bytes(e)) == 0);
}

static int
open_dbis(struct env *e, const struct env_options *o)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(e->mdb, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < o->n_dbis && rc == 0; i++)
		rc = mdb_dbi_open(txn, o->dbis[i].name, o->dbis[i].flags | MDB_CREATE, &e->dbi[i]);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int
take_lock_file(const char *path)
{
	char lock[FILE_PATH_SIZE];
	int fd, rc;

	CHK((size_t)snprintf(lock, sizeof(lock), "%s-lock", path) < sizeof(lock));
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	rc = posix_fallocate(fd, 0, LOCK_SIZE);
	/* Before LMDB locks it: closing any descriptor drops the process's locks on the file. */
	(void)close(fd);
	return rc;
}

/* The parts between create and use that can fail. */
static int
set_up(struct env *e, const char *path, const struct env_options *o)
{
	unsigned flags = o->flags | MDB_NOSUBDIR | MDB_NOTLS;
	MDB_stat st;
	int dead, rc;

	rc = mdb_env_set_maxdbs(e->mdb, ENV_DBIS_MAX);
	if (rc == 0 && o->map_size > 0)
		rc = mdb_env_set_mapsize(e->mdb, o->map_size);
	if (rc == 0)
		rc = take_lock_file(path);
	if (rc == 0)
		rc = mdb_env_open(e->mdb, path, flags, 0600);
	if (rc == 0)
		rc = mdb_env_stat(e->mdb, &st);
	if (rc != 0)
		return rc;
	e->page_size = st.ms_psize;
	if (!can_read_all(e, path, o))
		return MDB_CORRUPTED;
	/* Slots that a killed process left would pin old pages for ever. */
	rc = mdb_reader_check(e->mdb, &dead);
	if (rc != 0)
		return rc;
	return open_dbis(e, o);
}

enum err
env_open(const char *path, const struct env_options *o, struct env *out)
{
	struct env e = {.mdb = NULL};
	int rc;

	CHK(o->n_dbis <= ENV_DBIS_MAX);
	if (o->check_ms > 0 && !tree_check(path, o->check_ms))
		return E_CORRUPT;
	rc = mdb_env_create(&e.mdb);
	if (rc != 0)
		return env_err(rc);
	rc = set_up(&e, path, o);
	if (rc != 0) {
		mdb_env_close(e.mdb);
		return env_err(rc);
	}
	*out = e;
	return E_OK;
}

void
env_close(struct env *e)
{
	if (e->mdb != NULL)
		mdb_env_close(e->mdb);
	*e = (struct env){.mdb = NULL};
}
