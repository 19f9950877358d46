#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/span.h"

#define S(text) SPAN_LIT(text)

static void
assert_span(struct span s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	if (s.n > 0)
		assert_memory_equal(s.p, want, s.n);
}

static void
none_and_the_empty_text_are_equal(void **state)
{
	(void)state;
	assert_true(span_eq(SPAN_NONE, S("")));
	assert_true(span_eq_nocase(SPAN_NONE, S("")));
	assert_int_equal(span_cmp(SPAN_NONE, S("")), 0);
	assert_int_equal(span_str(NULL).n, 0);
	assert_int_equal(span_skip(SPAN_NONE, 5).n, 0);
	assert_int_equal(span_trim(SPAN_NONE).n, 0);
	assert_int_equal(span_find(SPAN_NONE, 'x'), 0);
	assert_int_equal(span_find_span(SPAN_NONE, S("x")), 0);
	assert_false(span_contains_nocase(SPAN_NONE, S("x")));
	assert_true(span_contains_nocase(SPAN_NONE, SPAN_NONE));
}

static void
equality_is_of_bytes_and_lengths(void **state)
{
	(void)state;
	assert_true(span_eq(S("ab\0c"), S("ab\0c")));
	assert_false(span_eq(S("ab\0c"), S("ab\0d")));
	assert_false(span_eq(S("ab"), S("abc")));
}

static void
case_is_ignored_for_ascii_letters_only(void **state)
{
	(void)state;
	assert_true(span_eq_nocase(S("Content-LENGTH"), S("content-length")));
	assert_true(span_eq_nocase(S("AZaz"), S("azAZ")));
	assert_false(span_eq_nocase(S("@["), S("`{"))); /* the neighbours of A and Z */
	assert_false(span_eq_nocase(S("\xc3\x84"), S("\xc3\xa4")));
	assert_false(span_eq_nocase(S("a"), S("ab")));
}

static bool
is_same_letter(int a, int b)
{
	return a == b || (a >= 'A' && a <= 'Z' && b == a + 32) ||
	    (b >= 'A' && b <= 'Z' && a == b + 32);
}

/* Long texts are compared eight bytes at a time. */
static void
case_is_ignored_alike_at_every_place_of_any_length(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 25; n++)
		for (size_t i = 0; i < n * 256; i++) {
			char a[25], b[25];

			memset(a, 'k', n);
			memset(b, 'K', n);
			a[i / 256] = 'q';
			b[i / 256] = (char)i;
			assert_int_equal(span_eq_nocase(span_of(a, n), span_of(b, n)),
			    is_same_letter('q', (int)(i % 256)));
		}
}

static void
order_is_that_of_bytes_shorter_first(void **state)
{
	(void)state;
	assert_true(span_cmp(S("a"), S("b")) < 0);
	assert_true(span_cmp(S("b"), S("aa")) > 0);
	assert_true(span_cmp(S("a"), S("aa")) < 0);
	assert_true(span_cmp(S("aa"), S("a")) > 0);
	assert_true(span_cmp(S("\x7f"), S("\x80")) < 0);
	assert_int_equal(span_cmp(S("same"), S("same")), 0);
}

static void
prefixes_and_suffixes(void **state)
{
	(void)state;
	assert_true(span_starts(S("/v1/chat"), S("/v1")));
	assert_true(span_starts(S("/v1"), S("/v1")));
	assert_true(span_starts(S(""), S("")));
	assert_false(span_starts(S("/v"), S("/v1")));
	assert_false(span_starts(S("/V1"), S("/v1")));
	assert_true(span_starts_nocase(S("Bearer x"), S("bearer ")));
	assert_false(span_starts_nocase(S("Bear"), S("bearer ")));
	assert_true(span_ends(S("data.json"), S(".json")));
	assert_true(span_ends(S("data"), S("")));
	assert_false(span_ends(S("json"), S(".json")));
}

