/*
 * segment_int: the log's dated segments, DIR/log/YYYYMMDD-N/: rows.mdb and, if there are any,
 * payloads.mdb.
 *
 * Model      The day is that of the ids in it, UTC; late records open a new N of an older day. A
 *            segment is written by the server run that made it and by no other: what an earlier
 *            run left is frozen, so that a command may read it without a lock while the next
 *            server starts.
 *
 *              rows.mdb      rows: id 16 -> row_head, [row_place], record
 *                            meta: "queue" -> position: what is committed
 *              payloads.mdb  pieces: id 16, which 1, number 2 -> a piece (payload_int.h)
 *                                    0xff, position 8 (big-endian) -> a block: a piece that small payloads share
 *
 *            A payload is committed before its row: a row's payloads are there or past their
 *            retention. Small ones (PAYLOAD_SMALL) that are committed together lie in blocks, for
 *            compressing each by itself takes twice the time and room: the row says in which.
 *            In format 2 each had pieces of its own, as large ones still have.
 * Ownership  The set owns its segments; a pinned one stays valid until it is unpinned, even if
 *            retention unlinks it meanwhile. Frozen files are opened when they are read, and a few
 *            are kept open.
 * Damage     Frozen files are read by tree_int.h: what of one cannot be read is left out, and that
 *            is said once. It keeps its place, so that age and size take it like any other.
 * Threads    one writer makes, fills and drops; any thread reads. `lock` guards lists, counts and
 *            the files' state.
 */
#ifndef STORE_SEGMENT_INT_H
#define STORE_SEGMENT_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "store/env_int.h"
#include "store/file_int.h"
#include "store/payload_int.h"
#include "store/queue_int.h"
#include "store/records.h"
#include "store/tree_int.h"

#define LOG_FORMAT 3
#define LOG_FORMAT_READ 2 /* the oldest that is read, and gone on with */
#define DAY_MS INT64_C(86400000)

enum segment_part { PART_ROWS, PART_PAYLOADS, SEGMENT_PARTS };
enum rows_dbi { DBI_ROWS, DBI_META };

struct segment_file {
	struct env env;            /* while this run writes it, and until its last reader is done */
	struct tree *tree;         /* frozen */
	struct tree_cursor *spare; /* for the next reader: neighbours are often asked for in turn */
	unsigned users;            /* readers under way */
	bool is_absent;            /* not there, or unlinked */
	bool is_damaged;           /* and that was said */
};

/* All zero when it has no rows. */
struct segment_facts {
	struct id first, last;
	uint64_t records;
};

struct segment {
	struct list node; /* in the set: newest day first, then highest number */
	int32_t day;      /* since 1970 */
	uint32_t number;
	unsigned refs;
	bool is_writable, is_dropped;
	bool is_known; /* the facts were read from the rows */
	struct segment_facts facts;
	uint64_t bytes;         /* on disk */
	uint64_t payload_bytes; /* of them */
	int64_t made_ms;        /* writable: wall clock */
	struct segment_file file[SEGMENT_PARTS];
};

struct segments {
	char dir[FILE_PATH_SIZE];
	bool is_readonly;
	uint64_t segment_size;      /* a new one is begun at it... */
	uint64_t payload_file_size; /* ...or when its payloads have this */
	pthread_mutex_t lock;
	struct list all;
	unsigned idle_open; /* frozen files that are open and not in use */
};

/* A position of the queue up to which all records of a day are committed. */
struct position {
	uint64_t generation, pos;
};

struct row_head {
	uint64_t sum; /* over the rest and the record */
	uint32_t record_size;
	uint32_t payload_size[RECORD_PAYLOADS];
	uint8_t has_payload[RECORD_PAYLOADS];
	uint8_t
	    is_shared[RECORD_PAYLOADS]; /* it lies in a block; if any does, a row_place follows */
};
/* In which block and at which of its bytes: the request, if it is shared, and behind it the response.
 * A block is named by the queue's position of the first frame in it, which one run of the server,
 * and so one segment, sees once. */
struct row_place {
	uint64_t block, from;
};
struct row {
	struct row_head head;
	struct row_place place; /* all zero: none */
};
/* How the small payloads of frames are laid into blocks, one frame after the other: the same for
 * who writes the blocks and who writes the rows. */
struct layout {
	uint64_t block, used; /* 0 used: none is begun */
};

int32_t day_of_id(const struct id *id);

/* segments.c: the set */
MUST_CHECK enum err segments_open(
    struct segments *s, const char *dir, bool is_readonly, const struct fault *f);
void segments_close(struct segments *s);
/* Pins the segments of the newest day that is at most `day`. *out is the caller's to
 * segments_unpin; returns how many. */
