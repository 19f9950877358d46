#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store/entries_int.h"
#include "store_cache.h"
#include "wall.h"

/* Sizes about every border: nothing, in the head, in one chunk, in several, in many transactions.
 * */
static const size_t sizes[] = {0, 1, 100, 2000, 16000, ENTRY_CHUNK - 1, ENTRY_CHUNK,
    ENTRY_CHUNK + 1, 2 * ENTRY_CHUNK, 100000, 64 * ENTRY_CHUNK, 64 * ENTRY_CHUNK + 1, 3000000};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void
what_was_put_is_found(void **state)
{
	struct cache *c = *state;

	c->max_size = 256 << 20;
	cache_reopen(c);
	for (unsigned i = 0; i < N_SIZES; i++)
		for (unsigned j = 0; j < N_SIZES; j += 3) {
			struct sample s = {
			    .number = i * 100 + j, .preimage = sizes[j], .body = sizes[i]};

			assert_false(sample_hits(c, &s));
			assert_int_equal(sample_put(c, &s), E_OK);
			assert_true(sample_hits(c, &s)); /* from memory or from the disk */
			cache_settle(c);
			assert_true(sample_hits(c, &s)); /* from the disk */
		}
	cache_reopen(c);
	for (unsigned i = 0; i < N_SIZES; i++)
		for (unsigned j = 0; j < N_SIZES; j += 3) {
			struct sample s = {
			    .number = i * 100 + j, .preimage = sizes[j], .body = sizes[i]};

			assert_true(sample_hits(c, &s));
		}
	assert_int_equal(cache_stats(c).pending_bytes, 0);
}

static void
memory_of_what_is_large_is_taken_over(void **state)
{
	static const size_t at_border[] = {64 * 1024 - 1, 64 * 1024, 1000000};
	struct cache *c = *state;
	struct buf preimage = {.max = 1 << 20}, body = {.max = 1 << 20};

	for (unsigned i = 0; i < 9; i++) {
		struct sample s = {
		    .number = i, .preimage = at_border[i % 3], .body = at_border[i / 3]};

		buf_reset(&preimage);
		buf_reset(&body);
		assert_int_equal(sample_put_from(c, &s, &preimage, &body), E_OK);
		assert_int_equal(preimage.p == NULL, i % 3 > 0);
		assert_int_equal(body.p == NULL, i / 3 > 0);
		assert_true(sample_hits(c, &s));
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
	assert_int_equal(cache_stats(c).pending_bytes, 0);
	buf_fini(&preimage);
	buf_fini(&body);
}

/* Nothing was kept, and nothing was taken. */
static void
what_is_refused_stays_with_its_owner(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .preimage = 100000, .body = 25 << 20};
	struct buf preimage = {.max = 1 << 20}, body = {.max = 32 << 20};

	assert_int_equal(sample_put_from(c, &s, &preimage, &body), E_FULL);
	assert_int_equal(buf_len(&preimage), s.preimage);
	assert_int_equal(buf_len(&body), s.body);
	buf_fini(&preimage);
	buf_fini(&body);
}

static void
the_largest_allowed_body_goes_through(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .preimage = 1000, .body = 25 << 20};

	assert_int_equal(sample_put(c, &s), E_FULL); /* over a quarter of 64 MB */
	c->max_size = 128 << 20;
	cache_reopen(c);
	assert_int_equal(sample_put(c, &s), E_OK);
	assert_true(sample_hits(c, &s));
	cache_settle(c);
	assert_true(sample_hits(c, &s));
}

static void
another_preimage_is_a_miss(void **state)
{
	static const size_t lengths[] = {10, 20000};
	struct cache *c = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct sample s = {.number = i, .preimage = lengths[i], .body = 10};
		struct entry_key k = sample_key(i);

		assert_int_equal(sample_put(c, &s), E_OK);
		for (int settled = 0; settled < 2; settled++) {
			size_t places[] = {0, lengths[i] / 2, lengths[i] - 1};
			struct span p = sample_preimage(&s);
			char *copy = malloc(p.n + 1);

			memcpy(copy, p.p, p.n);
			assert_null(entry_find(c->entries, &k, span_of(copy, p.n - 1), CACHE_NOW));
			assert_null(entry_find(c->entries, &k, span_of(copy, p.n + 1), CACHE_NOW));
			for (int j = 0; j < 3; j++) {
				copy[places[j]] = (char)(copy[places[j]] ^ 1);
				assert_null(
				    entry_find(c->entries, &k, span_of(copy, p.n), CACHE_NOW));
				copy[places[j]] = (char)(copy[places[j]] ^ 1);
			}
			free(copy);
			sample_drop(p);
			assert_true(sample_hits(c, &s)); /* the misses did it no harm */
			cache_settle(c);
		}
	}
}

