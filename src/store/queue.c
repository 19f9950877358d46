#include "store/queue_int.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/checksum_int.h"

#define BY_FILE_MIN (32u << 10)
#define RELEASE_STEP (UINT64_C(1) << 20)
#define PREPARE_MIN (UINT64_C(128) << 10)
#define PREPARE_STEP (UINT64_C(64) << 10)
#define PREPARE_MAX (UINT64_C(2) << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

_Static_assert(sizeof(struct queue_frame) == 56, "no padding: the bytes go to disk");

/* ---- frames ---- */

static char *
at(const struct queue *q, uint64_t pos)
{
	return q->ring + (pos - q->h->base) % q->size;
}

uint64_t
queue_head(const struct queue *q)
{
	return q->is_readonly ? q->end : atomic_load_explicit(&q->h->head, memory_order_acquire);
}

uint64_t
queue_tail(const struct queue *q)
{
	return atomic_load_explicit(&q->h->tail, memory_order_acquire);
}

static uint64_t
frame_sum(const struct queue_frame *f)
{
	return checksum(0, (const char *)f + sizeof(f->sum), f->size - sizeof(f->sum));
}

static uint64_t
frame_size(uint64_t record, uint64_t request, uint64_t response)
{
	return (sizeof(struct queue_frame) + record + request + response + 7) & ~UINT64_C(7);
}

const struct queue_frame *
queue_at(const struct queue *q, uint64_t pos)
{
	uint64_t left = queue_head(q) - pos;
	const struct queue_frame *f;

	if (left < sizeof(*f) || left > q->size)
		return NULL;
	f = (const struct queue_frame *)(const void *)at(q, pos);
	if (f->size > left || f->pos != pos)
		return NULL;
	if (f->record_size > QUEUE_RECORD_MAX || f->payload_size[0] > QUEUE_PAYLOAD_MAX ||
	    f->payload_size[1] > QUEUE_PAYLOAD_MAX ||
	    f->size != frame_size(f->record_size, f->payload_size[0], f->payload_size[1]))
		return NULL;
	return f;
}

bool
queue_is_whole(const struct queue_frame *f)
{
	return f->sum == frame_sum(f);
}

struct span
queue_record(const struct queue_frame *f)
{
	return span_of(f + 1, f->record_size);
}

struct span
queue_payload(const struct queue_frame *f, enum record_payload which)
{
	size_t before =
	    f->record_size + (which == RECORD_RESPONSE ? f->payload_size[RECORD_REQUEST] : 0);

	if (!f->has_payload[which])
		return SPAN_NONE;
	return span_of((const char *)(f + 1) + before, f->payload_size[which]);
}

/* ---- the producer ---- */

/* By the file, whose pages the view shares. False: it did not take all of it. */
static bool
put_by_file(struct queue *q, const char *to, struct span s)
{
	uint64_t off = (uint64_t)(to - q->ring) % q->size;

	while (s.n > 0) {
		struct span piece = span_head(s, q->size - off);
		ssize_t n = pwrite(q->fd, piece.p, piece.n, (off_t)(QUEUE_HEADER_SIZE + off));

		if (n <= 0)
			return false;
		s = span_skip(s, (size_t)n);
		off = (off + (uint64_t)n) % q->size;
	}
	return true;
}

/* Storing into the view costs a fault for each page, on ext4 with large folios some 10 us: 12 ms for 5 MB, where a write
 * costs one. */
static char *
put(struct queue *q, char *to, struct span s)
{
	if (s.n > 0 && (s.n < BY_FILE_MIN || !put_by_file(q, to, s)))
		memcpy(to, s.p, s.n);
	return to + s.n;
}

static void
write_frame(struct queue *q, uint64_t pos, uint64_t size, const struct queue_item *item)
{
	struct queue_frame *f = (struct queue_frame *)(void *)at(q, pos);
	char *to = (char *)(f + 1);

	*f = (struct queue_frame){
	    .pos = pos,
	    .id = item->id,
	    .size = (uint32_t)size,
	    .record_size = (uint32_t)item->record.n,
	};
	to = put(q, to, item->record);
	for (int i = 0; i < RECORD_PAYLOADS; i++) {
		f->has_payload[i] = item->payload[i].p != NULL;
		f->payload_size[i] = (uint32_t)item->payload[i].n;
		to = put(q, to, item->payload[i]);
	}
	memset(to, 0, (size_t)((char *)f + size - to));
	f->sum = frame_sum(f);
}

