#include "store/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "store/datadir_int.h"
#include "store/records_int.h"

#define QUEUE_SIZE (UINT64_C(64) << 20)
#define SEGMENT_SIZE_MAX (UINT64_C(1) << 30)
#define SEGMENT_SIZE_MIN (UINT64_C(1) << 20)

/* ---- open ---- */

static struct records *
make(const struct datadir *d)
{
	struct records *r = xcalloc(1, sizeof(*r));

	file_path(r->dir, d->path, "log");
	r->wake_fd = -1;
	r->queue.fd = -1;
	atomic_store(&r->state, WRITER_BUSY);
	packer_init(&r->packer);
	CHK(pthread_mutex_init(&r->tail_lock, NULL) == 0);
	return r;
}

static void
unmake(struct records *r)
{
	if (r->wake_fd >= 0)
		(void)close(r->wake_fd);
	if (r->has_queue || r->has_left)
		queue_close(&r->queue);
	packer_fini(&r->packer);
	(void)pthread_mutex_destroy(&r->tail_lock);
	free(r);
}

static uint64_t
clamp(uint64_t segment_size)
{
	if (segment_size > SEGMENT_SIZE_MAX)
		return SEGMENT_SIZE_MAX;
	return segment_size < SEGMENT_SIZE_MIN ? SEGMENT_SIZE_MIN : segment_size;
}

/* The queue's file counts towards max_size too: what du shows is what was promised. */
static void
set_sizes(struct records *r, const struct records_options *o)
{
	uint64_t segment = SEGMENT_SIZE_MAX;

	r->o = *o;
	if (r->o.queue_size == 0)
		r->o.queue_size = o->max_size / 4 > 0 && o->max_size / 4 < QUEUE_SIZE
		    ? o->max_size / 4
		    : QUEUE_SIZE;
	if (o->max_size > 0) {
		r->budget = o->max_size / 4;
		if (o->max_size - r->budget > r->o.queue_size)
			r->budget = o->max_size - r->o.queue_size;
		segment = r->budget / 8;
	}
	r->set.segment_size = clamp(segment);
	r->set.payload_file_size =
	    clamp(o->payload_max_size > 0 ? o->payload_max_size / 8 : SEGMENT_SIZE_MAX);
}

static struct id
newer(const struct id *a, const struct id *b)
{
	return memcmp(a, b, sizeof(*a)) > 0 ? *a : *b;
}

static struct id
newest_kept(struct records *r)
{
	struct id newest = {{0}};
	const struct queue_frame *f;
	struct segment **v;
	size_t n = segments_pin(&r->set, INT32_MAX, &v);

	for (size_t i = 0; i < n; i++) {
		struct segment_facts facts;

		if (segment_know(&r->set, v[i], &facts))
			newest = newer(&facts.last, &newest);
	}
	segments_unpin(&r->set, v, n);
	for (uint64_t pos = r->has_queue ? queue_tail(&r->queue) : 0;
	    r->has_queue && (f = queue_at(&r->queue, pos)) != NULL; pos += f->size)
		newest = newer(&f->id, &newest);
	return newest;
}

/* The queue notes it, also of what is no longer kept. The note has no checksum: where it is far ahead of the clock and of
 * all that is kept, it is damaged, and must not lead all ids to come into some other century. */
static struct id
find_newest(struct records *r)
{
	struct id kept = newest_kept(r), noted;
	int64_t now_ms = clock_wall_ms();

	if (!r->has_queue)
		return kept;
	noted = newer(&r->queue.h->newest, &kept);
	if (id_wall_ms(&noted) <= now_ms + DAY_MS ||
	    id_wall_ms(&noted) <= id_wall_ms(&kept) + DAY_MS)
		return noted;
	log_line(LOG_WARN, "log: the queue's note of the newest id is damaged");
	if (!r->is_readonly)
		r->queue.h->newest = kept;
	return kept;
}

static enum err
open_parts(struct records *r, const struct datadir *d, const struct fault *f)
{
	char path[FILE_PATH_SIZE];
	uint64_t segment_size = r->set.segment_size, payload_file_size = r->set.payload_file_size;
	const struct format format = {.version = LOG_FORMAT, .oldest = LOG_FORMAT_READ};
	enum err e = file_check_format(r->dir, format, r->is_readonly, f);

	if (e != E_OK)
		return e;
	/* The queue before the list of segments: what leaves the one meanwhile is in the other. */
	file_path(path, r->dir, "queue");
	if (r->is_readonly)
		e = queue_open_readonly(path, &r->queue, f);
	else
		e = queue_open(path, r->o.queue_size, d->was_clean, &r->queue, f);
	if (e != E_OK && !(e == E_EOF && r->is_readonly))
		return e;
	r->has_queue = e == E_OK;
	e = segments_open(&r->set, r->dir, r->is_readonly, f);
	r->set.segment_size = segment_size;
	r->set.payload_file_size = payload_file_size;
	return e;
}

