#include "store/index_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 4096
#define LINE_SIZE (INDEX_LINE_SLOTS * sizeof(struct index_slot))
#define VERSION 1
#define REACHED ((INDEX_REACH + 1) * INDEX_LINE_SLOTS) /* slots that a hash may stand in */

static const char magic[8] = "PSTNIDX";

/* In the machine's byte order. */
struct index_header {
	char magic[8];
	uint32_t version;
	_Atomic uint32_t is_whole;
	_Atomic uint64_t lines; /* without those behind the last */
};

/* ---- the file ---- */

static uint64_t
bytes_for(uint64_t lines)
{
	return HEADER_SIZE + (lines + INDEX_REACH) * LINE_SIZE;
}

static uint64_t
max_lines_for(uint64_t max_slots)
{
	uint64_t lines = INDEX_LINES_MIN;

	while (lines * INDEX_LINE_SLOTS < max_slots)
		lines *= 2;
	return lines;
}

uint64_t
index_bytes_max(uint64_t max_slots)
{
	return bytes_for(max_lines_for(max_slots));
}

static enum err
io_fault(const struct fault *f, const char *path, int cause)
{
	return fault_set(f,
	    cause == ENOSPC       ? E_FULL
		: cause == ENOMEM ? E_NOMEM
				  : E_IO,
	    "%s: %s", path, strerror(cause));
}

/* Never made shorter: another process may have it mapped. */
static int
size_file(int fd, uint64_t lines, uint64_t max_lines)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return errno;
	if ((uint64_t)st.st_size < bytes_for(max_lines) &&
	    ftruncate(fd, (off_t)bytes_for(max_lines)) != 0)
		return errno;
	return posix_fallocate(fd, 0, (off_t)bytes_for(lines));
}

static bool
is_ours(const struct index_header *h, uint64_t max_lines)
{
	uint64_t lines = atomic_load(&h->lines);

	return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->version == VERSION &&
	    lines >= INDEX_LINES_MIN && lines <= max_lines && (lines & (lines - 1)) == 0;
}

/* How many lines the file of another run has; 0: there is none that could be taken. */
static uint64_t
lines_of(int fd, uint64_t max_lines)
{
	struct index_header h;
	struct stat st;

	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || !is_ours(&h, max_lines) ||
	    fstat(fd, &st) != 0 || (uint64_t)st.st_size < bytes_for(h.lines))
		return 0;
	return h.lines;
}

static int
open_file(const char *path, uint64_t max_lines, uint64_t *lines)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(path, flags, 0600);

	if (fd < 0)
		return fd;
	*lines = lines_of(fd, max_lines);
	if (*lines > 0)
		return fd;
	(void)close(fd);
	if (unlink(path) != 0)
		return -1;
	return open(path, flags, 0600);
}

/* 0, or what errno says. */
static int
set_up(struct index *x, uint64_t lines)
{
	void *p;
	int cause = size_file(x->fd, lines > 0 ? lines : INDEX_LINES_MIN, x->max_lines);

	if (cause != 0)
		return cause;
	p = mmap(NULL, bytes_for(x->max_lines), PROT_READ | PROT_WRITE, MAP_SHARED, x->fd, 0);
	if (p == MAP_FAILED)
		return errno;
	/* Or the first store fetches as much as read-ahead likes, and the kernel walks all of that: 3 ms. */
	(void)madvise(p, bytes_for(x->max_lines), MADV_RANDOM);
	x->h = p;
	x->slots = (struct index_slot *)(void *)((char *)p + HEADER_SIZE);
	x->was_whole = lines > 0 && atomic_exchange(&x->h->is_whole, 0) != 0;
	if (lines > 0)
		return 0;
	memcpy(x->h->magic, magic, sizeof(magic));
	x->h->version = VERSION;
	atomic_store(&x->h->lines, INDEX_LINES_MIN);
	return 0;
}

