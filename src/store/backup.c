#include "store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/datadir_int.h"
#include "store/records_int.h"

#define SETTLE_MS 10000 /* until what is queued is committed */
#define SMALL_FILE 4096

struct backup {
	struct records *r;
	char source[FILE_PATH_SIZE], dir[FILE_PATH_SIZE], log[FILE_PATH_SIZE];
	bool has_begun, is_settled, was_there;
	uint64_t settle_pos, settle_until_ms;
	struct segment **pinned;
	size_t n, at;
	struct backup_figures done;
};

struct backup *
backup_new(struct records *r, const char *dir)
{
	struct backup *b = xcalloc(1, sizeof(*b));
	char *slash;

	b->r = r;
	memcpy(b->source, r->dir, sizeof(b->source));
	slash = strrchr(b->source, '/'); /* DATA/log */
	CHK(slash != NULL);
	*slash = '\0';
	if (strlen(dir) <= FILE_DIR_MAX)
		memcpy(b->dir, dir, strlen(dir) + 1);
	for (size_t n = strlen(b->dir); n > 1 && b->dir[n - 1] == '/';)
		b->dir[--n] = '\0';
	return b;
}

void
backup_free(struct backup *b)
{
	if (b == NULL)
		return;
	if (b->pinned != NULL)
		segments_unpin(&b->r->set, b->pinned, b->n);
	free(b);
}

void
backup_figures(const struct backup *b, struct backup_figures *out)
{
	*out = b->done;
}

/* ---- the place ---- */

static bool
is_empty(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *entry;
	bool has_any = false;

	if (d == NULL)
		return false;
	while ((entry = readdir(d)) != NULL)
		has_any = has_any ||
		    (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0);
	(void)closedir(d);
	return !has_any;
}

/* Directly in the data directory, by its name. */
static bool
is_stage(const char *below)
{
	return strncmp(below, "/" BACKUP_STAGE, sizeof("/" BACKUP_STAGE) - 1) == 0 &&
	    strchr(below + 1, '/') == NULL;
}

/* Retention and the next start would take it for something of theirs. */
static bool
is_inside(const char *dir, const char *data)
{
	char *whole = realpath(dir, NULL), *outer = realpath(data, NULL);
	bool is_in = false;

	if (whole != NULL && outer != NULL) {
		size_t n = strlen(outer);

		is_in = strncmp(whole, outer, n) == 0 && (whole[n] == '/' || whole[n] == '\0') &&
		    !is_stage(whole + n);
	}
	free(whole);
	free(outer);
	return is_in;
}

enum err
backup_check_target(const char *dir, const char *data, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	char parent[FILE_PATH_SIZE];
	const char *slash = strrchr(dir, '/');
	struct stat st;

	if (dir[0] != '/' || strlen(dir) > FILE_DIR_MAX)
		return fault_set(
		    &f, E_USAGE, "backup: the directory's name is too long, or not absolute");
	memcpy(parent, dir, (size_t)(slash - dir));
	parent[slash - dir] = '\0';
	if (is_inside(slash == dir ? "/" : parent, data) || is_inside(dir, data))
		return fault_set(&f, E_USAGE, "%s: lies in the data directory itself", dir);
	if (lstat(dir, &st) == 0 && !is_empty(dir))
		return fault_set(&f, E_USAGE,
		    "%s: there is something in it, or it cannot be read; a backup needs a new or an empty directory",
		    dir);
	return E_OK;
}