static enum err
start_writer(struct records *r, const struct fault *f)
{
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0)
		return fault_set(f, E_IO, "log: eventfd: %s", strerror(errno));
	if (pthread_create(&r->thread, NULL, records_writer, r) != 0)
		return fault_set(f, E_NOMEM, "log: cannot start the writer's thread");
	return E_OK;
}

enum err
records_open(const struct datadir *d, const struct records_options *o, struct records **out,
    char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	struct records *r;
	enum err e;

	CHK(d->lock_fd >= 0);
	r = make(d);
	set_sizes(r, o);
	e = open_parts(r, d, &f);
	if (e != E_OK)
		goto fail_made;
	r->newest = find_newest(r);
	r->start = queue_head(&r->queue);
	e = start_writer(r, &f);
	if (e != E_OK)
		goto fail_opened;
	*out = r;
	return E_OK;

fail_opened:
	segments_close(&r->set);
fail_made:
	unmake(r);
	return e;
}

enum err
records_open_readonly(
    const struct datadir *d, struct records **out, char *detail, size_t detail_size)
{
	const struct fault f = {detail, detail_size};
	struct records *r = make(d);
	enum err e;

	r->is_readonly = true;
	e = open_parts(r, d, &f);
	if (e != E_OK) {
		unmake(r);
		return e;
	}
	/* What was listed belongs to earlier runs and stays as it is; but what a server that
	 * started meanwhile has committed would be missing. */
	if (datadir_is_locked(d)) {
		records_close(r);
		return fault_set(
		    &f, E_IN_USE, "%s: a server has just started on it: ask that", d->path);
	}
	r->newest = find_newest(r);
	*out = r;
	return E_OK;
}

static void
wake(struct records *r)
{
	const uint64_t one = 1;

	if (write(r->wake_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		CHK(errno == EAGAIN); /* it is awake for long */
}

static void
stop_writer(struct records *r)
{
	atomic_store(&r->is_stopping, true);
	wake(r);
	CHK(pthread_join(r->thread, NULL) == 0);
}

/* What it reads from now on it reads from segments: frames may be taken from the queue at any time. */
enum err
records_leave(struct records *r)
{
	enum err e;

	CHK(!r->is_readonly && !r->has_left);
	e = queue_leave(&r->queue);
	if (e != E_OK)
		return e;
	atomic_store(&r->is_leaving, true);
	stop_writer(r);
	atomic_store(&r->state, WRITER_BUSY); /* there is none to be woken */
	r->has_queue = false;
	r->has_left = true;
	return E_OK;
}

void
records_close(struct records *r)
{
	if (r == NULL)
		return;
	if (!r->is_readonly && !r->has_left)
		stop_writer(r);
	segments_close(&r->set);
	unmake(r);
}

/* ---- appending ---- */

/* Who sleeps is woken by the first record; who gathers, when there is enough for a commit. */
static void
wake_if_due(struct records *r)
{
	int state;

	atomic_thread_fence(
	    memory_order_seq_cst); /* against the writer's: the record first, then the look */
	state = atomic_load_explicit(&r->state, memory_order_relaxed);
	if (state == WRITER_BUSY)
		return;
	/* More may have been taken than this process has appended: from one that leaves. */
	if (state == WRITER_GATHERING &&
	    (int64_t)(r->appended - atomic_load_explicit(&r->taken, memory_order_relaxed)) <
		RECORDS_GATHER &&
	    queue_head(&r->queue) - queue_tail(&r->queue) < r->queue.size / 8)
		return;
	if (atomic_exchange(&r->state, WRITER_BUSY) != WRITER_BUSY)
		wake(r);
}

static void
count_lost(struct records *r, const struct queue_item *item)
{
	metric_add(M_LOG_LOST, 1);
	for (int i = 0; i < RECORD_PAYLOADS; i++)
		metric_add(M_LOG_PAYLOADS_LOST, item->payload[i].p != NULL);
	atomic_fetch_add(&r->lost, 1);
	if (item->record.n > QUEUE_RECORD_MAX)
		return; /* nothing is wrong with the log */
	metric_set(M_LOG_FAILING, 1);
	atomic_store(&r->is_failing, true);
}

void
record_append(struct records *r, const struct id *id, struct span record,
    const struct span payload[RECORD_PAYLOADS])
{
	const struct queue_item item = {.id = *id,
	    .record = record,
	    .payload = {payload[RECORD_REQUEST], payload[RECORD_RESPONSE]}};
	int dropped;

	CHK(!r->is_readonly);
	dropped = queue_append(&r->queue, &item);
	if (dropped < 0) {
		count_lost(r, &item);
		return;
	}
	metric_add(M_LOG_PAYLOADS_LOST, (uint64_t)dropped);
	r->appended++;
	if (memcmp(id, &r->newest, sizeof(*id)) > 0)
		r->newest = *id;
	metric_set(M_LOG_QUEUE_BYTES, queue_head(&r->queue) - queue_tail(&r->queue));
	wake_if_due(r);
}

bool
records_is_failing(const struct records *r)
{
	return atomic_load(&r->is_failing);
}

struct id
records_newest(const struct records *r)
{
	return r->newest;
}
