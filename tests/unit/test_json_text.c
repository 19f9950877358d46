#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "json/json.h"

static void
assert_put(struct span in, const char *want)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_true(json_put_str(&b, in));
	if (!span_eq(buf_view(&b), span_str(want)))
		print_error("%.*s is not %s\n", SPAN_FMT(buf_view(&b)), want);
	assert_true(span_eq(buf_view(&b), span_str(want)));
	buf_fini(&b);
}

static void
plain_text_goes_through(void **state)
{
	(void)state;
	assert_put(SPAN_NONE, "\"\"");
	assert_put(SPAN_LIT("a/b \x7f"), "\"a/b \x7f\"");
	assert_put(SPAN_LIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
	    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
	assert_put(SPAN_LIT("\xe2\x80\xa8"), "\"\xe2\x80\xa8\"");
}

static void
only_quote_backslash_and_control_bytes_are_escaped(void **state)
{
	(void)state;
	assert_put(SPAN_LIT("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
	assert_put(SPAN_LIT("\0\x01\x0b\x1f "), "\"\\u0000\\u0001\\u000b\\u001f \"");
}

/* Eight bytes are looked at together: every byte has to be seen in each of their places. */
static void
an_escape_is_seen_wherever_it_stands(void **state)
{
	(void)state;
	for (int c = 0; c < 0x80; c++) {
		bool is_escaped = c < 0x20 || c == '"' || c == '\\';

		for (size_t at = 0; at < 24; at++) {
			char in[24];
			struct buf b;

			memset(in, '!', sizeof(in));
			in[at] = (char)c;
			buf_init(&b, 100);
			assert_true(json_put_str(&b, span_of(in, sizeof(in))));
			assert_int_equal(buf_view(&b).p[1 + at] == '\\', is_escaped);
			assert_int_equal(buf_len(&b) > sizeof(in) + 2, is_escaped);
			buf_fini(&b);
		}
	}
}

#define U "\xef\xbf\xbd"

static void
what_is_not_utf_8_becomes_the_replacement_character(void **state)
{
	(void)state;
	assert_put(SPAN_LIT("a\xffz"), "\"a" U "z\"");
	assert_put(SPAN_LIT("\x80"), "\"" U "\"");
	assert_put(SPAN_LIT("\xc3"), "\"" U "\"");
	assert_put(SPAN_LIT("\xc3("), "\"" U "(\"");
	assert_put(SPAN_LIT("\xc3\n"), "\"" U "\\n\"");
	assert_put(SPAN_LIT("\xc0\xaf"), "\"" U U "\"");             /* overlong */
	assert_put(SPAN_LIT("\xe0\x9f\xbf"), "\"" U U U "\"");       /* overlong */
	assert_put(SPAN_LIT("\xed\xa0\x80"), "\"" U U U "\"");       /* a surrogate */
	assert_put(SPAN_LIT("\xf0\x8f\xbf\xbf"), "\"" U U U U "\""); /* overlong */
	assert_put(SPAN_LIT("\xf4\x90\x80\x80"), "\"" U U U U "\""); /* over U+10FFFF */
	assert_put(SPAN_LIT("\xf5\x80\x80\x80"), "\"" U U U U "\"");
	assert_put(SPAN_LIT("\xe2\x82"), "\"" U U "\"");
}

static void
the_first_and_last_character_of_each_length_are_kept(void **state)
{
	(void)state;
	assert_put(SPAN_LIT("\xc2\x80\xdf\xbf"), "\"\xc2\x80\xdf\xbf\"");
	assert_put(SPAN_LIT("\xe0\xa0\x80\xed\x9f\xbf"), "\"\xe0\xa0\x80\xed\x9f\xbf\"");
	assert_put(SPAN_LIT("\xee\x80\x80\xef\xbf\xbf"), "\"\xee\x80\x80\xef\xbf\xbf\"");
	assert_put(
	    SPAN_LIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
}

/* Whatever the bytes, the result is JSON; and it is the text where the bytes were one. */
static void
all_pairs_of_bytes_give_json(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++) {
		const char in[2] = {(char)(pair >> 8), (char)pair};
		struct json_doc *d;
		struct span back = SPAN_NONE;
		struct buf b;

		buf_init(&b, 100);
		assert_true(json_put_str(&b, span_of(in, 2)));
		d = json_parse(buf_view(&b));
		assert_non_null(d);
		assert_true(json_str(json_root(d), &back));
		if (pair >> 8 < 0x80 && (pair & 0xff) < 0x80)
			assert_true(span_eq(back, span_of(in, 2)));
		json_free(d);
		buf_fini(&b);
	}
}

static void
a_cap_is_kept(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 7);
	assert_false(json_put_str(&b, SPAN_LIT("\x01")));
	buf_fini(&b);
	buf_init(&b, 8);
	assert_true(json_put_str(&b, SPAN_LIT("\x01")));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_text_goes_through),
	    cmocka_unit_test(only_quote_backslash_and_control_bytes_are_escaped),
	    cmocka_unit_test(an_escape_is_seen_wherever_it_stands),
	    cmocka_unit_test(what_is_not_utf_8_becomes_the_replacement_character),
	    cmocka_unit_test(the_first_and_last_character_of_each_length_are_kept),
	    cmocka_unit_test(all_pairs_of_bytes_give_json),
	    cmocka_unit_test(a_cap_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
