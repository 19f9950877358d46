/*
 * What the files of the exchange share: its state and the functions that one half calls of the other.
 *
 *   exchange.c         the state machine, the steps up to the look-up
 *   exchange_client.c  what the client does              exchange_life.c    new, warm, ended
 *   exchange_cache.c   what of it the cache goes by
 *   attempt.c          the request towards the provider  outbox.c           what is about to be written
 *   relay.c            the answer towards the client     replay.c           an entry towards the client
 *   follow.c           another exchange's answer         stale.c            entries past their time
 *   form.c             a stored stream for a plain request, and the reverse
 *   tunnel.c           a WebSocket, both ways
 *   split.c, split_answer.c  batches of embeddings, input by input
 *   digest.c           large bodies read by a worker     settle.c           storing, record, end
 *
 * Invariants
 * 1. client and up are NULL once given back or gone; each holds one pointer back, nulled in the same function.
 * 2. is_recorded is set before the last byte of an answer is handed to the client.
 * 3. while is_working a worker reads the exchange: no step runs, nothing it may look at is changed.
 * 4. after is_over nothing but the reaper touches the exchange.
 */
#ifndef GATEWAY_EXCHANGE_INT_H
#define GATEWAY_EXCHANGE_INT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "cache/flight.h"
#include "cache/policy.h"
#include "cache/preimage.h"
#include "crypto/seal.h"
#include "gateway/exchange.h"
#include "gateway/route.h"
#include "gateway/tap.h"
#include "http/message.h"
#include "http/target.h"
#include "http/writer.h"
#include "journal/journal.h"
#include "net/address.h"
#include "net/loop.h"
#include "provider/dialect.h"
#include "provider/registry.h"
#include "store/entries.h"

struct digest;
struct json_doc;
struct reader;
struct split;
struct tunnel;
struct upstream;

#define HIGH_WATER (256 * 1024)
#define HIGH_WATER_SHORT (HIGH_WATER / 8) /* when memory is short */
#define KEEP_BYTES (64 * 1024)            /* buffers above are given back when the exchange ends */
#define TURN_BYTES                                                                                 \
	(128 *                                                                                     \
	    1024) /* of an answer that is there, written in one turn of the loop: the kernel might take megabytes */
#define PIECES 64 /* parts of one write */

enum step {
	STEP_ROUTE,
	STEP_RECEIVE,
	STEP_PREPARE,
	STEP_LOOKUP,
	STEP_REPLAY,
	STEP_FOLLOW,
	STEP_ITEMS,
	STEP_ATTEMPT,
	STEP_RELAY,
	STEP_TUNNEL,
	STEP_SETTLE,
	STEP_COUNT
};
enum step_result { STEP_MORE, STEP_WAIT };

/* What is about to be written to the client: views, and which of them are body. Most exchanges are waiting for somebody
 * and have none. */
struct outbox {
	struct outbox *next; /* while it is spare */
	struct span parts[PIECES];
	bool is_body[PIECES];
	size_t n;
	char line[CHUNK_LINE_SIZE]; /* of the chunk that all pieces of a body in here are one of */
	size_t line_at;             /* which part that line is */
	size_t chunked;             /* bytes in that chunk; 0: there is none */
};

struct exchange {
	struct list link;
	struct gateway *g;
	struct setup *setup;
	struct client *client;
	struct arena arena;
	struct defer reap;
	struct timer timer;
	enum step step;
	bool is_pumping, is_working, is_over, is_recorded, is_local;

	struct id id;
	char id_text[ID_TEXT_SIZE];
	char client_text[ADDRESS_TEXT_SIZE]; /* the peer's address; it may be gone at the end */
	int64_t created_ms;
	/* monotonic microseconds; 0: not yet */
	uint64_t began_us, ready_us, attempt_us, answer_us, replied_us;

