/*
 * entries: the cache on disk. One LMDB environment without sync, its entries in the order they came, and a
 *          table that says where each key has its own (index_int.h); disposable.
 *
 * Model      The loop's thread looks up and reads (memory-mapped, no system call) and hands new
 *            entries over; ONE writer thread of this room commits them in groups, evicts and
 *            expires, so that no write ever stops the loop. An entry handed over is found at once:
 *            until it is committed it is served from memory.
 * An entry   = key (16 bytes) -> preimage (compared whole before a hit), status, a few headers,
 *            times, body. Values over 16 KB - 16 B are stored in chunks (feasibility.md 4). Of keys whose
 *            first 8 bytes are the same only the latest is found.
 * Limits     max_size bytes on disk, as du counts DIR/cache: eviction starts at 90 % of it
 *            (first what has expired, then what was least recently used, approximately: CLOCK), the
 *            map is never larger than the cap. Expired entries go within seconds too when there is
 *            room. Entries over max_size / 4 are refused. What cannot be trusted (the machine went
 *            down with the server running, the server crashed, another format, a smaller max_size,
 *            a file cut short, damaged pages) is not asked about but emptied, while running too.
 *            After a kill -9 what the table lacks is put into it again, within a second for a million
 *            entries; until then those are misses.
 * Leaving    at a takeover entries_leave stops the writer, when it has written what it was given, and lets
 *            another process open the cache at once. Who leaves goes on finding and reading what is
 *            there, also what comes new, until entries_close; what he puts or removes is dropped.
 * Threads    all functions on the loop's thread, but entries_stats, entries_purge and
 *            entries_compact: any thread.
 */
#ifndef STORE_ENTRIES_H
#define STORE_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"

struct buf;
struct entries;
struct datadir;

struct entry_key {
	uint8_t b[16];
};

struct entry_meta {
	int64_t stored_ms;  /* wall clock; never served before (the clock was set back) */
	int64_t expires_ms; /* never served at or after this */
	int64_t fresh_ms;   /* the caller's: from then on it is stale */
	int32_t status;
	uint32_t flags;     /* the caller's: stream, ... */
	int64_t usage[8];   /* the caller's numbers, kept as they are (tokens) */
	uint8_t record[16]; /* id of the exchange that stored it */
	uint64_t body_size;
};

/* One answer to be stored. All spans are copied, but see preimage_buf and body_buf. */
struct entry_new {
	struct entry_key key;
	struct span preimage;
	struct entry_meta meta;               /* body_size is set by entries_put */
	struct span gateway, provider, model; /* for purge; may be empty */
	struct span headers;                  /* the caller's own encoding, <= 8 KB */
	struct span body;
	/* NULL, or whose bytes preimage and body are: the memory of a large one is taken over, the buf left empty. */
	struct buf *preimage_buf, *body_buf;
};

/* E_USAGE: max_size is under 1 MB. E_FULL, E_IO: *detail names the file. */
MUST_CHECK enum err entries_open(const struct datadir *d, uint64_t max_size, struct entries **out,
    char *detail, size_t detail_size);
/* See above. Nobody purges or compacts. */
void entries_leave(struct entries *e);
void entries_close(struct entries *e); /* waits for the writer to finish what it was given */

/* Copies and queues. E_FULL: more than 32 MB are waiting, or 8 MB of small ones (up to 64 KB), or
 * the entry, its headers or a name (1 KB) is too large, or no memory; nothing kept. */
MUST_CHECK enum err entries_put(struct entries *e, const struct entry_new *n);
/* Not done when too much is waiting: for what is found useless again. */
void entries_remove(struct entries *e, const struct entry_key *k);

/* A found entry: meta and headers are its own until entry_release. Its body is read from where it
 * lies, in memory or on the disk: in later turns it may have been evicted or replaced, which
 * entry_body says. Bytes of two versions are never mixed. */
struct entry;
/* NULL: none, expired, damaged, or its preimage differs. now_ms: wall clock. */
struct entry *entry_find(
    struct entries *e, const struct entry_key *k, struct span preimage, int64_t now_ms);
const struct entry_meta *entry_meta(const struct entry *en);
struct span entry_headers(const struct entry *en); /* valid until entry_release */
/* A piece of the body from offset (at least 1 byte, at most to the body's end; typically 16 KB or
 * all of a small one). Valid until the next call into this room or the end of the callback.
 * E_CORRUPT / E_EOF: the rest is no longer to be had (evicted meanwhile): the exchange must be
 * aborted visibly. */
MUST_CHECK enum err entry_body(struct entry *en, uint64_t offset, struct span *piece);
void entry_release(struct entry *en);
/* Ends the loop's read transaction for this turn; call once a turn when entries were read. */
void entries_turn_end(struct entries *e);

struct entries_stats {
	uint64_t entries, bytes, max_bytes;
	uint64_t pending, pending_bytes; /* handed over, not yet among the entries */
};
void entries_stats(struct entries *e, struct entries_stats *out);
/* Removes what matches; empty spans match all. In slices on the writer's thread; blocks the caller
 * until done: never on the loop. Returns how many. */
uint64_t entries_purge(
    struct entries *e, struct span gateway, struct span provider, struct span model);
/* Gives the pages that hold nothing back to the file system: du shrinks, the file's length does
 * not. Blocks the caller until done, which waits for the loop's turn to end: never on the loop.
 * E_IO: the file system cannot do that. *freed: bytes, as it counts them. */
MUST_CHECK enum err entries_compact(struct entries *e, uint64_t *freed);

#endif
