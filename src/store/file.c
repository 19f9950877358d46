#include "store/file_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/span.h"

enum err
fault_set(const struct fault *f, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (f->size > 0)
		(void)vsnprintf(f->text, f->size, fmt, ap);
	va_end(ap);
	return e;
}

void
file_path(char out[FILE_PATH_SIZE], const char *dir, const char *name)
{
	int n = snprintf(out, FILE_PATH_SIZE, "%s/%s", dir, name);

	CHK(n > 0 && n < FILE_PATH_SIZE);
}

enum err
file_read(const char *path, char *out, size_t size, size_t *n)
{
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? E_EOF : E_IO;
	got = read(fd, out, size);
	(void)close(fd);
	if (got < 0 || (size_t)got >= size)
		return E_IO;
	out[got] = '\0';
	*n = (size_t)got;
	return E_OK;
}

static bool
write_synced(const char *path, const void *p, size_t n)
{
	bool is_done;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return false;
	is_done = write(fd, p, n) == (ssize_t)n && fsync(fd) == 0;
	return close(fd) == 0 && is_done;
}

/* The directory part of path, or "." */
static void
parent_of(const char *path, char out[FILE_PATH_SIZE])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	CHK(n < FILE_PATH_SIZE);
	if (slash == NULL)
		memcpy(out, ".", 2);
	else if (n == 0)
		memcpy(out, "/", 2);
	else {
		memcpy(out, path, n);
		out[n] = '\0';
	}
}

enum err
file_replace(const char *path, const void *p, size_t n)
{
	char draft[FILE_PATH_SIZE], parent[FILE_PATH_SIZE];
	int len = snprintf(draft, sizeof(draft), "%s.new", path);

	CHK(len > 0 && (size_t)len < sizeof(draft));
	if (!write_synced(draft, p, n) || rename(draft, path) != 0) {
		int cause = errno;

		(void)unlink(draft);
		errno = cause;
		return E_IO;
	}
	parent_of(path, parent);
	return file_sync_dir(parent);
}

enum err
file_sync_dir(const char *path)
{
	bool is_done;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return E_IO;
	is_done = fsync(fd) == 0;
	(void)close(fd);
	return is_done ? E_OK : E_IO;
}

uint64_t
file_disk_bytes(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static enum err
write_format(const char *path, unsigned version, const struct fault *f)
{
	char text[32];
	size_t n = (size_t)snprintf(text, sizeof(text), "%u\n", version);

	if (file_replace(path, text, n) == E_OK)
		return E_OK;
	return fault_set(f, E_IO, "%s: %s", path, strerror(errno));
}

enum err
file_check_format(const char *dir, struct format ours, bool is_readonly, const struct fault *f)
{
	char path[FILE_PATH_SIZE], text[32];
	uint64_t found = 0;
	size_t n = 0;
	enum err e;

	file_path(path, dir, "format");
	e = file_read(path, text, sizeof(text), &n);
	if (e == E_EOF)
		return is_readonly ? E_OK : write_format(path, ours.version, f);
	if (e != E_OK)
		return fault_set(f, E_IO, "%s cannot be read", path);
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (!num_u64(span_of(text, n), &found))
		return fault_set(f, E_USAGE, "%s: not a format number", path);
	if (found >= ours.oldest && found <= ours.version)
		return found == ours.version || is_readonly ? E_OK
							    : write_format(path, ours.version, f);
	return fault_set(f, E_USAGE,
	    "%s: written by %s version of postern (format %llu, this one knows %u): use that version, or "
	    "move %s away",
	    dir, found > ours.version ? "a newer" : "an older", (unsigned long long)found,
	    ours.version, dir);
}
