/*
 * store_log: a log in a data directory of its own, and records whose every byte follows from a
 * number.
 */
#ifndef TESTS_STORE_LOG_H
#define TESTS_STORE_LOG_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "store/datadir.h"
#include "store/records.h"
#include "store_dir.h"

#define LOG_DAY INT64_C(86400000)
#define LOG_NOW (20000 * LOG_DAY + LOG_DAY / 2) /* a noon */

struct logs {
	struct store_dir dir;
	struct datadir data;
	struct records_options o;
	struct records *r;
	char detail[512];
};

static inline void
logs_open(struct logs *l)
{
	assert_int_equal(datadir_open(l->dir.data, &l->data, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(records_open(&l->data, &l->o, &l->r, l->detail, sizeof(l->detail)), E_OK);
}

static inline void
logs_close(struct logs *l)
{
	records_close(l->r);
	datadir_close(&l->data);
}

static inline void
logs_reopen(struct logs *l)
{
	logs_close(l);
	logs_open(l);
}

static inline int
logs_set_up(void **state)
{
	struct logs *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	store_dir_make(&l->dir);
	l->o = (struct records_options){.queue_size = 8 << 20};
	logs_open(l);
	*state = l;
	return 0;
}

static inline int
logs_tear_down(void **state)
{
	struct logs *l = *state;

	logs_close(l);
	clock_fake(0, 0);
	store_dir_remove(&l->dir);
	free(l);
	return 0;
}

/* The id of a moment; n sets it apart from others of that millisecond. */
static inline struct id
log_id(int64_t wall_ms, uint32_t n)
{
	struct id id = id_floor_at(wall_ms);

	id.b[12] = (uint8_t)(n >> 24);
	id.b[13] = (uint8_t)(n >> 16);
	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	return id;
}

static inline char
log_byte(const struct id *id, unsigned what, size_t i)
{
	uint32_t n = (uint32_t)id->b[13] << 16 | (uint32_t)id->b[14] << 8 | id->b[15];

	return (char)((i / 4 + n * 31 + what * 101 + id->b[5]) * 2654435761u >> 24);
}

static inline char *
log_fill(const struct id *id, unsigned what, size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = log_byte(id, what, i);
	return p;
}

/* A record of n bytes and payloads of the given sizes; -1: none. */
static inline void
log_append(struct logs *l, struct id id, size_t n, long request, long response)
{
	const long sizes[RECORD_PAYLOADS] = {request, response};
	struct span payload[RECORD_PAYLOADS] = {SPAN_NONE, SPAN_NONE};
	char *record = log_fill(&id, 9, n), *p[RECORD_PAYLOADS] = {NULL, NULL};

	for (unsigned i = 0; i < RECORD_PAYLOADS; i++)
		if (sizes[i] >= 0) {
			p[i] = log_fill(&id, i, (size_t)sizes[i]);
			payload[i] = span_of(p[i], (size_t)sizes[i]);
		}
	record_append(l->r, &id, span_of(record, n), payload);
	free(record);
	free(p[0]);
	free(p[1]);
}

static inline void
log_check(struct span s, const struct id *id, unsigned what)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != log_byte(id, what, i))
			fail_msg("byte %zu of %zu is wrong", i, s.n);
}

/* True: it is there with n bytes, all of them right. */
static inline bool
log_has(struct logs *l, struct id id, size_t n)
{
	struct buf out;
	bool is_there;

	buf_init(&out, 1 << 20);
	is_there = record_read(l->r, &id, &out);
	if (is_there) {
		assert_int_equal(buf_len(&out), n);
		log_check(buf_view(&out), &id, 9);
	} else
		assert_int_equal(buf_len(&out), 0);
	buf_fini(&out);
	return is_there;
}

static inline bool
log_has_payload(struct logs *l, struct id id, enum record_payload which, size_t n)
{
	struct buf out;
	bool is_there;

	buf_init(&out, 32 << 20);
	is_there = record_read_payload(l->r, &id, which, &out);
	if (is_there) {
		assert_int_equal(buf_len(&out), n);
		log_check(buf_view(&out), &id, (unsigned)which);
	} else
		assert_int_equal(buf_len(&out), 0);
	buf_fini(&out);
	return is_there;
}

struct log_seen {
	struct id ids[5000];
	size_t n, stop_at;
};

static inline bool
log_see(void *ctx, const struct id *id, struct span record)
{
	struct log_seen *seen = ctx;

	assert_true(seen->n < 5000);
	log_check(record, id, 9);
	if (seen->n > 0)
		assert_true(memcmp(&seen->ids[seen->n - 1], id, sizeof(*id)) > 0);
	seen->ids[seen->n++] = *id;
	return seen->n != seen->stop_at;
}

/* How many are in the range, newest first, each once. */
static inline size_t
log_scan(struct logs *l, struct id floor, struct id ceiling, struct log_seen *seen)
{
	seen->n = 0;
	records_scan(l->r, &floor, &ceiling, log_see, seen);
	return seen->n;
}

static inline size_t
log_count(struct logs *l)
{
	static struct log_seen seen;
	struct id zero = {{0}}, most;

	memset(&most, 0xff, sizeof(most));
	return log_scan(l, zero, most, &seen);
}

static inline struct records_stats
log_stats(struct logs *l)
{
	struct records_stats st;

	records_stats(l->r, &st);
	return st;
}

static inline void
log_settle(struct logs *l)
{
	STORE_WAIT_UNTIL(log_stats(l).queued_bytes == 0);
}

#endif
