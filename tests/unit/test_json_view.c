/* json_parse_view says of every text what json_parse says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "json/canon.h"
#include "json/json.h"

#define MAX (1 << 20)
#define SMALL 2048 /* under that escapes are read otherwise */
#define FRONT 2100 /* blanks in front */
#define ROOM 65536

static char *room; /* for ROOM bytes, with a page behind them that cannot be read */

static size_t refused; /* strings that json_str did not give, in the last comparison */

static void assert_same(struct json_val a, struct json_val b);

static void
assert_same_members(struct json_val a, struct json_val b)
{
	struct json_iter ia = json_iter(a), ib = json_iter(b);
	struct json_val va, vb;
	struct span ka, kb;

	assert_int_equal(json_size(a), json_size(b));
	while (json_next(&ia, &ka, &va)) {
		assert_true(json_next(&ib, &kb, &vb));
		assert_true(span_eq(ka, kb));
		assert_same(va, vb);
	}
}

/* a is of json_parse. */
static void
assert_same(struct json_val a, struct json_val b)
{
	struct span sa, sb;

	assert_int_equal(json_type(a), json_type(b));
	if (json_type(a) == JSON_STRING) {
		assert_true(json_str(a, &sa));
		if (json_str(b, &sb))
			assert_true(span_eq(sa, sb));
		else
			refused++;
	}
	assert_same_members(a, b);
}

static void
assert_same_canon(const struct json_doc *a, const struct json_doc *b)
{
	struct buf ca = {.max = MAX}, cb = {.max = MAX};
	enum canon_result r = canon_write(a, NULL, 0, &ca);

	assert_int_equal(canon_write(b, NULL, 0, &cb), r);
	assert_true(span_eq(buf_view(&ca), buf_view(&cb)));
	buf_fini(&ca);
	buf_fini(&cb);
}

static void
assert_same_text(const struct json_doc *a, const struct json_doc *b)
{
	struct buf ta = {.max = MAX}, tb = {.max = MAX};
	struct json_doc *d;

	assert_true(json_write(json_root(a), &ta) && json_write(json_root(b), &tb));
	d = json_parse(buf_view(&tb));
	assert_non_null(d);
	assert_same(json_root(a), json_root(d));
	json_free(d);
	buf_fini(&ta);
	buf_fini(&tb);
}

/* Text behind that many blanks, its end that of what may be read. */
static struct span
at_the_end(struct span text, size_t blanks)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = blanks + text.n;
	char *p;

	if (room == NULL) {
		room = mmap(
		    NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(room, MAP_FAILED);
		assert_int_equal(mprotect(room + ROOM, page, PROT_NONE), 0);
	}
	assert_true(n <= ROOM);
	p = room + ROOM - n;
	memset(p, ' ', blanks);
	memcpy(p + blanks, text.p, text.n);
	return span_of(p, n);
}

/* Whether it is JSON. */
static bool
compare_behind(struct span text, size_t blanks, bool keeps_escapes)
{
	struct json_doc *a = json_parse(text);
	struct json_doc *b = json_parse_view(at_the_end(text, blanks), keeps_escapes);

	refused = 0;
	if ((a == NULL) != (b == NULL))
		fail_msg("%s: %.*s", a == NULL ? "taken for JSON" : "not taken", SPAN_FMT(text));
	if (a != NULL) {
		assert_same(json_root(a), json_root(b));
		assert_same_canon(a, b);
		assert_same_text(a, b);
	}
	json_free(b);
	json_free(a);
	return a != NULL;
}

static bool
compare(struct span text, bool keeps_escapes)
{
	bool is_json = compare_behind(text, 0, keeps_escapes);

	if (text.n < SMALL)
		assert_int_equal(refused, 0);
	assert_int_equal(compare_behind(text, FRONT, keeps_escapes), is_json);
	return is_json;
}

static size_t
compare_both(struct span text)
{
	bool is_json = compare(text, false);

	assert_int_equal(refused, 0);
	assert_int_equal(compare(text, true), is_json);
	return refused;
}

/* n letters with `what` in front of letter `at`. */
static bool
put_letters(struct buf *b, size_t n, size_t at, const char *what)
{
	bool ok = true;

	for (size_t i = 0; i < n; i++)
		ok = ok && (i != at || buf_put_span(b, span_str(what))) && buf_putc(b, 'a');
	return ok;
}

