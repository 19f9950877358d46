#include "cache/flight.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/chk.h"
#include "base/map.h"
#include "net/loop.h"

/* Each may end its exchange when it is told: so many do not hold the loop for longer than a few milliseconds. */
#define TOLD_A_TURN 64

struct flights {
	struct loop *loop;
	struct map by_key;
	uint64_t total, bytes;
};

/*
 * 1. in by_key while it can be joined: not ended, dropped == 0.
 * 2. is_bare: nobody has followed yet, `body` is empty and the leader has the `passed` bytes.
 * 3. freed when the leader has ended it and no follower is left.
 * 4. followers: those who do not know the newest (told != news) stand before those who do.
 */
struct flight {
	struct map_node node;
	struct flights *all;
	struct entry_key key;
	struct span preimage; /* the leader's, while it is listed */
	struct list followers;
	struct defer telling;
	unsigned news; /* how often there was something to tell */
	bool is_telling;
	enum flight_state state;
	bool is_listed;
	int status;
	struct buf fields, body;
	bool is_bare;
	uint64_t passed;
	uint64_t dropped; /* bytes that left the window */
	struct entry_meta meta;
	struct leader leader; /* ctx NULL: it left */
};

struct flights *
flights_new(struct loop *l, uint64_t total)
{
	struct flights *fs = xcalloc(1, sizeof(*fs));
	fs->loop = l;
	map_init(&fs->by_key);
	fs->total = total;
	return fs;
}

void
flights_free(struct flights *fs)
{
	CHK(fs->by_key.count == 0);
	map_fini(&fs->by_key);
	free(fs);
}

uint64_t
flights_bytes(const struct flights *fs)
{
	return fs->bytes;
}

static uint64_t
hash_of(const struct entry_key *key)
{
	uint64_t hash; /* the key is a keyed hash already */
	memcpy(&hash, key->b, sizeof(hash));
	return hash;
}

static struct flight *
find(struct flights *fs, const struct entry_key *key, struct span preimage)
{
	for (struct map_node *n = map_first(&fs->by_key, hash_of(key)); n != NULL;
	    n = map_next(n)) {
		struct flight *f = CONTAINER_OF(n, struct flight, node);
		if (memcmp(f->key.b, key->b, sizeof(key->b)) == 0 && span_eq(f->preimage, preimage))
			return f;
	}
	return NULL;
}

struct flight *
flight_open(struct flights *fs, const struct entry_key *key, struct span preimage, uint64_t max,
    const struct leader *leader)
{
	struct flight *f = malloc_zeroed(sizeof(*f));
	if (f == NULL)
		return NULL;
	f->all = fs;
	f->key = *key;
	f->preimage = preimage;
	f->leader = *leader;
	f->is_bare = leader->seen != NULL;
	list_init(&f->followers);
	buf_init(&f->fields, 8192);
	buf_init(&f->body, max);
	map_insert(&fs->by_key, &f->node, hash_of(key));
	f->is_listed = true;
	return f;
}

static void
unlist(struct flight *f)
{
	if (f->is_listed)
		map_remove(&f->all->by_key, &f->node);
	f->is_listed = false;
}

void
flight_close(struct flight *f)
{
	unlist(f);
}

static void
free_if_left(struct flight *f)
{
	if (f->leader.ctx != NULL || !list_is_empty(&f->followers) || f->is_telling)
		return;
	unlist(f);
	defer_stop(&f->telling);
	f->all->bytes -= buf_len(&f->body);
	buf_fini(&f->body);
	buf_fini(&f->fields);
	free(f);
}

/* ---- the leader ---- */

static struct follower *
first(const struct flight *f)
{
	return CONTAINER_OF(f->followers.next, struct follower, link);
}

static bool
has_told_all(const struct flight *f)
{
	return list_is_empty(&f->followers) || first(f)->told == f->news;
}

/* Some who do not know the newest. What the last of them does when he leaves does not take the flight from under this: the caller
 * looks with free_if_left. */
static void
tell(struct flight *f, unsigned most)
{
	f->is_telling = true;
	for (; most > 0 && !has_told_all(f); most--) {
		struct follower *m = first(f);
		m->told = f->news;
		list_remove(&m->link);
		list_append(&f->followers, &m->link);
		m->moved(m->ctx);
	}
	f->is_telling = false;
}

static void
tell_some(void *ctx)
{
	struct flight *f = ctx;
	tell(f, TOLD_A_TURN);
	if (!has_told_all(f))
		defer_start(f->all->loop, &f->telling, tell_some, f);
	free_if_left(f);
}

static void
tell_later(struct flight *f)
{
	if (list_is_empty(&f->followers))
		return;
	f->news++;
	defer_start(f->all->loop, &f->telling, tell_some, f);
}

