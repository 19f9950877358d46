#include "store/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "crypto/crypto.h"
#include "store/datadir_int.h"
#include "store/entries_int.h"
#include "store/file_int.h"
#include "store/queue_int.h"
#include "store/segment_int.h"

#define BOOT_TEXT_SIZE 64
#define BOOT_ID_SIZE 36
#define RUNNING "running"
#define STOPPED "stopped" /* in order */

/* Every missing directory of the path, like mkdir -p, but for the owner alone. */
static enum err
make_directories(const char *path, const struct fault *f)
{
	char part[FILE_PATH_SIZE];
	size_t n = strlen(path);

	if (n == 0 || n > FILE_DIR_MAX)
		return fault_set(f, E_IO, "the data directory's name is empty or too long");
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return fault_set(
			    f, E_IO, "%s: cannot make the directory: %s", part, strerror(errno));
	}
	return E_OK;
}

static enum err
check_directory(const char *path, bool is_owner_wanted, const struct fault *f)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return fault_set(f, E_IO, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return fault_set(f, E_IO, "%s: not a directory", path);
	if ((st.st_mode & 077) != 0)
		return fault_set(f, E_IO, "%s: open to group or others (mode %04o): chmod 700 %s",
		    path, (unsigned)st.st_mode & 07777, path);
	if (is_owner_wanted && st.st_uid != geteuid())
		return fault_set(f, E_IO, "%s: belongs to user %u, this is user %u", path,
		    (unsigned)st.st_uid, (unsigned)geteuid());
	return E_OK;
}

/* Fails with E_IN_USE, naming the process that wrote itself into the lock file. */
static enum err
in_use(const char *lock_path, const char *dir, const struct fault *f)
{
	char pid[32] = "";
	size_t n = 0;

	if (file_read(lock_path, pid, sizeof(pid), &n) != E_OK || n == 0)
		return fault_set(f, E_IN_USE, "%s: another server uses it", dir);
	pid[strcspn(pid, "\n")] = '\0';
	return fault_set(f, E_IN_USE, "%s: another server uses it (process %s)", dir, pid);
}

/* Only a courtesy for the message above: a full disk must not keep the server down. */
static void
sign_lock(const struct datadir *d)
{
	char pid[32];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	if (ftruncate(d->lock_fd, 0) == 0 && pwrite(d->lock_fd, pid, (size_t)n, 0) == n)
		return;
}

/* A lock of the open file, not of the process: it holds among threads, can be handed over, and dies
 * with kill -9. */
static enum err
take_lock(struct datadir *d, const struct fault *f)
{
	char path[FILE_PATH_SIZE];
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	file_path(path, d->path, "lock");
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return fault_set(f, E_IO, "%s: %s", path, strerror(errno));
	if (fcntl(d->lock_fd, F_OFD_SETLK, &whole) != 0) {
		if (errno != EAGAIN && errno != EACCES)
			return fault_set(f, E_IO, "%s: %s", path, strerror(errno));
		return in_use(path, d->path, f);
	}
	sign_lock(d);
	return E_OK;
}

/* It must be the lock of this directory. */
static enum err
adopt_lock(struct datadir *d, int lock_fd, const struct fault *f)
{
	char path[FILE_PATH_SIZE];
	struct stat ours, theirs;

	d->lock_fd = lock_fd;
	file_path(path, d->path, "lock");
	if (stat(path, &ours) != 0 || fstat(lock_fd, &theirs) != 0 ||
	    ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
		return fault_set(f, E_IO, "%s: is not what the running server holds", path);
	sign_lock(d);
	return E_OK;
}

bool
datadir_is_locked(const struct datadir *d)
{
	char path[FILE_PATH_SIZE];
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd;
	bool is_held;

	file_path(path, d->path, "lock");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	/* Asking takes nothing, so a server that starts at this moment is not refused. */
	is_held = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
	(void)close(fd);
	return is_held;
}

static enum err
load_secret(struct datadir *d, bool may_make, const struct fault *f)
{
	char path[FILE_PATH_SIZE], bytes[sizeof(d->secret) + 2];
	struct stat st;
	size_t n = 0;
	enum err e;

	file_path(path, d->path, "secret");
	e = file_read(path, bytes, sizeof(bytes), &n);
	if (e == E_EOF && may_make) {
		random_bytes(d->secret, sizeof(d->secret));
		if (file_replace(path, d->secret, sizeof(d->secret)) == E_OK)
			return E_OK;
		return fault_set(f, E_IO, "%s: cannot be written: %s", path, strerror(errno));
	}
	if (e == E_EOF)
		return fault_set(
		    f, E_IO, "%s: not a data directory of postern (no secret in it)", d->path);
	if (e != E_OK || n != sizeof(d->secret))
		return fault_set(
		    f, E_IO, "%s: not a readable file of %zu bytes", path, sizeof(d->secret));
	if (stat(path, &st) != 0 || (st.st_mode & 077) != 0)
		return fault_set(f, E_IO, "%s: open to group or others: chmod 600 %s", path, path);
	memcpy(d->secret, bytes, sizeof(d->secret));
	zeroize(bytes, sizeof(bytes));
	return E_OK;
}

static enum err
make_rooms(struct datadir *d, bool *is_fresh, const struct fault *f)
{
	static const char *const names[] = {"cache", "log"};
	char path[FILE_PATH_SIZE];

	*is_fresh = true;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		file_path(path, d->path, names[i]);
		if (mkdir(path, 0700) == 0)
			continue;
		if (errno != EEXIST)
			return fault_set(f, E_IO, "%s: %s", path, strerror(errno));
		*is_fresh = false;
	}
	return E_OK;
}

