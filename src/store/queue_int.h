/*
 * queue: records on their way to the disk, in a mapped file that outlives the process.
 *
 * Model      A ring of frames between two positions that only grow: the producer moves `head`, the
 *            consumer `tail`. The ring is mapped twice, one behind the other, so that every frame
 *            is contiguous. What lies before `head` survives kill -9, because the kernel keeps
 *            the pages; after a power loss a frame is believed only if its checksum and its
 *            position are right.
 *
 *              file:    header 64 KB | ring
 *              mapped:  header       | ring | ring again
 *
 *            Preallocated: a full disk is an error at the start and not SIGBUS later.
 *
 * Threads    one producer, one consumer. A third thread may look at frames while it keeps the
 *            consumer from moving `tail` (records.c: tail_lock).
 * Sharing    after a takeover a server that is leaving goes on appending, from its own process, until
 *            its last exchange has ended (queue_leave); the one that came is the only consumer. While
 *            anybody leaves, each append is made under a lock of the file, which the kernel lets go
 *            when its holder dies; a frame that was not finished then lies behind `head` and is
 *            written over. Who opens the queue meanwhile, in whatever way, shares it.
 * Memory     the pages are not touched before they are used. While much comes they stay mapped, all
 *            of the ring after a while: to fault them in again costs more than a microsecond each.
 *            queue_rest gives them back. They are the file's, not anonymous.
 */
#ifndef STORE_QUEUE_INT_H
#define STORE_QUEUE_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/id.h"
#include "base/span.h"
#include "store/file_int.h"
#include "store/records.h"

#define QUEUE_VERSION 2
#define QUEUE_HEADER_SIZE (UINT64_C(64) << 10) /* a multiple of every page size */
#define QUEUE_SIZE_MIN (UINT64_C(256) << 10)
#define QUEUE_RECORD_MAX (UINT64_C(64) << 10)
#define QUEUE_PAYLOAD_MAX (UINT64_C(10) << 20)

struct queue_frame {
	uint64_t sum; /* over the rest of the frame */
	uint64_t pos; /* where it stands: tells a frame of an earlier round */
	struct id id;
	uint32_t size; /* of all, a multiple of 8 */
	uint32_t record_size;
	uint32_t payload_size[RECORD_PAYLOADS];
	uint8_t has_payload[RECORD_PAYLOADS];
	uint8_t zero[6];
	/* record, payloads */
};

/* At the start of the file, in the machine's byte order. */
struct queue_header {
	char magic[8];
	uint64_t version, ring_size;
	_Alignas(64) _Atomic uint64_t head; /* the producer's line */
	uint64_t generation; /* random: whose positions these are, for who notes one */
	uint64_t base;       /* the position that lies at the ring's first byte */
	struct id newest;
	_Alignas(64) _Atomic uint64_t tail; /* the consumer's */
};

struct queue {
	struct queue_header *h;
	char *ring;
	uint64_t size;
	int fd;
	bool is_readonly;
	bool is_leaving;        /* this process is: it appends, and never takes out */
	_Atomic bool is_shared; /* others append too: under the file's lock */
	uint64_t end;           /* is_readonly: where the whole frames end, in place of head */
	uint64_t released;      /* the tail when pages were last given back to the kernel */
	uint64_t prepared;      /* pages before it are there to be written */
	uint64_t touched; /* of the ring: pages before it have been there since it was opened */
};

/* queue_open.c */
/* Makes it or takes the one that is there with what it holds; frames that a power loss spoilt are
 * dropped with all behind them. is_trusted: no power loss since; else the positions that were
 * noted may come again, and the queue gets another generation. Another size is taken up when it
 * is empty. */
MUST_CHECK enum err queue_open(
    const char *path, uint64_t size, bool is_trusted, struct queue *out, const struct fault *f);
/* E_EOF: there is none. */
MUST_CHECK enum err queue_open_readonly(const char *path, struct queue *out, const struct fault *f);
void queue_close(struct queue *q);

/* queue_share.c */
/* From now on another process takes out of it, and this one appends under the lock, until it closes
 * the queue or dies. E_IO: the file system has no locks. The consumer has stopped. */
MUST_CHECK enum err queue_leave(struct queue *q);
/* The consumer's look whether those who leave have gone: then the locks are no longer taken. */
bool queue_is_shared(struct queue *q);
MUST_CHECK bool queue_lock(struct queue *q); /* for one append */
void queue_unlock(struct queue *q);
void queue_find_sharers(struct queue *q); /* when it is opened */

/* queue.c */
struct queue_item {
	struct id id;
	struct span record;
	struct span payload[RECORD_PAYLOADS];
};
/* Payloads that do not fit are left out; returns how many. -1: the record did not fit either,
 * nothing was kept (or the lock of a shared queue cannot be had). Payloads may use seven eighths of
 * the ring: so records go on while payloads are already dropped. */
MUST_CHECK int queue_append(struct queue *q, const struct queue_item *item);

uint64_t queue_head(const struct queue *q);
uint64_t queue_tail(const struct queue *q);
/* The frame at pos; NULL at the end, or where it is damaged. */
const struct queue_frame *queue_at(const struct queue *q, uint64_t pos);
bool queue_is_whole(const struct queue_frame *f); /* its checksum is right */
struct span queue_record(const struct queue_frame *f);
/* p == NULL: none. */
struct span queue_payload(const struct queue_frame *f, enum record_payload which);
/* The consumer is done with all before pos. Fetches the pages that come next, which takes its time. */
void queue_advance(struct queue *q, uint64_t pos);
/* The consumer's, when nothing is left. The data stays in the file; only this process's view of the
 * pages goes, which counts as its memory. The first ones are kept: where little comes, they are the
 * only ones. */
void queue_rest(struct queue *q);

#endif