enum err
index_open(const char *path, uint64_t max_slots, struct index *out, const struct fault *f)
{
	struct index x = {.max_lines = max_lines_for(max_slots)};
	uint64_t lines = 0;
	int cause;

	x.fd = open_file(path, x.max_lines, &lines);
	if (x.fd < 0)
		return io_fault(f, path, errno);
	cause = set_up(&x, lines);
	if (cause != 0) {
		(void)close(x.fd);
		return io_fault(f, path, cause);
	}
	*out = x;
	return E_OK;
}

void
index_seal(struct index *x)
{
	atomic_store(&x->h->is_whole, 1);
}

enum err
index_sync(struct index *x)
{
	return fsync(x->fd) == 0 ? E_OK : E_IO;
}

void
index_close(struct index *x)
{
	if (x->h == NULL)
		return;
	(void)munmap(x->h, bytes_for(x->max_lines));
	(void)close(x->fd);
	x->h = NULL;
}

/* ---- looking ---- */

static uint64_t
used_hash(uint64_t hash)
{
	return hash == 0 ? 1 : hash;
}

static uint64_t
line_of(const struct index_slot *first, const struct index_slot *s)
{
	return (uint64_t)(s - first) / INDEX_LINE_SLOTS;
}

static uint64_t
hash_at(const struct index_slot *s)
{
	return atomic_load_explicit(&s->hash, memory_order_acquire);
}

static uint64_t
generation_at(const struct index_slot *s)
{
	return atomic_load_explicit(&s->generation, memory_order_acquire);
}

/* Where a hash stands, or could. */
struct place {
	struct index_slot *match, *free, *oldest; /* match or free is NULL; oldest: if both are */
};

/* To the end of the first line with a free slot. */
static struct place
look(const struct index *x, uint64_t hash, uint64_t lines)
{
	struct index_slot *s = x->slots + (hash & (lines - 1)) * INDEX_LINE_SLOTS;
	struct place p = {.oldest = s};

	for (unsigned i = 0; i < REACHED; i++, s++) {
		uint64_t there = hash_at(s);

		if (there == hash) {
			p.match = s;
			return p;
		}
		if (there == 0 && p.free == NULL)
			p.free = s;
		if (p.free != NULL && i % INDEX_LINE_SLOTS == INDEX_LINE_SLOTS - 1)
			return p;
		if (generation_at(s) < generation_at(p.oldest))
			p.oldest = s;
	}
	return p;
}

static uint64_t
lines_now(const struct index *x)
{
	return atomic_load_explicit(&x->h->lines, memory_order_acquire);
}

uint64_t
index_slots(const struct index *x)
{
	return lines_now(x) * INDEX_LINE_SLOTS;
}

uint64_t
index_find(const struct index *x, uint64_t hash)
{
	const uint64_t lines = lines_now(x);
	struct place p;

	if (lines > x->max_lines) /* a successor's, who may have more than is mapped here */
		return 0;
	p = look(x, used_hash(hash), lines);
	return p.match == NULL ? 0 : generation_at(p.match);
}

/* ---- writing ---- */

/* Who looks meanwhile sees the old one, none, or the new one. */
static void
write_slot(struct index_slot *s, uint64_t hash, uint64_t generation)
{
	atomic_store_explicit(&s->generation, 0, memory_order_release);
	atomic_store_explicit(&s->hash, hash, memory_order_release);
	atomic_store_explicit(&s->generation, generation, memory_order_release);
}

static void
put(struct index *x, uint64_t hash, uint64_t generation, uint64_t lines)
{
	struct place p = look(x, hash, lines);

	if (p.match != NULL) {
		if (generation_at(p.match) < generation)
			atomic_store_explicit(
			    &p.match->generation, generation, memory_order_release);
	} else if (p.free != NULL) {
		write_slot(p.free, hash, generation);
	} else if (generation_at(p.oldest) < generation) {
		write_slot(p.oldest, hash, generation);
	}
}