static void
is_never_served_at_or_after_its_expiry(void **state)
{
	struct cache *c = *state;
	struct sample last = {.number = 1, .body = 10, .expires_ms = CACHE_NOW + 1};
	struct sample now = {.number = 2, .body = 10, .expires_ms = CACHE_NOW};
	struct sample past = {.number = 3, .body = 10, .expires_ms = CACHE_NOW - 1};

	for (int settled = 0; settled < 2; settled++) {
		assert_int_equal(sample_put(c, &last), E_OK);
		assert_int_equal(sample_put(c, &now), E_OK);
		assert_int_equal(sample_put(c, &past), E_OK);
		if (settled)
			cache_settle(c);
		assert_true(sample_hits(c, &last));
		assert_false(sample_hits(c, &now));
		assert_false(sample_hits(c, &past));
	}
	/* ... and the look removed them */
	cache_settle(c);
	assert_int_equal(cache_stats(c).entries, 1);
}

/* Set back by hours, the clock would else keep it for as many hours more. */
static void
is_never_served_before_it_was_stored(void **state)
{
	struct cache *c = *state;
	const struct sample s = {.number = 1, .body = 10};
	const struct entry_key k = sample_key(1);
	struct span preimage = sample_preimage(&s);

	for (int settled = 0; settled < 2; settled++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		if (settled)
			cache_settle(c);
		assert_true(sample_hits(c, &s));
		assert_null(entry_find(c->entries, &k, preimage, CACHE_NOW - 1));
	}
	sample_drop(preimage);
}

static void
a_removed_entry_is_gone_at_once(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 50000};
	struct entry_key k = sample_key(1);

	assert_int_equal(sample_put(c, &s), E_OK);
	entries_remove(c->entries, &k);
	assert_false(sample_hits(c, &s));
	assert_int_equal(sample_put(c, &s), E_OK);
	cache_settle(c);
	assert_true(sample_hits(c, &s));
	entries_remove(c->entries, &k);
	assert_false(sample_hits(c, &s));
	assert_int_equal(sample_put(c, &s), E_OK);
	assert_true(sample_hits(c, &s));
	entries_remove(c->entries, &k);
	cache_settle(c);
	assert_false(sample_hits(c, &s));
	assert_int_equal(cache_stats(c).entries, 0);
}

