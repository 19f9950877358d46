/*
 * convert_anthropic_int: a message as both its forms are read into (convert_anthropic.c; its blocks:
 * convert_anthropic_block.c) and written from (convert_anthropic_out.c). The blocks come one at a time: of a stream each is
 * written when it ends, of a whole answer each is read when its turn comes.
 */
#ifndef PROVIDER_CONVERT_ANTHROPIC_INT_H
#define PROVIDER_CONVERT_ANTHROPIC_INT_H

#include "provider/convert_int.h"

enum block_kind {
	BLOCK_TEXT,
	BLOCK_THINKING,
	BLOCK_TOOL, /* its input comes in pieces */
	BLOCK_WHOLE /* comes in its first event, and passes as it is */
};

struct block {
	enum block_kind kind;
	struct field type;
	struct field text, citations;
	struct field thinking, signature;
	struct field id, name, input, caller, toolset_name, server_name;
	struct field partial; /* what the pieces of the input are so far */
	struct field whole;
};

enum message_stage { STAGE_BEFORE, STAGE_OPEN, STAGE_BLOCK, STAGE_ENDING, STAGE_DONE };

struct message {
	enum message_stage stage;
	struct field id, type, role, model;
	struct field stop_reason, stop_sequence, stop_details, container, context_management,
	    diagnostics;
	/* usage */
	struct field input_tokens, cache_creation_input_tokens, cache_read_input_tokens,
	    output_tokens, server_tool_use, output_tokens_details, iterations;
	struct field cache_creation, service_tier, inference_geo, speed;
	struct json_val content; /* of a whole answer */
	struct buf blocks;       /* of a stream: those that ended, with commas between */
	struct block block;      /* of a stream: the open one */
	size_t n_blocks;
};

extern const struct member anthropic_usage_members[], anthropic_message_fields[];
extern const size_t n_anthropic_usage_members, n_anthropic_message_fields;
/* So many anthropic_usage_members at the front are said again by message_delta, which has the totals. */
#define USAGE_TOTALS 7

/* Members in the order in which they are written. */
const struct member *block_members(const struct block *b, size_t *n);
void block_read(struct convert *c, struct block *b, struct json_val v);
/* What a stream says of the open block, and that it ended. */
void block_read_delta(struct convert *c, struct block *b, struct json_val delta);
void block_end(struct convert *c, struct block *b);
void block_fini(struct block *b);

/* The event or delta has "type", these members or fewer (NULL: none), and no other. */
void event_require(struct convert *c, struct json_val v, const char *a, const char *b);

void anthropic_write_content(struct convert *c, const void *owner);
void anthropic_write_usage(struct convert *c, const void *owner);

void anthropic_write_block(struct convert *c, const struct block *b);
void anthropic_write_json(struct convert *c, const struct message *m);
void anthropic_write_stream(struct convert *c, const struct message *m);

#endif
