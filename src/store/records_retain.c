#include <limits.h>
#include <pthread.h>

#include "base/clock.h"
#include "obs/metric.h"
#include "store/records_int.h"

/* Of files unlinked and opened in one go: the writer has records to commit meanwhile. */
#define SLICE 8
/* A clock that jumps, or a machine that slept, is noticed after this at the latest. */
#define LOOK_MAX_MS INT64_C(3600000)

/* ---- too much ---- */

/* A sixteenth stays free for what a commit may add. */
static bool
is_over(uint64_t bytes, uint64_t limit)
{
	return limit > 0 && bytes > limit - limit / 16;
}

static bool
is_log_over(struct records *r)
{
	return is_over(segments_bytes(&r->set), r->budget);
}

static bool
are_payloads_over(struct records *r)
{
	return is_over(segments_payload_bytes(&r->set), r->o.payload_max_size);
}

bool
records_are_too_much(struct records *r)
{
	uint64_t bytes = segments_bytes(&r->set), payloads = segments_payload_bytes(&r->set);

	metric_set(M_LOG_BYTES, bytes + r->queue.size);
	metric_set(M_LOG_PAYLOAD_BYTES, payloads);
	return is_over(bytes, r->budget) || is_over(payloads, r->o.payload_max_size);
}

/* ---- too old ---- */

/* When the newest of a segment is past an age; 0: never. Exact where it matters: the file is only
 * opened on the day between. */
static int64_t
expires_at(struct records *r, struct segment *g, uint64_t age_ms, int64_t now_ms)
{
	struct segment_facts facts;
	int64_t least = (int64_t)g->day * DAY_MS + (int64_t)age_ms, most = least + DAY_MS - 1;

	if (age_ms == 0)
		return 0;
	if (least >= now_ms)
		return least;
	if (most >= now_ms && segment_know(&r->set, g, &facts) && facts.records > 0)
		return id_wall_ms(&facts.last) + (int64_t)age_ms;
	return most;
}

static bool
is_past(int64_t when, int64_t now_ms)
{
	return when != 0 && when < now_ms; /* at that moment a reader still sees it */
}

/* ---- what this run writes to ---- */

static struct open_day *
newest_day(struct records *r)
{
	struct open_day *newest = NULL;

	for (size_t i = 0; i < r->n_days; i++)
		if (newest == NULL || r->days[i].day > newest->day)
			newest = &r->days[i];
	return newest;
}

/* What is open cannot go: so what may have to is closed. */
static void
close_days(struct records *r, int64_t now_ms)
{
	bool is_too_much = records_are_too_much(r);
	const struct open_day *newest = newest_day(r);

	for (size_t i = r->n_days; i-- > 0;) {
		struct segment *g = r->days[i].segment;

		if (g == NULL)
			continue;
		if (is_past(expires_at(r, g, r->o.retention_ms, now_ms), now_ms) ||
		    is_past(expires_at(r, g, r->o.payload_retention_ms, now_ms), now_ms) ||
		    (is_too_much && &r->days[i] != newest))
			records_retire(r, &r->days[i]);
	}
}

/* ---- one go ---- */

struct sweep {
	struct records *r;
	struct segment **v; /* oldest first */
	size_t n;
	int64_t now_ms, next; /* next: when the next thing falls due */
	unsigned left;        /* of SLICE */
};

static void
drop(struct sweep *s, struct segment *g)
{
	if (g->is_dropped)
		return;
	segment_drop(&s->r->set, g);
	s->left--;
}

static void
drop_payloads(struct sweep *s, struct segment *g)
{
	if (g->is_dropped || g->payload_bytes == 0)
		return;
	segment_drop_payloads(&s->r->set, g);
	s->left--;
}

static void
note_next(struct sweep *s, int64_t when)
{
	if (when != 0 && when < s->next)
		s->next = when;
}

static void
retain_by_age(struct sweep *s)
{
	for (size_t i = 0; i < s->n && s->left > 0; i++) {
		struct segment *g = s->v[i];
		int64_t rows = expires_at(s->r, g, s->r->o.retention_ms, s->now_ms);
		int64_t payloads = expires_at(s->r, g, s->r->o.payload_retention_ms, s->now_ms);

		if (is_past(rows, s->now_ms)) {
			drop(s, g);
			continue;
		}
		note_next(s, rows);
		if (is_past(payloads, s->now_ms))
			drop_payloads(s, g);
		else
			note_next(s, payloads);
	}
}

/* An open segment takes an eighth of the limit at most, unless that is too little for one: then
 * it is closed and its payloads go too. */
static void
retain_payloads_by_size(struct sweep *s)
{
	struct open_day *newest = newest_day(s->r);
	struct segment *open = newest != NULL ? newest->segment : NULL;

	for (size_t i = 0; i < s->n && s->left > 0 && are_payloads_over(s->r); i++)
		if (!s->v[i]->is_writable)
			drop_payloads(s, s->v[i]);
	if (s->left == 0 || open == NULL || !are_payloads_over(s->r))
		return;
	records_retire(s->r, newest);
	drop_payloads(s, open);
}

/* The last that has records: a log is never emptied for room. */
static size_t
newest_with_records(struct sweep *s)
{
	struct segment_facts facts;
	size_t i = s->n;

	while (i > 0 &&
	    (s->v[i - 1]->is_dropped || !segment_know(&s->r->set, s->v[i - 1], &facts) ||
		facts.records == 0))
		i--;
	return i; /* one past it */
}

/* The newest may be larger than a limit that was lowered since: its payloads go, and the rest as
 * soon as there is a newer one with records. */
static void
retain_by_size(struct sweep *s)
{
	size_t end;

	if (!is_log_over(s->r))
		return;
	end = newest_with_records(s);
	for (size_t i = 0; i + 1 < end && s->left > 0 && is_log_over(s->r); i++)
		if (!s->v[i]->is_writable)
			drop(s, s->v[i]);
	if (end > 0 && s->left > 0 && is_log_over(s->r) && !s->v[end - 1]->is_writable)
		drop_payloads(s, s->v[end - 1]);
}

static int
wait_ms(const struct sweep *s)
{
	int64_t least = records_look_ms(s->r), wait = s->next - s->now_ms;

	if (s->next == INT64_MAX)
		return -1;
	wait = wait > LOOK_MAX_MS ? LOOK_MAX_MS : wait;
	return (int)(wait < least ? least : wait);
}

int
records_retain(struct records *r)
{
	struct sweep s = {.r = r, .now_ms = clock_wall_ms(), .next = INT64_MAX, .left = SLICE};

	close_days(r, s.now_ms);
	s.n = segments_pin_all(&r->set, &s.v);
	retain_by_age(&s);
	retain_payloads_by_size(&s);
	retain_by_size(&s);
	segments_unpin(&r->set, s.v, s.n);
	r->must_check = s.left == 0;
	(void)records_are_too_much(r); /* for the figures */
	return r->must_check ? 0 : wait_ms(&s);
}