static void
the_newest_version_is_served(void **state)
{
	struct cache *c = *state;

	for (unsigned version = 0; version < 50; version++) {
		struct sample s = {
		    .number = 1, .version = version, .body = sizes[version % N_SIZES]};

		assert_int_equal(sample_put(c, &s), E_OK);
		assert_true(sample_hits(c, &s));
		if (version % 3 == 0)
			cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
	cache_settle(c);
	assert_int_equal(cache_stats(c).entries, 1);
}

/* A reader in the middle of a body gets old bytes or an error, never new ones. */
static void
replacing_does_not_mix_versions(void **state)
{
	static const size_t bodies[] = {100, 10000, 40000, 1200000};
	struct cache *c = *state;

	for (unsigned i = 0; i < 4; i++)
		for (int settled = 0; settled < 2; settled++) {
			struct sample old = {.number = i, .version = 0, .body = bodies[i]};
			struct sample new = {.number = i, .version = 1, .body = bodies[i]};
			struct entry *en;
			struct span piece;
			enum err e;

			assert_int_equal(sample_put(c, &old), E_OK);
			if (settled)
				cache_settle(c);
			en = sample_find(c, &old);
			assert_non_null(en);
			assert_int_equal(entry_body(en, 0, &piece), E_OK);
			assert_int_equal(piece.p[0], sample_byte(&old, 2, 0));
			entries_turn_end(c->entries);
			assert_int_equal(sample_put(c, &new), E_OK);
			cache_settle(c);
			e = sample_read(c, en, &old, 1);
			assert_true(e == E_OK || e == E_EOF || e == E_CORRUPT);
			assert_int_equal(entry_meta(en)->status, 200);
			entry_release(en);
			assert_true(sample_hits(c, &new));
		}
}

/* Within a turn the snapshot stays, so that a small body is never lost between look-up and write.
 * */
static void
within_a_turn_a_found_entry_can_be_read(void **state)
{
	struct cache *c = *state;
	struct sample old = {.number = 1, .version = 0, .body = 3000};
	struct sample new = {.number = 1, .version = 1, .body = 3000};
	struct entry *en;
	struct span piece;

	assert_int_equal(sample_put(c, &old), E_OK);
	cache_settle(c);
	en = sample_find(c, &old);
	assert_non_null(en);
	assert_int_equal(sample_put(c, &new), E_OK);
	cache_settle(c);
	assert_int_equal(entry_body(en, 0, &piece), E_OK);
	assert_int_equal(piece.n, 3000);
	assert_int_equal(piece.p[0], sample_byte(&old, 2, 0));
	entries_turn_end(c->entries);
	assert_int_equal(entry_body(en, 0, &piece), E_EOF);
	entry_release(en);
}

/* Served from memory: the bytes stay while anyone reads, whatever the writer does. */
static void
a_pending_entry_is_pinned_by_its_reader(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 500000};
	struct entry *en;

	do {
		s.version++;
		assert_int_equal(sample_put(c, &s), E_OK);
		en = sample_find(c, &s);
		assert_non_null(en);
		cache_settle(c);
		if (cache_stats(c).pending_bytes > 0)
			break; /* the loop was faster than the writer: it is served from memory */
		entry_release(en);
	} while (s.version < 1000);
	assert_true(cache_stats(c).pending_bytes >= s.body);
	assert_true(cache_stats(c).pending <= 1); /* entries, not bytes */
	assert_int_equal(sample_read(c, en, &s, 0), E_OK);
	entry_release(en);
	assert_int_equal(cache_stats(c).pending_bytes, 0);
}

static void
no_more_than_32_mb_wait(void **state)
{
	struct cache *c = *state;
	uint64_t before = metric_get(M_CACHE_FAILED);
	struct entry *pins[64];
	unsigned kept = 0;
	enum err e = E_OK;

	/* Readers keep what is committed in memory: so the limit is reached however fast the
	 * writer is. */
	for (unsigned i = 0; kept < 64 && e == E_OK; i++) {
		struct sample s = {.number = i, .body = 15 << 20};

		e = sample_put(c, &s);
		if (e != E_OK)
			break;
		pins[kept] = sample_find(c, &s);
		if (pins[kept] != NULL)
			kept++;
		entries_turn_end(c->entries);
	}
	assert_int_equal(e, E_FULL);
	assert_in_range(cache_stats(c).pending_bytes, 17 << 20, 32 << 20);
	assert_int_equal(metric_get(M_CACHE_FAILED), before + 1);
	cache_settle(c);
	while (kept > 0)
		entry_release(pins[--kept]);
	assert_int_equal(cache_stats(c).pending_bytes, 0);
}

static void
body_ends_where_it_ends(void **state)
{
	struct cache *c = *state;

	for (unsigned i = 0; i < N_SIZES; i++) {
		struct sample s = {.number = i, .body = sizes[i]};
		struct span piece;

		assert_int_equal(sample_put(c, &s), E_OK);
		for (int settled = 0; settled < 2; settled++) {
			struct entry *en = sample_find(c, &s);

			assert_non_null(en);
			assert_int_equal(entry_body(en, s.body, &piece), E_EOF);
			assert_int_equal(entry_body(en, s.body + 1, &piece), E_EOF);
			if (s.body > 0) {
				assert_int_equal(entry_body(en, s.body - 1, &piece), E_OK);
				assert_int_equal(piece.n, 1);
			}
			entry_release(en);
			entries_turn_end(c->entries);
			cache_settle(c);
		}
	}
	entry_release(NULL);
}

/* ---- damage ---- */

static const char *
data_file(struct cache *c)
{
	return store_dir_path(&c->dir, "cache/data.mdb");
}

