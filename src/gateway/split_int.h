/*
 * split_int: what the two files about batches of embeddings share (cache.split_embeddings).
 *
 *   split.c         the inputs looked up one by one, the request that has the missing ones, the answer on its way in
 *   split_answer.c  an answer read and put together, written to the client; its embeddings stored
 *
 *   LOOK -+-> JOIN ------------------------------+-> WRITE -> settle      every input was found
 *         +-> REDUCE -> attempt, relay -> READ --+                        some were
 *         +-> attempt, relay as without any of this; the embeddings are stored at the end
 *   An answer that cannot be read goes from READ to a second attempt, with the whole request.
 *
 * Threads: while x->is_working a worker has the struct, the exchange's doc, answer head and captured body.
 */
#ifndef GATEWAY_SPLIT_INT_H
#define GATEWAY_SPLIT_INT_H

#include "gateway/exchange_int.h"
#include "provider/embeddings.h"

#define SPLIT_MAX (64 * 1024 * 1024) /* bytes of an answer, and of the values that are held */
#define SPLIT_OFF_LOOP (256 * 1024)  /* what is larger is read and written by a worker */
#define SPLIT_SLICE (1024 * 1024)    /* bytes between the store and us in one turn of the loop */
#define SPLIT_VALUE_MAX (128 * 1024) /* a larger embedding is not stored */

enum split_phase { SPLIT_LOOK, SPLIT_JOIN, SPLIT_REDUCE, SPLIT_READ, SPLIT_WRITE };

struct split_item {
	size_t at, n;   /* its value in `held`; n 0: none */
	int64_t tokens; /* -1: not known */
	bool is_hit;
};

struct split {
	struct timer timer; /* the next slice */
	enum split_phase phase;
	size_t n, next, hits;
	struct json_val *inputs; /* borrowed from the exchange's doc */
	struct split_item *items;
	struct buf base; /* of the preimages, and behind base_n the item that is looked at */
	size_t base_n;
	struct buf text;  /* of one input */
	struct buf held;  /* values, as JSON */
	struct buf model; /* that all of the values are of */
	bool has_model;
	struct buf reduced; /* the request with what is missing */
	struct buf answer;  /* to it */
	bool is_part;       /* the request that was sent is the reduced one */
	bool is_capturing;  /* and its answer comes in here */
	bool is_cut;        /* it is larger than is taken */
	bool is_again;      /* the whole request is to be sent after all */
	bool is_good;       /* what the last work made */
	bool is_read;       /* the values of an answer are in `held` and not stored yet */
	int64_t oldest_ms;  /* when the oldest hit was stored */
	uint64_t ttl_ms;
};

/* Runs work here, or on a worker when it is about more than SPLIT_OFF_LOOP bytes; then the step goes on. */
enum step_result split_run(struct exchange *x, size_t bytes, void (*work)(void *ctx));
/* The preimage of an item: a view until the next call. p == NULL: no room. */
struct span split_preimage(struct exchange *x, size_t i);
bool split_same_model(struct split *s, struct span model); /* the first one is kept */
/* Forgets what was found: as if no input had been. */
void split_forget(struct split *s);

/* split_answer.c. Work (see split_run): is_good says how it went. */
void split_join(void *ctx); /* the hits into the captured body */
void split_read(void *ctx); /* the answer into `held`, and with the hits into the captured body */
bool split_put_head(struct exchange *x);
enum step_result split_write(struct exchange *x);

#endif