	/* request */
	struct request_head head;
	struct target target;
	struct route route;
	struct endpoint endpoint;
	struct request_facts facts;
	struct cache_wishes wishes;
	struct journal_wishes log_wishes;
	struct json_doc *doc;
	uint64_t reserved;   /* memory, while a worker reads the body */
	struct buf body;     /* held, or waiting to be sent on */
	struct buf uploaded; /* what a streamed body had, for the log */
	bool is_held, is_body_done;
	bool is_slim;          /* what only the beginning needs is gone */
	bool is_websocket;     /* to be forwarded as an upgrade: neither cached nor pooled */
	struct tunnel *tunnel; /* in the arena, once the provider has switched */
	uint64_t request_size;

	/* cache */
	struct cache_plan plan;
	struct buf preimage;
	bool has_preimage;
	struct entry_key key;
	bool has_body_hash;
	uint64_t body_hash;
	struct entry *entry;
	struct entry_meta found; /* of the entry that is replayed */
	struct reader *reader;   /* in the arena */
	bool is_sealed;          /* with: */
	struct seal_key seal_key;
	struct flight *flight;  /* that it leads */
	struct follower follow; /* of the one it follows */
	uint64_t followed;      /* bytes taken */
	int flights_failed;
	bool is_shared_hit;  /* answered as a follower */
	struct entry *stale; /* past its time, in case the provider fails */
	bool is_stale;       /* answered with one */
	bool is_converted;   /* answered from an entry of the other form */
	struct split *split; /* a batch of embeddings that can be taken apart */
	bool is_composed;    /* answered with what was put together of it */
	bool is_refresh;     /* has no client: it fetches what was answered stale */

	/* attempt */
	struct upstream_target to;
	struct upstream *up;
	int attempts, informational;
	enum err attempt_failed; /* what a stale answer stands in for */
	bool is_request_sent, is_body_chunked;
	bool is_request_out; /* all of it, when the answer's head came */

	/* answer */
	int status;
	struct response_head answer;
	bool has_answer, is_head_sent, is_answer_complete;
	enum body_framing out_framing;
	uint64_t response_size;
	uint64_t received_bytes, sent_bytes; /* on the client's wire */
	struct buf out;                      /* head bytes */
	struct buf tail; /* the last write, held until the client has read the rest */
	bool has_tail;
	struct tap *taps;
	struct capture_tap capture;
	struct meter_tap meter;
	struct flight_tap flight_tap;

	/* end */
	enum err why;
	enum step ended_in;
	const char *hint;
	bool is_refusal, is_truncated, is_kept_alive;
	bool is_settling;      /* nothing but the end of the client changes how it ends any more */
	struct digest *digest; /* of large bodies; NULL: none */
	struct outbox *box;    /* NULL: nothing is in it */
};

static inline bool
is_hit(const struct exchange *x)
{
	return x->entry != NULL || x->is_shared_hit || (x->is_composed && !x->has_answer);
}

/* exchange.c */
/* Most bytes ahead of a client or provider that does not keep up; less when memory is short. */
size_t high_water(const struct exchange *x);
void exchange_pump(struct exchange *x);
enum step_result exchange_yield(
    struct exchange *x); /* the step goes on in the next turn; uses the timer */
