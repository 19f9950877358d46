#include "config/node_int.h"

#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	struct tree *tree;
	struct span text;
	struct place at; /* line 0: places have no lines */
	struct buf *err;
	struct node *root;
	struct node *open[NODE_DEPTH_MOST];    /* maps and lists that are not closed yet */
	struct node *pending[NODE_DEPTH_MOST]; /* the key of each that waits for its value */
	size_t depth;
	unsigned documents;
};

static struct place
place_of(const struct reader *r, yaml_mark_t mark)
{
	struct place p = r->at;

	if (p.line == 0)
		return p;
	p.line = (unsigned)mark.line + 1;
	p.column = (unsigned)mark.column + 1;
	return p;
}

/* libyaml decodes ahead of what it has scanned, so for bad bytes its marks are behind; the
 * offset is right. */
static struct place
place_of_offset(const struct reader *r, size_t offset)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < offset && i < r->text.n; i++) {
		if (r->text.p[i] == '\n') {
			mark.line++;
			mark.column = 0;
		} else if (((unsigned char)r->text.p[i] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return place_of(r, mark);
}

static bool
syntax_problem(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	struct place at = place_of(r, p->problem_mark);

	if (p->error == YAML_MEMORY_ERROR)
		return problem_too_large(r->err, &r->at);
	if (p->error == YAML_READER_ERROR) {
		at = place_of_offset(r, p->problem_offset);
		return problem(r->err, &at,
		    "not valid YAML: %s; write the file in UTF-8 without control characters",
		    p->problem);
	}
	return problem(r->err, &at,
	    "not valid YAML: %s%s%s; check indentation, brackets and quotes", p->problem,
	    p->context != NULL ? " " : "", p->context != NULL ? p->context : "");
}

static bool
key_begin(struct reader *r, struct node *map, struct node *key)
{
	char name[QUOTED_SIZE];

	if (key->kind != NODE_SCALAR)
		return problem(r->err, &key->place,
		    "a key must be a word, not a list or a mapping; write NAME: VALUE");
	if (node_get(map, key->text) != NULL)
		return problem(
		    r->err, &key->place, "%s is given twice; remove one", quoted(key->text, name));
	r->pending[r->depth - 1] = key;
	return true;
}

/* Puts a value, or a key, where the document is just now. */
static bool
place_node(struct reader *r, struct node *n)
{
	struct node *parent = r->depth > 0 ? r->open[r->depth - 1] : NULL;
	struct node *key;

	if (parent == NULL) {
		r->root = n;
		return true;
	}
	if (parent->count >= NODE_CHILDREN_MOST)
		return problem_too_large(r->err, &n->place);
	key = r->pending[r->depth - 1];
	if (parent->kind == NODE_MAP && key == NULL)
		return key_begin(r, parent, n);
	if (parent->kind == NODE_MAP) {
		n->key = key->text;
		n->key_place = key->place;
		r->pending[r->depth - 1] = NULL;
	}
	node_append(parent, n);
	return true;
}

static bool
open_node(struct reader *r, enum node_kind kind, yaml_mark_t mark)
{
	struct node *n = node_new(r->tree, kind, place_of(r, mark));

	if (n == NULL)
		return problem_too_large(r->err, &r->at);
	if (r->depth == NODE_DEPTH_MOST)
		return problem(
		    r->err, &n->place, "nested deeper than %d; no key is", NODE_DEPTH_MOST);
	if (!place_node(r, n))
		return false;
	r->pending[r->depth] = NULL;
	r->open[r->depth++] = n;
	return true;
}

static bool
read_scalar(struct reader *r, const yaml_event_t *e)
{
	struct span text = span_of(e->data.scalar.value, e->data.scalar.length);
	struct node *n = node_scalar(r->tree, text, place_of(r, e->start_mark));

	if (n == NULL)
		return problem_too_large(r->err, &r->at);
	n->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return place_node(r, n);
}

/* Anchors, aliases and tags: of no use in a configuration of this size, and each a way to
 * surprise. */
static bool
refuse_extras(
    struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct place at = place_of(r, e->start_mark);

	if (anchor != NULL)
		return problem(r->err, &at,
		    "anchors and aliases (& and *) are not supported; write the value out");
	if (tag != NULL)
		return problem(r->err, &at,
		    "tags (!) are not supported; remove the tag, or put the value in quotes");
	return true;
}

static bool
document_begin(struct reader *r, const yaml_event_t *e)
{
	struct place at = place_of(r, e->start_mark);

	if (++r->documents > 1)
		return problem(r->err, &at, "a second YAML document begins here; keep one");
	return true;
}

static bool
read_event(struct reader *r, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return document_begin(r, e);
	case YAML_ALIAS_EVENT:
		return refuse_extras(r, e, e->data.alias.anchor, NULL);
	case YAML_SCALAR_EVENT:
		return refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag) &&
		    read_scalar(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return refuse_extras(
			   r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag) &&
		    open_node(r, NODE_LIST, e->start_mark);
	case YAML_MAPPING_START_EVENT:
		return refuse_extras(
			   r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag) &&
		    open_node(r, NODE_MAP, e->start_mark);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return true;
	}
	return true;
}

static bool
read_all(struct reader *r)
{
	yaml_event_t e;
	bool ok = true, is_last = false;

	while (ok && !is_last) {
		if (!yaml_parser_parse(&r->parser, &e))
			return syntax_problem(r);
		is_last = e.type == YAML_STREAM_END_EVENT;
		ok = read_event(r, &e);
		yaml_event_delete(&e);
	}
	return ok;
}

bool
yaml_read(struct tree *t, struct place at, struct span text, struct node **out, struct buf *err)
{
	struct reader r = {.tree = t, .text = text, .at = at, .err = err};
	bool ok;

	*out = NULL;
	if (text.n > NODE_TEXT_MOST || !yaml_parser_initialize(&r.parser))
		return problem_too_large(err, &at);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	ok = read_all(&r);
	yaml_parser_delete(&r.parser);
	if (ok && r.root != NULL && !node_is_null(r.root))
		*out = r.root;
	return ok;
}
