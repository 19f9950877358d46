/*
 * store_cache: a cache in a data directory of its own, and entries whose every byte follows from a
 * number and a version, so that a mixture of two is seen.
 */
#ifndef TESTS_STORE_CACHE_H
#define TESTS_STORE_CACHE_H

#include "base/buf.h"
#include "store/datadir.h"
#include "store/entries.h"
#include "store_dir.h"

#define CACHE_NOW INT64_C(1800000000000)

struct cache {
	struct store_dir dir;
	struct datadir data;
	struct entries *entries;
	uint64_t max_size;
};

/* What the entry looks like. */
struct sample {
	unsigned number, version;
	size_t preimage, body;
	int64_t expires_ms; /* 0: in an hour */
	const char *gateway, *provider, *model;
};

static inline void
cache_open(struct cache *c)
{
	char detail[512];

	assert_int_equal(datadir_open(c->dir.data, &c->data, detail, sizeof(detail)), E_OK);
	assert_int_equal(
	    entries_open(&c->data, c->max_size, &c->entries, detail, sizeof(detail)), E_OK);
}

static inline void
cache_close(struct cache *c)
{
	entries_close(c->entries);
	datadir_close(&c->data);
}

static inline void
cache_reopen(struct cache *c)
{
	cache_close(c);
	cache_open(c);
}

static inline int
cache_set_up(void **state)
{
	struct cache *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	store_dir_make(&c->dir);
	c->max_size = 64 << 20;
	cache_open(c);
	*state = c;
	return 0;
}

static inline int
cache_tear_down(void **state)
{
	struct cache *c = *state;

	cache_close(c);
	store_dir_remove(&c->dir);
	free(c);
	return 0;
}

/* Returns when all that was handed over before is on the disk. */
static inline void
cache_settle(struct cache *c)
{
	assert_int_equal(
	    entries_purge(c->entries, SPAN_LIT("no such gateway"), SPAN_NONE, SPAN_NONE), 0);
}

static inline struct entry_key
sample_key(unsigned number)
{
	struct entry_key k;
	uint64_t h = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

	h ^= h >> 29;
	memcpy(k.b, &h, 8);
	memcpy(k.b + 8, &number, 4);
	memset(k.b + 12, 7, 4);
	return k;
}

/* Byte i of what, for this number and version. */
static inline char
sample_byte(const struct sample *s, unsigned what, size_t i)
{
	return (char)((i / 8 + s->number * 31 + s->version * 7 + what * 101) * 2654435761u >> 24);
}

static inline struct span
sample_fill(const struct sample *s, unsigned what, size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = sample_byte(s, what, i);
	return span_of(p, n);
}

static inline void
sample_drop(struct span s)
{
	union {
		const char *in;
		char *out;
	} u = {.in = s.p};

	free(u.out);
}

/* The preimage is the same for all versions. */
static inline struct span
sample_preimage(const struct sample *s)
{
	const struct sample first = {.number = s->number};

	return sample_fill(&first, 1, s->preimage);
}

/* With the memory of preimage and body, if there are bufs. */
static inline enum err
sample_put_from(struct cache *c, const struct sample *s, struct buf *preimage, struct buf *body)
{
	struct entry_new n = {
	    .preimage_buf = preimage,
	    .body_buf = body,
	    .key = sample_key(s->number),
	    .preimage = sample_preimage(s),
	    .meta = {.stored_ms = CACHE_NOW,
		.expires_ms = s->expires_ms != 0 ? s->expires_ms : CACHE_NOW + 3600000,
		.status = 200 + (int)s->version,
		.flags = 5,
		.usage = {s->number, s->version}},
	    .gateway = span_str(s->gateway),
	    .provider = span_str(s->provider),
	    .model = span_str(s->model),
	    .headers = SPAN_LIT("content-type\0application/json"),
	    .body = sample_fill(s, 2, s->body),
	};
	if (preimage != NULL) {
		assert_true(buf_put_span(preimage, n.preimage) && buf_put_span(body, n.body));
		sample_drop(n.preimage);
		sample_drop(n.body);
		n.preimage = buf_view(preimage);
		n.body = buf_view(body);
	}
	enum err e = entries_put(c->entries, &n);

	if (preimage != NULL)
		return e;
	sample_drop(n.preimage);
	sample_drop(n.body);
	return e;
}

static inline enum err
sample_put(struct cache *c, const struct sample *s)
{
	return sample_put_from(c, s, NULL, NULL);
}

static inline struct entry *
sample_find(struct cache *c, const struct sample *s)
{
	struct entry_key k = sample_key(s->number);
	struct span preimage = sample_preimage(s);
	struct entry *en = entry_find(c->entries, &k, preimage, CACHE_NOW);

	sample_drop(preimage);
	return en;
}

/* Reads from offset to the end or the first error; a wrong byte fails the test. */
static inline enum err
sample_read(struct cache *c, struct entry *en, const struct sample *s, uint64_t offset)
{
	struct span piece;
	enum err e = E_EOF;

	while (offset < s->body && (e = entry_body(en, offset, &piece)) == E_OK) {
		assert_true(piece.n > 0 && piece.n <= s->body - offset);
		for (size_t i = 0; i < piece.n; i++)
			if (piece.p[i] != sample_byte(s, 2, offset + i))
				fail_msg("byte %zu of %u is not that of version %u",
				    (size_t)offset + i, s->number, s->version);
		offset += piece.n;
		entries_turn_end(c->entries);
	}
	return offset == s->body ? E_OK : e;
}

/* True: found, with its own headers and body. False: a miss. Anything else fails the test. */
static inline bool
sample_hits(struct cache *c, const struct sample *s)
{
	struct entry *en = sample_find(c, s);

	if (en == NULL) {
		entries_turn_end(c->entries);
		return false;
	}
	assert_int_equal(entry_meta(en)->body_size, s->body);
	assert_int_equal(entry_meta(en)->status, 200 + (int)s->version);
	assert_int_equal(entry_meta(en)->usage[0], s->number);
	assert_true(span_eq(entry_headers(en), SPAN_LIT("content-type\0application/json")));
	assert_int_equal(sample_read(c, en, s, 0), E_OK);
	entry_release(en);
	entries_turn_end(c->entries);
	return true;
}

static inline struct entries_stats
cache_stats(struct cache *c)
{
	struct entries_stats st;

	entries_stats(c->entries, &st);
	return st;
}

#endif
