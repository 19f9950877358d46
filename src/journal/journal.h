/*
 * journal: where an exchange becomes a record. The one place where what a peer sent is redacted before it
 * is kept (design.md 4.3): nothing else writes records.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/chk.h"
#include "base/err.h"
#include "base/list.h"
#include "journal/record.h"

struct arena;
struct headers;
struct journal;
struct memo;
struct records;
struct request_head;
struct target;

/* key: 32 bytes, for key_id; seal_salt: for sealed payloads. records is borrowed. */
struct journal *journal_new(
    struct records *records, const uint8_t key[32], const uint8_t seal_salt[32]);
void journal_free(struct journal *j);

/* What the exchange hands over: numbers and words of ours in `record`, what peers sent beside it. */
struct journal_entry {
	struct record
	    record; /* method, path, model, event_id, key_id, user_agent, metadata, content types are set from below */
	const struct request_head *head;
	const struct target *target; /* of the request as the client sent it */
	struct span model;
	const struct headers *response; /* NULL: none came */
	struct span request,
	    reply;             /* the bodies, or what was captured of them; p == NULL: not kept */
	uint64_t max_payload;  /* payload_max: of each body */
	bool scrub;            /* the gateway's log.scrub */
	bool seal;             /* the gateway's log.seal: without a credential no body is kept */
	struct memo *key_memo; /* of the connection; NULL: none */
	const struct journal_bodies *prepared; /* NULL: journal_write makes them */
};
/* The bodies as the log keeps them: readable, cut, scrubbed, sealed; views of the entry's, or memory of their own. Of a megabyte
 * that is up to a millisecond: for large ones a worker does it before journal_write. Reads of the entry: head, target, response, the
 * bodies with how they are kept, and of its record the id and the two sizes. */
struct journal_bodies;
struct journal_bodies *journal_bodies_new(const struct journal *j);
void journal_bodies_make(
    struct journal_bodies *b, const struct journal_entry *e); /* any one thread */
void journal_bodies_free(struct journal_bodies *b);           /* NULL is fine */
/* Redacts, scrubs, encodes, queues. After it returned a kill -9 does not lose the record. */
void journal_write(struct journal *j, const struct journal_entry *e, struct arena *a);
/* Only the metrics, where no record is wanted. */
void journal_count(const struct record *r);

/* Who wants to see every record as it is written, in that order: fn gets the stored form, on the loop. */
struct journal_watch {
	struct list link;
	void (*fn)(void *ctx, struct span record);
	void *ctx;
};
void journal_watch_start(struct journal *j, struct journal_watch *w,
    void (*fn)(void *ctx, struct span record), void *ctx);
void journal_watch_stop(struct journal_watch *w); /* idempotent; not inside fn */

/* What the request's headers say about its log. */
struct journal_wishes {
	bool collect, payload; /* defaults come in, the headers overrule */
};
/* E_OK or E_BAD_HEADER with a static hint: cf-aig-collect-log(-payload) true or false; cf-aig-metadata a flat JSON
 * object of at most 16 members with string, number, boolean or null values, 4 KB. */
MUST_CHECK enum err journal_wishes_read(
    const struct headers *h, struct journal_wishes *w, const char **hint);

#endif
