/*
 * dialect_int: what a dialect is made of. Each dialect_*.c fills one struct dialect_ops; dialect.c
 * holds the table; endpoint.c, facts.c and meter.c call through it.
 */
#ifndef PROVIDER_DIALECT_INT_H
#define PROVIDER_DIALECT_INT_H

#include "provider/dialect.h"

/* A path from its end, which is all that tells an endpoint: bases and gateways differ before it. */
struct path_tail {
	struct span path;
	struct span last, second, third; /* segments from the end; empty when there are fewer */
};

/* One event of a stream, whatever frames it came in (SSE, eventstream, NDJSON, a JSON array). */
struct stream_event {
	struct span type; /* SSE event name or ":event-type"; "" when there is none */
	struct span data;
	bool is_cut;       /* data is only the beginning: longer than a meter holds */
	bool is_exception; /* eventstream: an error frame */
};

/* What is known of an answer so far. The meter owns it; the dialects write into it. */
struct reading {
	const struct endpoint *endpoint;
	struct meter_result result;
	struct buf model; /* bytes behind result.model */
	bool may_end;     /* gemini: a finish reason was seen, the stream may end after any event */
};

struct dialect_ops {
	const char *name;
	enum refusal_shape refusal;
	/* Fills class and what the path tells; false: not a path of this dialect. */
	bool (*classify)(const struct path_tail *t, struct endpoint *e);
	/* Whether the request asks for a stream, where the path does not say. */
	bool (*is_stream)(const struct endpoint *e, struct json_val root);
	/* Where temperature and seed are: a member of root, NULL for root itself. */
	const char *const *sampling; /* NULL-terminated */
	/* A whole JSON answer, parsed. */
	void (*read_answer)(struct reading *r, struct json_val root);
	void (*read_event)(struct reading *r, const struct stream_event *e);
	/* What read_answer reads of an object "usage", where one stands in root; NULL: elsewhere too. */
	void (*read_usage)(struct reading *r, struct json_val usage);
};

extern const struct dialect_ops dialect_openai, dialect_anthropic, dialect_gemini, dialect_bedrock,
    dialect_cohere, dialect_ollama, dialect_other;
const struct dialect_ops *dialect_ops_of(enum dialect d);

/* Helpers that several dialects share (reading.c). */

/* Sets the model unless one is known. */
void reading_model(struct reading *r, struct json_val model);
/* A count of tokens into its class; anything but a number from 0 to 10^12 is "not said". */
void reading_tokens(struct reading *r, enum usage_class c, struct json_val count);
void reading_set(struct reading *r, enum usage_class c, int64_t count);
/* The count, or -1. */
int64_t tokens_of(struct json_val count);
/* The member `name` of v, and if there is none `other` (NULL: no other). */
struct json_val json_either(struct json_val v, const char *name, const char *other);
bool json_str_is(struct json_val v, const char *text);
/* Whether an "error" member says that something went wrong: not null, false, "", {} or []. */
bool is_error_value(struct json_val v);
/* Without parsing: whether the JSON text holds the string (given with its quotes, and the rarest of its letters) as a name
 * whose value is not null, or as a value. Inside JSON strings quotes are escaped, so no text deceives it; a name
 * written with escapes is missed, and nobody writes them so. */
bool has_said(struct span text, struct span quoted_name, char rare);

/* Also for DIALECT_OTHER. */
void openai_read_answer(struct reading *r, struct json_val root);
void openai_read_event(struct reading *r, const struct stream_event *ev);
/* OpenAI's usage object and those shaped like it, and Anthropic's. */
void openai_read_usage(struct reading *r, struct json_val usage);
void anthropic_read_usage(struct reading *r, struct json_val usage);

#endif
