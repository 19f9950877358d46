/*
 * index_int: which generation a key of the cache has, in a mapped file of its own.
 *
 * Model      a hash table: lines of four slots (hash of a key, generation). A hash stands in its own line
 *            or in one of the INDEX_REACH behind it, and all lines between are full: so a look ends at
 *            the first line with a free slot, mostly its own.
 *
 *              file:  header 4 KB | lines, a power of two | INDEX_REACH more
 *
 * Why        LMDB's pages are written whole: in a tree of keys at random one of 4 KB for each new key.
 *            Here it is 16 bytes in memory, and the kernel writes a page when it likes.
 * Promise    a hint, no more. Who finds a generation looks whether it is of his key; and a hash can be
 *            missing that was put: where there is no room the oldest generation goes, and a killed
 *            writer's last ones may not be there (was_whole is false: they are put again).
 * Growth     it doubles where it lies when more than half of it is in use, up to the most it was opened
 *            for. All of that is mapped, but room on the disk is taken before it is used: a full disk
 *            means that it does not grow, not SIGBUS.
 * Threads    one writes; any may look meanwhile, without a lock: at worst it misses what is being moved.
 * Sharing    after a takeover the process that left goes on looking, in the same pages.
 * Memory     the file's, none of it anonymous.
 */
#ifndef STORE_INDEX_INT_H
#define STORE_INDEX_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "store/file_int.h"

#define INDEX_LINE_SLOTS 4 /* a line of the processor's caches */
#define INDEX_REACH 15
#define INDEX_LINES_MIN 64

struct index_slot {
	_Atomic uint64_t hash; /* 0: free */
	_Atomic uint64_t generation;
};
struct index_header;
struct index {
	struct index_header *h; /* NULL: not open */
	struct index_slot *slots;
	uint64_t max_lines;
	int fd;
	bool was_whole; /* when it was opened: nothing is missing that was put */
};

/* Bytes of the disk that it takes at most. */
uint64_t index_bytes_max(uint64_t max_slots);
/* What is not ours, or larger than max_slots, is begun anew, and so not whole. E_FULL, E_IO, E_NOMEM: *f
 * names the file. */
MUST_CHECK enum err index_open(
    const char *path, uint64_t max_slots, struct index *out, const struct fault *f);
/* The writer's last word: nothing is missing. Forgotten by the next index_open. */
void index_seal(struct index *x);
MUST_CHECK enum err index_sync(struct index *x); /* on the disk, all of it */
void index_close(struct index *x);               /* fine on one that is not open */

/* 0: none. */
uint64_t index_find(const struct index *x, uint64_t hash);
/* Its generation from now on, unless it has a newer one. generation > 0. */
void index_put(struct index *x, uint64_t hash, uint64_t generation);
void index_drop(
    struct index *x, uint64_t hash, uint64_t generation); /* if that is the one it has */
/* Grows until `n` take no more than half of it, as far as it may and can. */
void index_fit(struct index *x, uint64_t n);
uint64_t index_slots(const struct index *x); /* as it is now */
void index_clear(struct index *x);           /* and small again */

#endif
