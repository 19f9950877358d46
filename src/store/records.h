/*
 * records: the log on disk. What a record means is the journal's business; here it is an id,
 * bytes, and up to two payloads.
 *
 * Model      record_append copies into a mapped, preallocated queue file (DIR/log/queue) and
 *            returns: from then on a kill -9 loses nothing. One writer thread takes from it and
 *            commits to dated segments (DIR/log/YYYYMMDD-N/, two LMDB environments each, synced)
 *            every 20 ms or 1000 records; power loss costs at most 100 ms. Payloads are compressed
 *            (zstd 1) on that thread. After a start, what stood in the queue is committed first; it
 *            can be read meanwhile.
 * Reading    any thread; sees what is committed and what is still queued ("readable at once").
 * Leaving    at a takeover records_leave stops the writer and lets another process open the log at once,
 *            with what stands in the queue; record_append goes on until records_close, into the same
 *            queue, from which the other process takes it. So a record is where a kill -9 of either
 *            does not lose it when record_append returns, and is committed once. Who leaves reads
 *            what was committed until then.
 * Retention  a reader sees nothing older than retention_ms (payload_retention_ms); segments all of
 *            whose records are older, and the oldest while all together exceed max_size, are
 *            unlinked, but never the newest that has records. Payloads lie in environments of their
 *            own and are unlinked by themselves: by age, the oldest while they exceed
 *            payload_max_size, and those of a newest segment that alone exceeds max_size. The
 *            writer does it a few files at a time, also while nothing is written.
 * Faults     a full disk or queue never blocks or fails the caller: payloads are dropped first,
 *            then records; counted in metrics LOG_LOST and LOG_PAYLOADS_LOST, and
 *            records_is_failing is true until it works again.
 */
#ifndef STORE_RECORDS_H
#define STORE_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/id.h"
#include "base/span.h"

struct records;
struct datadir;

struct records_options {
	uint64_t max_size;                           /* of DIR/log, queue included; 0: no limit */
	uint64_t payload_max_size;                   /* of the payloads in it; 0: no other limit */
	uint64_t retention_ms, payload_retention_ms; /* 0: no limit */
	uint64_t queue_size; /* 0: 64 MB, or a quarter of max_size if that is less */
};

/* Server: reader and writer. E_USAGE: another version wrote the log (*detail says which); E_FULL:
 * no room for the queue; E_IO. Never waits for what the queue holds. */
MUST_CHECK enum err records_open(const struct datadir *d, const struct records_options *o,
    struct records **out, char *detail, size_t detail_size);
/* Commands while no server runs: reads the segments and the queue, writes nothing, and is not
 * disturbed by a server that starts later. E_IN_USE: one runs: ask that. */
MUST_CHECK enum err records_open_readonly(
    const struct datadir *d, struct records **out, char *detail, size_t detail_size);
/* See above. E_IO: the file system has no locks; nothing has changed. On the loop's thread. */
MUST_CHECK enum err records_leave(struct records *r);
/* Commits all that is queued, unless it has left; what a full disk does not take stays in the queue for the next
 * start. */
void records_close(struct records *r);

enum record_payload { RECORD_REQUEST, RECORD_RESPONSE, RECORD_PAYLOADS };
/* On the loop's thread. Ids may come in any order (an exchange is appended when it ends, with the
 * id of its beginning); the same id again replaces the record. record: up to 64 KB, payloads up to
 * 10 MB: larger ones are counted as lost. payload[i].p == NULL: none. */
void record_append(struct records *r, const struct id *id, struct span record,
    const struct span payload[RECORD_PAYLOADS]);
bool records_is_failing(const struct records *r);
/* Greatest id ever appended (zero: none): the floor for new ids. On the loop's thread. */
struct id records_newest(const struct records *r);

/* Newest first, ids in [floor, ceiling]. fn returns false to stop; it may take its time, nothing is
 * locked meanwhile. Views valid during the call. Skips damaged ones. Not on the loop's thread for
 * wide ranges. */
typedef bool (*record_fn)(void *ctx, const struct id *id, struct span record);
void records_scan(
    struct records *r, const struct id *floor, const struct id *ceiling, record_fn fn, void *ctx);
/* False: no such record. The copy is put into out (appended). */
struct buf;
MUST_CHECK bool record_read(struct records *r, const struct id *id, struct buf *out);
/* False: none kept (never, or past payload retention). Decompressed, appended to out. */
MUST_CHECK bool record_read_payload(
    struct records *r, const struct id *id, enum record_payload which, struct buf *out);

struct records_stats {
	uint64_t records, bytes, queued_bytes, lost;
};
void records_stats(struct records *r, struct records_stats *out);

#endif
