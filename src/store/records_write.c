#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "store/records_int.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000
#define AGE_PARTS 7 /* a segment is closed after a seventh of the shorter retention... */
#define AGE_MIN_MS INT64_C(60000) /* ...but not sooner */
#define LOOK_MIN_MS 250
#define LOOK_MS 60000

/* ---- days ---- */

static void
close_day(struct records *r, size_t i)
{
	if (r->days[i].segment != NULL)
		segment_freeze(&r->set, r->days[i].segment);
	r->days[i] = r->days[--r->n_days];
	r->must_check = true;
}

/* What an earlier run committed before it advanced the queue. */
static uint64_t
done_before(struct records *r, int32_t day)
{
	struct segment **v;
	size_t n = segments_pin(&r->set, day, &v);
	uint64_t done = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t pos =
		    v[i]->day == day ? segment_done(&r->set, v[i], r->queue.h->generation) : 0;

		done = pos > done ? pos : done;
	}
	segments_unpin(&r->set, v, n);
	return done;
}

/* Late records keep older days open; past a few the oldest is closed, and opened again under a
 * new number if need be. */
static struct open_day *
day_for(struct records *r, int32_t day)
{
	size_t oldest = 0;

	for (size_t i = 0; i < r->n_days; i++) {
		if (r->days[i].day == day)
			return &r->days[i];
		if (r->days[i].day < r->days[oldest].day)
			oldest = i;
	}
	if (r->n_days == RECORDS_OPEN_DAYS)
		close_day(r, oldest);
	r->days[r->n_days] = (struct open_day){.day = day, .done = done_before(r, day)};
	return &r->days[r->n_days++];
}

static uint64_t
shorter_retention(const struct records *r)
{
	uint64_t a = r->o.retention_ms, b = r->o.payload_retention_ms;

	if (a == 0 || b == 0)
		return a > b ? a : b;
	return a < b ? a : b;
}

static int64_t
age_limit_ms(const struct records *r)
{
	int64_t limit = (int64_t)(shorter_retention(r) / AGE_PARTS);

	return limit > AGE_MIN_MS ? limit : AGE_MIN_MS;
}

int64_t
records_look_ms(const struct records *r)
{
	uint64_t part = shorter_retention(r) / AGE_PARTS;

	if (part == 0 || part > LOOK_MS)
		return LOOK_MS;
	return part < LOOK_MIN_MS ? LOOK_MIN_MS : (int64_t)part;
}

static bool
is_full(const struct records *r, const struct segment *g)
{
	uint64_t rows = env_file_bytes(&g->file[PART_ROWS].env);

	uint64_t payloads = 0;

	if (g->file[PART_PAYLOADS].env.mdb != NULL)
		payloads = env_file_bytes(&g->file[PART_PAYLOADS].env);
	return rows + payloads >= r->set.segment_size || payloads >= r->set.payload_file_size;
}

static bool
is_old(const struct records *r, const struct segment *g)
{
	return shorter_retention(r) > 0 && clock_wall_ms() - g->made_ms > age_limit_ms(r);
}

void
records_retire(struct records *r, struct open_day *d)
{
	struct segment *g = d->segment;

	d->segment = NULL;
	r->must_check = true;
	segment_freeze(&r->set, g);
	if (g->facts.records == 0)
		segment_drop(&r->set, g);
}

static int
need_segment(struct records *r, struct open_day *d)
{
	if (d->segment != NULL && (is_full(r, d->segment) || is_old(r, d->segment)))
		records_retire(r, d);
	if (d->segment != NULL)
		return 0;
	r->must_check = true; /* it has an age of its own from now on */
	return segment_make(&r->set, d->day, &d->segment);
}

/* ---- a batch ---- */

struct batch {
	const struct queue_frame *frames[RECORDS_BATCH];
	size_t n, fresh; /* fresh: those that this run appended */
	uint64_t end;    /* position behind the last */
};