static void
what_stands_in_a_string_does_not_matter(void **state)
{
	static const char *const in[] = {"", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff",
	    "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\t", "\x1f", "\x7f", "\\n",
	    "\\\\", "\\\"", "\"", "\\/", "\\u0041", "\\u000a", "\\u001f", "\\u001F", "\\u00e9",
	    "\\ud83d\\ude00", "\\ud800", "\\x", "\\u12g4", "\\", "{", "],", ":"};
	static const char *const frames[] = {"\"%s\"", "[1,\"%s\",-2.50,\"b\"]",
	    "{\"b\":\"%s\",\"a\":[\"x\",{\"c\":\"\\n\"}]}", "{\"b\":1,\"%s\" :2}", "[\"%s\"",
	    "\"%s", "{\"b\":{\"%s\":\"%s\"}}", "12\"%s\""};
	static const size_t sizes[] = {1, 40, 63, 64, 65, 97, 1023, 1030};
	char text[8192];
	struct buf letters = {.max = MAX};

	(void)state;
	for (size_t k = 0; k < sizeof(in) / sizeof(in[0]); k++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (size_t at = 0; at < sizes[s]; at += at < 66 ? 1 : sizes[s] / 3) {
				buf_reset(&letters);
				assert_true(put_letters(&letters, sizes[s], at, in[k]) &&
				    buf_putc(&letters, '\0'));
				for (size_t f = 0; f < sizeof(frames) / sizeof(frames[0]); f++) {
					const char *p = buf_view(&letters).p;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
					int n = snprintf(text, sizeof(text), frames[f], p, p);
#pragma GCC diagnostic pop
					compare_both(span_of(text, (size_t)n));
				}
			}
	buf_fini(&letters);
}

/* n letters, then `end`, as a text of its own: how many strings json_str refuses. */
static size_t
refused_of(size_t n, const char *end)
{
	struct buf b = {.max = MAX};
	size_t count;

	assert_true(buf_putc(&b, '"') && put_letters(&b, n, n, "") &&
	    buf_put_span(&b, span_str(end)) && buf_putc(&b, '"'));
	count = compare_both(buf_view(&b));
	buf_fini(&b);
	return count;
}

static void
only_long_strings_with_canonical_escapes_are_refused(void **state)
{
	(void)state;
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN - 3, "\\n"), 0);
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN - 2, "\\n"), 1);
	assert_int_equal(
	    refused_of(JSON_VIEW_ESCAPED_MIN, "\\\"\\\\\\b\\f\\r\\t\\u0000\\u001f"), 1);
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN, "\\/"), 0);
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN, "\\u000A"), 0);
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN, "\\u0009"), 0);
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN, "\\u0020"), 0);
	assert_int_equal(refused_of(JSON_VIEW_ESCAPED_MIN, ""), 0);
}

/* The whole point of it: a long string is not copied. */
static void
long_strings_stay_in_the_text(void **state)
{
	struct buf b = {.max = MAX};
	struct json_doc *d;
	struct span s;

	(void)state;
	assert_true(buf_printf(&b, "%*s[\"", FRONT, "") && put_letters(&b, JSON_VIEW_MIN, 0, "") &&
	    buf_printf(&b, "\",\"") && put_letters(&b, JSON_VIEW_MIN - 1, 0, "") &&
	    buf_printf(&b, "\",\"\\n\"]"));
	d = json_parse_view(buf_view(&b), false);
	assert_true(json_str(json_at(json_root(d), 0), &s));
	assert_int_equal(s.n, JSON_VIEW_MIN);
	assert_ptr_equal(s.p, buf_view(&b).p + FRONT + 2);
	assert_true(json_str(json_at(json_root(d), 1), &s));
	assert_int_equal(s.n, JSON_VIEW_MIN - 1);
	assert_false(s.p >= buf_view(&b).p && s.p < buf_view(&b).p + buf_len(&b));
	json_free(d);
	buf_fini(&b);
}

/* Nor is a short one, nor a name, where nothing has to be written otherwise. */
static void
all_of_a_plain_text_stays_in_it(void **state)
{
	static const char text[] = " {\"model\" : \"m\xc3\xa9\", \"n\": [ -1.5e+3, true ] } ";
	struct json_doc *d = json_parse_view(span_str(text), false);
	struct json_iter it = json_iter(json_root(d));
	struct span name, s;
	struct json_val v;
	double number;

	(void)state;
	assert_true(json_next(&it, &name, &v) && json_str(v, &s));
	assert_ptr_equal(name.p, strstr(text, "model"));
	assert_ptr_equal(s.p, strstr(text, "m\xc3"));
	assert_int_equal(s.n, 3);
	assert_true(json_double(json_at(json_get(json_root(d), "n"), 0), &number));
	assert_true(number < -1499 && number > -1501);
	json_free(d);
}

static void
depth_counts_as_ever(void **state)
{
	char text[2 * 514];

	(void)state;
	for (size_t depth = 63; depth <= 513; depth += depth == 65 ? 446 : 1) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(compare(span_of(text, 2 * depth), true), depth <= 512);
	}
}

/* One byte after the other is another one: what is JSON then, is for both. */
static void
damaged_texts_are_judged_alike(void **state)
{
	static const char bytes[] = "\"\\{}[]:,u0n 1-.eE\x01\xc3\xa9\xff";
	struct buf b = {.max = MAX};
	uint32_t random = 7;
	size_t good = 0;

	(void)state;
	assert_true(buf_printf(&b, "{\"model\":\"m\",\"n\":[1,2.5e3,true,null],\"t\":\"") &&
	    put_letters(&b, 90, 50, "\xc3\xa9") && buf_printf(&b, "\",\"") &&
	    put_letters(&b, 70, 0, "") && buf_printf(&b, "\":{\"x\":\"") &&
	    put_letters(&b, 1100, 600, "\\n") &&
	    buf_printf(&b, "\\u0001\",\"y\":\"\\ud83d\\ude00\"}}"));
	for (int i = 0; i < 20000; i++) {
		random = random * 1664525 + 1013904223;
		char *at = b.p + b.off + (random >> 8) % buf_len(&b), was = *at;
		*at = bytes[random % (sizeof(bytes) - 1)];
		good += compare(buf_view(&b), i % 2 == 0);
		*at = was;
	}
	assert_true(good > 1000 && good < 19000);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_stands_in_a_string_does_not_matter),
	    cmocka_unit_test(only_long_strings_with_canonical_escapes_are_refused),
	    cmocka_unit_test(long_strings_stay_in_the_text),
	    cmocka_unit_test(all_of_a_plain_text_stays_in_it),
	    cmocka_unit_test(depth_counts_as_ever),
	    cmocka_unit_test(damaged_texts_are_judged_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