/* Where in its file a mapped byte stands. */
static off_t
file_offset_of(const void *mapped)
{
	unsigned long at = (unsigned long)mapped, start, end, offset;
	char line[512];
	off_t found = -1;
	FILE *f = fopen("/proc/self/maps", "re");

	assert_non_null(f);
	while (found < 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && start <= at &&
		    at < end)
			found = (off_t)(offset + at - start);
	(void)fclose(f);
	return found;
}

/* Where the value under a key lies in the file. */
static off_t
place_of(struct cache *c, enum entries_dbi dbi, struct span key, size_t *size)
{
	MDB_val k = val_of(key.p, key.n), v;
	MDB_txn *txn;
	off_t at = -1;

	assert_int_equal(mdb_txn_begin(c->entries->env.mdb, NULL, MDB_RDONLY, &txn), 0);
	if (mdb_get(txn, c->entries->env.dbi[dbi], &k, &v) == 0) {
		at = file_offset_of(v.mv_data);
		*size = v.mv_size;
	}
	mdb_txn_abort(txn);
	return at;
}

/* Every bit of the stored value: its head, names, headers, preimage and body. */
static void
a_flipped_bit_of_a_small_entry_is_a_miss(void **state)
{
	struct cache *c = *state;
	struct sample s = {
	    .number = 1, .preimage = 60, .body = 80, .gateway = "default", .model = "m"};
	struct entry_key key = sample_key(1);
	uint64_t generation;
	size_t size = 1;

	for (size_t bit = 0; bit < size * 8; bit++) {
		off_t at;

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
		generation = index_find(&c->entries->index, entry_key_hash(&key));
		at = place_of(c, DBI_HEAD, span_of(&generation, sizeof(generation)), &size);
		store_dir_flip(data_file(c), at + (off_t)(bit / 8), (int)(bit % 8));
		assert_false(sample_hits(c, &s));
		/* ... which removed it: the next answer is stored anew */
		cache_settle(c);
		assert_int_equal(cache_stats(c).entries, 0);
	}
	assert_int_equal(size, sizeof(struct entry_head) + 29 + 8 + 60 + 80);
}

/* A bit of chunk i of what was stored last. */
static void
flip_in_chunk(struct cache *c, uint32_t i, unsigned round)
{
	uint8_t key[ENTRY_CHUNK_KEY_SIZE];
	size_t size = 0;
	off_t at;

	entry_chunk_key(c->entries->next_generation - 1, i, key);
	at = place_of(c, DBI_CHUNK, span_of(key, sizeof(key)), &size);
	assert_true(at > 0);
	store_dir_flip(data_file(c), at + (off_t)(round * 7919 % size), (int)(round % 8));
}

static void
a_flipped_bit_of_a_large_entry_is_a_miss(void **state)
{
	struct cache *c = *state;
	const struct sample s = {.number = 1, .body = 60000};

	for (unsigned round = 0; round < 200; round++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		flip_in_chunk(c, round % 4, round);
		assert_false(sample_hits(c, &s));
		entries_turn_end(c->entries);
	}
}

/* 64 chunks are looked at beforehand: past them it is an error on the way, but no wrong byte
 * (sample_read looks at each). */
static void
a_flipped_bit_of_a_very_large_entry_is_never_served(void **state)
{
	struct cache *c = *state;
	const struct sample s = {.number = 1, .body = 66 * ENTRY_CHUNK};

	for (uint32_t chunk = 62; chunk < 66; chunk++) {
		struct entry *en;

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		flip_in_chunk(c, chunk, chunk);
		en = sample_find(c, &s);
		assert_true((en == NULL) == (chunk < 64));
		if (en != NULL)
			assert_int_equal(sample_read(c, en, &s, 0), E_CORRUPT);
		entry_release(en);
		entries_turn_end(c->entries);
		assert_false(sample_hits(c, &s)); /* from then on a clean miss */
	}
}

static void
a_flipped_bit_of_a_large_preimage_is_a_miss(void **state)
{
	struct cache *c = *state;
	const struct sample s = {.number = 1, .preimage = 40000, .body = 10};
	struct span preimage = sample_preimage(&s);

	assert_int_equal(sample_put(c, &s), E_OK);
	cache_settle(c);
	for (size_t at = 0; at < s.preimage - 64; at += 501) {
		struct span around = span_head(span_skip(preimage, at), 64);
		off_t place = store_dir_find(data_file(c), around, 0);

		if (place < 0)
			continue;
		store_dir_flip(data_file(c), place + 13, 3);
		assert_false(sample_hits(c, &s));
		store_dir_flip(data_file(c), place + 13, 3);
		assert_true(sample_hits(c, &s));
	}
	sample_drop(preimage);
}

