#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "json/json.h"

static struct json_doc *
parse(const char *text)
{
	return json_parse(span_str(text));
}

static void
assert_not_json(struct span text)
{
	struct json_doc *d = json_parse(text);

	if (d != NULL)
		fail_msg("taken for JSON: %.*s", SPAN_FMT(text));
}

static void
only_rfc_8259_is_json(void **state)
{
	static const char *const bad[] = {"", " ", "nul", "[1,]", "{\"a\":1,}", "[1 2]", "{a:1}",
	    "'a'", "// c\n1", "/* c */1", "1 2", "{}{}", "[", "]", "{\"a\"}", "{\"a\":}", "{1:2}",
	    "01", "+1", ".5", "1.", "1e", "-", "--1", "NaN", "Infinity", "0x10", "[1", "\"abc",
	    "\"\t\"", "\"\\x41\"", "\"\\u12g4\"", "\xef\xbb\xbf{}", "True"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_not_json(span_str(bad[i]));
	assert_null(json_parse(SPAN_NONE));
	assert_not_json(SPAN_LIT("1\0"));
}

static void
invalid_utf_8_and_lone_surrogates_are_not_json(void **state)
{
	static const char *const bad[] = {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
	    "\"\xc3\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "{\"\x80\":1}", "\"\\ud800\"",
	    "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"",
	    "\"\\ud800\\u0041\"", "{\"\\ud83d\":1}"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_not_json(span_str(bad[i]));
}

static void
every_type_is_told_apart(void **state)
{
	struct json_doc *d = parse(" [null, true, 1.5, \"s\", [], {}] ");
	struct json_val v = json_root(d);

	(void)state;
	assert_int_equal(json_type(v), JSON_ARRAY);
	assert_int_equal(json_size(v), 6);
	assert_int_equal(json_type(json_at(v, 0)), JSON_NULL);
	assert_int_equal(json_type(json_at(v, 1)), JSON_BOOL);
	assert_int_equal(json_type(json_at(v, 2)), JSON_NUMBER);
	assert_int_equal(json_type(json_at(v, 3)), JSON_STRING);
	assert_int_equal(json_type(json_at(v, 4)), JSON_ARRAY);
	assert_int_equal(json_type(json_at(v, 5)), JSON_OBJECT);
	assert_int_equal(json_type(json_at(v, 6)), JSON_NONE);
	json_free(d);
	json_free(NULL);
}

static void
members_are_found_by_name_and_by_path(void **state)
{
	struct json_doc *d =
	    parse("{\"usage\":{\"details\":{\"cached\":7},\"n\":1},\"n\":2,\"n\":3,\"a.b\":4}");
	struct json_val root = json_root(d);
	int64_t n = 0;

	(void)state;
	assert_true(json_int(json_path(root, "usage.details.cached"), &n));
	assert_int_equal(n, 7);
	assert_true(json_int(json_get(root, "n"), &n));
	assert_int_equal(n, 2);
	assert_true(json_int(json_get(root, "a.b"), &n));
	assert_int_equal(n, 4);
	assert_null(json_path(root, "usage.n.x").v);
	assert_null(json_path(root, "usage.none.x").v);
	assert_null(json_get(root, "usag").v);
	assert_null(json_get(json_get(root, "n"), "n").v);
	assert_null(json_get((struct json_val){NULL}, "n").v);
	assert_null(json_at(root, 0).v);
	json_free(d);
}

static void
strings_come_unescaped_with_their_length(void **state)
{
	struct json_doc *d = parse("\"a\\u0000\\n\\ud83d\\ude00\\u20ac\\/\"");
	struct span s = SPAN_NONE;

	(void)state;
	assert_true(json_str(json_root(d), &s));
	assert_true(span_eq(s, SPAN_LIT("a\0\n\xf0\x9f\x98\x80\xe2\x82\xac/")));
	json_free(d);
}

static bool
int_of(const char *text, int64_t *out)
{
	struct json_doc *d = parse(text);
	bool ok;

	assert_non_null(d);
	ok = json_int(json_root(d), out);
	json_free(d);
	return ok;
}

static void
assert_int_of(const char *text, int64_t want)
{
	int64_t got = 77;

	assert_true(int_of(text, &got));
	assert_true(got == want);
}

static void
an_integer_is_a_number_with_an_integral_value(void **state)
{
	(void)state;
	assert_int_of("0", 0);
	assert_int_of("-0", 0);
	assert_int_of("-0.0e5", 0);
	assert_int_of("0e999999999999999999999", 0);
	assert_int_of("42", 42);
	assert_int_of("42.0", 42);
	assert_int_of("4.2e1", 42);
	assert_int_of("4200e-2", 42);
	assert_int_of("1e18", 1000000000000000000);
	assert_int_of("9223372036854775807", INT64_MAX);
	assert_int_of("9223372036854775807.00", INT64_MAX);
	assert_int_of("922337203685477580.7e1", INT64_MAX);
	assert_int_of("-9223372036854775808", INT64_MIN);
	assert_int_of("-9223372036854775808.0", INT64_MIN);
}

static void
other_numbers_and_other_types_are_no_integers(void **state)
{
	static const char *const bad[] = {"9223372036854775808", "9223372036854775808.0",
	    "-9223372036854775809.0", "1e19", "1e20", "99999999999999999999.0",
	    "1e999999999999999999999", "0.5", "1.5", "1e-1", "1e-999999999999999999999",
	    "100000000000000000000.5", "\"1\"", "true", "null", "[1]"};
	int64_t n = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(int_of(bad[i], &n));
	assert_int_equal(n, 77);
	assert_false(json_int((struct json_val){NULL}, &n));
}

static void
doubles_are_the_nearest_and_finite(void **state)
{
	struct json_doc *d =
	    parse("[0.1, -2, 1e400, \"1\", 1e-400, 0.1000000000000000055511151231257827021]");
	struct json_val v = json_root(d);
	double x = 77;

	(void)state;
	assert_true(json_double(json_at(v, 0), &x) && x == 0.1);
	assert_true(json_double(json_at(v, 1), &x) && x == -2);
	assert_false(json_double(json_at(v, 2), &x));
	assert_false(json_double(json_at(v, 3), &x));
	assert_true(x == -2);
	assert_true(json_double(json_at(v, 4), &x) && x == 0);
	assert_true(json_double(json_at(v, 5), &x) && x == 0.1);
	json_free(d);
}

static void
booleans_are_only_booleans(void **state)
{
	struct json_doc *d = parse("[true, false, 1]");
	struct json_val v = json_root(d);
	bool b = false;

	(void)state;
	assert_true(json_bool(json_at(v, 0), &b) && b);
	assert_true(json_bool(json_at(v, 1), &b) && !b);
	assert_false(json_bool(json_at(v, 2), &b));
	assert_false(json_bool(json_at(v, 3), &b));
	json_free(d);
}

static void
walking_gives_all_members_in_the_order_written(void **state)
{
	struct json_doc *d = parse("{\"a\":[1,{}],\"b\":{\"x\":2},\"\":3}");
	struct json_iter it = json_iter(json_root(d));
	const char *want[] = {"a", "b", ""};
	struct json_val item;
	struct span key;
	size_t n = 0;

	(void)state;
	for (; json_next(&it, &key, &item); n++)
		assert_true(span_eq(key, span_str(want[n])));
	assert_int_equal(n, 3);
	assert_int_equal(json_type(item), JSON_NUMBER);
	json_free(d);
}

static void
walking_an_array_gives_items_and_a_scalar_nothing(void **state)
{
	struct json_doc *d = parse("[[1,[2]],3,{\"k\":4}]");
	struct json_iter it = json_iter(json_root(d));
	const enum json_type want[] = {JSON_ARRAY, JSON_NUMBER, JSON_OBJECT};
	struct json_val item;
	struct span key;
	size_t n = 0;

	(void)state;
	for (; json_next(&it, &key, &item); n++) {
		assert_int_equal(json_type(item), want[n]);
		assert_int_equal(key.n, 0);
	}
	assert_int_equal(n, 3);
	it = json_iter(json_at(json_root(d), 1));
	assert_false(json_next(&it, &key, &item));
	it = json_iter((struct json_val){NULL});
	assert_false(json_next(&it, &key, &item));
	json_free(d);
}

static struct json_doc *
nested(size_t depth, const char *open, const char *close)
{
	struct json_doc *d;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < depth; i++)
		assert_true(buf_put_span(&b, span_str(open)));
	assert_true(buf_putc(&b, '1'));
	for (size_t i = 0; i < depth; i++)
		assert_true(buf_put_span(&b, span_str(close)));
	d = json_parse(buf_view(&b));
	buf_fini(&b);
	return d;
}

static void
nesting_is_read_down_to_512(void **state)
{
	/* the second two have an empty sibling in each, which is a level of its own */
	static const char *const shapes[][2] = {
	    {"[", "]"}, {"{\"a\":", "}"}, {"[[],", ",{}]"}, {"{\"a\":[],\"b\":", ",\"c\":{}}"}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t siblings = i >= 2;
		struct json_doc *d = nested(512 - siblings, shapes[i][0], shapes[i][1]);

		assert_non_null(d);
		json_free(d);
		assert_null(nested(513 - siblings, shapes[i][0], shapes[i][1]));
		assert_null(nested(50000, shapes[i][0], shapes[i][1]));
	}
}

static void
writing_minifies_and_keeps_numbers_as_they_were_written(void **state)
{
	struct json_doc *d =
	    parse(" { \"b\" : [ 1.50 , 1E400, -0 ], \"a\" : \"x\\u0041\\n/\\\"\" } ");
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_true(json_write(json_root(d), &b));
	assert_true(
	    span_eq(buf_view(&b), SPAN_LIT("{\"b\":[1.50,1E400,-0],\"a\":\"xA\\n/\\\"\"}")));
	buf_reset(&b);
	assert_true(json_write(json_path(json_root(d), "b"), &b));
	assert_true(span_eq(buf_view(&b), SPAN_LIT("[1.50,1E400,-0]")));
	assert_false(json_write((struct json_val){NULL}, &b));
	buf_fini(&b);
	buf_init(&b, 14);
	assert_false(json_write(json_path(json_root(d), "b"), &b));
	buf_fini(&b);
	buf_init(&b, 15);
	assert_true(json_write(json_path(json_root(d), "b"), &b));
	buf_fini(&b);
	json_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_rfc_8259_is_json),
	    cmocka_unit_test(invalid_utf_8_and_lone_surrogates_are_not_json),
	    cmocka_unit_test(every_type_is_told_apart),
	    cmocka_unit_test(members_are_found_by_name_and_by_path),
	    cmocka_unit_test(strings_come_unescaped_with_their_length),
	    cmocka_unit_test(an_integer_is_a_number_with_an_integral_value),
	    cmocka_unit_test(other_numbers_and_other_types_are_no_integers),
	    cmocka_unit_test(doubles_are_the_nearest_and_finite),
	    cmocka_unit_test(booleans_are_only_booleans),
	    cmocka_unit_test(walking_gives_all_members_in_the_order_written),
	    cmocka_unit_test(walking_an_array_gives_items_and_a_scalar_nothing),
	    cmocka_unit_test(nesting_is_read_down_to_512),
	    cmocka_unit_test(writing_minifies_and_keeps_numbers_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
