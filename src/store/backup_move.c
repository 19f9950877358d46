/* The command line's part of a backup that a running server made: out of the data directory, to where it is wanted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/backup.h"
#include "store/file_int.h"

#define PIECE (256u << 10)

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(type);
	UNUSED(ftw);
	return remove(path);
}

static bool
copy_bytes(int from, int to)
{
	char *piece = xmalloc(PIECE);
	ssize_t n;

	while ((n = read(from, piece, PIECE)) > 0 && write(to, piece, (size_t)n) == n)
		continue;
	free(piece);
	return n == 0 && fsync(to) == 0;
}

/* It stays the server's user's, where the caller may say so. */
static bool
keep_owner(int fd, const struct stat *st)
{
	return geteuid() != 0 || fchown(fd, st->st_uid, st->st_gid) == 0;
}

static bool
copy_file(const char *from, const char *to, const struct stat *st)
{
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok = in >= 0 && out >= 0 && copy_bytes(in, out) && keep_owner(out, st);
	int saved = errno;

	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	errno = saved;
	return ok;
}

static bool copy_tree(const char *from, const char *to, const struct stat *st);

static bool
copy_one(const char *from_dir, const char *to_dir, const char *name)
{
	char from[FILE_PATH_SIZE], to[FILE_PATH_SIZE];
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	file_path(from, from_dir, name);
	file_path(to, to_dir, name);
	if (lstat(from, &st) != 0)
		return false;
	return S_ISDIR(st.st_mode) ? copy_tree(from, to, &st) : copy_file(from, to, &st);
}

static bool
copy_tree(const char *from, const char *to, const struct stat *st)
{
	DIR *d = opendir(from);
	const struct dirent *entry;
	int fd;
	bool ok = d != NULL && (mkdir(to, 0700) == 0 || errno == EEXIST);

	while (ok && (entry = readdir(d)) != NULL)
		ok = copy_one(from, to, entry->d_name);
	if (d != NULL)
		(void)closedir(d);
	if (!ok)
		return false;
	fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = fd >= 0 && keep_owner(fd, st) && fsync(fd) == 0;
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

void
backup_drop(const char *stage)
{
	(void)nftw(stage, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

enum err
backup_move(const char *stage, const char *dir, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	struct stat st;
	bool is_moved = rename(stage, dir) == 0;

	if (!is_moved && errno == EXDEV)
		is_moved = stat(stage, &st) == 0 && copy_tree(stage, dir, &st);
	if (!is_moved)
		(void)fault_set(&f, E_IO, "%s: %s", dir, strerror(errno));
	backup_drop(stage);
	return is_moved ? E_OK : E_IO;
}