void
index_put(struct index *x, uint64_t hash, uint64_t generation)
{
	put(x, used_hash(hash), generation, lines_now(x));
}

static bool
has_free(const struct index *x, uint64_t line)
{
	const struct index_slot *s = x->slots + line * INDEX_LINE_SLOTS;

	for (unsigned i = 0; i < INDEX_LINE_SLOTS; i++)
		if (hash_at(s + i) == 0)
			return true;
	return false;
}

/* One that stands behind `line` because that was full; NULL: none does. */
static struct index_slot *
passer_by(const struct index *x, uint64_t line)
{
	const uint64_t lines = lines_now(x);

	for (uint64_t l = line + 1; l <= line + INDEX_REACH && l < lines + INDEX_REACH; l++) {
		struct index_slot *s = x->slots + l * INDEX_LINE_SLOTS;

		for (unsigned i = 0; i < INDEX_LINE_SLOTS; i++)
			if (hash_at(s + i) != 0 && (hash_at(s + i) & (lines - 1)) <= line)
				return s + i;
		if (has_free(x, l))
			return NULL;
	}
	return NULL;
}

/* A full line gets one back that had passed by, and so on from where that stood: no line is left with a
 * gap in front of what is looked for behind it. */
static void
empty(struct index *x, struct index_slot *s)
{
	for (;;) {
		uint64_t line = line_of(x->slots, s);
		struct index_slot *other = has_free(x, line) ? NULL : passer_by(x, line);

		if (other == NULL)
			break;
		write_slot(s, hash_at(other), generation_at(other));
		s = other;
	}
	write_slot(s, 0, 0);
}

void
index_drop(struct index *x, uint64_t hash, uint64_t generation)
{
	struct place p = look(x, used_hash(hash), lines_now(x));

	if (p.match != NULL && generation_at(p.match) == generation)
		empty(x, p.match);
}

/* ---- growing ---- */

/* Whether it is not to be found where it stands, with so many lines. */
static bool
is_astray(const struct index *x, const struct index_slot *s, uint64_t lines)
{
	uint64_t hash = hash_at(s), home = hash & (lines - 1), line = line_of(x->slots, s);

	return hash != 0 && (line < home || line > home + INDEX_REACH);
}

/* What belongs to the upper half stands there too, then that half is looked into, then it goes from
 * the lower one: nothing is missed meanwhile. */
static void
split(struct index *x)
{
	const uint64_t lines = lines_now(x);
	struct index_slot *s, *end = x->slots + (lines + INDEX_REACH) * INDEX_LINE_SLOTS;

	for (s = x->slots; s < end; s++)
		if (is_astray(x, s, 2 * lines))
			put(x, hash_at(s), generation_at(s), 2 * lines);
	atomic_store_explicit(&x->h->lines, 2 * lines, memory_order_release);
	for (s = x->slots; s < end;)
		if (is_astray(x, s, 2 * lines))
			empty(x, s); /* another one may come in its place */
		else
			s++;
}

void
index_fit(struct index *x, uint64_t n)
{
	for (;;) {
		uint64_t lines = lines_now(x);

		if (n <= lines * INDEX_LINE_SLOTS / 2 || lines >= x->max_lines ||
		    posix_fallocate(x->fd, 0, (off_t)bytes_for(2 * lines)) != 0)
			return;
		split(x);
	}
}

void
index_clear(struct index *x)
{
	uint64_t keep = bytes_for(INDEX_LINES_MIN), all = bytes_for(x->max_lines);

	atomic_store(&x->h->lines, INDEX_LINES_MIN);
	for (unsigned i = 0; i < (INDEX_LINES_MIN + INDEX_REACH) * INDEX_LINE_SLOTS; i++)
		write_slot(x->slots + i, 0, 0);
	/* What a file system without holes leaves there is as good as nothing: generations that are not there. */
	if (all > keep)
		(void)fallocate(x->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)keep,
		    (off_t)(all - keep));
}
