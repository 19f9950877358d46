/*
 * flight: one upstream call that several identical requests share. The first is its leader; the others follow: they get what
 * has arrived, then the live tail.
 *
 * Model      open (the leader waits for its answer) -> answered (2xx: head and bytes) -> complete | failed.
 *            Only an open or answered flight that still holds its first byte can be joined.
 * Window     a flight keeps the last `max` bytes of its answer (and all flights together `total`): past that its first bytes
 *            go, nobody joins any more, and a follower that had not taken them yet is cut. Before anybody looks for it, a flight
 *            holds nothing, if its leader can show what has passed.
 * Ownership  the leader and each follower hold the flight; the last to leave frees it. A follower's node is the
 *            caller's storage.
 * Telling    `moved` is called at the end of the turn, once for all that came in it, and of many followers for some a turn.
 * Re-entrancy but inside flight_put when its bytes push out others that somebody has not been told of. `moved` may leave the
 *            flight. `lonely` is called inside flight_leave.
 */
#ifndef CACHE_FLIGHT_H
#define CACHE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "store/entries.h"

struct flights;
struct flight;
struct loop;

struct follower {
	struct list link;
	struct flight *flight; /* NULL: in none */
	unsigned told;         /* of the flight's news */
	void (*moved)(void *ctx);
	void *ctx;
};

enum flight_state { FLIGHT_OPEN, FLIGHT_ANSWERED, FLIGHT_COMPLETE, FLIGHT_FAILED };

struct flights *flights_new(struct loop *l, uint64_t total);
void flights_free(struct flights *fs); /* no flight is left */
uint64_t flights_bytes(const struct flights *fs);

/* A flight of these bytes that can be joined, or NULL. From then on it holds its bytes. */
struct flight *flight_find(struct flights *fs, const struct entry_key *key, struct span preimage);
struct leader {
	void (*lonely)(void *ctx); /* nobody follows any more (again) */
	struct span (*seen)(void *
		ctx); /* all that was put so far, if the leader still has it; NULL: the flight copies from the start */
	void *ctx;
};
/* The caller leads; NULL: no memory, and nobody follows. max: of the window. The preimage stays the caller's, unchanged until
 * flight_close, _complete or _fail. */
struct flight *flight_open(struct flights *fs, const struct entry_key *key, struct span preimage,
    uint64_t max, const struct leader *leader);

/* The leader's. */
/* 2xx: its status and the fields that followers write (copied); record: the leader's exchange. */
void flight_answer(struct flight *f, int status, struct span fields, const uint8_t record[16]);
void flight_put(struct flight *f, struct span bytes);
/* Nobody joins any more. */
void flight_close(struct flight *f);
/* meta: usage and flags for the followers' records. The leader leaves with either. */
void flight_complete(struct flight *f, const struct entry_meta *meta);
void flight_fail(struct flight *f);
bool flight_is_followed(const struct flight *f);

/* A follower's. */
void flight_join(struct flight *f, struct follower *m, void (*moved)(void *ctx), void *ctx);
void flight_leave(struct follower *m); /* idempotent */
enum flight_state flight_state(const struct flight *f);
int flight_status(const struct flight *f);
struct span flight_fields(const struct flight *f);
const struct entry_meta *flight_meta(
    const struct flight *f);                  /* when complete; before, only its record */
uint64_t flight_size(const struct flight *f); /* bytes that arrived so far */
/* What is there from `offset` on (empty: nothing new). False: it has gone; the follower is cut. Valid until the next
 * call that changes the flight. */
bool flight_view(const struct flight *f, uint64_t offset, struct span *out);

#endif
