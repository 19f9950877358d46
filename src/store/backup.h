/*
 * backup: a consistent copy of what is worth one: the log and the secret. The cache is not: it is
 * disposable. The copy is a data directory, for `logs` and for `serve`.
 *
 * Model      In steps, on any one thread that is not the loop's. Beside a running server: what had
 *            been appended when it began is committed, then each segment is copied as one of its
 *            transactions left it; logging goes on meanwhile. Without one (records_open_readonly):
 *            the queue is copied too. The secret comes last: without it no command takes the copy
 *            for one.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"

struct backup;
struct records;

struct backup_figures {
	uint64_t records, segments, bytes;
};

/* dir: absolute; it must not exist or be empty, and not lie in the data directory. */
struct backup *backup_new(struct records *r, const char *dir);
enum backup_result { BACKUP_MORE, BACKUP_DONE, BACKUP_FAILED };
/* One segment at most. BACKUP_FAILED: one line in detail; what it had copied is removed. */
enum backup_result backup_step(struct backup *b, char *detail, size_t detail_size);
void backup_figures(const struct backup *b, struct backup_figures *out);
/* An unfinished copy is left where it is, without a secret. */
void backup_free(struct backup *b);

/*
 * A server that has fenced itself in (sandbox.h) writes only in its data directory: there it makes the copy, in a directory
 * "DATA/backup.NAME", and the command line, which is not fenced in, moves it to where it is wanted.
 */
#define BACKUP_STAGE "backup."
/* dir is new or empty, and not in the data directory. E_USAGE or E_IO: one line in detail. */
MUST_CHECK enum err backup_check_target(
    const char *dir, const char *data, char *detail, size_t detail_size);
/* To another file system too. The stage is gone afterwards, whatever comes of it. */
MUST_CHECK enum err backup_move(
    const char *stage, const char *dir, char *detail, size_t detail_size);
void backup_drop(const char *stage); /* what a failure may have left of it */

#endif
