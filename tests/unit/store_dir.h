/*
 * store_dir: a data directory of its own for each test of src/store, and what the tests do to it
 * from outside: look at what it takes on the disk, flip bits in its files.
 */
#ifndef TESTS_STORE_DIR_H
#define TESTS_STORE_DIR_H

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/span.h"

struct store_dir {
	char base[64];  /* removed at the end */
	char data[128]; /* the data directory, not made yet */
};

static inline void
store_dir_make(struct store_dir *d)
{
	(void)snprintf(d->base, sizeof(d->base), "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(d->base));
	(void)snprintf(d->data, sizeof(d->data), "%s/data", d->base);
}

static inline int
store_dir_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
store_dir_remove(struct store_dir *d)
{
	assert_int_equal(nftw(d->base, store_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* "DATA/NAME"; valid until the next call but three. */
static inline const char *
store_dir_path(const struct store_dir *d, const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", d->data, name);
	return path;
}

static inline bool
store_dir_has(const struct store_dir *d, const char *name)
{
	return access(store_dir_path(d, name), F_OK) == 0;
}

static inline void
store_dir_write(const struct store_dir *d, const char *name, const char *text)
{
	FILE *f = fopen(store_dir_path(d, name), "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

/* What du says, in bytes. Not reentrant: nftw has no context. */
static uint64_t store_dir_blocks;

static inline int
store_dir_add(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)type;
	(void)ftw;
	store_dir_blocks += (uint64_t)st->st_blocks;
	return 0;
}

static inline uint64_t
store_dir_du(const struct store_dir *d, const char *name)
{
	int rc = -1;

	/* The writer may unlink a file between the directory's listing and the look at the file. */
	for (int i = 0; rc != 0 && i < 100; i++) {
		store_dir_blocks = 0;
		rc = nftw(store_dir_path(d, name), store_dir_add, 16, FTW_PHYS);
	}
	assert_int_equal(rc, 0);
	return store_dir_blocks * 512;
}

/* Where the bytes stand in the file: from `from` on; -1: nowhere. */
static inline off_t
store_dir_find(const char *path, struct span what, off_t from)
{
	struct stat st;
	FILE *f = fopen(path, "re");
	char *all;
	void *at;
	off_t found = -1;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	all = malloc((size_t)st.st_size + 1);
	assert_non_null(all);
	assert_int_equal(fread(all, 1, (size_t)st.st_size, f), st.st_size);
	(void)fclose(f);
	if (from < st.st_size) {
		at = memmem(all + from, (size_t)(st.st_size - from), what.p, what.n);
		if (at != NULL)
			found = (char *)at - all;
	}
	free(all);
	return found;
}

/* In place: who has the file mapped sees it at once. */
static inline void
store_dir_flip(const char *path, off_t at, int bit)
{
	unsigned char byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= (unsigned char)(1 << bit);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	(void)close(fd);
}

/* Repeats until the condition holds; gives up, failing the test, after half a minute. */
#define STORE_WAIT_UNTIL(cond)                                                                     \
	do {                                                                                       \
		time_t end_ = time(NULL) + 30;                                                     \
		while (!(cond)) {                                                                  \
			assert_true(time(NULL) < end_);                                            \
			(void)sched_yield();                                                       \
		}                                                                                  \
	} while (0)

#endif
