#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/records_int.h"

#define SCAN_BATCH 256

int64_t
records_horizon(uint64_t age_ms)
{
	int64_t horizon = clock_wall_ms() - (int64_t)age_ms;

	return age_ms == 0 || horizon < 0 ? 0 : horizon;
}

static int
id_cmp(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_BYTES);
}

/* ---- the queue ---- */

/* What is still on its way, newest first. */
struct queued {
	struct id id;
	uint64_t pos;
};
struct queued_list {
	struct queued *v;
	size_t n, cap;
};

static int
newest_first(const void *a, const void *b)
{
	const struct queued *x = a, *y = b;
	int c = id_cmp(&y->id, &x->id);

	return c != 0 ? c : (x->pos < y->pos) - (x->pos > y->pos);
}

static void
note(struct queued_list *l, const struct queue_frame *f)
{
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = (struct queued){.id = f->id, .pos = f->pos};
}

static struct queued_list
list_queued(struct records *r, const struct id *floor, const struct id *ceiling)
{
	struct queued_list l = {.v = NULL};
	const struct queue_frame *f;
	uint64_t pos;

	if (!r->has_queue)
		return l;
	(void)pthread_mutex_lock(&r->tail_lock);
	pos = queue_tail(&r->queue);
	while ((f = queue_at(&r->queue, pos)) != NULL) {
		if (id_cmp(&f->id, floor) >= 0 && id_cmp(&f->id, ceiling) <= 0)
			note(&l, f);
		pos += f->size;
	}
	(void)pthread_mutex_unlock(&r->tail_lock);
	if (l.n > 0)
		qsort(l.v, l.n, sizeof(*l.v), newest_first);
	return l;
}

/* False: it has left the queue since. */
static bool
copy_queued(struct records *r, uint64_t pos, struct buf *out)
{
	const struct queue_frame *f;
	bool is_there = false;

	(void)pthread_mutex_lock(&r->tail_lock);
	if (pos >= queue_tail(&r->queue) && (f = queue_at(&r->queue, pos)) != NULL)
		is_there = buf_put_span(out, queue_record(f));
	(void)pthread_mutex_unlock(&r->tail_lock);
	return is_there;
}

/* With the lock held. The last of several with that id. */
static const struct queue_frame *
find_queued(const struct records *r, const struct id *id)
{
	const struct queue_frame *f, *found = NULL;
	uint64_t pos = queue_tail(&r->queue);

	while ((f = queue_at(&r->queue, pos)) != NULL) {
		if (id_cmp(&f->id, id) == 0)
			found = f;
		pos += f->size;
	}
	return found;
}

/* ---- one record ---- */

static bool
read_from_queue(struct records *r, const struct id *id, struct buf *out)
{
	const struct queue_frame *f;
	bool is_there;

	if (!r->has_queue)
		return false;
	(void)pthread_mutex_lock(&r->tail_lock);
	f = find_queued(r, id);
	is_there = f != NULL && buf_put_span(out, queue_record(f));
	(void)pthread_mutex_unlock(&r->tail_lock);
	return is_there;
}

static bool
read_from_segments(struct records *r, const struct id *id, struct buf *out)
{
	struct segment **v;
	size_t n = segments_pin(&r->set, day_of_id(id), &v);
	bool is_there = false;

	for (size_t i = 0; i < n && !is_there && v[i]->day == day_of_id(id); i++)
		is_there = segment_read(&r->set, v[i], id, NULL, out);
	segments_unpin(&r->set, v, n);
	return is_there;
}

bool
record_read(struct records *r, const struct id *id, struct buf *out)
{
	if (id_wall_ms(id) < records_horizon(r->o.retention_ms))
		return false;
	return read_from_queue(r, id, out) || read_from_segments(r, id, out);
}

/* *is_known: the queue has the record, with this payload or without. */
static bool
payload_from_queue(struct records *r, const struct id *id, enum record_payload which,
    struct buf *out, bool *is_known)
{
	const struct queue_frame *f;
	bool is_there = false;

	*is_known = false;
	if (!r->has_queue)
		return false;
	(void)pthread_mutex_lock(&r->tail_lock);
	f = find_queued(r, id);
	*is_known = f != NULL;
	if (f != NULL && f->has_payload[which])
		is_there = buf_put_span(out, queue_payload(f, which));
	(void)pthread_mutex_unlock(&r->tail_lock);
	return is_there;
}

