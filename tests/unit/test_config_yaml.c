#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "config/node_int.h"

struct reading {
	struct tree tree;
	struct node *root;
	struct buf err;
};

static bool
read_text(struct reading *r, struct span text)
{
	struct place at = {.source = "f", .line = 1, .column = 1};

	tree_init(&r->tree);
	buf_init(&r->err, 1024);
	return yaml_read(&r->tree, at, text, &r->root, &r->err);
}

static void
done(struct reading *r)
{
	tree_fini(&r->tree);
	buf_fini(&r->err);
}

static void
assert_reads(struct span text)
{
	struct reading r;

	assert_true(read_text(&r, text));
	assert_int_equal(buf_len(&r.err), 0);
	done(&r);
}

static void
assert_refuses(struct span text, const char *error)
{
	struct reading r;

	assert_false(read_text(&r, text));
	assert_null(r.root);
	assert_int_equal(buf_len(&r.err), strlen(error));
	assert_memory_equal(buf_view(&r.err).p, error, strlen(error));
	done(&r);
}

static void
every_node_knows_its_place(void **state)
{
	struct reading r;
	const struct node *a, *b, *item;

	(void)state;
	assert_true(read_text(&r, SPAN_LIT("a: 1\n\xc3\xa4: [x,  \"y\"]\n")));
	assert_int_equal(r.root->kind, NODE_MAP);
	assert_int_equal(r.root->count, 2);
	a = node_get(r.root, SPAN_LIT("a"));
	assert_int_equal(a->key_place.line, 1);
	assert_int_equal(a->key_place.column, 1);
	assert_int_equal(a->place.column, 4);
	assert_true(a->is_plain);
	b = node_get(r.root, SPAN_LIT("\xc3\xa4"));
	assert_int_equal(b->kind, NODE_LIST);
	assert_int_equal(b->place.line, 2);
	assert_int_equal(b->place.column, 4); /* characters, not bytes */
	item = b->last;
	assert_true(span_eq(item->text, SPAN_LIT("y")));
	assert_false(item->is_plain);
	assert_int_equal(item->place.column, 9);
	assert_string_equal(item->place.source, "f");
	assert_null(node_get(r.root, SPAN_LIT("x")));
	assert_null(node_get(b, SPAN_LIT("x")));
	done(&r);
}

static void
null_is_what_yaml_says(void **state)
{
	static const struct {
		const char *text;
		bool is_null;
	} rows[] = {{"a:", true}, {"a: ~", true}, {"a: null", true}, {"a: Null", true},
	    {"a: NULL", true}, {"a: nULL", false}, {"a: \"\"", false}, {"a: 'null'", false},
	    {"a: 0", false}, {"a: []", false}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct reading r;

		assert_true(read_text(&r, span_str(rows[i].text)));
		assert_true(node_is_null(r.root->first) == rows[i].is_null);
		done(&r);
	}
}

static void
no_document_gives_no_root(void **state)
{
	static const char *const texts[] = {"", "# x", "---", "--- ~", "null"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct reading r;

		assert_true(read_text(&r, span_str(texts[i])));
		assert_null(r.root);
		done(&r);
	}
}

static void
thirty_two_levels_are_read_and_thirty_three_are_not(void **state)
{
	char text[2 * (NODE_DEPTH_MOST + 1)];
	size_t n = NODE_DEPTH_MOST;

	(void)state;
	memset(text, '[', n);
	memset(text + n, ']', n);
	assert_reads(span_of(text, 2 * n));
	n++;
	memset(text, '[', n);
	memset(text + n, ']', n);
	assert_refuses(span_of(text, 2 * n), "f:1:33: nested deeper than 32; no key is");
}

/* groups times "[0,0,...]," with so many zeros, in one list. */
static struct span
many(struct buf *b, size_t groups, size_t zeros)
{
	buf_init(b, NODE_TEXT_MOST);
	assert_true(buf_putc(b, '['));
	for (size_t g = 0; g < groups; g++) {
		assert_true(buf_putc(b, '['));
		for (size_t i = 0; i < zeros; i++)
			assert_true(buf_put(b, "0,", 2));
		assert_true(buf_put(b, "],", 2));
	}
	assert_true(buf_putc(b, ']'));
	return buf_view(b);
}

static void
a_list_has_4096_items_at_most(void **state)
{
	struct buf b;

	(void)state;
	assert_reads(many(&b, 1, 4096));
	buf_fini(&b);
	assert_refuses(many(&b, 1, 4097),
	    "f:1:8195: larger than any configuration needs (100000 values, 1 MB of text); shorten it");
	buf_fini(&b);
}

static void
a_tree_has_100000_nodes_at_most(void **state)
{
	struct buf b;

	(void)state;
	/* 1 + 40 * (1 + 2498) = 99961, and 39 more */
	(void)many(&b, 40, 2498);
	buf_cut(&b, buf_len(&b) - 1);
	for (int i = 0; i < 39; i++)
		assert_true(buf_put(&b, "0,", 2));
	assert_true(buf_putc(&b, ']'));
	assert_reads(buf_view(&b));
	buf_cut(&b, buf_len(&b) - 1);
	assert_true(buf_put(&b, "0]", 2));
	assert_refuses(buf_view(&b),
	    "f:1:1: larger than any configuration needs (100000 values, 1 MB of text); shorten it");
	buf_fini(&b);
}

static struct node *
merged(struct reading *over, struct reading *base, const char *base_text, const char *over_text)
{
	assert_true(read_text(base, span_str(base_text)));
	assert_true(read_text(over, span_str(over_text)));
	node_merge(base->root, over->root);
	return base->root;
}

static void
merging_lays_one_over_the_other(void **state)
{
	struct reading base, over;
	struct node *m = merged(&over, &base, "a: {x: 1, y: 2}\nb: [1, 2]\nc: 3\nd: {z: 1}\n",
	    "a: {y: 5, w: 6}\nb: [7]\nc: {q: 1}\nd: ~\ne: 9\n");

	(void)state;
	assert_int_equal(m->count, 5);
	assert_true(span_eq(node_get(m->first, SPAN_LIT("x"))->text, SPAN_LIT("1")));
	assert_true(span_eq(node_get(m->first, SPAN_LIT("y"))->text, SPAN_LIT("5")));
	assert_true(span_eq(node_get(m->first, SPAN_LIT("w"))->text, SPAN_LIT("6")));
	assert_int_equal(node_get(m, SPAN_LIT("b"))->count, 1);
	assert_int_equal(node_get(m, SPAN_LIT("c"))->kind, NODE_MAP);
	assert_int_equal(
	    node_get(m, SPAN_LIT("d"))->count, 1); /* nothing over a mapping changes nothing */
	assert_true(span_eq(node_get(m, SPAN_LIT("e"))->text, SPAN_LIT("9")));
	done(&base);
	done(&over);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_node_knows_its_place),
	    cmocka_unit_test(null_is_what_yaml_says),
	    cmocka_unit_test(no_document_gives_no_root),
	    cmocka_unit_test(thirty_two_levels_are_read_and_thirty_three_are_not),
	    cmocka_unit_test(a_list_has_4096_items_at_most),
	    cmocka_unit_test(a_tree_has_100000_nodes_at_most),
	    cmocka_unit_test(merging_lays_one_over_the_other),
	};

	return cmocka_run_group_tests_name("config yaml", tests, NULL, NULL);
}
