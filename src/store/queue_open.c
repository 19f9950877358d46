#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "obs/log.h"
#include "store/queue_int.h"

static const char magic[8] = "PSTNQUE";

_Static_assert(
    sizeof(struct queue_header) <= QUEUE_HEADER_SIZE, "the header has its pages for itself");

static enum err
io_fault(const struct fault *f, const char *path)
{
	return fault_set(f, errno == ENOSPC ? E_FULL : E_IO, "%s: %s", path, strerror(errno));
}

/* The two views of the ring are next to each other in memory that was reserved for them. */
static bool
map_ring(struct queue *q, int prot)
{
	char *both =
	    mmap(NULL, 2 * q->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (both == MAP_FAILED)
		return false;
	for (int i = 0; i < 2; i++)
		if (mmap(both + (uint64_t)i * q->size, q->size, prot, MAP_SHARED | MAP_FIXED, q->fd,
			QUEUE_HEADER_SIZE) == MAP_FAILED) {
			(void)munmap(both, 2 * q->size);
			return false;
		}
	q->ring = both;
	return true;
}

static bool
map_file(struct queue *q, uint64_t file_size)
{
	int prot = q->is_readonly ? PROT_READ : PROT_READ | PROT_WRITE;
	void *h = mmap(NULL, QUEUE_HEADER_SIZE, prot, MAP_SHARED, q->fd, 0);

	if (h == MAP_FAILED)
		return false;
	q->h = h;
	q->size = file_size - QUEUE_HEADER_SIZE;
	return map_ring(q, prot);
}

static bool
is_ours(const struct queue *q)
{
	const struct queue_header *h = q->h;
	uint64_t head = atomic_load(&h->head), tail = queue_tail(q);

	return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->version == QUEUE_VERSION &&
	    h->ring_size == q->size && tail <= head && head - tail <= q->size && h->base <= tail &&
	    head % 8 == 0 && tail % 8 == 0 && h->base % 8 == 0;
}

void
queue_close(struct queue *q)
{
	if (q->ring != NULL)
		(void)munmap(q->ring, 2 * q->size);
	if (q->h != NULL)
		(void)munmap(q->h, QUEUE_HEADER_SIZE);
	if (q->fd >= 0)
		(void)close(q->fd);
	*q = (struct queue){.fd = -1};
}

/* E_EOF: none. E_CORRUPT: not a queue, or one whose header a power loss spoilt. */
static enum err
open_file(const char *path, struct queue *q)
{
	struct stat st;

	q->fd = open(path, (q->is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
	if (q->fd < 0)
		return errno == ENOENT ? E_EOF : E_IO;
	if (fstat(q->fd, &st) != 0)
		return E_IO;
	if ((uint64_t)st.st_size < QUEUE_HEADER_SIZE + QUEUE_SIZE_MIN ||
	    st.st_size % (off_t)QUEUE_HEADER_SIZE != 0)
		return E_CORRUPT;
	/* A copy of the directory may have holes where the disk can fill up under us. */
	if (!q->is_readonly && (errno = posix_fallocate(q->fd, 0, st.st_size)) != 0)
		return E_IO;
	if (!map_file(q, (uint64_t)st.st_size))
		return E_IO;
	return is_ours(q) ? E_OK : E_CORRUPT;
}

/* Complete before it gets its name. */
static enum err
make_file(const char *path, uint64_t size)
{
	char draft[FILE_PATH_SIZE];
	struct queue_header h = {.version = QUEUE_VERSION, .ring_size = size};
	bool is_done;
	int fd, cause;

	CHK((size_t)snprintf(draft, sizeof(draft), "%s.new", path) < sizeof(draft));
	memcpy(h.magic, magic, sizeof(magic));
	random_bytes(&h.generation, sizeof(h.generation));
	fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return E_IO;
	cause = posix_fallocate(fd, 0, (off_t)(QUEUE_HEADER_SIZE + size));
	is_done = cause == 0 && pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    rename(draft, path) == 0;
	(void)close(fd);
	if (is_done)
		return E_OK;
	cause = cause != 0 ? cause : errno;
	(void)unlink(draft);
	errno = cause;
	return E_IO;
}

/* Where the frames that are whole end. */
static uint64_t
verified_end(const struct queue *q)
{
	uint64_t pos = queue_tail(q);
	const struct queue_frame *f;

	while ((f = queue_at(q, pos)) != NULL && queue_is_whole(f))
		pos += f->size;
	(void)madvise(q->ring, 2 * q->size, MADV_DONTNEED);
	return pos;
}

static void
verify(struct queue *q, bool is_trusted)
{
	uint64_t end = verified_end(q), head = queue_head(q);

	if (end != head) {
		log_line(LOG_WARN,
		    "log: %llu bytes at the end of the queue were damaged and are dropped",
		    (unsigned long long)(head - end));
		atomic_store(&q->h->head, end);
	}
	/* Records whose commit was noted with a position of the old generation are committed
	 * again: the same id, the same bytes. */
	if (!is_trusted)
		random_bytes(&q->h->generation, sizeof(q->h->generation));
}

static uint64_t
rounded(uint64_t size)
{
	if (size < QUEUE_SIZE_MIN)
		size = QUEUE_SIZE_MIN;
	return (size + QUEUE_HEADER_SIZE - 1) / QUEUE_HEADER_SIZE * QUEUE_HEADER_SIZE;
}

static enum err
make_and_open(const char *path, uint64_t size, struct queue *q)
{
	struct id newest = {{0}};
	enum err e;

	if (q->h != NULL && q->ring != NULL && is_ours(q))
		newest = q->h->newest;
	queue_close(q);
	if (make_file(path, size) != E_OK)
		return E_IO;
	e = open_file(path, q);
	if (e == E_OK)
		q->h->newest = newest;
	return e;
}

enum err
queue_open(
    const char *path, uint64_t size, bool is_trusted, struct queue *out, const struct fault *f)
{
	struct queue q = {.fd = -1};
	enum err e = open_file(path, &q);

	size = rounded(size);
	if (e == E_CORRUPT)
		log_line(LOG_WARN, "log: %s is damaged; what it held is lost", path);
	if (e == E_CORRUPT || e == E_EOF)
		e = make_and_open(path, size, &q);
	else if (e == E_OK) {
		queue_find_sharers(&q);
		/* Who appends meanwhile is alive: so there was no power loss, and he keeps his file. */
		if (!queue_is_shared(&q))
			verify(&q, is_trusted);
		if (!queue_is_shared(&q) && q.size != size && queue_head(&q) == queue_tail(&q))
			e = make_and_open(path, size, &q);
	}
	if (e != E_OK) {
		e = io_fault(f, path);
		queue_close(&q);
		return e;
	}
	q.released = queue_tail(&q);
	*out = q;
	return E_OK;
}

enum err
queue_open_readonly(const char *path, struct queue *out, const struct fault *f)
{
	struct queue q = {.fd = -1, .is_readonly = true};
	enum err e = open_file(path, &q);

	if (e == E_OK) {
		q.end = atomic_load(&q.h->head);
		q.end = verified_end(&q);
		*out = q;
		return E_OK;
	}
	if (e == E_IO)
		e = io_fault(f, path);
	queue_close(&q);
	return e == E_CORRUPT ? E_EOF : e;
}
