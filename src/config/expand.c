#include "config/node_int.h"

#define VALUE_MOST ((size_t)64 << 10)

struct expansion {
	struct tree *tree;
	char *const *variables;
	struct buf *err;
	const struct node *node; /* whose text this is */
	struct buf out;
	bool has_default; /* some ${NAME:-...} was used */
};

const char *
environ_get(char *const *variables, struct span name)
{
	for (char *const *e = variables; e != NULL && *e != NULL; e++)
		if (strncmp(*e, name.p, name.n) == 0 && (*e)[name.n] == '=')
			return *e + name.n + 1;
	return NULL;
}

static size_t
name_length(struct span s)
{
	size_t n = 0;

	while (n < s.n &&
	    (s.p[n] == '_' || (s.p[n] >= 'A' && s.p[n] <= 'Z') ||
		(s.p[n] >= 'a' && s.p[n] <= 'z') || (n > 0 && s.p[n] >= '0' && s.p[n] <= '9')))
		n++;
	return n;
}

/* inside: what stands between ${ and }. */
static bool
put_variable(struct expansion *x, struct span inside)
{
	struct span name = span_head(inside, name_length(inside));
	struct span rest = span_skip(inside, name.n);
	bool has_default = span_starts(rest, SPAN_LIT(":-"));
	const char *value;

	/* Only the name is shown: a default may be a secret. */
	if (name.n == 0 || (rest.n > 0 && !has_default))
		return problem(x->err, &x->node->place,
		    "'${%.*s' is not a variable; write ${NAME} or ${NAME:-default}, and $${ for a literal ${",
		    SPAN_FMT(span_head(name, 64)));
	value = environ_get(x->variables, name);
	x->has_default = x->has_default || has_default;
	if (value == NULL && !has_default)
		return problem(x->err, &x->node->place,
		    "the environment variable %.*s is not set; set it, or write ${%.*s:-default}",
		    SPAN_FMT(span_head(name, 64)), SPAN_FMT(span_head(name, 64)));
	if (has_default && (value == NULL || value[0] == '\0'))
		return buf_put_span(&x->out, span_skip(rest, 2))
		    ? true
		    : problem_too_large(x->err, &x->node->place);
	return buf_put_span(&x->out, span_str(value)) ? true
						      : problem_too_large(x->err, &x->node->place);
}

static bool
expand_text(struct expansion *x, struct span s)
{
	while (s.n > 0) {
		size_t used = 1, end;

		if (span_starts(s, SPAN_LIT("${"))) {
			end = span_find(s, '}');
			if (end == s.n)
				return problem(x->err, &x->node->place,
				    "'${' has no '}'; write ${NAME}, or $${ for a literal ${");
			if (!put_variable(x, span_of(s.p + 2, end - 2)))
				return false;
			used = end + 1;
		} else if (span_starts(s, SPAN_LIT("$${"))) {
			used = 3;
			if (!buf_put(&x->out, "${", 2))
				return problem_too_large(x->err, &x->node->place);
		} else if (!buf_putc(&x->out, s.p[0])) {
			return problem_too_large(x->err, &x->node->place);
		}
		s = span_skip(s, used);
	}
	return true;
}

static bool
expand_scalar(struct expansion *x, struct node *n)
{
	struct span done;

	if (span_find_span(n->text, SPAN_LIT("${")) == n->text.n)
		return true;
	buf_init(&x->out, VALUE_MOST);
	x->node = n;
	x->has_default = false;
	if (!expand_text(x, n->text)) {
		buf_fini(&x->out);
		return false;
	}
	done = arena_dup(&x->tree->arena, buf_view(&x->out));
	buf_fini(&x->out);
	if (done.p == NULL)
		return problem_too_large(x->err, &n->place);
	n->text = done;
	n->is_expanded = true;
	n->is_unset = done.n == 0 && x->has_default;
	return true;
}

static bool
expand_under(struct expansion *x, struct node *n)
{
	if (n->kind == NODE_SCALAR)
		return expand_scalar(x, n);
	/* As deep as yaml_read allows. */
	for (struct node *child = n->first; child != NULL; child = child->next)
		if (!expand_under(x, child))
			return false;
	return true;
}

bool
node_expand(struct tree *t, struct node *n, char *const *variables, struct buf *err)
{
	struct expansion x = {.tree = t, .variables = variables, .err = err};

	return expand_under(&x, n);
}