void
flight_answer(struct flight *f, int status, struct span fields, const uint8_t record[16])
{
	f->status = status;
	memcpy(f->meta.record, record, sizeof(f->meta.record));
	if (!buf_put_span(&f->fields, fields))
		unlist(f);
	f->state = FLIGHT_ANSWERED;
	tell_later(f);
}

static void
drop_first(struct flight *f, uint64_t n)
{
	buf_drop(&f->body, n);
	f->all->bytes -= n;
	f->dropped += n;
	unlist(f);
}

/* Bytes that this flight may hold. */
static uint64_t
window(const struct flight *f)
{
	uint64_t others = f->all->bytes - buf_len(&f->body);
	uint64_t limit = others < f->all->total ? f->all->total - others : 0;
	return limit > f->body.max ? f->body.max : limit;
}

static bool
has_room(const struct flight *f, size_t n)
{
	return buf_len(&f->body) + n <= window(f);
}

/* Makes room by letting the oldest bytes go. */
static void
make_room(struct flight *f, size_t n)
{
	uint64_t held = buf_len(&f->body), limit = window(f);
	if (!has_room(f, n))
		drop_first(f, held + n - limit < held ? held + n - limit : held);
}

static void
hold(struct flight *f, struct span bytes)
{
	make_room(f, bytes.n);
	size_t before = buf_len(&f->body);
	if (f->all->bytes + bytes.n <= f->all->total && buf_put_span(&f->body, bytes)) {
		f->all->bytes += bytes.n;
	} else {
		/* No room at all: whoever follows has lost these bytes. */
		drop_first(f, before);
		f->dropped += bytes.n;
	}
}

void
flight_put(struct flight *f, struct span bytes)
{
	if (!f->is_bare) {
		if (!has_room(f, bytes.n)) /* nobody loses what he was not told of */
			tell(f, UINT_MAX);
		if (f->leader.ctx == NULL) { /* it has ended with the last who followed */
			free_if_left(f);
			return;
		}
		hold(f, bytes);
		tell_later(f);
		return;
	}
	f->passed += bytes.n;
	if (f->passed > window(f))
		unlist(f);
}

/* Takes a copy of what has passed. False: its first bytes are not to be had any more. */
static bool
dress(struct flight *f)
{
	struct span seen = f->passed == 0 ? SPAN_NONE : f->leader.seen(f->leader.ctx);
	if (seen.n != f->passed || seen.n > window(f))
		return false;
	f->is_bare = false;
	f->passed = 0;
	if (seen.n > 0)
		hold(f, seen);
	return f->dropped == 0;
}

struct flight *
flight_find(struct flights *fs, const struct entry_key *key, struct span preimage)
{
	struct flight *f = find(fs, key, preimage);
	if (f == NULL || !f->is_bare || dress(f))
		return f;
	unlist(f);
	return NULL;
}

static void
end(struct flight *f, enum flight_state how)
{
	f->state = how;
	unlist(f);
	tell_later(f);
	f->leader.ctx = NULL;
	free_if_left(f);
}

void
flight_complete(struct flight *f, const struct entry_meta *meta)
{
	uint8_t record[16];
	memcpy(record, f->meta.record, sizeof(record));
	f->meta = *meta;
	memcpy(f->meta.record, record, sizeof(record));
	end(f, FLIGHT_COMPLETE);
}

void
flight_fail(struct flight *f)
{
	end(f, FLIGHT_FAILED);
}

bool
flight_is_followed(const struct flight *f)
{
	return !list_is_empty(&f->followers);
}

/* ---- a follower ---- */

void
flight_join(struct flight *f, struct follower *m, void (*moved)(void *ctx), void *ctx)
{
	m->flight = f;
	m->told = f->news;
	m->moved = moved;
	m->ctx = ctx;
	list_append(&f->followers, &m->link);
}

void
flight_leave(struct follower *m)
{
	struct flight *f = m->flight;
	if (f == NULL)
		return;
	list_remove(&m->link);
	m->flight = NULL;
	if (f->leader.ctx != NULL && list_is_empty(&f->followers))
		f->leader.lonely(f->leader.ctx);
	else
		free_if_left(f);
}

enum flight_state
flight_state(const struct flight *f)
{
	return f->state;
}

int
flight_status(const struct flight *f)
{
	return f->status;
}

struct span
flight_fields(const struct flight *f)
{
	return buf_view(&f->fields);
}

const struct entry_meta *
flight_meta(const struct flight *f)
{
	return &f->meta;
}

uint64_t
flight_size(const struct flight *f)
{
	return f->passed + f->dropped + buf_len(&f->body);
}

bool
flight_view(const struct flight *f, uint64_t offset, struct span *out)
{
	if (offset < f->dropped)
		return false;
	*out = span_skip(buf_view(&f->body), offset - f->dropped);
	return true;
}