/* ---- how the last server ended ---- */

static void
is_emptied_when_the_machine_went_down_hard(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 10};

	assert_int_equal(sample_put(c, &s), E_OK);
	cache_close(c);
	store_dir_write(&c->dir, "boot", "running 01234567-89ab-cdef-0123-456789abcdef\n");
	cache_open(c);
	assert_false(sample_hits(c, &s));
	assert_int_equal(cache_stats(c).entries, 0);
	assert_int_equal(sample_put(c, &s), E_OK);
	entries_close(c->entries);
	datadir_mark_clean(&c->data);
	datadir_close(&c->data);
	store_dir_write(&c->dir, "boot", "stopped 01234567-89ab-cdef-0123-456789abcdef\n");
	cache_open(c);
	assert_true(sample_hits(c, &s));
}

/* Of a signal that a damaged page could have been the cause of; kill -9 is somebody's will. */
static bool
survives_a_server_that_ends_of(struct cache *c, int number)
{
	struct sample s = {.number = 1, .body = 10};
	pid_t child;
	bool is_there;

	assert_true(sample_put(c, &s) == E_OK);
	cache_close(c);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* not cmocka's handler, which would go on with the tests */
		(void)signal(number, SIG_DFL);
		(void)close(STDERR_FILENO);
		cache_open(c);
		(void)raise(number);
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	cache_open(c);
	is_there = sample_hits(c, &s);
	cache_settle(c); /* the writer has looked at what is there */
	assert_int_equal(cache_stats(c).entries, is_there);
	return is_there;
}

static void
is_emptied_when_the_server_crashed(void **state)
{
	struct cache *c = *state;

	assert_true(survives_a_server_that_ends_of(c, SIGKILL));
	assert_false(survives_a_server_that_ends_of(c, SIGSEGV));
	assert_false(survives_a_server_that_ends_of(c, SIGBUS));
	assert_false(survives_a_server_that_ends_of(c, SIGABRT));
	assert_true(survives_a_server_that_ends_of(c, SIGTERM));
}

static void
is_emptied_when_it_is_of_another_format_or_too_large(void **state)
{
	static const char *const formats[] = {"0\n", "3\n", "x\n", ""};
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 5000000};

	for (int i = 0; i < 4; i++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_close(c);
		store_dir_write(&c->dir, "cache/format", formats[i]);
		cache_open(c);
		assert_false(sample_hits(c, &s));
	}
	assert_int_equal(sample_put(c, &s), E_OK);
	c->max_size = 4 << 20;
	cache_reopen(c);
	assert_false(sample_hits(c, &s));
	assert_true(store_dir_du(&c->dir, "cache") <= c->max_size);
}

static void
is_emptied_when_it_is_no_database(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 10};

	assert_int_equal(sample_put(c, &s), E_OK);
	cache_close(c);
	store_dir_write(
	    &c->dir, "cache/data.mdb", "this is not a database, but somebody's shopping list");
	cache_open(c);
	assert_false(sample_hits(c, &s));
	assert_int_equal(sample_put(c, &s), E_OK);
	cache_reopen(c);
	assert_true(sample_hits(c, &s));
}

