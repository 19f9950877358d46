/*
 * convert_openai_int: a chat completion as both its forms are read into (convert_openai.c; its calls: convert_openai_calls.c)
 * and written from (JSON: convert_openai_out.c; stream: convert_openai_stream.c).
 */
#ifndef PROVIDER_CONVERT_OPENAI_INT_H
#define PROVIDER_CONVERT_OPENAI_INT_H

#include "provider/convert_int.h"

struct call {
	struct field id, type;
	struct field name, text; /* of function{name, arguments} or custom{name, input} */
	bool is_function, is_custom;
};

struct choice {
	bool is_seen;
	/* the message */
	struct field role, content, refusal, reasoning_content, reasoning, annotations, audio;
	bool has_role_here;    /* the delta being read names the role */
	bool is_content_blank; /* content was said, but only as the "" beside the role */
	enum said function_call, tool_calls;
	struct field function_name, function_arguments;
	struct call *calls;
	size_t n_calls;
	/* the choice */
	enum said logprobs;
	struct field tokens, refusal_tokens;
	struct field finish_reason, native_finish_reason, stop_reason, token_ids;
};

struct completion {
	struct field id, object, created, model, usage;
	struct field service_tier, system_fingerprint, provider;
	struct field usage_breakdown, moderation, prompt_logprobs, prompt_token_ids,
	    kv_transfer_params;
	bool has_groq;
	struct field groq_id, groq_seed, groq_usage;
	struct choice *choices;
	size_t n_choices;
	bool is_done;
};

/* The tables of members, of either form; in the order in which they are written. */
extern const struct member openai_completion_members[], openai_choice_members[],
    openai_message_members[];
extern const size_t n_openai_completion_members, n_openai_choice_members, n_openai_message_members;

/* Room for item `at` in an array that grows; new items are zeroed. NULL: no memory. */
void *openai_grow(void *items, size_t *n, size_t at, size_t size);
/* The member "index" of v, below max; else not known, and 0. */
size_t openai_find_index(struct convert *c, struct json_val v, size_t max);
void openai_skip_index(struct convert *c, void *owner, struct json_val v);
void openai_read_calls(struct convert *c, void *owner, struct json_val v);
void openai_read_function(struct convert *c, void *owner, struct json_val v); /* function_call */
void openai_check_calls(struct convert *c, struct choice *ch);
void openai_free_calls(struct choice *ch);

void openai_write_message(struct convert *c, const void *owner);
void openai_write_choices(struct convert *c, const void *owner);
void openai_write_logprobs(struct convert *c, const void *owner);
void openai_write_calls(struct convert *c, const void *owner);
void openai_write_function(struct convert *c, const void *owner);
void openai_write_groq(struct convert *c, const void *owner);

void openai_write_json(struct convert *c, struct completion *a);
void openai_write_stream(struct convert *c, const struct completion *a);

#endif
