/*
 * cachesize: fills a cache as the loop would, and says what that costs the loop, and the disk.
 *
 *   cachesize [-m MB] [-n ENTRIES] [-x MIXED] DIR
 *
 * Puts ENTRIES (1000000) of 1 KB into a cache of MB (4096), then MIXED (60000) more of 100 bytes, 1 KB and 25 MB, each put followed
 * by READS look-ups of others and the end of the turn; then removes half of it and compacts, while the look-ups go on. Besides, a
 * thread asks all the time what the file system counts. On standard output a line for each kind of call and phase: calls, p50, p99, p99.9
 * and the longest in microseconds, calls over 1 ms; each by the clock on the wall and by the processor time of the thread that called:
 * the first one counts whoever else had the processor. At the end words and figures. An entry that is not what was put: exit 1.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/chk.h"
#include "base/clock.h"
#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store/datadir.h"
#include "store/entries.h"

#define SMALL 100
#define KB 1000
#define LARGE (25u << 20)
#define LARGE_EVERY 1000
#define PREIMAGE 200
#define READS 4
#define STEP_NS 100
#define STEPS 200000 /* 20 ms */
#define WAIT_US 200  /* too much is waiting for the writer */
#define MOST_WAITS 300000

enum call { PUT, PUT_LARGE, FIND, FIND_LARGE, TURN_END, CALLS };
enum clocks { WALL, CPU, CLOCKS };

struct times {
	uint32_t steps[STEPS + 1];
	uint64_t n, over, longest;
};

struct bench {
	struct datadir data;
	struct entries *entries;
	uint64_t random, put, hits, misses, waits, refused;
	char *body;
	char cache[4096];
	struct times times[CALLS][CLOCKS];
	_Atomic uint64_t disk_max, disk_looks;
	_Atomic bool is_over;
};

static void
fail(const char *why)
{
	fprintf(stderr, "cachesize: %s\n", why);
	exit(1);
}

/* ---- time ---- */

static uint64_t
now_ns(clockid_t clock)
{
	struct timespec t;

	CHK(clock_gettime(clock, &t) == 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct moment {
	uint64_t ns[CLOCKS];
};

static struct moment
moment(void)
{
	return (struct moment){{now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_THREAD_CPUTIME_ID)}};
}

static void
count(struct bench *b, enum call call, struct moment from)
{
	struct moment to = moment();

	for (int c = 0; c < CLOCKS; c++) {
		struct times *t = &b->times[call][c];
		uint64_t ns = to.ns[c] - from.ns[c];

		t->steps[ns / STEP_NS < STEPS ? ns / STEP_NS : STEPS]++;
		t->n++;
		t->over += ns > 1000000;
		t->longest = ns > t->longest ? ns : t->longest;
	}
}

static double
quantile_us(const struct times *t, double q)
{
	uint64_t seen = 0, wanted = (uint64_t)((double)t->n * q);

	for (unsigned i = 0; i < STEPS; i++) {
		seen += t->steps[i];
		if (seen > wanted)
			return (i + 0.5) * STEP_NS / 1000;
	}
	return (double)t->longest / 1000;
}

static void
print_times(struct bench *b, const char *phase)
{
	static const char *const calls[] = {"put", "put 25 MB", "find", "find 25 MB", "turn end"},
				 *const clocks[] = {"wall", "cpu"};

	for (int i = 0; i < CALLS * CLOCKS; i++) {
		struct times *t = &b->times[i / CLOCKS][i % CLOCKS];

		if (t->n > 0)
			printf(
			    "%-10s %-10s %-4s n %8llu p50 %7.1f p99 %7.1f p99.9 %8.1f max %9.1f over_1ms %llu\n",
			    phase, calls[i / CLOCKS], clocks[i % CLOCKS], (unsigned long long)t->n,
			    quantile_us(t, 0.5), quantile_us(t, 0.99), quantile_us(t, 0.999),
			    (double)t->longest / 1000, (unsigned long long)t->over);
		memset(t, 0, sizeof(*t));
	}
	(void)fflush(stdout);
}

/* ---- the disk ---- */

static uint64_t
disk_bytes(const struct bench *b)
{
	static const char *const names[] = {".", "data.mdb", "data.mdb-lock", "format", "index"};
	uint64_t blocks = 0;
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char path[4200];

		(void)snprintf(path, sizeof(path), "%s/%s", b->cache, names[i]);
		blocks += stat(path, &st) == 0 ? (uint64_t)st.st_blocks : 0;
	}
	return blocks * 512;
}

