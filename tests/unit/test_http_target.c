#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/target.h"

static void
expect(const char *raw, const char *path, const char *query, const char *authority)
{
	struct target t;

	assert_int_equal(target_parse(span_str(raw), &t), E_OK);
	assert_true(span_eq(t.path, span_str(path)));
	assert_int_equal(t.query.p == NULL, query == NULL);
	assert_true(span_eq(t.query, span_str(query)));
	assert_true(span_eq(t.authority, span_str(authority)));
}

static void
refuse(const char *raw, enum err e)
{
	struct target t;
	enum err got = target_parse(span_str(raw), &t);

	if (got != e)
		fail_msg("%s: got %s, want %s", raw, err_row(got)->word, err_row(e)->word);
}

static void
origin_form_gives_path_and_query_as_they_came(void **state)
{
	(void)state;
	expect("/", "/", NULL, "");
	expect("/openai/v1/chat/completions", "/openai/v1/chat/completions", NULL, "");
	expect("/a?", "/a", "", "");
	expect("/a?b=c&d?e", "/a", "b=c&d?e", "");
	expect("//a//", "//a//", NULL, "");
	expect("/models/gemini-2.0:generateContent?alt=sse&key=%20",
	    "/models/gemini-2.0:generateContent", "alt=sse&key=%20", "");
	expect("/a%2Fb%3Ac%2f..%2fd", "/a%2Fb%3Ac%2f..%2fd", NULL, "");
}

static void
absolute_form_gives_the_authority_too(void **state)
{
	(void)state;
	expect("http://a.example/x?y", "/x", "y", "a.example");
	expect("HTTPS://[::1]:8787/x", "/x", NULL, "[::1]:8787");
	expect("http://a", "/", NULL, "a");
	expect("http://a:80?y", "/", "y", "a:80");
	refuse("http:///x", E_BAD_REQUEST);
	refuse("http://u@a/x", E_BAD_REQUEST);
	refuse("http://a:99999/x", E_BAD_REQUEST);
	refuse("http://a#f", E_BAD_PATH);
}

static void
other_forms_are_refused(void **state)
{
	(void)state;
	refuse("", E_BAD_REQUEST);
	refuse("*", E_BAD_REQUEST);
	refuse("a/b", E_BAD_REQUEST);
	refuse("a:443", E_BAD_REQUEST);
	refuse("ftp://a/b", E_BAD_REQUEST);
	refuse("http:/a/b", E_BAD_REQUEST);
}

static void
dot_segments_are_refused_in_every_spelling(void **state)
{
	static const char *const dots[] = {
	    ".", "..", "%2e", "%2E", ".%2e", "%2e.", "%2E%2e", "%2e%2E"};
	char raw[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(dots); i++) {
		snprintf(raw, sizeof(raw), "/%s", dots[i]);
		refuse(raw, E_BAD_PATH);
		snprintf(raw, sizeof(raw), "/a/%s/b", dots[i]);
		refuse(raw, E_BAD_PATH);
		snprintf(raw, sizeof(raw), "/a/%s?q", dots[i]);
		refuse(raw, E_BAD_PATH);
		snprintf(raw, sizeof(raw), "http://h/a/%s", dots[i]);
		refuse(raw, E_BAD_PATH);
	}
	expect("/...", "/...", NULL, "");
	expect("/.well-known/x", "/.well-known/x", NULL, "");
	expect("/a.b/..c/%2ex/%2", "/a.b/..c/%2ex/%2", NULL, "");
	expect("/a?b=/../c", "/a", "b=/../c", "");
}

static void
bytes_that_no_URL_has_are_refused(void **state)
{
	char raw[] = "/abcdefghijklmnopqrst";

	(void)state;
	for (size_t i = 2 * 256; i < 19 * 256; i++) { /* every byte at every place */
		struct target t;
		int c = (int)(i % 256);
		bool is_fine = c > ' ' && c < 127 && c != '#';
		char own = raw[i / 256];

		raw[i / 256] = (char)c;
		for (size_t n = i / 256 + 2; n <= 20; n += 5)
			assert_int_equal(
			    target_parse(span_of(raw, n), &t), is_fine ? E_OK : E_BAD_PATH);
		raw[i / 256] = own;
	}
	refuse("/a?b#c", E_BAD_PATH);
	refuse("/a?b c", E_BAD_PATH);
}