/* Ends it with an error of ours: as an answer if nothing was sent yet, else as a cut. */
void exchange_fail(struct exchange *x, enum err why, const char *hint);
/* exchange_cache.c */
/* What makes it the same as another one, in that form of its answer (form_of). */
enum preimage_result exchange_preimage(const struct exchange *x, struct span form, struct buf *out);
/* Of an item of the batch that it is, but for the item itself. */
enum preimage_result exchange_item_base(const struct exchange *x, struct buf *out);
/* What a cache entry or a flight keeps of the answer's head. */
MUST_CHECK bool exchange_stored_head(struct exchange *x, struct buf *out);
/* cache_hash of the held body, made once. */
uint64_t exchange_body_hash(struct exchange *x);
uint64_t exchange_caller_hash(const struct exchange *x);
/* attempt.c */
enum step_result step_attempt(struct exchange *x);
/* False: enough for now; `ready` or `drained` of the upstream lets the client go on. */
bool attempt_wants_more(const struct exchange *x);
bool attempt_send_body(struct exchange *x, struct span bytes); /* says the same */
void attempt_end_body(struct exchange *x);
void attempt_drop(struct exchange *x); /* gives the upstream connection up */
/* When nothing more is wanted of it: after a whole answer the connection may be used again. */
void attempt_leave(struct exchange *x);
/* relay.c */
void relay_head(struct exchange *x, const struct response_head *head);
void relay_body(struct exchange *x, struct span bytes);
void relay_batch(struct exchange *x);
void relay_flush(struct exchange *x); /* writes the outbox out */
void relay_hold(struct exchange *x);  /* moves it into the tail */
void exchange_watch_idle(
    struct exchange *x, uint64_t after_ms); /* (re)starts the upstream's time-out */
/* outbox.c */
size_t box_parts(const struct exchange *x); /* how many */
size_t box_bytes(const struct exchange *x);
bool box_put(struct exchange *x, struct span part, bool is_body); /* false: full, flush first */
/* Likewise, as chunked coding: all that is put before the box is emptied is one chunk. */
bool box_put_chunk(struct exchange *x, struct span bytes);
void box_empty(struct exchange *x);
void outbox_free_spares(struct gateway *g);
/* follow.c */
enum step_result step_follow(struct exchange *x);
void follow_or_lead(struct exchange *x); /* sets the step */
/* seal.c: entries under the caller's key (cache.seal) */
bool seal_begin(struct exchange *x); /* false: the request has no credential */
/* The entry of that preimage, sealed or not. */
struct entry *find_entry(
    struct exchange *x, const struct entry_key *key, struct span preimage, int64_t now_ms);
void put_entry(
    struct exchange *x, struct entry_new *n); /* n->body: the answer; may take x->capture.body */
/* stale.c */
void look_up(struct exchange *x); /* sets entry, or stale; starts a refresh */
/* Instead of an error, before anything was sent. False: there is nothing to serve. */
bool serve_stale(struct exchange *x);
/* form.c */
struct span form_of(struct exchange *x);     /* empty: forms are kept apart */
bool look_up_other_form(struct exchange *x); /* true: the answer is in the box */
/* split.c, split_answer.c: batches of embeddings, input by input (cache.split_embeddings) */
bool split_begin(struct exchange *x); /* true: the inputs are looked up next */
void split_free(struct exchange *x);
enum step_result step_items(struct exchange *x);
struct span split_request(
    const struct exchange *x);                /* the body to send: all of it, or what is missing */
bool split_is_part(const struct exchange *x); /* the request that was sent is not the client's */
bool split_is_again(struct exchange *x);      /* once: the whole request is to be sent after all */
size_t split_capture_max(const struct exchange *x);
/* The answer is put together when it is whole: its pieces go into split_body, its batches to split_batch. */
bool split_captures(struct exchange *x);
bool split_is_capturing(const struct exchange *x);
void split_body(struct exchange *x, struct span bytes);
void split_batch(struct exchange *x);
/* At the end: keeps each embedding that came. What takes long goes on when the exchange is over. */
void split_store(struct exchange *x);
void split_store_rest(struct exchange *x);
/* replay.c */
enum step_result step_replay(struct exchange *x);
/* digest.c: what the end of an exchange reads of its bodies: usage, the payloads of its record. */
/* True: they are large, a worker does it; then the step is run again. Whatever is to be written next is held in the tail. */
bool digest_start(struct exchange *x);
/* The exchange's part of a record: its bodies, those that a worker prepared if one did. */
void digest_entry(struct exchange *x, struct journal_entry *e);
void digest_free(struct exchange *x);
/* settle.c */
enum step_result step_settle(struct exchange *x);

#endif