static int
by_id(const void *a, const void *b)
{
	const struct queue_frame *const *x = a, *const *y = b;

	return memcmp(&(*x)->id, &(*y)->id, sizeof((*x)->id));
}

static void
fill(struct records *r, struct batch *b)
{
	uint64_t bytes = 0;
	const struct queue_frame *f;

	b->n = b->fresh = 0;
	b->end = queue_tail(&r->queue);
	while (b->n < RECORDS_BATCH && bytes < RECORDS_BATCH_BYTES &&
	    (f = queue_at(&r->queue, b->end)) != NULL) {
		b->frames[b->n++] = f;
		b->fresh += b->end >= r->start;
		b->end += f->size;
		bytes += f->size;
	}
	qsort(b->frames, b->n, sizeof(b->frames[0]), by_id);
}

/* Frames of one day, [from, to) of the batch, less those that were committed already. */
static int
commit_day(struct records *r, struct batch *b, size_t from, size_t to)
{
	struct open_day *d = day_for(r, day_of_id(&b->frames[from]->id));
	const struct position done = {.generation = r->queue.h->generation, .pos = b->end};
	size_t n = 0;
	int rc;

	for (size_t i = from; i < to; i++)
		if (b->frames[i]->pos >= d->done)
			b->frames[from + n++] = b->frames[i];
	if (n == 0)
		return 0;
	rc = need_segment(r, d);
	if (rc == 0)
		rc = segment_commit(&r->set, d->segment, &r->packer, &b->frames[from], n, &done);
	if (rc == 0) {
		d->done = b->end;
		segment_measure(&r->set, d->segment);
		metric_add(M_LOG_WRITTEN, n);
		return 0;
	}
	/* A map that is full or an environment that has given up is left; a full disk may have
	 * room again. */
	if (d->segment != NULL &&
	    (rc == MDB_PANIC || rc == MDB_MAP_FULL || env_err(rc) == E_CORRUPT))
		records_retire(r, d);
	return rc;
}

static void
advance(struct records *r, const struct batch *b)
{
	(void)pthread_mutex_lock(&r->tail_lock);
	queue_advance(&r->queue, b->end);
	(void)pthread_mutex_unlock(&r->tail_lock);
	metric_set(M_LOG_QUEUE_BYTES, queue_head(&r->queue) - queue_tail(&r->queue));
}

/* Compressing is most of what the writer does. When it falls behind, space is cheaper than bodies that are not kept. */
static bool
is_behind(const struct records *r)
{
	return queue_head(&r->queue) - queue_tail(&r->queue) > r->queue.size / 8;
}

static int
commit_batch(struct records *r, struct batch *b)
{
	r->packer.is_hasty = is_behind(r);
	for (size_t from = 0, to; from < b->n; from = to) {
		int32_t day = day_of_id(&b->frames[from]->id);
		int rc;

		for (to = from + 1; to < b->n && day_of_id(&b->frames[to]->id) == day;)
			to++;
		rc = commit_day(r, b, from, to);
		if (rc != 0)
			return rc;
	}
	advance(r, b);
	return 0;
}

/* ---- faults ---- */

static void
note_failure(struct records *r, int rc)
{
	if (r->backoff_ms == 0)
		log_line(LOG_ERROR,
		    "log: cannot write %s: %s; records wait in the queue, then they are lost",
		    r->dir, mdb_strerror(rc));
	r->backoff_ms = r->backoff_ms == 0 ? BACKOFF_FIRST_MS : r->backoff_ms * 2;
	if (r->backoff_ms > BACKOFF_MAX_MS)
		r->backoff_ms = BACKOFF_MAX_MS;
	atomic_store(&r->is_failing, true);
	metric_set(M_LOG_FAILING, 1);
}

static void
note_success(struct records *r)
{
	if (!atomic_load(&r->is_failing))
		return;
	log_line(LOG_WARN, "log: written again; %llu records were lost in all",
	    (unsigned long long)atomic_load(&r->lost));
	r->backoff_ms = 0;
	atomic_store(&r->is_failing, false);
	metric_set(M_LOG_FAILING, 0);
}