/* What joining with a base URL needs: segments and the rest, which together are the path again. */
static void
segments_come_off_the_path_one_by_one(void **state)
{
	struct span rest = SPAN_LIT("/openai//v1/x%2Fy/"), segment;

	(void)state;
	assert_true(path_next(&rest, &segment));
	assert_true(span_eq(segment, SPAN_LIT("openai")));
	assert_true(span_eq(rest, SPAN_LIT("//v1/x%2Fy/")));
	assert_true(path_next(&rest, &segment));
	assert_int_equal(segment.n, 0);
	assert_true(path_next(&rest, &segment));
	assert_true(span_eq(segment, SPAN_LIT("v1")));
	assert_true(path_next(&rest, &segment));
	assert_true(span_eq(segment, SPAN_LIT("x%2Fy")));
	assert_true(span_eq(rest, SPAN_LIT("/")));
	assert_true(path_next(&rest, &segment));
	assert_int_equal(segment.n, 0);
	assert_false(path_next(&rest, &segment));
}

static void
the_query_is_walked_without_unescaping(void **state)
{
	struct span rest = SPAN_LIT("a=b&&key=%41=x&flag&=v&"), name, value;

	(void)state;
	assert_true(query_next(&rest, &name, &value));
	assert_true(span_eq(name, SPAN_LIT("a")) && span_eq(value, SPAN_LIT("b")));
	assert_true(query_next(&rest, &name, &value));
	assert_true(span_eq(name, SPAN_LIT("key")) && span_eq(value, SPAN_LIT("%41=x")));
	assert_true(query_next(&rest, &name, &value));
	assert_true(span_eq(name, SPAN_LIT("flag")) && value.p == NULL);
	assert_true(query_next(&rest, &name, &value));
	assert_true(name.n == 0 && span_eq(value, SPAN_LIT("v")));
	assert_false(query_next(&rest, &name, &value));
	rest = SPAN_LIT("a=");
	assert_true(query_next(&rest, &name, &value));
	assert_true(value.p != NULL && value.n == 0);
	rest = SPAN_NONE;
	assert_false(query_next(&rest, &name, &value));
}

static void
escapes_are_decoded_into_what_fits(void **state)
{
	char out[32];

	(void)state;
	assert_int_equal(percent_decode(SPAN_LIT("a%41%2f%zz+%"), out, sizeof(out)), 8);
	assert_memory_equal(out, "aA/%zz+%", 8);
	assert_int_equal(percent_decode(SPAN_LIT("%c3%A9%00"), out, sizeof(out)), 3);
	assert_memory_equal(out, "\xc3\xa9\0", 3);
	assert_int_equal(percent_decode(SPAN_LIT("%4"), out, sizeof(out)), 2);
	assert_int_equal(percent_decode(SPAN_LIT("%41%42%43"), out, 2), 2);
	assert_memory_equal(out, "AB", 2);
	assert_int_equal(percent_decode(SPAN_LIT("abc"), out, 0), 0);
}

static void
expect_host(const char *raw, const char *name, const char *port)
{
	struct span n, p;

	assert_true(host_parse(span_str(raw), &n, &p));
	assert_true(span_eq(n, span_str(name)));
	assert_int_equal(p.p == NULL, port == NULL);
	assert_true(span_eq(p, span_str(port)));
}

static void
a_host_is_a_name_or_an_address_and_perhaps_a_port(void **state)
{
	static const char *const bad[] = {"", ":80", "a:", "a:b", "a:1:2", "a:65536", "a:123456",
	    "a/b", "a b", "a,b", "u@a", "[::1", "[]", "[::1]x", "[::1]:", "[g]", "::1", "a\\b",
	    "a%41", "a?b"};
	char name[256];
	struct span n, p;

	(void)state;
	expect_host("a", "a", NULL);
	expect_host("my_app.Example:0", "my_app.Example", "0");
	expect_host("[fe80::1]:65535", "[fe80::1]", "65535");
	expect_host("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", NULL);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (host_parse(span_str(bad[i]), &n, &p))
			fail_msg("'%s' was taken for a host", bad[i]);
	memset(name, 'a', sizeof(name));
	assert_true(host_parse(span_of(name, HOST_NAME_MAX_BYTES), &n, &p));
	assert_false(host_parse(span_of(name, HOST_NAME_MAX_BYTES + 1), &n, &p));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(origin_form_gives_path_and_query_as_they_came),
	    cmocka_unit_test(absolute_form_gives_the_authority_too),
	    cmocka_unit_test(other_forms_are_refused),
	    cmocka_unit_test(dot_segments_are_refused_in_every_spelling),
	    cmocka_unit_test(bytes_that_no_URL_has_are_refused),
	    cmocka_unit_test(segments_come_off_the_path_one_by_one),
	    cmocka_unit_test(the_query_is_walked_without_unescaping),
	    cmocka_unit_test(escapes_are_decoded_into_what_fits),
	    cmocka_unit_test(a_host_is_a_name_or_an_address_and_perhaps_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
