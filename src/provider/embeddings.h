/*
 * embeddings: OpenAI's embeddings item by item: the inputs of a batch, the same request with some of them, what an answer
 * says of each, and an answer put together. Pure.
 *
 * A batch can be taken apart when `input` is an array of 2 to 2048 strings, or of as many arrays of token numbers (a flat
 * array of numbers is one input), and every other member is known to mean the same for each input alone. Jina's
 * late_chunking, to name one that does not, makes an embedding depend on its neighbours; so what is not known is not split.
 */
#ifndef PROVIDER_EMBEDDINGS_H
#define PROVIDER_EMBEDDINGS_H

#include "base/buf.h"
#include "base/chk.h"
#include "json/json.h"
#include "provider/dialect.h"

#define EMBEDDINGS_ITEMS_MAX 2048

/* How many inputs can be taken apart; 0: the request goes as it is. ignore: members that may be there, whatever they are
 * (NULL-terminated, or NULL). */
size_t embeddings_count(struct json_val request, char *const *ignore);
/* The inputs in their order; room for as many as embeddings_count says. */
void embeddings_inputs(struct json_val request, struct json_val *inputs);
/* The request with those inputs only that are marked; every other member is as it was and where it was. Appended. */
MUST_CHECK bool embeddings_reduce(struct json_val request, const bool *is_wanted, struct buf *out);

/* What an answer to n inputs says. Owns what its values point into. */
struct embeddings {
	struct json_doc *doc;
	struct json_val
	    *values; /* "embedding" of each input, in order: an array of numbers, or base64 */
	struct json_val usage_said;
	struct usage usage;
	int64_t tokens;    /* of the inputs together; -1: not said */
	struct span model; /* empty: not said */
};
/* False: the answer is not one to exactly n inputs, or says something of an input that is not known; nothing to free. */
MUST_CHECK bool embeddings_read(struct span answer, size_t n, struct embeddings *out);
void embeddings_free(struct embeddings *e); /* fine on a zeroed one */

/* The inputs' shares of the tokens, by their lengths; together they are all of them. tokens -1: each share is -1. */
void embeddings_shares(int64_t tokens, const struct json_val *inputs, size_t n, int64_t *shares);

/* An answer to be put together. */
struct embeddings_parts {
	const struct span *values; /* JSON, each */
	size_t n;
	struct span model; /* empty: left out */
	struct span usage; /* JSON; empty: left out */
};
MUST_CHECK bool embeddings_write(const struct embeddings_parts *p, struct buf *out);

#endif