bool
record_read_payload(
    struct records *r, const struct id *id, enum record_payload which, struct buf *out)
{
	struct segment **v;
	bool is_there, is_known;
	size_t n;

	if (id_wall_ms(id) < records_horizon(r->o.retention_ms) ||
	    id_wall_ms(id) < records_horizon(r->o.payload_retention_ms))
		return false;
	is_there = payload_from_queue(r, id, which, out, &is_known);
	if (is_known)
		return is_there;
	n = segments_pin(&r->set, day_of_id(id), &v);
	for (size_t i = 0; i < n && !is_there && v[i]->day == day_of_id(id); i++)
		is_there = segment_read_payload(&r->set, v[i], id, which, out);
	segments_unpin(&r->set, v, n);
	return is_there;
}

/* ---- scanning ---- */

/*
 * Days do not overlap; segments of one day may (a late record, a restart). So a day is read in
 * batches: the newest ids below the cursor from each of its segments and from the queue, merged.
 * Between batches nothing is held but pins, and during a call of fn no transaction.
 */
struct hit {
	struct id id;
	struct segment *segment; /* NULL: in the queue, at pos */
	uint64_t pos;
};
struct scan {
	struct records *r;
	struct id floor, ceiling; /* what is left to do */
	struct queued_list queued;
	size_t next_queued;
	struct segment **pinned;
	size_t n_pinned;
	struct hit hits[SCAN_BATCH];
	size_t n;
	struct buf copy;
	record_fn fn;
	void *ctx;
};

/* Merges ids of one segment, newest first, into the hits; an id that is there already stays. */
static void
merge(struct scan *s, struct segment *g, const struct id *ids, size_t n)
{
	struct hit old[SCAN_BATCH];
	size_t n_old = s->n, i = 0, j = 0;

	memcpy(old, s->hits, n_old * sizeof(old[0]));
	for (s->n = 0; s->n < SCAN_BATCH && (i < n_old || j < n); s->n++) {
		int c = i == n_old ? -1 : j == n ? 1 : id_cmp(&old[i].id, &ids[j]);

		if (c >= 0)
			s->hits[s->n] = old[i++];
		else
			s->hits[s->n] = (struct hit){.id = ids[j], .segment = g};
		j += c <= 0;
	}
}

static void
gather_segment(struct scan *s, struct segment *g)
{
	struct id ids[SCAN_BATCH];
	struct segment_facts facts;
	struct id floor = s->floor;
	size_t n;

	/* When the batch is full, only what is newer than its last is of interest. */
	if (s->n == SCAN_BATCH)
		floor = s->hits[SCAN_BATCH - 1].id;
	if (!segment_know(&s->r->set, g, &facts) || facts.records == 0 ||
	    id_cmp(&facts.first, &s->ceiling) > 0 || id_cmp(&facts.last, &floor) < 0)
		return;
	n = segment_ids(&s->r->set, g, &floor, &s->ceiling, ids, SCAN_BATCH);
	merge(s, g, ids, n);
}

static void
gather_queued(struct scan *s, int32_t day)
{
	size_t i = s->next_queued;

	while (i < s->queued.n && id_cmp(&s->queued.v[i].id, &s->ceiling) > 0)
		i++;
	s->next_queued = i;
	for (s->n = 0; s->n < SCAN_BATCH && i < s->queued.n; i++) {
		const struct queued *q = &s->queued.v[i];

		if (day_of_id(&q->id) != day)
			break;
		if (s->n > 0 && id_cmp(&s->hits[s->n - 1].id, &q->id) == 0)
			continue;
		s->hits[s->n++] = (struct hit){.id = q->id, .pos = q->pos};
	}
}

/* The newest day at or before the ceiling that has anything; its segments are pinned. False:
 * none. */
static bool
choose_day(struct scan *s, int32_t *day)
{
	bool has_any = false;

	s->n_pinned = segments_pin(&s->r->set, day_of_id(&s->ceiling), &s->pinned);
	if (s->n_pinned > 0) {
		*day = s->pinned[0]->day;
		has_any = true;
	}
	for (size_t i = s->next_queued; i < s->queued.n; i++) {
		if (id_cmp(&s->queued.v[i].id, &s->ceiling) > 0)
			continue;
		if (!has_any || day_of_id(&s->queued.v[i].id) > *day)
			*day = day_of_id(&s->queued.v[i].id);
		has_any = true;
		break;
	}
	return has_any && *day >= day_of_id(&s->floor);
}

