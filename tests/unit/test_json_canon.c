#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/canon.h"

static struct buf out;

static enum canon_result
canon_without(const char *text, const struct span *ignore, size_t n_ignore)
{
	struct json_doc *d = json_parse(span_str(text));
	enum canon_result r;

	if (d == NULL)
		print_error("not JSON: %s\n", text);
	assert_non_null(d);
	buf_reset(&out);
	r = canon_write(d, ignore, n_ignore, &out);
	json_free(d);
	return r;
}

static enum canon_result
canon(const char *text)
{
	return canon_without(text, NULL, 0);
}

static void
assert_out(const char *want)
{
	if (!span_eq(buf_view(&out), span_str(want)))
		print_error("got  %.*s\nwant %s\n", SPAN_FMT(buf_view(&out)), want);
	assert_true(span_eq(buf_view(&out), span_str(want)));
}

static void
assert_canon(const char *text, const char *want)
{
	assert_int_equal(canon(text), CANON_OK);
	assert_out(want);
	assert_int_equal(canon(want), CANON_OK);
	assert_out(want);
}

/* RFC 8785 3.2.2 and 3.2.4. One of its numbers, 333333333.33333329, is another decimal than what a
 * double keeps of it, which is lossy for us; the form is the RFC's to the byte. */
static void
the_sample_of_the_rfc_comes_out_to_the_byte(void **state)
{
	(void)state;
	assert_int_equal(
	    canon("{\n"
		  "  \"numbers\": [333333333.33333329, 1E30, 4.50,\n"
		  "              2e-3, 0.000000000000000000000000001],\n"
		  "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
		  "  \"literals\": [null, true, false]\n"
		  "}"),
	    CANON_LOSSY);
	assert_out(
	    "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
	    "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

/* RFC 8785 3.2.3: the order of UTF-16 code units is neither that of UTF-8 nor of code points. */
static void
members_are_sorted_by_utf_16_code_units(void **state)
{
	(void)state;
	assert_canon("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
		     "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
		     "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
		     "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
	    "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
	    "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
	    "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
	    "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

static void
order_holds_at_the_borders_of_the_planes(void **state)
{
	(void)state;
	/* U+D7FF < U+10000 < U+10FFFF < U+E000 < U+FFFF in UTF-16, also behind a common head */
	assert_canon("{\"a\\uffff\":1,\"a\\ue000\":2,\"a\\udbff\\udfff\":3,\"a\\ud800\\udc00\":4,"
		     "\"a\\ud7ff\":5}",
	    "{\"a\xed\x9f\xbf\":5,\"a\xf0\x90\x80\x80\":4,\"a\xf4\x8f\xbf\xbf\":3,"
	    "\"a\xee\x80\x80\":2,\"a\xef\xbf\xbf\":1}");
	assert_canon("{\"ab\":1,\"a\":2,\"\":3,\"B\":4,\"a\\u0000\":5}",
	    "{\"\":3,\"B\":4,\"a\":2,\"a\\u0000\":5,\"ab\":1}");
}

static void
nested_structures_are_sorted_at_every_level(void **state)
{
	(void)state;
	assert_canon(
	    "[56,{\"d\":true,\"10\":null,\"1\":[ ]}]", "[56,{\"1\":[],\"10\":null,\"d\":true}]");
	assert_canon(
	    "{\"1\":{\"f\":{\"f\":\"hi\",\"F\":5},\"\\n\":56.0},\"10\":{},\"\":\"empty\",\"a\":{},"
	    "\"111\":[{\"e\":\"yes\",\"E\":\"no\"}],\"A\":{}}",
	    "{\"\":\"empty\",\"1\":{\"\\n\":56,\"f\":{\"F\":5,\"f\":\"hi\"}},\"10\":{},"
	    "\"111\":[{\"E\":\"no\",\"e\":\"yes\"}],\"A\":{},\"a\":{}}");
}

static void
text_is_neither_collated_nor_normalised(void **state)
{
	(void)state;
	assert_canon("{\"s\xc3\xaen\":1,\"s\xc3\xa9n\":2,\"sin\":3}",
	    "{\"sin\":3,\"s\xc3\xa9n\":2,\"s\xc3\xaen\":1}");
	assert_canon("{\"n\":\"A\\u030a\"}", "{\"n\":\"A\xcc\x8a\"}");
}

static void
scalars_and_empty_containers(void **state)
{
	(void)state;
	assert_canon(" null ", "null");
	assert_canon("true", "true");
	assert_canon("false", "false");
	assert_canon("\"\"", "\"\"");
	assert_canon("[ ]", "[]");
	assert_canon("{ }", "{}");
	assert_canon("\"\\u007f\\u2028\\u0000\\u001F\\/\"", "\"\x7f\xe2\x80\xa8\\u0000\\u001f/\"");
}

static void
equal_numbers_have_one_form(void **state)
{
	(void)state;
	assert_canon("[1,1.0,1e0,10e-1,0.1E1,1.000000000000000000000000]", "[1,1,1,1,1,1]");
	assert_canon("[0,-0,0.0,-0.0e-7,0e999999999999]", "[0,0,0,0,0]");
	assert_canon("[10,100000000000000,-10,-1e1,999999999999999,1000000000000000]",
	    "[10,100000000000000,-10,-10,999999999999999,1000000000000000]");
	assert_canon("[0.7,7e-1,0.70]", "[0.7,0.7,0.7]");
	assert_canon("[1e21,1000000000000000000000,1e20]", "[1e+21,1e+21,100000000000000000000]");
	assert_canon("[1e-7,0.0000001,0.000001]", "[1e-7,1e-7,0.000001]");
	assert_canon("[5e-324,1.7976931348623157e308,-2.2250738585072014e-308]",
	    "[5e-324,1.7976931348623157e+308,-2.2250738585072014e-308]");
	assert_canon("[9007199254740991,9007199254740992,0.30000000000000004]",
	    "[9007199254740991,9007199254740992,0.30000000000000004]");
}

static void
a_number_that_a_double_cannot_hold_is_lossy(void **state)
{
	static const char *const lossy[] = {"9007199254740993", "-9007199254740993", "1e400",
	    "-1e400", "1e999999999", "1e99999999999999999999", "1e-400", "1e-999999999", "2e-324",
	    "0.1000000000000000055511151231257827", "3.141592653589793238", "1152921504606846976",
	    "123456789012345678901234567890", "4.9e-324", "1.7976931348623158e308",
	    "0.12345678901234567890", "10000000000000000.5"};

	(void)state;
	for (size_t i = 0; i < sizeof(lossy) / sizeof(lossy[0]); i++) {
		char text[100];

		assert_int_equal(canon(lossy[i]), CANON_LOSSY);
		snprintf(text, sizeof(text), "{\"a\":[true,{\"b\":%s}],\"c\":1}", lossy[i]);
		assert_int_equal(canon(text), CANON_LOSSY);
	}
}

static void
a_digit_string_of_any_length_is_lossy_at_the_digit_that_is_lost(void **state)
{
	char *text = malloc(100003);

	(void)state;
	assert_non_null(text);
	memset(text, '0', 100002);
	text[0] = '1';
	text[1] = '.';
	text[100002] = '\0';
	assert_canon(text, "1");
	text[100001] = '1';
	assert_int_equal(canon(text), CANON_LOSSY);
	assert_out("1");
	free(text);
}

static void
names_twice_are_refused_also_when_spelled_differently(void **state)
{
	static const char *const twice[] = {"{\"a\":1,\"a\":1}", "{\"a\":1,\"b\":2,\"a\":3}",
	    "{\"b\":1,\"a\":2,\"b\":3}", "{\"a\":1,\"\\u0061\":2}", "{\"\":1,\"\":2}",
	    "[{\"x\":{\"/\":1,\"\\/\":2}}]", "{\"\\u20ac\":1,\"\xe2\x82\xac\":2}",
	    "{\"n\":9007199254740993,\"a\":1,\"a\":2}"}; /* refused wins over lossy */

	(void)state;
	for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++)
		assert_int_equal(canon(twice[i]), CANON_REFUSED);
	assert_canon("{\"a\":{\"a\":1},\"b\":{\"a\":1}}", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
}

/* Up to 32 members are sorted on the stack, more on the heap. */
static void
objects_of_any_size_are_sorted_and_checked(void **state)
{
	static const int sizes[] = {1, 2, 31, 32, 33, 1000};
	char text[20000], want[20000];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int n = sizes[i], t = 0, w = 0;

		for (int k = 0; k < n; k++) {
			int shuffled = 10000 + (k * 7 + 3) % n; /* 7 divides none of the sizes */

			t += sprintf(
			    text + t, "%c\"%d\":%d", k == 0 ? '{' : ',', shuffled, shuffled);
			w += sprintf(
			    want + w, "%c\"%d\":%d", k == 0 ? '{' : ',', 10000 + k, 10000 + k);
		}
		strcpy(text + t, "}");
		strcpy(want + w, "}");
		assert_canon(text, want);
		strcpy(text + t, ",\"10000\":0}");
		assert_int_equal(canon(text), CANON_REFUSED);
	}
}

static const char *
nested(int depth, const char *inside)
{
	static char text[400];
	int n = 0;

	for (int i = 0; i < depth; i++)
		text[n++] = '[';
	n += sprintf(text + n, "%s", inside);
	for (int i = 0; i < depth; i++)
		text[n++] = ']';
	text[n] = '\0';
	return text;
}

static void
depth_128_has_a_form_and_129_has_none(void **state)
{
	(void)state;
	assert_int_equal(canon(nested(128, "")), CANON_OK);
	assert_out(nested(128, ""));
	assert_int_equal(canon(nested(128, "1")), CANON_OK);
	assert_int_equal(canon(nested(129, "")), CANON_REFUSED);
	assert_int_equal(canon(nested(127, "{\"b\":1,\"a\":2}")), CANON_OK);
	assert_int_equal(canon(nested(128, "{}")), CANON_REFUSED);
}

static void
ignored_names_are_left_out_at_the_top_only(void **state)
{
	const struct span ignore[] = {SPAN_LIT("user"), SPAN_LIT("metadata")};

	(void)state;
	assert_int_equal(
	    canon_without(
		"{\"user\":\"u\",\"model\":\"m\",\"metadata\":{\"k\":1},\"a\":{\"user\":1}}",
		ignore, 2),
	    CANON_OK);
	assert_out("{\"a\":{\"user\":1},\"model\":\"m\"}");
	assert_int_equal(canon_without("{\"a\":1,\"user\":2}", ignore, 2), CANON_OK);
	assert_out("{\"a\":1}");
	assert_int_equal(canon_without("{\"\\u0075ser\":2}", ignore, 2), CANON_OK);
	assert_out("{}");
	assert_int_equal(canon_without("[{\"user\":2}]", ignore, 2), CANON_OK);
	assert_out("[{\"user\":2}]");
}

static void
what_is_ignored_makes_nothing_lossy_but_may_not_be_there_twice(void **state)
{
	const struct span ignore[] = {SPAN_LIT("user")};

	(void)state;
	assert_int_equal(canon_without("{\"a\":1,\"user\":1e400}", ignore, 1), CANON_OK);
	assert_int_equal(
	    canon_without("{\"a\":1,\"user\":{\"x\":1,\"x\":2}}", ignore, 1), CANON_OK);
	assert_int_equal(canon_without("{\"user\":1,\"user\":2}", ignore, 1), CANON_REFUSED);
}

static void
it_is_appended_and_the_cap_is_exact(void **state)
{
	const char *text = "{\"b\":[1.50,\"\\n\",true],\"a\":null}";
	const char *want = "{\"a\":null,\"b\":[1.5,\"\\n\",true]}";
	struct json_doc *d = json_parse(span_str(text));
	struct buf b;

	(void)state;
	assert_non_null(d);
	for (size_t cap = 0; cap < 2 + strlen(want); cap++) {
		buf_init(&b, cap);
		if (cap >= 2)
			assert_true(buf_put(&b, "x=", 2));
		assert_int_equal(canon_write(d, NULL, 0, &b), CANON_FULL);
		buf_fini(&b);
	}
	buf_init(&b, 2 + strlen(want));
	assert_true(buf_put(&b, "x=", 2));
	assert_int_equal(canon_write(d, NULL, 0, &b), CANON_OK);
	assert_true(span_eq(span_skip(buf_view(&b), 2), span_str(want)));
	buf_fini(&b);
	json_free(d);
}

static int
start(void **state)
{
	(void)state;
	buf_init(&out, 1 << 20);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_sample_of_the_rfc_comes_out_to_the_byte),
	    cmocka_unit_test(members_are_sorted_by_utf_16_code_units),
	    cmocka_unit_test(order_holds_at_the_borders_of_the_planes),
	    cmocka_unit_test(nested_structures_are_sorted_at_every_level),
	    cmocka_unit_test(text_is_neither_collated_nor_normalised),
	    cmocka_unit_test(scalars_and_empty_containers),
	    cmocka_unit_test(equal_numbers_have_one_form),
	    cmocka_unit_test(a_number_that_a_double_cannot_hold_is_lossy),
	    cmocka_unit_test(a_digit_string_of_any_length_is_lossy_at_the_digit_that_is_lost),
	    cmocka_unit_test(names_twice_are_refused_also_when_spelled_differently),
	    cmocka_unit_test(objects_of_any_size_are_sorted_and_checked),
	    cmocka_unit_test(depth_128_has_a_form_and_129_has_none),
	    cmocka_unit_test(ignored_names_are_left_out_at_the_top_only),
	    cmocka_unit_test(what_is_ignored_makes_nothing_lossy_but_may_not_be_there_twice),
	    cmocka_unit_test(it_is_appended_and_the_cap_is_exact),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
