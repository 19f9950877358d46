/*
 * records_int: the parts of the log on disk.
 *
 *   records.c         open, close, what the loop appends
 *   records_write.c   the writer's thread: from the queue into segments
 *   records_retain.c  the writer's thread: what is to go
 *   records_read.c    scan and look-up
 *
 *   loop -> queue (mapped file) -> writer -> segments
 *
 * Readers look at the queue, then at the segments: a record leaves the first after it has come into
 * the second.
 */
#ifndef STORE_RECORDS_INT_H
#define STORE_RECORDS_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/queue_int.h"
#include "store/records.h"
#include "store/segment_int.h"

#define RECORDS_GATHER_MS 20
#define RECORDS_GATHER 1000
#define RECORDS_BATCH 2048
#define RECORDS_BATCH_BYTES (UINT64_C(4) << 20)
#define RECORDS_OPEN_DAYS 4
#define RECORDS_SHARED_MS 20 /* nobody wakes the writer for what another process appends */

enum writer_state { WRITER_BUSY, WRITER_GATHERING, WRITER_ASLEEP };

/* A day that this run writes to. */
struct open_day {
	struct segment *segment; /* NULL: none yet */
	int32_t day;
	uint64_t done; /* frames before this position are committed */
};

struct records {
	struct records_options o;
	uint64_t budget; /* of max_size, what segments may take; 0: no limit */
	struct segments set;
	struct queue queue;
	bool has_queue, is_readonly;
	bool has_left; /* the queue is another's: for appending only */
	char dir[FILE_PATH_SIZE];

	pthread_mutex_t tail_lock; /* who holds it may look at frames: none leaves the queue */
	_Atomic int state;         /* enum writer_state */
	_Atomic bool is_stopping, is_leaving, is_failing;
	_Atomic uint64_t taken, lost;
	int wake_fd;
	uint64_t start; /* the queue's head at open */

	/* the loop's */
	uint64_t appended;
	struct id newest;

	/* the writer's */
	pthread_t thread;
	struct packer packer;
	struct open_day days[RECORDS_OPEN_DAYS];
	size_t n_days;
	int backoff_ms;      /* 0: all is well */
	uint64_t checked_ms; /* retention: monotonic */
	bool must_check;
};

/* records_write.c */
void *records_writer(void *arg);
/* Closes the segment of an open day. */
void records_retire(struct records *r, struct open_day *d);
/* Retention: not more often, unless something was closed. */
int64_t records_look_ms(const struct records *r);
/* records_retain.c */
bool records_are_too_much(struct records *r);
/* Unlinks some of what is too old or too much. Returns in how many ms to come again: 0 when more
 * is to go; -1: no need. */
int records_retain(struct records *r);
/* records_read.c */
/* Records before this moment are not shown: 0 or now - age. */
int64_t records_horizon(uint64_t age_ms);

#endif