/* "STATE BOOT-ID", padded to one length, so that it can be written in place: a full disk must not
 * keep a server from starting. Without /proc there is no boot id: then only the mark of an
 * orderly stop counts. */
static void
boot_text(const char *state, char out[BOOT_TEXT_SIZE])
{
	char id[64] = "";
	size_t n = 0;

	if (file_read("/proc/sys/kernel/random/boot_id", id, sizeof(id), &n) != E_OK ||
	    n < BOOT_ID_SIZE)
		(void)snprintf(id, sizeof(id), "unknown");
	id[strcspn(id, "\n")] = '\0';
	(void)snprintf(out, BOOT_TEXT_SIZE, "%s %-*.*s\n", state, BOOT_ID_SIZE, BOOT_ID_SIZE, id);
}

/* Less than a sector: it is written whole or not at all. */
static enum err
write_boot(const char *path, const char *text)
{
	bool is_done;
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? file_replace(path, text, strlen(text)) : E_IO;
	is_done = pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text) && fdatasync(fd) == 0;
	(void)close(fd);
	return is_done ? E_OK : E_IO;
}

/* Reads how the last server ended. */
static bool
ended_well(const char *path, const char *running)
{
	char text[BOOT_TEXT_SIZE * 2];
	size_t n = 0;

	if (file_read(path, text, sizeof(text), &n) != E_OK)
		return false;
	if (strncmp(text, STOPPED " ", sizeof(STOPPED)) == 0)
		return true;
	return strcmp(text, running) == 0 && strstr(running, "unknown") == NULL;
}

/* The mark must be on the disk before the cache's unsynced files are touched. */
static enum err
mark_running(struct datadir *d, bool is_fresh, const struct fault *f)
{
	char path[FILE_PATH_SIZE], running[BOOT_TEXT_SIZE];

	file_path(path, d->path, "boot");
	boot_text(RUNNING, running);
	d->was_clean = is_fresh || ended_well(path, running);
	if (write_boot(path, running) == E_OK)
		return E_OK;
	return fault_set(f, E_IO, "%s: cannot be written: %s", path, strerror(errno));
}

static void
set_path(struct datadir *d, const char *path)
{
	size_t n = strlen(path);

	*d = (struct datadir){.path = xstrdup(path), .lock_fd = -1};
	while (n > 1 && d->path[n - 1] == '/')
		d->path[--n] = '\0';
}

static enum err
open_locked(struct datadir *d, const struct fault *f)
{
	bool is_fresh = false;
	enum err e = load_secret(d, true, f);

	if (e == E_OK)
		e = make_rooms(d, &is_fresh, f);
	if (e == E_OK)
		e = mark_running(d, is_fresh, f);
	return e;
}

enum err
datadir_open(const char *path, struct datadir *out, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	enum err e;

	set_path(out, path);
	e = make_directories(out->path, &f);
	if (e == E_OK)
		e = check_directory(out->path, true, &f);
	if (e == E_OK)
		e = take_lock(out, &f);
	if (e == E_OK)
		e = open_locked(out, &f);
	if (e != E_OK)
		datadir_close(out);
	return e;
}

enum err
datadir_take_over(
    const char *path, int lock_fd, struct datadir *out, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	enum err e;

	set_path(out, path);
	e = adopt_lock(out, lock_fd, &f);
	if (e == E_OK)
		e = check_directory(out->path, true, &f);
	if (e == E_OK)
		e = open_locked(out, &f);
	if (e != E_OK)
		datadir_close(out);
	return e;
}

enum err
datadir_open_readonly(const char *path, struct datadir *out, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	char lock_path[FILE_PATH_SIZE], boot_path[FILE_PATH_SIZE], running[BOOT_TEXT_SIZE];
	enum err e;

	set_path(out, path);
	if (strlen(out->path) > FILE_DIR_MAX)
		e = fault_set(&f, E_IO, "the data directory's name is too long");
	else
		e = check_directory(out->path, false, &f);
	if (e == E_OK && datadir_is_locked(out)) {
		file_path(lock_path, out->path, "lock");
		e = in_use(lock_path, out->path, &f);
	}
	if (e == E_OK)
		e = load_secret(out, false, &f);
	if (e != E_OK) {
		datadir_close(out);
		return e;
	}
	file_path(boot_path, out->path, "boot");
	boot_text(RUNNING, running);
	out->was_clean = ended_well(boot_path, running);
	return E_OK;
}

void
datadir_leave(struct datadir *d)
{
	(void)close(d->lock_fd);
	d->lock_fd = -1;
}

#define WORD_OF(number) #number
#define FORMS(queue, log, cache)                                                                   \
	"queue-" WORD_OF(queue) ",log-" WORD_OF(log) ",cache-" WORD_OF(cache)

const char *
datadir_forms(void)
{
	return FORMS(QUEUE_VERSION, LOG_FORMAT, ENTRIES_FORMAT);
}

void
datadir_mark_clean(struct datadir *d)
{
	char path[FILE_PATH_SIZE], text[BOOT_TEXT_SIZE];

	CHK(d->lock_fd >= 0);
	file_path(path, d->path, "boot");
	boot_text(STOPPED, text);
	if (write_boot(path, text) != E_OK) {
		/* The next start finds "running": after a reboot the cache is made anew, nothing
		 * else. */
	}
}

void
datadir_close(struct datadir *d)
{
	if (d->lock_fd >= 0)
		(void)close(d->lock_fd);
	free(d->path);
	zeroize(d->secret, sizeof(d->secret));
	*d = (struct datadir){.lock_fd = -1};
}

void
datadir_key(const struct datadir *d, const char *purpose, uint8_t out[32])
{
	hkdf_sha256(
	    SPAN_LIT("postern"), span_of(d->secret, sizeof(d->secret)), span_str(purpose), out, 32);
}
