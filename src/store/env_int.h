/*
 * env_int: one LMDB environment in one file (PATH and PATH-lock), opened the one way this room
 * does.
 *
 * Limits     an environment is opened once in a process: who owns the struct sees to it. Never
 *            MDB_WRITEMAP (a full disk would be SIGBUS), never MDB_NOMEMINIT (it writes old heap
 *            to the disk), never resized while open. A file may rightly be shorter than its
 *            header says (pages that one transaction took and gave back are never written), but
 *            reading its map there would be SIGBUS: so it is made longer, without taking room on
 *            the disk; where that may not be, it is E_CORRUPT. The lock file is mapped and
 *            written by LMDB: its blocks are taken before, so that a full disk is E_FULL and not
 *            SIGBUS.
 * Threads    MDB_NOTLS: a read transaction belongs to its struct, not to a thread.
 */
#ifndef STORE_ENV_INT_H
#define STORE_ENV_INT_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"

#define ENV_DBIS_MAX 4

struct env_dbi {
	const char *name;
	unsigned flags; /* of mdb_dbi_open, without MDB_CREATE */
};
struct env_options {
	const struct env_dbi *dbis;
	size_t n_dbis;
	uint64_t map_size; /* 0: as large as the file */
	unsigned flags;    /* of mdb_env_open */
	unsigned check_ms; /* > 0: its pages are looked through first, for so long at most; one that
			       would end the process is E_CORRUPT */
	bool must_be_whole; /* a file shorter than its header says is E_CORRUPT, not made longer */
};
struct env {
	MDB_env *mdb; /* NULL: not open */
	MDB_dbi dbi[ENV_DBIS_MAX];
	unsigned page_size;
};

MUST_CHECK enum err env_open(const char *path, const struct env_options *o, struct env *out);
void env_close(struct env *e); /* fine on one that is not open */
/* E_FULL: disk or map; E_CORRUPT, E_NOMEM, E_EOF (no such file or key), else E_IO. */
enum err env_err(int rc);
/* Bytes that the file has grown to, by LMDB's own account. */
uint64_t env_file_bytes(const struct env *e);

/* To be called after each commit: see Limits. */
void env_cover(const struct env *e);

static inline MDB_val
val_of(const void *p, size_t n)
{
	union {
		const void *in;
		void *out;
	} u = {.in = p}; /* LMDB's type lacks a const; it does not write there */

	return (MDB_val){n, u.out};
}
static inline struct span
span_of_val(MDB_val v)
{
	return span_of(v.mv_data, v.mv_size);
}

#endif