/* Its pages are read from memory: past the end of the file that would be the server's end. */
static void
is_emptied_when_it_was_cut_short(void **state)
{
	struct cache *c = *state;
	struct stat st;
	const struct sample s = {.number = 1, .body = 100000};

	for (int tenths = 9; tenths >= 0; tenths -= 3) {
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_close(c);
		assert_int_equal(stat(data_file(c), &st), 0);
		assert_int_equal(truncate(data_file(c), st.st_size * tenths / 10 + 9000), 0);
		cache_open(c);
		assert_false(sample_hits(c, &s));
		assert_int_equal(cache_stats(c).entries, 0);
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
}

#define CUT_ENTRIES 300
#define SAYS_WRONG 7

/* A server whose file somebody cuts. It may end in that, but nothing wrong may be said. */
static void
serve_while_it_is_cut(struct cache *c, off_t size)
{
	struct sample s = {.preimage = 100, .body = 20000};
	struct entry *en;
	struct span piece;

	cache_open(c);
	for (s.number = 0; s.number < CUT_ENTRIES; s.number++) {
		if (s.number == CUT_ENTRIES / 2 && truncate(data_file(c), size) != 0)
			_exit(SAYS_WRONG);
		en = sample_find(c, &s);
		if (en != NULL && entry_body(en, 0, &piece) == E_OK &&
		    piece.p[piece.n - 1] != sample_byte(&s, 2, piece.n - 1))
			_exit(SAYS_WRONG);
		entry_release(en);
		entries_turn_end(c->entries);
		s.number += CUT_ENTRIES;
		(void)!sample_put(c, &s);
		s.number -= CUT_ENTRIES;
	}
	entries_close(c->entries);
}

static void
is_emptied_when_it_was_cut_while_in_use(void **state)
{
	static const off_t cuts[] = {0, 100, 4096, 8192, 20000, 1 << 20, 5 << 20};
	struct sample s = {.preimage = 100, .body = 20000};
	struct cache *c = *state;

	for (size_t i = 0; i < COUNT_OF(cuts); i++) {
		pid_t child;
		int status;

		for (s.number = 0; s.number < CUT_ENTRIES; s.number++)
			assert_int_equal(sample_put(c, &s), E_OK);
		cache_close(c);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			for (int number = 1; number < SIGRTMIN; number++)
				(void)signal(number, SIG_DFL);
			(void)close(STDERR_FILENO);
			serve_while_it_is_cut(c, cuts[i]);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_false(WIFEXITED(status) && WEXITSTATUS(status) == SAYS_WRONG);
		cache_open(c);
		for (s.number = 0; s.number < 2 * CUT_ENTRIES; s.number++)
			(void)sample_hits(c, &s); /* none is wrong */
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
}

/* Found by the loop, in the middle of a body: what is not trusted is served no more, and soon there
 * is a new file. */
static void
is_emptied_when_its_pages_prove_damaged(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 100000}, later = {.number = 2, .body = 3000};

	for (int round = 0; round < 5; round++) {
		struct entry *en;
		struct span piece;

		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		en = sample_find(c, &s);
		assert_non_null(en);
		assert_int_equal(entry_body(en, 0, &piece), E_OK);
		entries_suspect(c->entries, round % 2 ? MDB_CORRUPTED : MDB_PAGE_NOTFOUND);
		assert_int_not_equal(entry_body(en, piece.n, &piece), E_OK);
		entries_turn_end(c->entries);
		STORE_WAIT_UNTIL(!c->entries->is_damaged);
		assert_int_not_equal(entry_body(en, 0, &piece), E_OK);
		entry_release(en);
		entries_turn_end(c->entries);
		assert_false(sample_hits(c, &s));
		assert_int_equal(sample_put(c, &later), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &later));
		assert_int_equal(cache_stats(c).entries, 1);
	}
	cache_reopen(c);
	assert_true(sample_hits(c, &later));
}

/* A new file cannot be made either: it goes on without a cache, and with one as soon as it can. */
static void
goes_on_without_a_file_until_it_has_one(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 3000};
	char path[FILE_PATH_SIZE + 16];

	assert_int_equal(sample_put(c, &s), E_OK);
	cache_settle(c);
	snprintf(path, sizeof(path), "%s/data.mdb", c->entries->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	entries_suspect(c->entries, MDB_PANIC);
	entries_turn_end(c->entries);
	STORE_WAIT_UNTIL(c->entries->env.mdb == NULL);
	for (s.number = 2; s.number < 20; s.number++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_false(sample_hits(c, &s));
	}
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(sample_put(c, &s), E_OK);
	STORE_WAIT_UNTIL(!c->entries->is_damaged);
	assert_int_equal(sample_put(c, &s), E_OK);
	cache_settle(c);
	assert_true(sample_hits(c, &s));
}

/* A child that writes large and small ones is killed at some moment; what is found afterwards is
 * whole. */
