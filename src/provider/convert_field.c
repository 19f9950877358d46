#include "provider/convert_int.h"

#define MEMBERS_MAX 32
/* Deeper values are carried nowhere: the other form may nest them one level more, and a canonical form ends at 128. */
#define DEPTH_MAX 100

void
convert_unknown(struct convert *c)
{
	if (c->result == CONVERT_OK)
		c->result = CONVERT_UNKNOWN;
}

void
convert_full(struct convert *c)
{
	if (c->result == CONVERT_OK)
		c->result = CONVERT_FULL;
}

static bool
is_deep(struct json_val v, unsigned depth)
{
	struct json_iter it = json_iter(v);
	struct json_val item;
	struct span key;

	if (it.left > 0 && depth == DEPTH_MAX)
		return true;
	while (json_next(&it, &key, &item)) {
		if (is_deep(item, depth + 1))
			return true;
	}
	return false;
}

static void
append_string(struct convert *c, struct field *f, struct json_val v)
{
	struct span s;

	if (!json_str(v, &s))
		convert_unknown(c);
	else if (!buf_put_span(&f->value, s))
		convert_full(c);
}

static void
read_same(struct convert *c, struct field *f, struct json_val v)
{
	struct span s;

	if (!json_str(v, &s))
		convert_unknown(c);
	else if (s.n == 0)
		return;
	else if (f->said == SAID_VALUE)
		convert_require(c, span_eq(s, buf_view(&f->value)));
	else
		append_string(c, f, v);
	f->said = SAID_VALUE;
}

static void
read_items(struct convert *c, struct field *f, struct json_val v)
{
	struct json_iter it = json_iter(v);
	struct json_val item;
	struct span key;

	convert_require(c, json_type(v) == JSON_ARRAY && !is_deep(v, 0));
	while (c->result == CONVERT_OK && json_next(&it, &key, &item)) {
		if ((buf_len(&f->value) > 0 && !buf_putc(&f->value, ',')) ||
		    !json_write(item, &f->value))
			convert_full(c);
	}
}

static void
read_json(struct convert *c, struct field *f, struct json_val v)
{
	convert_require(c, !is_deep(v, 0));
	buf_reset(&f->value);
	if (c->result == CONVERT_OK && !json_write(v, &f->value))
		convert_full(c);
}

static void
read_value(struct convert *c, struct field *f, struct json_val v)
{
	switch (f->rule) {
	case FIELD_TEXT:
		append_string(c, f, v);
		return;
	case FIELD_LIST:
		read_items(c, f, v);
		return;
	case FIELD_FIRST:
		if (f->said != SAID_VALUE)
			read_json(c, f, v);
		return;
	case FIELD_ONCE:
		convert_require(c, f->said != SAID_VALUE);
		read_json(c, f, v);
		return;
	case FIELD_LAST:
		read_json(c, f, v);
		return;
	case FIELD_NONE:
	case FIELD_SAME:
	case FIELD_NULL:
		convert_unknown(c);
		return;
	}
}

void
field_read(struct convert *c, struct field *f, enum field_rule rule, struct json_val v)
{
	f->rule = rule;
	f->value.max = c->limit;
	if (json_type(v) == JSON_NULL) {
		if (f->said == SAID_NOT)
			f->said = SAID_NULL;
		return;
	}
	if (rule == FIELD_SAME) {
		read_same(c, f, v);
		return;
	}
	read_value(c, f, v);
	f->said = SAID_VALUE;
}

void
field_fini(struct field *f)
{
	buf_fini(&f->value);
}

struct json_doc *
field_items(struct convert *c, const struct field *f)
{
	struct buf text = {.max = c->limit + 2};
	struct json_doc *doc = NULL;

	if (buf_putc(&text, '[') && buf_put_span(&text, buf_view(&f->value)) &&
	    buf_putc(&text, ']'))
		doc = json_parse(buf_view(&text));
	if (doc == NULL)
		convert_full(c);
	buf_fini(&text);
	return doc;
}

bool
field_is(const struct field *f, const char *text)
{
	return f->said == SAID_VALUE && span_eq(buf_view(&f->value), span_str(text));
}

static size_t
find_member(const struct member *table, size_t n, struct span name)
{
	size_t i = 0;

	while (i < n && !span_eq(name, span_str(table[i].name)))
		i++;
	return i;
}

void
members_read(
    struct convert *c, struct json_val object, const struct member *table, size_t n, void *owner)
{
	struct json_iter it = json_iter(object);
	struct json_val item;
	struct span key;
	uint32_t seen = 0;

	CHK(n <= MEMBERS_MAX);
	convert_require(c, json_type(object) == JSON_OBJECT);
	while (c->result == CONVERT_OK && json_next(&it, &key, &item)) {
		size_t i = find_member(table, n, key);
		if (i == n || (seen & UINT32_C(1) << i) != 0) {
			convert_unknown(c);
			return;
		}
		seen |= UINT32_C(1) << i;
		if (table[i].read != NULL)
			table[i].read(c, owner, item);
		else
			field_read(c, field_of(&table[i], owner), table[i].rule, item);
	}
}

void
members_fini(const struct member *table, size_t n, void *owner)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].rule != FIELD_NONE)
			field_fini(field_of(&table[i], owner));
	}
}

void
members_write(struct convert *c, const struct member *table, size_t n, const void *owner)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].write != NULL)
			table[i].write(c, owner);
		else if (table[i].rule != FIELD_NONE)
			put_named(c, table[i].name, field_view(&table[i], owner));
	}
}

void
put_raw(struct convert *c, struct span s)
{
	if (!buf_put_span(c->out, s))
		convert_full(c);
}

void
put_name(struct convert *c, const char *name)
{
	struct span before = buf_view(c->out);
	char last = before.n == 0 ? '{' : before.p[before.n - 1];

	if (last != '{' && last != '[' && last != ',')
		PUT(c, ",");
	put_text(c, span_str(name));
	PUT(c, ":");
}

void
put_number(struct convert *c, size_t n)
{
	if (!buf_printf(c->out, "%zu", n))
		convert_full(c);
}

void
put_text(struct convert *c, struct span s)
{
	if (!json_put_str(c->out, s))
		convert_full(c);
}

void
put_field(struct convert *c, const struct field *f)
{
	struct span value = buf_view(&f->value);

	if (f->said != SAID_VALUE) {
		PUT(c, "null");
	} else if (f->rule == FIELD_TEXT || f->rule == FIELD_SAME) {
		put_text(c, value);
	} else if (f->rule == FIELD_LIST) {
		PUT(c, "[");
		put_raw(c, value);
		PUT(c, "]");
	} else {
		put_raw(c, value);
	}
}

void
put_named(struct convert *c, const char *name, const struct field *f)
{
	if (f->said == SAID_NOT)
		return;
	put_name(c, name);
	put_field(c, f);
}
