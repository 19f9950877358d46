/* json_peek_str says what json_get says of a parsed text, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "json/json.h"

static bool
peek(const char *text, struct span *out)
{
	return json_peek_str(span_str(text), SPAN_LIT("model"), out);
}

static void
assert_found(const char *text, const char *model)
{
	struct json_doc *doc = json_parse(span_str(text));
	struct span said, found;

	assert_non_null(doc);
	assert_true(json_str(json_get(json_root(doc), "model"), &said));
	assert_true(peek(text, &found));
	assert_true(span_eq(found, said));
	assert_true(span_eq(found, span_str(model)));
	assert_true(found.p >= text && found.p < text + strlen(text)); /* it stays where it is */
	json_free(doc);
}

static void
it_is_found_wherever_it_stands(void **state)
{
	UNUSED(state);
	assert_found("{\"model\":\"gpt-4o\"}", "gpt-4o");
	assert_found(" \t\r\n{ \"model\" \n:\t\"\" , \"a\": 1}", "");
	assert_found("{\"a\":-1.5e3,\"b\":null,\"c\":true,\"model\":\"x\",\"d\":[]}", "x");
	assert_found("{\"mo\\n\":[\"\\\\\\\"]\"],\"model\":\"x\"}", "x");
	assert_found("{\"model\":\"first\",\"model\":\"second\"}", "first");
	assert_found(
	    "{\"messages\":[{\"model\":\"no\",\"content\":\"}],\\\"model\\\":\\\\\"},[[],{}]],"
	    "\"o\":{\"model\":{\"model\":\"no\"}} ,\"s\":\"\\\\\",\"models\":\"no\","
	    "\"model\":\"yes, a name that is longer than thirty-two bytes\"}",
	    "yes, a name that is longer than thirty-two bytes");
}

static void
what_only_parsing_tells_is_left_to_it(void **state)
{
	static const char *const texts[] = {
	    "",
	    "   ",
	    "{",
	    "{}",
	    "[\"model\",\"x\"]",
	    "\"model\"",
	    "{\"Model\":\"x\",\"mode\":\"x\",\"models\":\"x\"}",
	    "{\"model\":4}",
	    "{\"model\":null}",
	    "{\"model\":{\"model\":\"x\"}}",
	    "{\"model\":\"\\u0067pt\"}",
	    "{\"model\":\"gpt\xc3\xa9\"}",
	    "{\"mod\\u0065l\":\"x\"}",
	    "{\"mod\\u0065l\":\"x\",\"model\":\"y\"}",
	    "{\"model\":\"cut",
	    "{\"model\":",
	    "{\"model\" \"x\"}",
	    "{\"model\":\"a\nb\"}",
	    "{\"a\":\"cut",
	    "{\"a\":[{\"b\":1",
	    "{\"a\":\"\\",
	    "{\"a\":1 \"model\":\"x\"}",
	    "{,\"model\":\"x\"}",
	    "{\"a\":,\"model\":\"x\"}",
	    "{\"a\"}",
	};
	struct span kept = SPAN_LIT("as it was"), out = kept;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		/* Without the NUL behind it, for a sanitizer to see where it reads. */
		size_t n = strlen(texts[i]);
		char *copy = malloc(n > 0 ? n : 1);
		assert_non_null(copy);
		memcpy(copy, texts[i], n);
		assert_false(json_peek_str(span_of(copy, n), SPAN_LIT("model"), &out));
		assert_true(out.p == kept.p && out.n == kept.n);
		free(copy);
	}
}

static void
an_object_is_its_text(void **state)
{
	static const char text[] =
	    "{\"a\":{\"usage\":{}},\"usage\" : {\"b\":[\"}\\\"}\",{}],\"c\":1} ,";
	static const char *const others[] = {"", "{\"usage\":[]}", "{\"usage\":null}",
	    "{\"usage\":\"{}\"}", "{\"usage\":{\"a\":\"}", "{\"usage\":{\"a\":1", "{\"Usage\":{}}"};
	struct span out = SPAN_NONE;

	UNUSED(state);
	assert_true(json_peek_object(span_str(text), SPAN_LIT("usage"), &out));
	assert_true(span_eq(out, SPAN_LIT("{\"b\":[\"}\\\"}\",{}],\"c\":1}")));
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		out = SPAN_NONE;
		assert_false(json_peek_object(span_str(others[i]), SPAN_LIT("usage"), &out));
		assert_null(out.p);
	}
}

/* What stands behind it is nobody's business, however wrong it is. */
static void
what_follows_is_not_looked_at(void **state)
{
	struct span out;

	UNUSED(state);
	assert_true(peek("{\"model\":\"x\"", &out));
	assert_true(span_eq(out, SPAN_LIT("x")));
	assert_true(peek("{\"a\":[\"b\"],\"model\":\"y\"]]", &out));
	assert_true(span_eq(out, SPAN_LIT("y")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_found_wherever_it_stands),
	    cmocka_unit_test(what_only_parsing_tells_is_left_to_it),
	    cmocka_unit_test(an_object_is_its_text),
	    cmocka_unit_test(what_follows_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