static void
kill_9_leaves_whole_entries_only(void **state)
{
	struct cache *c = *state;

	cache_close(c);
	for (unsigned round = 0; round < 12; round++) {
		int acks[2];
		unsigned acked = 0, found = 0;
		char byte;
		pid_t child;

		assert_int_equal(pipe(acks), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			(void)close(acks[0]);
			cache_open(c);
			for (unsigned i = 0;; i++) {
				struct sample s = {.number = round * 1000 + i % 40,
				    .preimage = 100,
				    .body = sizes[i % N_SIZES]};

				(void)sample_put(c, &s);
				if (i % 20 == 10)
					cache_settle(c);
				if (write(acks[1], "x", 1) != 1)
					_exit(0);
			}
		}
		(void)close(acks[1]);
		while (acked < 30 + round * 23 && read(acks[0], &byte, 1) == 1)
			acked++;
		assert_int_equal(kill(child, SIGKILL), 0);
		(void)close(acks[0]);
		assert_int_equal(waitpid(child, NULL, 0), child);
		cache_open(c);
		cache_settle(c); /* behind the first slice that is learnt */
		for (unsigned i = 0; i < 40; i++)
			for (unsigned j = 0; j < N_SIZES; j++) {
				struct sample s = {
				    .number = round * 1000 + i, .preimage = 100, .body = sizes[j]};
				struct entry *en = sample_find(c, &s);

				if (en != NULL && entry_meta(en)->body_size == s.body) {
					assert_int_equal(sample_read(c, en, &s, 0), E_OK);
					found++;
				}
				entry_release(en);
				entries_turn_end(c->entries);
			}
		assert_true(found > 0);
		cache_settle(c);
		assert_int_equal(cache_stats(c).entries, found);
		assert_int_equal(entries_purge(c->entries, SPAN_NONE, SPAN_NONE, SPAN_NONE), found);
		assert_int_equal(cache_stats(c).entries, 0);
		/* no chunk of a half-written one is left over: what remains is the empty tables */
		assert_true(cache_stats(c).bytes < 64 * 4096);
		cache_close(c);
	}
	cache_open(c);
}

/* The index of a killed server, or none at all: more entries than a slice has. */
static void
what_the_index_lacks_is_learnt(void **state)
{
	struct cache *c = *state;
	const unsigned n = 5000;
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++) {
		struct sample s = {.number = i, .body = 10};

		assert_int_equal(sample_put(c, &s), E_OK);
	}
	cache_close(c);
	assert_int_equal(unlink(store_dir_path(&c->dir, "cache/index")), 0);
	cache_open(c);
	for (unsigned i = 0; i < 4; i++)
		cache_settle(c); /* a slice before each */
	for (unsigned i = 0; i < n; i++) {
		struct sample s = {.number = i, .body = 10};

		found += sample_hits(c, &s);
	}
	assert_int_equal(found, n);
	cache_reopen(c);
	assert_true(c->entries->index.was_whole);
}

/* What is asked for while it is learnt, and the version that came meanwhile. */
static void
what_comes_while_it_is_learnt_is_the_newer(void **state)
{
	struct cache *c = *state;
	struct sample s = {.body = 10};

	for (s.number = 0; s.number < 5000; s.number++)
		assert_int_equal(sample_put(c, &s), E_OK);
	cache_close(c);
	assert_int_equal(unlink(store_dir_path(&c->dir, "cache/index")), 0);
	cache_open(c);
	s.version = 1;
	for (s.number = 4000; s.number < 5000; s.number++) {
		assert_int_equal(sample_put(c, &s), E_OK);
		assert_true(sample_hits(c, &s));
	}
	for (unsigned i = 0; i < 4; i++)
		cache_settle(c);
	for (s.number = 4000; s.number < 5000; s.number++)
		assert_true(sample_hits(c, &s));
}

/* An index that knows what is no longer there, as of a cache that was emptied: a miss, and the next answer is stored. */
static void
an_index_of_another_cache_does_no_harm(void **state)
{
	struct cache *c = *state;
	struct sample s = {.number = 1, .body = 10};

	for (; s.number < 100; s.number++)
		assert_int_equal(sample_put(c, &s), E_OK);
	cache_close(c);
	assert_int_equal(unlink(data_file(c)), 0);
	cache_open(c);
	for (s.number = 1; s.number < 100; s.number++) {
		assert_false(sample_hits(c, &s));
		assert_int_equal(sample_put(c, &s), E_OK);
		cache_settle(c);
		assert_true(sample_hits(c, &s));
	}
	assert_int_equal(cache_stats(c).entries, 99);
}

