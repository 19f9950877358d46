#include <limits.h>
#include <pthread.h>

#include "base/clock.h"
#include "store/records_int.h"

static bool
is_open_here(const struct records *r, const struct segment *g)
{
	for (size_t i = 0; i < r->n_days; i++)
		if (r->days[i].segment == g)
			return true;
	return false;
}

/* When the newest of a segment is past an age; 0: never. */
static int64_t
expires_at(struct records *r, struct segment *g, uint64_t age_ms)
{
	struct segment_facts facts;
	int64_t newest = ((int64_t)g->day + 1) * DAY_MS - 1;

	if (age_ms == 0)
		return 0;
	if (segment_know(&r->set, g, &facts) && facts.records > 0)
		newest = id_wall_ms(&facts.last);
	return newest + (int64_t)age_ms;
}

static bool
is_past(int64_t when, int64_t now_ms)
{
	return when != 0 && when < now_ms; /* at that moment a reader still sees it */
}

bool
records_are_too_much(struct records *r)
{
	/* A sixteenth stays free for what a commit may add. */
	return r->budget > 0 && segments_bytes(&r->set) > r->budget - r->budget / 16;
}

static bool
is_newest_day(const struct records *r, const struct open_day *d)
{
	for (size_t i = 0; i < r->n_days; i++)
		if (r->days[i].day > d->day)
			return false;
	return true;
}

/* What is open cannot go: so what may have to is closed. */
static void
close_days(struct records *r, int64_t now_ms)
{
	bool is_over = records_are_too_much(r);

	for (size_t i = r->n_days; i-- > 0;) {
		struct segment *g = r->days[i].segment;

		if (g == NULL)
			continue;
		if (is_past(expires_at(r, g, r->o.retention_ms), now_ms) ||
		    is_past(expires_at(r, g, r->o.payload_retention_ms), now_ms) ||
		    (is_over && !is_newest_day(r, &r->days[i])))
			records_retire(r, &r->days[i]);
	}
}

/* Returns when the next thing falls due, or INT64_MAX. */
static int64_t
retain_by_age(struct records *r, struct segment **v, size_t n, int64_t now_ms)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		int64_t rows = expires_at(r, v[i], r->o.retention_ms);
		int64_t payloads = expires_at(r, v[i], r->o.payload_retention_ms);

		if (is_past(rows, now_ms)) {
			segment_drop(&r->set, v[i]);
			continue;
		}
		if (is_past(payloads, now_ms))
			segment_drop_payloads(&r->set, v[i]);
		else if (payloads != 0 && payloads < next)
			next = payloads;
		if (rows != 0 && rows < next)
			next = rows;
	}
	return next;
}

/* Oldest first. */
static void
retain_by_size(struct records *r, struct segment **v, size_t n)
{
	for (size_t i = 0; i < n && records_are_too_much(r); i++)
		if (!v[i]->is_dropped && !is_open_here(r, v[i]))
			segment_drop(&r->set, v[i]);
}

int
records_retain(struct records *r)
{
	int64_t now_ms = clock_wall_ms(), next;
	struct segment **v;
	size_t n;

	close_days(r, now_ms);
	n = segments_pin_all(&r->set, &v);
	next = retain_by_age(r, v, n, now_ms);
	retain_by_size(r, v, n);
	segments_unpin(&r->set, v, n);
	r->must_check = false;
	if (next == INT64_MAX)
		return -1;
	next = next - now_ms < RECORDS_CHECK_MS ? RECORDS_CHECK_MS : next - now_ms;
	return next > INT_MAX ? INT_MAX : (int)next;
}
