/*
 * convert_int: what the two vendors' converters share: fields, tables of members, and writing.
 *
 * Model      Either form of an answer is read into one struct of fields, and either form is written from it. A whole answer
 *            is read as if it were the only chunk of a stream, so that one table of members serves both ways, and what is
 *            accepted of one form comes back from the other unchanged.
 * Errors     Sticky: a reader that meets what it does not know, or a writer that finds its buffer full, sets `result` and
 *            everything goes on harmlessly; convert.c looks at the end and cuts `out` back.
 * Ownership  A field owns its bytes (field_fini). Its memory is linear in the text that is read.
 */
#ifndef PROVIDER_CONVERT_INT_H
#define PROVIDER_CONVERT_INT_H

#include "http/sse.h"
#include "json/json.h"
#include "provider/convert.h"

struct convert {
	struct buf *out;
	size_t limit;    /* of a field: no less than what a text of this length can say */
	bool is_stream;  /* the text read is a stream */
	bool with_usage; /* the stream written says usage (OpenAI) */
	enum convert_result result;
};

enum said { SAID_NOT, SAID_NULL, SAID_VALUE };

enum field_rule {
	FIELD_NONE, /* the member is no field: its own functions read and write it */
	FIELD_TEXT, /* string or null: pieces of one text, joined */
	FIELD_SAME, /* string or null: every mention is the same; null and "" say nothing new */
	FIELD_FIRST, /* anything: the first value stays (created: some servers take the time for each chunk) */
	FIELD_LAST, /* anything: the last value that is not null stays */
	FIELD_ONCE, /* anything: more than one value has no clear meaning */
	FIELD_NULL, /* null and nothing else */
	FIELD_LIST  /* array or null: items of one list, joined */
};

struct field {
	enum said said;
	enum field_rule rule; /* by which it was read */
	struct buf value; /* TEXT, SAME: unescaped; LIST: items with commas between; else JSON */
};

/* One member of an object: a field at `offset` of its owner, or functions of its own. A field may have its own reader. */
struct member {
	const char *name;
	size_t offset;
	enum field_rule rule;
	void (*read)(struct convert *c, void *owner, struct json_val v);
	void (*write)(struct convert *c, const void *owner);
};
#define MEMBER(type, field, rule_) {#field, offsetof(struct type, field), rule_, NULL, NULL}

static inline struct field *
field_of(const struct member *m, void *owner)
{
	return (struct field *)(void *)((char *)owner + m->offset);
}
static inline const struct field *
field_view(const struct member *m, const void *owner)
{
	return (const struct field *)(const void *)((const char *)owner + m->offset);
}

void convert_unknown(struct convert *c);
void convert_full(struct convert *c);
static inline void
convert_require(struct convert *c, bool is_so)
{
	if (!is_so)
		convert_unknown(c);
}

void field_read(struct convert *c, struct field *f, enum field_rule rule, struct json_val v);
void field_fini(struct field *f);
/* The items of a LIST as a document, to be freed; NULL, and full, without memory. */
struct json_doc *field_items(struct convert *c, const struct field *f);
bool field_is(const struct field *f, const char *text); /* TEXT or SAME, and this text */
static inline bool
field_has_bytes(const struct field *f)
{
	return f->said == SAID_VALUE && buf_len(&f->value) > 0;
}

/* Reads every member of the object by the table; one that is not in it, or comes twice, is not known. n <= 32. */
void members_read(
    struct convert *c, struct json_val object, const struct member *table, size_t n, void *owner);
void members_fini(const struct member *table, size_t n, void *owner);
/* Appends what was said, in the table's order. */
void members_write(struct convert *c, const struct member *table, size_t n, const void *owner);

/* All append to c->out. put_name goes before a value: with a comma, but after '{', '[' or ','. */
void put_raw(struct convert *c, struct span s);
#define PUT(c, literal) put_raw(c, SPAN_LIT(literal))
void put_name(struct convert *c, const char *name);
void put_number(struct convert *c, size_t n);
void put_text(struct convert *c, struct span s); /* as a JSON string */
void put_field(struct convert *c, const struct field *f);
void put_named(
    struct convert *c, const char *name, const struct field *f); /* nothing if not said */

/* Takes the next piece of text for an event off *rest, which is not empty and valid UTF-8: up to 256 bytes that end
 * between two characters. */
struct span convert_piece(struct span *rest);

/* Calls fn for each event of the stream until something is not known. root: none for "[DONE]". */
typedef void (*convert_event_fn)(
    struct convert *c, void *owner, struct span type, struct json_val root);
void convert_events(struct convert *c, struct span stream, convert_event_fn fn, void *owner);

void openai_stream_to_json(struct convert *c, struct span stream);
void openai_json_to_stream(struct convert *c, struct json_val root);
void anthropic_stream_to_json(struct convert *c, struct span stream);
void anthropic_json_to_stream(struct convert *c, struct json_val root);

#endif
