#include "config/value_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "config/nearest_int.h"
#include "config/syntax_int.h"

static void *
field(const struct config_row *row, void *base)
{
	CHK(row->offset != CONFIG_NO_FIELD);
	return (char *)base + row->offset;
}

bool *
value_bool(const struct config_row *row, void *base)
{
	return field(row, base);
}

uint64_t *
value_u64(const struct config_row *row, void *base)
{
	return field(row, base);
}

char **
value_string(const struct config_row *row, void *base)
{
	return field(row, base);
}

char ***
value_strings(const struct config_row *row, void *base)
{
	return field(row, base);
}

const char *
value_enum_word(const struct config_row *row, const void *base)
{
	int value;

	memcpy(&value, (const char *)base + row->offset, sizeof(value));
	for (const struct config_choice *c = row->choices; c->word != NULL; c++)
		if (c->value == value && !c->is_not_yet)
			return c->word;
	UNREACHED("an enum of the configuration has a value without a word");
}

char **
strings_new(size_t most)
{
	return xcalloc(most + 1, sizeof(char *));
}

void
strings_free(char **list)
{
	for (char **s = list; s != NULL && *s != NULL; s++)
		free(*s);
	free(list);
}

/* "limits.headers is 'x'; write ..." */
static bool
wrong_value(const struct target *t, const struct node *n, struct buf *err, const char *mend)
{
	char shown[QUOTED_SIZE];

	return problem(err, &n->place, "%s is %s; write %s", t->name, quoted(n->raw, shown), mend);
}

/* The words of a choice list for a message: "all, deterministic or off". */
static const char *
choice_words(const struct config_choice *list, char *out, size_t size)
{
	size_t n = 0, left = 0;

	out[0] = '\0';
	for (const struct config_choice *c = list; c->word != NULL; c++)
		left += !c->is_not_yet;
	for (const struct config_choice *c = list; c->word != NULL && n < size; c++) {
		if (c->is_not_yet)
			continue;
		left--;
		n += (size_t)snprintf(out + n, size - n, "%s%s", c->word,
		    left > 1        ? ", "
			: left == 1 ? " or "
				    : "");
	}
	return out;
}

static const struct config_choice *
choice_read(const struct target *t, const struct node *n, struct buf *err)
{
	struct nearest near = {.wanted = n->text};
	char words[128], shown[QUOTED_SIZE];

	for (const struct config_choice *c = t->row->choices; c->word != NULL; c++) {
		if (span_eq(n->text, span_str(c->word)) && !c->is_not_yet)
			return c;
		if (span_eq(n->text, span_str(c->word))) {
			problem(err, &n->place, "%s: %s is not in this version; write %s", t->name,
			    c->word, choice_words(t->row->choices, words, sizeof(words)));
			return NULL;
		}
		if (!c->is_not_yet)
			nearest_try(&near, span_str(c->word));
	}
	if (near.best.p != NULL)
		problem(err, &n->place, "%s is %s; did you mean '%.*s'?", t->name,
		    quoted(n->raw, shown), SPAN_FMT(near.best));
	else
		wrong_value(t, n, err, choice_words(t->row->choices, words, sizeof(words)));
	return NULL;
}

static bool
read_enum(const struct target *t, const struct node *n, struct buf *err)
{
	const struct config_choice *c = choice_read(t, n, err);

	if (c == NULL)
		return false;
	memcpy(field(t->row, t->base), &c->value, sizeof(c->value));
	return true;
}

/* "true" in quotes is a string; out of the environment it has to be. */
static bool
is_bare(const struct node *n)
{
	return n->is_plain || n->is_expanded;
}

static bool
read_bool(const struct target *t, const struct node *n, struct buf *err)
{
	bool yes = span_eq(n->text, SPAN_LIT("true"));

	if (!is_bare(n) || (!yes && !span_eq(n->text, SPAN_LIT("false"))))
		return wrong_value(t, n, err, "true or false, without quotes");
	if (yes && (t->row->flags & CONFIG_NOT_TRUE))
		return problem(
		    err, &n->place, "%s: true is not in this version; write false", t->name);
	if (t->row->offset != CONFIG_NO_FIELD)
		*value_bool(t->row, t->base) = yes;
	return true;
}

static void
number_text(enum config_type type, uint64_t v, char out[NUM_TEXT_SIZE])
{
	if (type == CONFIG_DURATION)
		num_duration_text(v, out);
	else if (type == CONFIG_SIZE)
		num_size_text(v, out);
	else
		(void)snprintf(out, NUM_TEXT_SIZE, "%" PRIu64, v);
}

/* NULL, or what there should have been. */
static const char *
parse_number(enum config_type type, const struct node *n, uint64_t *v)
{
	if (type == CONFIG_DURATION)
		return num_duration_ms(n->text, v) ? NULL
						   : "a duration such as 500ms, 10s, 5m, 1h or 30d";
	if (type == CONFIG_SIZE)
		return num_size(n->text, v) ? NULL : "a size such as 64KB, 25MB or 10GB";
	return is_bare(n) && num_u64(n->text, v) ? NULL : "a whole number, without quotes";
}

static bool
read_number(const struct target *t, const struct node *n, struct buf *err)
{
	enum config_type type = t->row->type;
	char low[NUM_TEXT_SIZE], high[NUM_TEXT_SIZE], shown[QUOTED_SIZE];
	uint64_t v = 0;
	const char *wanted = parse_number(type, n, &v);

	if (wanted != NULL)
		return wrong_value(t, n, err, wanted);
	if (v < t->row->min || v > t->row->max) {
		number_text(type, t->row->min, low);
		number_text(type, t->row->max, high);
		return problem(err, &n->place, "%s is %s; choose from %s to %s", t->name,
		    quoted(n->raw, shown), low, high);
	}
	*value_u64(t->row, t->base) = v;
	return true;
}

