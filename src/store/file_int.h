/*
 * file_int: small files of the data directory, and the one line that explains a refusal.
 *
 * Private to store/. Paths are built into fixed buffers: datadir_open refuses a directory whose
 * name would not fit.
 */
#ifndef STORE_FILE_INT_H
#define STORE_FILE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"

#define FILE_PATH_SIZE 4096
#define FILE_DIR_MAX 3500 /* longest data directory; leaves room for every name below it */

/* Where a caller wants to read why: path and cause, one line. */
struct fault {
	char *text;
	size_t size;
};
/* Writes the line and returns e, for "return fault_set(...)". */
enum err fault_set(const struct fault *f, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

void file_path(char out[FILE_PATH_SIZE], const char *dir, const char *name);
/* The whole file, which must be shorter than size; NUL-terminated. E_EOF: not there. */
MUST_CHECK enum err file_read(const char *path, char *out, size_t size, size_t *n);
/* Written beside it, synced, renamed: the old or the new content, never a mixture. Mode 0600. */
MUST_CHECK enum err file_replace(const char *path, const void *p, size_t n);
/* Makes names in the directory survive a power loss. */
MUST_CHECK enum err file_sync_dir(const char *path);
/* As the file system counts; 0 when it is not there. */
uint64_t file_disk_bytes(const char *path);

struct format {
	unsigned version,
	    oldest; /* the one written, and the oldest that is read and gone on with */
};
/* DIR/format of a store: one number. E_USAGE: another version wrote it (*f says which). Missing or
 * older: written, or with is_readonly taken as ours. */
MUST_CHECK enum err file_check_format(
    const char *dir, struct format ours, bool is_readonly, const struct fault *f);

#endif