/* Not removed again by failures: what is in there is not ours. */
static enum err
take_place(struct backup *b, const struct fault *f)
{
	if (b->dir[0] != '/')
		return fault_set(
		    f, E_USAGE, "backup: the directory's name is too long, or not absolute");
	b->was_there = mkdir(b->dir, 0700) != 0;
	if (b->was_there && errno != EEXIST)
		return fault_set(
		    f, E_IO, "%s: cannot make the directory: %s", b->dir, strerror(errno));
	if (b->was_there && !is_empty(b->dir))
		return fault_set(f, E_USAGE,
		    "%s: there is something in it, or it cannot be read; a backup needs a new or an empty directory",
		    b->dir);
	if (is_inside(b->dir, b->source)) {
		if (!b->was_there)
			(void)rmdir(b->dir);
		return fault_set(f, E_USAGE, "%s: lies in the data directory itself", b->dir);
	}
	if (chmod(b->dir, 0700) != 0)
		return fault_set(f, E_IO, "%s: %s", b->dir, strerror(errno));
	return E_OK;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

static void
remove_copy(const struct backup *b)
{
	if (nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 && !b->was_there)
		(void)rmdir(b->dir);
}

/* ---- files ---- */

static enum err
copy_small(const char *from, const char *to, const struct fault *f)
{
	char bytes[SMALL_FILE];
	size_t n;
	enum err e = file_read(from, bytes, sizeof(bytes), &n);

	if (e == E_EOF)
		return E_OK;
	if (e != E_OK)
		return fault_set(f, E_IO, "%s cannot be read", from);
	if (file_replace(to, bytes, n) != E_OK)
		return fault_set(f, E_IO, "%s: %s", to, strerror(errno));
	return E_OK;
}

static enum err
copy_named(const struct backup *b, const char *name, const struct fault *f)
{
	char from[FILE_PATH_SIZE], to[FILE_PATH_SIZE];

	file_path(from, b->source, name);
	file_path(to, b->dir, name);
	return copy_small(from, to, f);
}

/* Blocks of zeros become holes: most of a queue is one. */
static int
copy_bytes(int from, int to)
{
	static const char zeros[64 << 10];
	char *block = xmalloc(sizeof(zeros));
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, block, sizeof(zeros), at)) > 0) {
		if (memcmp(block, zeros, (size_t)n) != 0 && pwrite(to, block, (size_t)n, at) != n)
			break;
		at += n;
	}
	free(block);
	if (n != 0)
		return errno != 0 ? errno : EIO;
	return ftruncate(to, at) == 0 && fsync(to) == 0 ? 0 : errno;
}

static enum err
copy_queue(const struct backup *b, const struct fault *f)
{
	char from[FILE_PATH_SIZE], to[FILE_PATH_SIZE];
	int in, out, rc;

	file_path(from, b->r->dir, "queue");
	file_path(to, b->log, "queue");
	in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = in < 0 || out < 0 ? errno : copy_bytes(in, out);
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	return rc == 0 ? E_OK : fault_set(f, E_IO, "%s: %s", to, strerror(rc));
}

/* ---- segments ---- */

/* What is still written is copied as it is in one transaction, the rest byte by byte: damage
 * too, for what can still be read around it. */
static int
copy_file(const struct segment_reader *rd, const char *to)
{
	int rc, fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	rc = rd->env != NULL ? mdb_env_copyfd2(rd->env->mdb, fd, 0) : copy_bytes(rd->tree->fd, fd);
	if (rc == 0 && fsync(fd) != 0)
		rc = errno;
	(void)close(fd);
	return rc;
}

/* Opens the copy as a reader will, and counts. */
static enum err
check_copy(struct backup *b, const char *path, enum segment_part part)
{
	struct tree *t;
	enum err e = segment_open_tree(path, part, &t);

	if (e != E_OK)
		return e;
	if (part == PART_ROWS)
		b->done.records += t->table[DBI_ROWS].entries;
	tree_close(t);
	return E_OK;
}

/* E_EOF: there is no such part (any more), or nothing of it can be read, which was said. */
static enum err
copy_part(struct backup *b, struct segment *g, enum segment_part part, const struct fault *f)
{
	struct segments there = {.is_readonly = true};
	char path[FILE_PATH_SIZE];
	struct segment_reader rd;
	int rc;
	enum err e = segment_begin(&b->r->set, g, part, &rd);

	if (e == E_EOF || e == E_CORRUPT)
		return E_EOF;
	memcpy(there.dir, b->log, sizeof(there.dir));
	segment_path(&there, g, part, path);
	if (e != E_OK)
		return fault_set(
		    f, e, "%s: its original cannot be read: %s", path, err_row(e)->text);
	rc = copy_file(&rd, path);
	segment_end(&b->r->set, g, part, &rd);
	if (rc != 0)
		return fault_set(f, env_err(rc), "%s: %s", path, mdb_strerror(rc));
	e = check_copy(b, path, part);
	if (e != E_OK)
		return fault_set(f, e, "%s: the copy is damaged", path);
	b->done.bytes += file_disk_bytes(path);
	return E_OK;
}