static bool
text_check(const struct target *t, const struct node *n, struct buf *err)
{
	const char *wrong = syntax_text(n->text);

	if (wrong == NULL && t->row->check != NULL)
		wrong = t->row->check(n->text);
	return wrong == NULL || problem(err, &n->place, "%s %s", t->name, wrong);
}

static bool
read_string(const struct target *t, const struct node *n, struct buf *err)
{
	char **s = value_string(t->row, t->base);
	bool is_null_word =
	    t->row->null_word != NULL && span_eq(n->text, span_str(t->row->null_word));

	if (t->row->choices != NULL ? choice_read(t, n, err) == NULL : !text_check(t, n, err))
		return false;
	free(*s);
	*s = is_null_word ? NULL : span_dup(n->text);
	return true;
}

static bool
read_strings(const struct target *t, const struct node *list, struct buf *err)
{
	char **made = strings_new(list->count);
	size_t count = 0;

	for (const struct node *n = list->first; n != NULL; n = n->next) {
		if (n->is_unset)
			continue;
		if (n->kind != NODE_SCALAR || node_is_null(n))
			(void)problem(
			    err, &n->place, "an item of %s is not a value; write [a, b]", t->name);
		else if (text_check(t, n, err)) {
			made[count++] = span_dup(n->text);
			continue;
		}
		strings_free(made);
		return false;
	}
	strings_free(*value_strings(t->row, t->base));
	*value_strings(t->row, t->base) = made;
	return true;
}

static bool
shape_check(const struct target *t, const struct node *n, struct buf *err)
{
	bool is_list = t->row->type == CONFIG_STRINGS || t->row->type == CONFIG_LISTEN;
	static const char *const kinds[] = {"one value", "a mapping", "a list"};

	if (node_is_null(n))
		return problem(
		    err, &n->place, "%s has no value; write one or remove the key", t->name);
	if (is_list && n->kind != NODE_LIST)
		return problem(
		    err, &n->place, "%s is %s, not a list; write [a, b]", t->name, kinds[n->kind]);
	if (!is_list && n->kind != NODE_SCALAR)
		return problem(
		    err, &n->place, "%s is %s; write one value", t->name, kinds[n->kind]);
	return true;
}

bool
value_read(const struct target *t, const struct node *n, struct buf *err)
{
	if (n->is_unset)
		return true;
	if (!shape_check(t, n, err))
		return false;
	switch (t->row->type) {
	case CONFIG_BOOL:
		return read_bool(t, n, err);
	case CONFIG_INT:
	case CONFIG_DURATION:
	case CONFIG_SIZE:
		return read_number(t, n, err);
	case CONFIG_ENUM:
		return read_enum(t, n, err);
	case CONFIG_STRING:
		return read_string(t, n, err);
	case CONFIG_STRINGS:
		return read_strings(t, n, err);
	case CONFIG_LISTEN:
		return listen_read(t->base, n, err);
	}
	UNREACHED("unknown type of a configuration key");
}

void
value_set_default(const struct config_row *row, void *base)
{
	struct target t = {.row = row, .name = row->path, .base = base};
	struct place at = {.source = "defaults"};
	struct node *n = NULL;
	struct tree tree;
	struct buf err;

	if (row->def == NULL || row->offset == CONFIG_NO_FIELD)
		return;
	tree_init(&tree);
	buf_init(&err, 1024);
	if (row->def[0] == '[')
		CHK(yaml_read(&tree, at, span_str(row->def), &n, &err));
	else
		n = node_scalar(&tree, span_str(row->def), at);
	CHK(n != NULL && value_read(&t, n, &err));
	buf_fini(&err);
	tree_fini(&tree);
}

static char **
strings_dup(char *const *from)
{
	size_t n = 0;
	char **copy;

	while (from[n] != NULL)
		n++;
	copy = strings_new(n);
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(from[i]);
	return copy;
}

static size_t
field_size(enum config_type type)
{
	return type == CONFIG_BOOL ? sizeof(bool)
	    : type == CONFIG_ENUM  ? sizeof(int)
				   : sizeof(uint64_t);
}

void
value_copy(const struct config_row *row, void *to, const void *from)
{
	const char *src = from;
	char *s, **list;

	if (row->offset == CONFIG_NO_FIELD)
		return;
	src += row->offset;
	CHK(row->type != CONFIG_LISTEN);
	if (row->type == CONFIG_STRING) {
		memcpy(&s, src, sizeof(s));
		*value_string(row, to) = s == NULL ? NULL : xstrdup(s);
	} else if (row->type == CONFIG_STRINGS) {
		memcpy(&list, src, sizeof(list));
		*value_strings(row, to) = strings_dup(list);
	} else {
		memcpy(field(row, to), src, field_size(row->type));
	}
}

void
value_free(const struct config_row *row, void *base)
{
	if (row->offset == CONFIG_NO_FIELD)
		return;
	if (row->type == CONFIG_STRING)
		free(*value_string(row, base));
	else if (row->type == CONFIG_STRINGS)
		strings_free(*value_strings(row, base));
	else if (row->type == CONFIG_LISTEN)
		listen_free(base);
}
