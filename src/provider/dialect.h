/*
 * dialect: how the bodies of a provider are read: which endpoint a path is, what a request asks for,
 * when a stream is complete, what an answer cost in tokens, and how an error of ours looks.
 *
 * One file a dialect (dialect_openai.c, ...) fills a struct dialect_ops; nobody else knows their names.
 * Pure functions over bytes; tested and fuzzed without network.
 */
#ifndef PROVIDER_DIALECT_H
#define PROVIDER_DIALECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "json/json.h"

enum dialect {
	DIALECT_OPENAI,
	DIALECT_ANTHROPIC,
	DIALECT_GEMINI,
	DIALECT_BEDROCK,
	DIALECT_COHERE,
	DIALECT_OLLAMA,
	DIALECT_OTHER,
	DIALECT_COUNT
};
/* "openai", ...; unknown names give false. Vendors' own ("replicate", "fal") are DIALECT_OTHER. */
bool dialect_parse(struct span name, enum dialect *out);
const char *dialect_name(enum dialect d);

enum endpoint_class {
	ENDPOINT_OTHER,
	ENDPOINT_CHAT,
	ENDPOINT_COMPLETIONS,
	ENDPOINT_RESPONSES,
	ENDPOINT_MESSAGES,
	ENDPOINT_GENERATE,
	ENDPOINT_EMBEDDINGS,
	ENDPOINT_RERANK,
	ENDPOINT_MODERATIONS,
	ENDPOINT_COUNT_TOKENS,
	ENDPOINT_IMAGES,
	ENDPOINT_SPEECH,
	ENDPOINT_CLASS_COUNT
};
struct endpoint {
	enum endpoint_class class;
	enum dialect
	    dialect; /* by path where it tells (/v1/messages under an openai provider is anthropic) */
	bool is_held;          /* JSON request body worth reading: held up to limits.body */
	bool is_cacheable;     /* the answer is a function of the request */
	bool is_deterministic; /* embeddings, moderation, counting */
	bool streams_by_path;  /* :streamGenerateContent, converse-stream */
	struct span
	    model; /* where the path names it (gemini, bedrock, azure deployment), else empty; a view into path,
	                          so a percent escape in it (Bedrock's "%3A") is one still */
};
/* path: of the upstream request, or of ours; only its end matters. method_is_post: only POST is ever held or cacheable. */
struct endpoint endpoint_classify(enum dialect d, bool method_is_post, struct span path);
const char *endpoint_class_name(enum endpoint_class c);

/* What the request body says. Spans borrow from the doc or the endpoint. */
struct request_facts {
	struct span model;
	bool is_stream;
	bool
	    is_stateful; /* store: true, background, previous_response_id, conversation: never cached */
	bool is_deterministic; /* of no request unless request_is_deterministic was asked */
};
void request_facts_read(const struct endpoint *e, struct json_val root, struct request_facts *out);
/* Temperature 0, or a seed, or the endpoint is. By itself, because only one mode of the cache asks. */
bool request_is_deterministic(const struct endpoint *e, struct json_val root);

/* Tokens in disjoint classes, -1: not said. input + cache_read + cache_write_* is what the prompt had;
 * output includes reasoning (reasoning is a part of it); audio_in, audio_out are parts too. A counting endpoint counts and uses none. */
enum usage_class {
	USAGE_INPUT,
	USAGE_CACHE_READ,
	USAGE_CACHE_WRITE_5M,
	USAGE_CACHE_WRITE_1H,
	USAGE_OUTPUT,
	USAGE_REASONING,
	USAGE_AUDIO_IN,
	USAGE_AUDIO_OUT,
	USAGE_CLASSES
};
struct usage {
	int64_t tokens[USAGE_CLASSES];
	bool is_present; /* the provider said something */
};
void usage_init(struct usage *u);
/* Totals as Cloudflare counts: everything of the prompt, everything generated; -1 when unknown. */
int64_t usage_tokens_in(const struct usage *u);
int64_t usage_tokens_out(const struct usage *u);
const char *usage_class_name(enum usage_class c); /* "input", "cache_read", ... */

/* Reads an answer on its way, JSON or stream, in any pieces. It never delays a byte: it sees copies.
 *   meter_new; meter_feed...; meter_finish; then the results.
 * A JSON answer that the caller keeps anyway need not be held twice: see meter_borrow.
 * Limits: holds at most 32 MB of a JSON answer and 4 MB of one event; past it the usage is unknown. */
struct meter;
struct meter_result {
	struct usage usage;
	struct span model; /* as the answer names it; empty if not. Lives as long as the meter */
	bool is_stream;
	bool
	    is_complete; /* JSON: parsed; stream: its proper end was seen ([DONE], message_stop, response.completed, last
	                           chunk); other content (audio, images) and ENDPOINT_OTHER: the framing decides, true at finish.
	                           Only meaningful after meter_finish. response.failed is an end too: see has_error */
	bool has_error;  /* an error event inside, or an error object with status 200 */
	uint32_t events; /* of a stream */
	bool
	    has_output; /* some content event was seen (for the time to first token); true while feeding for streams
	                           and other content, at finish for JSON */
	uint32_t
	    output_events; /* how many content events: about a token each, where a stream says no usage */
};
/* content_type, content_encoding: of the answer. NULL without memory or when nothing can be read of it. */
struct meter *meter_new(
    const struct endpoint *e, int status, struct span content_type, struct span content_encoding);
void meter_feed(struct meter *m, struct span bytes);
void meter_finish(struct meter *m); /* all of the body was seen */
/* Before the first byte. True: nothing of the body is held here, and the caller, who keeps METER_BORROW_MAX bytes of it, ends
 * with meter_finish_with, which any one thread may call: reading megabytes takes milliseconds. False: the answer is a stream, or
 * compressed, or nothing is to be read of it. */
#define METER_BORROW_MAX ((size_t)32 << 20)
bool meter_borrow(struct meter *m);
/* Before the end. Of a JSON answer nothing is wanted but the usage: where that is found without parsing the rest
 * (json_peek_object) nothing else of the result is set. */
void meter_skim(struct meter *m);
/* is_cut: `body` is not all of it. */
void meter_finish_with(struct meter *m, struct span body, bool is_cut);
const struct meter_result *meter_result(const struct meter *m);
void meter_free(struct meter *m);

/* The body of an error of ours in the dialect of the endpoint asked. */
enum refusal_shape {
	REFUSAL_OPENAI,
	REFUSAL_ANTHROPIC,
	REFUSAL_GEMINI,
	REFUSAL_CLOUDFLARE,
	REFUSAL_MESSAGE, /* {"message": "..."}: Bedrock, Cohere */
	REFUSAL_ERROR,   /* {"error": "..."}: Ollama */
};
enum refusal_shape refusal_shape_of(enum dialect d);
/* message: what went wrong and how to mend it; empty: the error's own text. Appended to out. False: out is full. */
MUST_CHECK bool refusal_body(
    enum refusal_shape shape, enum err why, struct span message, struct buf *out);

#endif