static void *
watch_disk(void *arg)
{
	struct bench *b = arg;
	const struct timespec pause = {.tv_nsec = 300000};

	while (!atomic_load(&b->is_over)) {
		uint64_t bytes = disk_bytes(b);

		if (bytes > atomic_load(&b->disk_max))
			atomic_store(&b->disk_max, bytes);
		atomic_fetch_add(&b->disk_looks, 1);
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

/* ---- entries ---- */

static uint64_t
mix(uint64_t v)
{
	v = (v ^ v >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	v = (v ^ v >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return v ^ v >> 32;
}

static uint64_t
roll(struct bench *b, uint64_t sides)
{
	return mix(++b->random) % sides;
}

static void
identify(uint64_t number, struct entry_key *k, char preimage[PREIMAGE])
{
	uint64_t h = mix(number + 1);

	memset(preimage, 'p', PREIMAGE);
	memcpy(preimage, &number, sizeof(number));
	memcpy(k->b, &h, 8);
	memcpy(k->b + 8, &number, 8);
}

/* As the loop does it, but that this one waits where the loop would go without. */
static void
put_one(struct bench *b, uint64_t size)
{
	uint64_t number = b->put++;
	char preimage[PREIMAGE];
	struct entry_new n = {
	    .preimage = span_of(preimage, PREIMAGE),
	    .meta = {.stored_ms = clock_wall_ms(), .expires_ms = INT64_MAX, .status = 200},
	    .gateway = SPAN_LIT("default"),
	    .provider = number % 2 ? SPAN_LIT("odd") : SPAN_LIT("even"),
	    .model = SPAN_LIT("gpt-4o-mini"),
	    .headers = SPAN_LIT("content-type\0application/json"),
	    .body = span_of(b->body, size),
	};
	struct buf large = {.max = LARGE};
	struct moment from;

	identify(number, &n.key, preimage);
	memcpy(b->body, &number, sizeof(number));
	if (size == LARGE) { /* its memory is handed over, as the gateway does */
		CHK(buf_put(&large, b->body, size));
		n.body = buf_view(&large);
		n.body_buf = &large;
	}
	for (from = moment(); entries_put(b->entries, &n) != E_OK; from = moment()) {
		if (b->waits++ > MOST_WAITS)
			fail("entries are refused for ever");
		usleep(WAIT_US);
	}
	count(b, size == LARGE ? PUT_LARGE : PUT, from);
	buf_fini(&large);
}

static void
find_one(struct bench *b, uint64_t number)
{
	char preimage[PREIMAGE];
	struct moment from;
	struct entry_key k;
	struct entry *en;
	struct span piece = SPAN_NONE;
	bool is_large;

	identify(number, &k, preimage);
	from = moment();
	en = entry_find(b->entries, &k, span_of(preimage, PREIMAGE), clock_wall_ms());
	if (en != NULL && entry_body(en, 0, &piece) != E_OK)
		fail("a body was not found");
	is_large = en != NULL && entry_meta(en)->body_size == LARGE;
	entry_release(en);
	count(b, is_large ? FIND_LARGE : FIND, from);
	b->hits += en != NULL;
	b->misses += en == NULL;
	if (en != NULL && memcmp(piece.p, &number, sizeof(number)) != 0)
		fail("an entry is not what was put");
}

static void
end_turn(struct bench *b)
{
	struct moment from = moment();

	entries_turn_end(b->entries);
	count(b, TURN_END, from);
}

/* Mostly of what came last, so that some are hits in a small cache too. */
static void
turn_of_reads(struct bench *b)
{
	uint64_t last = b->put < 100000 ? b->put : 100000;

	for (int i = 0; i < READS; i++)
		find_one(b, i % 2 ? roll(b, b->put) : b->put - 1 - roll(b, last));
	end_turn(b);
}

/* ---- phases ---- */

static void
print_phase(struct bench *b, const char *phase, uint64_t began)
{
	struct entries_stats st;
	double seconds = (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9;

	b->refused += b->waits; /* each counts as a failure there */
	entries_stats(b->entries, &st);
	print_times(b, phase);
	printf(
	    "%s: %.1f s, entries %llu, in use %.1f MB, on disk %.1f MB, most %.1f of %.1f MB in %llu looks, hits %llu, misses %llu, "
	    "refusals %llu, evicted %llu, failed %llu\n",
	    phase, seconds, (unsigned long long)st.entries, (double)st.bytes / 1048576,
	    (double)disk_bytes(b) / 1048576, (double)atomic_load(&b->disk_max) / 1048576,
	    (double)st.max_bytes / 1048576, (unsigned long long)atomic_load(&b->disk_looks),
	    (unsigned long long)b->hits, (unsigned long long)b->misses,
	    (unsigned long long)b->waits, (unsigned long long)metric_get(M_CACHE_EVICTED),
	    (unsigned long long)(metric_get(M_CACHE_FAILED) - b->refused));
	(void)fflush(stdout);
	b->hits = b->misses = b->waits = 0;
	if (atomic_load(&b->disk_max) > st.max_bytes)
		fail("more on the disk than max_size");
}

/* Nothing but look-ups, of what is there or of what is not: how many a second. */
static void
print_rate(struct bench *b, bool is_there)
{
	const unsigned n = 100000;
	uint64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID), found = 0;
	struct entries_stats st;

	for (unsigned i = 0; i < n; i++) {
		uint64_t number = is_there ? b->put - 1 - roll(b, b->put) : UINT64_MAX - i;
		char preimage[PREIMAGE];
		struct entry_key k;
		struct entry *en;

		identify(number, &k, preimage);
		en = entry_find(b->entries, &k, span_of(preimage, PREIMAGE), clock_wall_ms());
		found += en != NULL;
		entry_release(en);
		if (i % 16 == 0)
			entries_turn_end(b->entries);
	}
	entries_turn_end(b->entries);
	entries_stats(b->entries, &st);
	printf("lookups: entries %llu %s %.0f a second of processor, %llu found\n",
	    (unsigned long long)st.entries, is_there ? "hit" : "miss",
	    n / ((double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - began) / 1e9),
	    (unsigned long long)found);
	(void)fflush(stdout);
}

static void
settle(struct bench *b)
{
	(void)entries_purge(b->entries, SPAN_LIT("no such gateway"), SPAN_NONE, SPAN_NONE);
}

static bool
is_step(uint64_t n)
{
	while (n > 1 && n % 10 == 0)
		n /= 10;
	return n == 1 || n == 5;
}

static void
fill(struct bench *b, uint64_t n)
{
	uint64_t began = now_ns(CLOCK_MONOTONIC);

	print_rate(b, false);
	while (b->put < n) {
		put_one(b, KB - PREIMAGE);
		turn_of_reads(b);
		if (b->put >= 1000 && is_step(b->put)) {
			settle(b);
			print_rate(b, true);
		}
	}
	print_phase(b, "1 KB", began);
}

static void
fill_mixed(struct bench *b, uint64_t n)
{
	uint64_t began = now_ns(CLOCK_MONOTONIC);

	for (uint64_t i = 0; i < n; i++) {
		put_one(b, i % LARGE_EVERY == 0 ? LARGE : i % 3 == 0 ? KB - PREIMAGE : SMALL);
		turn_of_reads(b);
	}
	print_phase(b, "mixed", began);
}

static void *
run_removal(void *arg)
{
	struct bench *b = arg;
	uint64_t began = now_ns(CLOCK_MONOTONIC), before, freed, removed;
	double purge_s;

	removed = entries_purge(b->entries, SPAN_NONE, SPAN_LIT("odd"), SPAN_NONE);
	purge_s = (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9;
	before = disk_bytes(b);
	began = now_ns(CLOCK_MONOTONIC);
	if (entries_compact(b->entries, &freed) != E_OK)
		fail("the file system cannot compact");
	printf(
	    "purge: %llu entries in %.1f s; compact: %.1f s, %.1f MB before, %.1f after, %.1f said\n",
	    (unsigned long long)removed, purge_s, (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9,
	    (double)before / 1048576, (double)disk_bytes(b) / 1048576, (double)freed / 1048576);
	atomic_store(&b->is_over, true);
	return NULL;
}

static void
remove_half(struct bench *b)
{
	uint64_t began = now_ns(CLOCK_MONOTONIC);
	const struct timespec pause = {.tv_nsec = 50000};
	pthread_t thread;

	CHK(pthread_create(&thread, NULL, run_removal, b) == 0);
	while (!atomic_load(&b->is_over)) {
		turn_of_reads(b);
		(void)nanosleep(&pause, NULL);
	}
	CHK(pthread_join(thread, NULL) == 0);
	print_phase(b, "removal", began);
}

int
main(int argc, char **argv)
{
	static struct bench b;
	uint64_t max_size = UINT64_C(4096) << 20, n = 1000000, mixed = 60000;
	pthread_t watcher;
	char detail[512];

	for (int c; (c = getopt(argc, argv, "m:n:x:")) != -1;) {
		if (c == 'm')
			max_size = strtoull(optarg, NULL, 10) << 20;
		else if (c == 'n')
			n = strtoull(optarg, NULL, 10);
		else if (c == 'x')
			mixed = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind + 1 != argc || !crypto_init())
		fail("usage: cachesize [-m MB] [-n ENTRIES] [-x MIXED] DIR");
	(void)snprintf(b.cache, sizeof(b.cache), "%s/cache", argv[optind]);
	b.body = xcalloc(1, LARGE);
	memset(b.body, 'b', LARGE);
	if (datadir_open(argv[optind], &b.data, detail, sizeof(detail)) != E_OK ||
	    entries_open(&b.data, max_size, &b.entries, detail, sizeof(detail)) != E_OK)
		fail(detail);
	CHK(pthread_create(&watcher, NULL, watch_disk, &b) == 0);
	fill(&b, n);
	fill_mixed(&b, mixed);
	remove_half(&b);
	CHK(pthread_join(watcher, NULL) == 0);
	entries_close(b.entries);
	datadir_mark_clean(&b.data);
	datadir_close(&b.data);
	free(b.body);
	return 0;
}