static bool
fetch(struct scan *s, const struct hit *h)
{
	if (h->segment != NULL)
		return segment_read(&s->r->set, h->segment, &h->id, NULL, &s->copy);
	return copy_queued(s->r, h->pos, &s->copy) || read_from_segments(s->r, &h->id, &s->copy);
}

static bool
deliver(struct scan *s)
{
	for (size_t i = 0; i < s->n; i++) {
		buf_reset(&s->copy);
		if (fetch(s, &s->hits[i]) && !s->fn(s->ctx, &s->hits[i].id, buf_view(&s->copy)))
			return false;
	}
	return true;
}

/* The greatest id before this one. False: there is none. */
static bool
step_back(struct id *id)
{
	for (int i = ID_BYTES - 1; i >= 0; i--)
		if (id->b[i]-- != 0)
			return true;
	return false;
}

/* Past the batch, or past the day when there was less than a batch of it. False: at the end. */
static bool
move_on(struct scan *s, int32_t day)
{
	if (s->n == SCAN_BATCH)
		s->ceiling = s->hits[SCAN_BATCH - 1].id;
	else {
		int64_t first_ms = (int64_t)day * DAY_MS;

		memset(s->ceiling.b, 0, ID_BYTES);
		for (int i = 5; i >= 0; i--, first_ms >>= 8)
			s->ceiling.b[i] = (uint8_t)first_ms;
	}
	return step_back(&s->ceiling) && id_cmp(&s->ceiling, &s->floor) >= 0;
}

static bool
scan_batch(struct scan *s)
{
	int32_t day = 0;
	bool goes_on = choose_day(s, &day);

	if (goes_on) {
		gather_queued(s, day);
		for (size_t i = 0; i < s->n_pinned && s->pinned[i]->day == day; i++)
			gather_segment(s, s->pinned[i]);
		goes_on = deliver(s) && move_on(s, day);
	}
	segments_unpin(&s->r->set, s->pinned, s->n_pinned);
	return goes_on;
}

void
records_scan(
    struct records *r, const struct id *floor, const struct id *ceiling, record_fn fn, void *ctx)
{
	struct id oldest = id_floor_at(records_horizon(r->o.retention_ms));
	struct scan *s;

	if (id_wall_ms(&oldest) == 0)
		memset(&oldest, 0, sizeof(oldest));
	if (id_cmp(floor, &oldest) > 0)
		oldest = *floor;
	if (id_cmp(&oldest, ceiling) > 0)
		return;
	s = xcalloc(1, sizeof(*s));
	s->r = r;
	s->floor = oldest;
	s->ceiling = *ceiling;
	s->fn = fn;
	s->ctx = ctx;
	buf_init(&s->copy, QUEUE_RECORD_MAX);
	/* The queue before the segments: what leaves it from now on is found there. */
	s->queued = list_queued(r, &s->floor, &s->ceiling);
	while (scan_batch(s))
		continue;
	buf_fini(&s->copy);
	free(s->queued.v);
	free(s);
}

/* ---- figures ---- */

void
records_stats(struct records *r, struct records_stats *out)
{
	const struct id floor = {{0}};
	struct id ceiling;
	struct segment **v;
	struct queued_list queued;
	size_t n;

	memset(&ceiling, 0xff, sizeof(ceiling));
	*out =
	    (struct records_stats){.bytes = segments_bytes(&r->set), .lost = atomic_load(&r->lost)};
	queued = list_queued(r, &floor, &ceiling);
	out->records = queued.n;
	free(queued.v);
	if (r->has_queue) {
		out->queued_bytes = queue_head(&r->queue) - queue_tail(&r->queue);
		out->bytes += r->queue.size;
	}
	n = segments_pin_all(&r->set, &v);
	for (size_t i = 0; i < n; i++) {
		struct segment_facts facts;

		if (segment_know(&r->set, v[i], &facts))
			out->records += facts.records;
	}
	segments_unpin(&r->set, v, n);
}