size_t segments_pin(struct segments *s, int32_t day, struct segment ***out);
size_t segments_pin_all(struct segments *s, struct segment ***out); /* oldest first */
void segments_unpin(struct segments *s, struct segment **v, size_t n);
void segment_measure(struct segments *s, struct segment *g);
uint64_t segments_bytes(struct segments *s);
uint64_t segments_payload_bytes(struct segments *s);
/* segment_reader.c */
/* One file of a pinned segment, as it is now: by LMDB while this run writes it, else by its tree. */
struct segment_reader {
	struct env *env; /* NULL: by the tree */
	MDB_txn *txn;
	MDB_cursor *mdb;
	struct tree *tree;
	struct tree_cursor *cursor;
};
/* E_EOF: the file is not there; E_CORRUPT: nothing of it can be read. */
MUST_CHECK enum err segment_begin(
    struct segments *s, struct segment *g, enum segment_part part, struct segment_reader *out);
void segment_end(
    struct segments *s, struct segment *g, enum segment_part part, struct segment_reader *rd);
/* As tree_int.h's. */
MUST_CHECK bool reader_get(
    struct segment_reader *rd, unsigned dbi, struct span key, struct span *value);
uint64_t reader_count(struct segment_reader *rd, unsigned dbi);
MUST_CHECK bool reader_start(struct segment_reader *rd, unsigned dbi, enum tree_edge from,
    struct span *key, struct span *value);
MUST_CHECK bool reader_start_at(struct segment_reader *rd, unsigned dbi, struct span most,
    struct span *key, struct span *value);
MUST_CHECK bool reader_next(struct segment_reader *rd, struct span *key, struct span *value);
MUST_CHECK bool reader_prev(struct segment_reader *rd, struct span *key, struct span *value);
/* segment_facts.c */
/* Read once, then remembered. False: it cannot be read. */
MUST_CHECK bool segment_know(struct segments *s, struct segment *g, struct segment_facts *out);
void segment_note(struct segments *s, struct segment *g, const struct segment_facts *facts);

/* segment_make.c: the writer's. What it makes is pinned for it. */
MUST_CHECK int segment_make(struct segments *s, int32_t day, struct segment **out);
MUST_CHECK int segment_add_payloads(struct segments *s, struct segment *g);
void segment_freeze(struct segments *s, struct segment *g); /* unpins it too */
void segment_drop(struct segments *s, struct segment *g);   /* unlinks it */
void segment_drop_payloads(struct segments *s, struct segment *g);

/* segment_payloads.c */
/* Commits frames of g's day, sorted by id; a mdb or errno code. The same again after a failure
 * does no harm. */
MUST_CHECK int segment_commit(struct segments *s, struct segment *g, struct packer *packer,
    const struct queue_frame *const *frames, size_t n, const struct position *done);
MUST_CHECK bool segment_read_payload(struct segments *s, struct segment *g, const struct id *id,
    enum record_payload which, struct buf *out);
/* segment_rows.c */
/* The position that was committed last of the same generation; 0: none. */
uint64_t segment_done(struct segments *s, struct segment *g, uint64_t generation);
/* Appends the record; false: not in here, or damaged. row may be NULL. */
MUST_CHECK bool segment_read(
    struct segments *s, struct segment *g, const struct id *id, struct row *row, struct buf *out);
/* Whole, and where it belongs. */
MUST_CHECK bool segment_is_row(struct span key, struct span value);
/* Up to max ids of whole rows in [floor, ceiling], newest first. */
size_t segment_ids(struct segments *s, struct segment *g, const struct id *floor,
    const struct id *ceiling, struct id *out, size_t max);

/* Among these files only. */
/* segment_payloads.c */
bool layout_is_small(const struct queue_frame *f, int which);
/* False: nothing of f is shared. */
bool layout_add(struct layout *l, const struct queue_frame *f, struct row_place *out);
/* segment_rows.c */
MUST_CHECK int segment_commit_rows(struct segments *s, struct segment *g,
    const struct queue_frame *const *frames, size_t n, const struct position *done);
/* Keys mostly come in order: appended, they fill their pages. A late or repeated one finds its
 * place. */
MUST_CHECK int segment_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags);
uint64_t segment_id_seed(const struct id *id);

/* Among these files only; with the lock held. */
struct env_options segment_env_options(enum segment_part part);
MUST_CHECK enum err segment_open_tree(const char *path, enum segment_part part, struct tree **out);
void segment_close_file(struct segment_file *file); /* fine on one that is not open */
void segment_dir(const struct segments *s, const struct segment *g, char out[FILE_PATH_SIZE]);
void segment_path(const struct segments *s, const struct segment *g, enum segment_part part,
    char out[FILE_PATH_SIZE]);
void segments_insert(struct segments *s, struct segment *g);
void segment_measure_locked(const struct segments *s, struct segment *g);
void segment_unpin(struct segment *g);
void segment_free(struct segment *g);

#endif