/* Rows first: their payloads are committed before them. One that retention takes meanwhile is not
 * missed. */
static enum err
copy_segment(struct backup *b, struct segment *g, const struct fault *f)
{
	struct segments there = {.is_readonly = true};
	char dir[FILE_PATH_SIZE];
	enum err e;

	memcpy(there.dir, b->log, sizeof(there.dir));
	segment_dir(&there, g, dir);
	if (mkdir(dir, 0700) != 0)
		return fault_set(f, E_IO, "%s: %s", dir, strerror(errno));
	e = copy_part(b, g, PART_ROWS, f);
	if (e == E_EOF) {
		(void)rmdir(dir);
		return E_OK;
	}
	if (e == E_OK)
		e = copy_part(b, g, PART_PAYLOADS, f);
	if (e != E_OK && e != E_EOF)
		return e;
	b->done.segments++;
	if (file_sync_dir(dir) != E_OK)
		return fault_set(f, E_IO, "%s: %s", dir, strerror(errno));
	return E_OK;
}

/* ---- steps ---- */

static uint64_t
now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

static enum err
begin(struct backup *b, const struct fault *f)
{
	enum err e = take_place(b, f);

	if (e != E_OK)
		return e;
	b->has_begun = true;
	file_path(b->log, b->dir, "log");
	if (mkdir(b->log, 0700) != 0)
		return fault_set(f, E_IO, "%s: %s", b->log, strerror(errno));
	if (b->r->has_queue)
		b->settle_pos = queue_head(&b->r->queue);
	b->settle_until_ms = now_ms() + SETTLE_MS;
	b->is_settled = b->r->is_readonly;
	return E_OK;
}

static enum err
settle(struct backup *b, const struct fault *f)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	if (queue_tail(&b->r->queue) >= b->settle_pos)
		b->is_settled = true;
	else if (records_is_failing(b->r) || now_ms() > b->settle_until_ms)
		return fault_set(f, E_FULL,
		    "backup: the server cannot write its log now, so a copy would lack records; see its own messages");
	else
		(void)nanosleep(&pause, NULL);
	return E_OK;
}

/* A server that has started meanwhile takes from the queue and makes segments: the copy may lack
 * records. */
static enum err
finish(struct backup *b, const struct fault *f)
{
	const struct datadir d = {.path = b->source, .lock_fd = -1};
	enum err e = E_OK;

	if (b->r->is_readonly && b->r->has_queue)
		e = copy_queue(b, f);
	if (e == E_OK && b->r->is_readonly)
		e = copy_named(b, "boot", f); /* whether the queue's last frames can be trusted */
	if (e == E_OK && b->r->is_readonly && datadir_is_locked(&d))
		e = fault_set(
		    f, E_IN_USE, "%s: a server has just started on it: ask again", b->source);
	if (e == E_OK)
		e = copy_named(b, "log/format", f);
	if (e == E_OK && file_sync_dir(b->log) != E_OK)
		e = fault_set(f, E_IO, "%s: %s", b->log, strerror(errno));
	return e == E_OK ? copy_named(b, "secret", f) : e;
}

static enum err
step(struct backup *b, const struct fault *f, bool *is_done)
{
	enum err e;

	if (!b->has_begun)
		return begin(b, f);
	if (!b->is_settled)
		return settle(b, f);
	if (b->pinned == NULL && b->n == 0)
		b->n = segments_pin_all(&b->r->set, &b->pinned);
	if (b->pinned != NULL && b->at < b->n)
		return copy_segment(b, b->pinned[b->at++], f);
	e = finish(b, f);
	*is_done = e == E_OK;
	return e;
}

enum backup_result
backup_step(struct backup *b, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	bool is_done = false;

	if (step(b, &f, &is_done) == E_OK)
		return is_done ? BACKUP_DONE : BACKUP_MORE;
	if (b->has_begun)
		remove_copy(b);
	return BACKUP_FAILED;
}