/* A frame that is not one: only a stray write can have done it. What follows cannot be found any
 * more. */
static void
skip_damage(struct records *r, struct batch *b)
{
	b->end = queue_head(&r->queue);
	log_line(LOG_ERROR, "log: the queue is damaged; %llu bytes of it are lost",
	    (unsigned long long)(b->end - queue_tail(&r->queue)));
	metric_add(M_LOG_LOST, 1);
	atomic_fetch_add(&r->lost, 1);
	advance(r, b);
}

/* False: it failed, and is to be tried again. */
static bool
drain_once(struct records *r, struct batch *b)
{
	int rc;

	fill(r, b);
	if (b->n == 0) {
		skip_damage(r, b);
		return true;
	}
	rc = commit_batch(r, b);
	if (rc != 0) {
		note_failure(r, rc);
		return false;
	}
	atomic_fetch_add_explicit(&r->taken, b->fresh, memory_order_relaxed);
	note_success(r);
	return true;
}

/* ---- the writer's thread ---- */

static int
retain_if_due(struct records *r, int wait_ms)
{
	uint64_t now = clock_mono_ns() / 1000000;

	if (!r->must_check && now - r->checked_ms < (uint64_t)records_look_ms(r) &&
	    !records_are_too_much(r))
		return wait_ms;
	r->checked_ms = now;
	return records_retain(r);
}

static void
wait_for(struct records *r, int timeout_ms)
{
	struct pollfd p = {.fd = r->wake_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&p, 1, timeout_ms) > 0 && read(r->wake_fd, &count, sizeof(count)) < 0)
		CHK(errno == EAGAIN);
	atomic_store(&r->state, WRITER_BUSY);
}

static bool
is_empty(const struct records *r)
{
	return queue_head(&r->queue) == queue_tail(&r->queue);
}

/* Says that it waits, and looks once more: the loop looks the other way round. */
static void
sleep_until_work(struct records *r, int timeout_ms)
{
	atomic_store(&r->state, WRITER_ASLEEP);
	atomic_thread_fence(memory_order_seq_cst);
	if (!is_empty(r) || atomic_load(&r->is_stopping)) {
		atomic_store(&r->state, WRITER_BUSY);
		return;
	}
	queue_rest(&r->queue);
	if (queue_is_shared(&r->queue) && (timeout_ms < 0 || timeout_ms > RECORDS_SHARED_MS))
		timeout_ms = RECORDS_SHARED_MS;
	wait_for(r, timeout_ms);
}

static void
gather(struct records *r)
{
	if (queue_head(&r->queue) - queue_tail(&r->queue) >= r->queue.size / 8)
		return;
	atomic_store(&r->state, WRITER_GATHERING);
	if (!atomic_load(&r->is_stopping))
		wait_for(r, RECORDS_GATHER_MS);
	atomic_store(&r->state, WRITER_BUSY);
}

static void
run(struct records *r, struct batch *b)
{
	int wait_ms = retain_if_due(r, -1);

	for (;;) {
		bool is_last = atomic_load(&r->is_stopping);

		if (atomic_load(&r->is_leaving))
			return; /* it stays in the queue, for who takes over */
		if (is_empty(r)) {
			if (is_last)
				return;
			sleep_until_work(r, wait_ms);
			if (is_empty(r)) {
				wait_ms = retain_if_due(r, wait_ms);
				continue;
			}
		}
		gather(r);
		if (!drain_once(r, b)) {
			if (is_last)
				return; /* it stays in the queue, for the next start */
			wait_for(r, r->backoff_ms);
		}
		wait_ms = retain_if_due(r, wait_ms);
	}
}

void *
records_writer(void *arg)
{
	struct records *r = arg;
	struct batch *b = xmalloc(sizeof(*b));

	r->must_check = true;
	run(r, b);
	while (r->n_days > 0)
		close_day(r, r->n_days - 1);
	free(b);
	return NULL;
}