/* Two keys that the index cannot tell apart: one of them is found at most, and never for the other. */
static void
keys_with_the_same_hash_are_not_confused(void **state)
{
	struct cache *c = *state;
	struct entry_new n = {.key = sample_key(1),
	    .preimage = SPAN_LIT("one"),
	    .meta = {.stored_ms = CACHE_NOW, .expires_ms = CACHE_NOW + 1000, .status = 200},
	    .body = SPAN_LIT("first")};
	struct entry_key other = sample_key(1);
	struct entry *en;

	other.b[15] ^= 1;
	assert_int_equal(entries_put(c->entries, &n), E_OK);
	cache_settle(c);
	assert_null(entry_find(c->entries, &other, SPAN_LIT("one"), CACHE_NOW));
	n.key = other;
	assert_int_equal(entries_put(c->entries, &n), E_OK);
	cache_settle(c);
	en = entry_find(c->entries, &other, SPAN_LIT("one"), CACHE_NOW);
	assert_non_null(en);
	entry_release(en);
	n.key = sample_key(1);
	assert_null(entry_find(c->entries, &n.key, SPAN_LIT("one"), CACHE_NOW));
	assert_int_equal(cache_stats(c).entries, 1);
}

static void
too_small_a_cache_is_refused(void **state)
{
	struct cache *c = *state;
	struct entries *e;
	char detail[256];

	entries_close(c->entries);
	assert_int_equal(
	    entries_open(&c->data, (1 << 20) - 1, &e, detail, sizeof(detail)), E_USAGE);
	assert_non_null(strstr(detail, "cache.max_size"));
	assert_int_equal(
	    entries_open(&c->data, 1 << 20, &c->entries, detail, sizeof(detail)), E_OK);
}

static void
opens_in_less_than_10_ms(void **state)
{
	struct cache *c = *state;
	uint64_t best = UINT64_MAX;
	char detail[256];

	for (int i = 0; i < 5; i++) {
		uint64_t start, took;

		entries_close(c->entries);
		start = clock_mono_us();
		assert_int_equal(
		    entries_open(&c->data, UINT64_C(2) << 30, &c->entries, detail, sizeof(detail)),
		    E_OK);
		took = clock_mono_us() - start;
		best = took < best ? took : best;
	}
	assert_true(best < wall_bound(10000));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cache_set_up, cache_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_put_is_found),
	    TEST(memory_of_what_is_large_is_taken_over),
	    TEST(what_is_refused_stays_with_its_owner),
	    TEST(the_largest_allowed_body_goes_through),
	    TEST(another_preimage_is_a_miss),
	    TEST(is_never_served_at_or_after_its_expiry),
	    TEST(is_never_served_before_it_was_stored),
	    TEST(a_removed_entry_is_gone_at_once),
	    TEST(the_newest_version_is_served),
	    TEST(replacing_does_not_mix_versions),
	    TEST(within_a_turn_a_found_entry_can_be_read),
	    TEST(a_pending_entry_is_pinned_by_its_reader),
	    TEST(no_more_than_32_mb_wait),
	    TEST(body_ends_where_it_ends),
	    TEST(a_flipped_bit_of_a_small_entry_is_a_miss),
	    TEST(a_flipped_bit_of_a_large_entry_is_a_miss),
	    TEST(a_flipped_bit_of_a_very_large_entry_is_never_served),
	    TEST(a_flipped_bit_of_a_large_preimage_is_a_miss),
	    TEST(is_emptied_when_the_machine_went_down_hard),
	    TEST(is_emptied_when_it_is_of_another_format_or_too_large),
	    TEST(is_emptied_when_it_is_no_database),
	    TEST(is_emptied_when_the_server_crashed),
	    TEST(is_emptied_when_it_was_cut_short),
	    TEST(is_emptied_when_it_was_cut_while_in_use),
	    TEST(is_emptied_when_its_pages_prove_damaged),
	    TEST(goes_on_without_a_file_until_it_has_one),
	    TEST(kill_9_leaves_whole_entries_only),
	    TEST(what_the_index_lacks_is_learnt),
	    TEST(what_comes_while_it_is_learnt_is_the_newer),
	    TEST(an_index_of_another_cache_does_no_harm),
	    TEST(keys_with_the_same_hash_are_not_confused),
	    TEST(too_small_a_cache_is_refused),
	    TEST(opens_in_less_than_10_ms),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