static void
finding_gives_the_length_when_there_is_nothing(void **state)
{
	(void)state;
	assert_int_equal(span_find(S("a:b:c"), ':'), 1);
	assert_int_equal(span_find(S("abc"), ':'), 3);
	assert_int_equal(span_find_span(S("abcabd"), S("abd")), 3);
	assert_int_equal(span_find_span(S("abc"), S("abcd")), 3);
	assert_int_equal(span_find_span(S("abc"), S("")), 0);
	assert_int_equal(span_find_by(S("abcabd"), S("abd"), 'd'), 3);
	assert_int_equal(span_find_by(S("abcabd"), S("abd"), 'a'), 3);
	assert_int_equal(span_find_by(S("ddddabd"), S("abd"), 'd'), 4);
	assert_int_equal(span_find_by(S("ababa"), S("baba"), 'b'), 1);
	assert_int_equal(span_find_by(S("dxdxabx"), S("abd"), 'd'), 7);
	assert_int_equal(span_find_by(S("abc"), S("abcd"), 'd'), 3);
	assert_int_equal(span_find_by(SPAN_NONE, S("x"), 'x'), 0);
	assert_true(span_contains_nocase(S("text/Event-Stream"), S("event-stream")));
	assert_true(span_contains_nocase(S("abc"), S("BC")));
	assert_false(span_contains_nocase(S("abc"), S("abcd")));
	assert_false(span_contains_nocase(S("abc"), S("cb")));
}

static void
skip_and_head_stop_at_the_end(void **state)
{
	(void)state;
	assert_span(span_skip(S("abc"), 2), "c");
	assert_span(span_skip(S("abc"), 3), "");
	assert_span(span_skip(S("abc"), 4), "");
	assert_span(span_head(S("abc"), 2), "ab");
	assert_span(span_head(S("abc"), 4), "abc");
}

static void
trim_takes_blanks_and_tabs_and_nothing_else(void **state)
{
	(void)state;
	assert_span(span_trim(S(" \t a b\t ")), "a b");
	assert_span(span_trim(S(" \t ")), "");
	assert_span(span_trim(S("\r\na\n")), "\r\na\n");
}

static void
next_walks_the_items_of_a_list(void **state)
{
	struct span rest = S("a,,bc"), item;

	(void)state;
	assert_true(span_next(&rest, ',', &item));
	assert_span(item, "a");
	assert_true(span_next(&rest, ',', &item));
	assert_span(item, "");
	assert_true(span_next(&rest, ',', &item));
	assert_span(item, "bc");
	assert_false(span_next(&rest, ',', &item));
	assert_span(item, "bc");
}

static void
next_gives_no_item_after_a_last_separator(void **state)
{
	struct span rest = S("a,"), item;

	(void)state;
	assert_true(span_next(&rest, ',', &item));
	assert_false(span_next(&rest, ',', &item));
	rest = S("");
	assert_false(span_next(&rest, ',', &item));
}

static void
dup_copies_and_ends_with_nul(void **state)
{
	char *p = span_dup(span_head(S("abcdef"), 3)), *q = span_dup(SPAN_NONE);

	(void)state;
	assert_string_equal(p, "abc");
	assert_string_equal(q, "");
	free(p);
	free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(none_and_the_empty_text_are_equal),
	    cmocka_unit_test(equality_is_of_bytes_and_lengths),
	    cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
	    cmocka_unit_test(case_is_ignored_alike_at_every_place_of_any_length),
	    cmocka_unit_test(order_is_that_of_bytes_shorter_first),
	    cmocka_unit_test(prefixes_and_suffixes),
	    cmocka_unit_test(finding_gives_the_length_when_there_is_nothing),
	    cmocka_unit_test(skip_and_head_stop_at_the_end),
	    cmocka_unit_test(trim_takes_blanks_and_tabs_and_nothing_else),
	    cmocka_unit_test(next_walks_the_items_of_a_list),
	    cmocka_unit_test(next_gives_no_item_after_a_last_separator),
	    cmocka_unit_test(dup_copies_and_ends_with_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