/* Leaves out what does not fit. Returns how many, or -1. */
static int
fit(const struct queue *q, uint64_t used, struct queue_item *item)
{
	const uint64_t for_payloads = q->size - q->size / 8;
	struct span *request = &item->payload[RECORD_REQUEST],
		    *response = &item->payload[RECORD_RESPONSE];
	int dropped = 0;

	if (item->record.n > QUEUE_RECORD_MAX || used + frame_size(item->record.n, 0, 0) > q->size)
		return -1;
	for (int i = RECORD_PAYLOADS - 1; i >= 0; i--) {
		struct span *p = &item->payload[i];

		if (p->p == NULL)
			*p = SPAN_NONE;
		else if (p->n > QUEUE_PAYLOAD_MAX ||
		    used + frame_size(item->record.n, request->n, response->n) > for_payloads) {
			*p = SPAN_NONE;
			dropped++;
		}
	}
	return dropped;
}

static int
append(struct queue *q, const struct queue_item *item)
{
	struct queue_item fitting = *item;
	uint64_t pos = atomic_load_explicit(&q->h->head, memory_order_relaxed),
		 tail = queue_tail(q);
	uint64_t size;
	int dropped;

	/* Where little comes, the same few pages are used again and again. */
	if (pos == tail)
		q->h->base = pos;
	dropped = fit(q, pos - tail, &fitting);
	if (dropped < 0)
		return -1;
	size = frame_size(fitting.record.n, fitting.payload[0].n, fitting.payload[1].n);
	write_frame(q, pos, size, &fitting);
	if (memcmp(&q->h->newest, &item->id, sizeof(item->id)) < 0)
		q->h->newest = item->id;
	atomic_store_explicit(&q->h->head, pos + size, memory_order_release);
	return dropped;
}

int
queue_append(struct queue *q, const struct queue_item *item)
{
	int dropped;

	CHK(!q->is_readonly);
	if (!atomic_load_explicit(&q->is_shared, memory_order_relaxed))
		return append(q, item);
	if (!queue_lock(q))
		return -1;
	dropped = append(q, item);
	queue_unlock(q);
	return dropped;
}

/* ---- the consumer ---- */

void
queue_rest(struct queue *q)
{
	uint64_t tail = queue_tail(q);

	if (tail - q->released < RELEASE_STEP)
		return;
	(void)madvise(q->ring + RELEASE_STEP, 2 * q->size - RELEASE_STEP, MADV_DONTNEED);
	q->released = tail;
	q->prepared = 0;
}

/* Of a page of the file that nobody has touched the kernel makes as many as its read-ahead likes, in one large folio; and at the
 * first write to each of them ext4 (6.18) walks all of it: 15 us a page. So there is no read-ahead for these. */
static void
prepare_step(struct queue *q, uint64_t from, uint64_t n)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), offset = (from - q->h->base) % q->size;
	char *p = q->ring + offset / page * page;
	bool is_untouched = offset + n > q->touched;

	if (is_untouched)
		(void)madvise(p, n, MADV_RANDOM);
	/* A kernel before 5.14 does not know it: then the loop takes the faults. */
	(void)madvise(p, n, MADV_POPULATE_WRITE);
	if (is_untouched) {
		(void)madvise(p, n, MADV_NORMAL);
		q->touched = offset + n;
	}
}

/* The page faults of what comes next (some microseconds each, on a file) are taken here and not
 * on the loop. Only while the producer is busy: then the base cannot change either. */
static void
prepare_pages(struct queue *q, uint64_t pos)
{
	uint64_t head = queue_head(q), ahead = 2 * (pos - queue_tail(q)), from;

	if (head == pos)
		return;
	ahead = ahead < PREPARE_MIN ? PREPARE_MIN : ahead > PREPARE_MAX ? PREPARE_MAX : ahead;
	from = q->prepared > head ? q->prepared : head;
	if (head + ahead < from + PREPARE_MIN / 2)
		return;
	/* In small steps: as long as each takes, no other thread can map memory. */
	for (uint64_t end = head + ahead; from < end; from += PREPARE_STEP)
		prepare_step(q, from, end - from < PREPARE_STEP ? end - from : PREPARE_STEP);
	q->prepared = head + ahead;
}

void
queue_advance(struct queue *q, uint64_t pos)
{
	CHK(!q->is_readonly);
	prepare_pages(q, pos);
	atomic_store_explicit(&q->h->tail, pos, memory_order_release);
}
