#include "obs/metric.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/chk.h"
#include "base/span.h"

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HIST };

struct row {
	enum kind kind;
	const char *name; /* with its labels */
	const char *help; /* "" on the second and further rows of a family */
};

#define METRIC_ROW(name, kind, prom, help) [M_##name] = {KIND_##kind, prom, help},
static const struct row rows[METRIC_COUNT] = {METRIC_TABLE(METRIC_ROW)};
#undef METRIC_ROW

/* Histograms are numbered apart: only they need buckets. */
#define OF_COUNTER(name)
#define OF_GAUGE(name)
#define OF_HIST(name) H_##name,
#define HIST_ENUM(name, kind, prom, help) OF_##kind(name)
enum { METRIC_TABLE(HIST_ENUM) HIST_COUNT };
#undef HIST_ENUM
#undef OF_HIST
#define OF_HIST(name) [M_##name] = H_##name,
#define HIST_INDEX(name, kind, prom, help) OF_##kind(name)
static const uint8_t hist_of[METRIC_COUNT] = {METRIC_TABLE(HIST_INDEX)};
#undef HIST_INDEX

/* Upper bounds in microseconds, inclusive: three a decade, from 10 us to 500 s. */
static const uint64_t bounds[] = {10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000,
    100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000, 100000000,
    200000000, 500000000};
#define BUCKETS (COUNT_OF(bounds) + 1)

struct hist {
	_Atomic uint64_t buckets[BUCKETS]; /* not cumulative; the last is over all bounds */
	_Atomic uint64_t sum_us;
};

static _Atomic uint64_t values[METRIC_COUNT];
static struct hist hists[HIST_COUNT];

static void
add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t
get(_Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

void
metric_add(enum metric m, uint64_t n)
{
	CHK(rows[m].kind != KIND_HIST);
	add(&values[m], n);
}

void
metric_set(enum metric m, uint64_t value)
{
	CHK(rows[m].kind == KIND_GAUGE);
	atomic_store_explicit(&values[m], value, memory_order_relaxed);
}

void
metric_sub(enum metric m, uint64_t n)
{
	CHK(rows[m].kind == KIND_GAUGE);
	add(&values[m], 0 - n);
}

void
metric_observe_us(enum metric m, uint64_t us)
{
	struct hist *h = &hists[hist_of[m]];
	size_t i = 0;

	CHK(rows[m].kind == KIND_HIST);
	while (i < COUNT_OF(bounds) && us > bounds[i])
		i++;
	add(&h->buckets[i], 1);
	add(&h->sum_us, us);
}

static uint64_t
hist_count(struct hist *h)
{
	uint64_t n = 0;

	for (size_t i = 0; i < BUCKETS; i++)
		n += get(&h->buckets[i]);
	return n;
}

uint64_t
metric_get(enum metric m)
{
	return rows[m].kind == KIND_HIST ? hist_count(&hists[hist_of[m]]) : get(&values[m]);
}

/* The count is the sum of the buckets just printed: a scrape never contradicts itself. */
static bool
render_hist(struct buf *out, const char *name, struct hist *h)
{
	uint64_t n = 0, sum = get(&h->sum_us);

	for (size_t i = 0; i < COUNT_OF(bounds); i++) {
		n += get(&h->buckets[i]);
		if (!buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
			(double)bounds[i] / 1e6, n))
			return false;
	}
	n += get(&h->buckets[COUNT_OF(bounds)]);
	return buf_printf(out,
	    "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 ".%06" PRIu64
	    "\n%s_count %" PRIu64 "\n",
	    name, n, name, sum / 1000000, sum % 1000000, name, n);
}

static bool
render_head(struct buf *out, const struct row *r)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	struct span name = span_str(r->name);
	struct span family = span_head(name, span_find(name, '{'));

	return r->help[0] == '\0' ||
	    buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", SPAN_FMT(family), r->help,
		SPAN_FMT(family), types[r->kind]);
}

bool
metric_render(struct buf *out)
{
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		const struct row *r = &rows[m];
		bool ok = render_head(out, r);

		if (r->kind == KIND_HIST)
			ok = ok && render_hist(out, r->name, &hists[hist_of[m]]);
		else
			ok = ok && buf_printf(out, "%s %" PRIu64 "\n", r->name, get(&values[m]));
		if (!ok)
			return false;
	}
	return true;
}
