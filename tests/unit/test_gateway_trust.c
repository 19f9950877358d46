#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"
#include "base/chk.h"
#include "gateway/trust.h"

static struct arena arena;
static struct trust *trust;

static struct trust *
make(char *const *list)
{
	const char *wrong = NULL;
	struct trust *t = trust_new(list, &wrong);
	assert_non_null(t);
	return t;
}

static int
begin(void **state)
{
	static char a[] = "10.0.0.0/8", b[] = "fd00::/8", c[] = "unix";
	char *const list[] = {a, b, c, NULL};
	(void)state;
	trust = make(list);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	trust_free(trust);
	arena_fini(&arena);
	return 0;
}

static bool
trusts(const struct trust *t, const char *text)
{
	struct address a;
	assert_true(text[0] == 'u' ? address_parse_listen(span_str(text), &a)
				   : address_parse_ip(span_str(text), 1, &a));
	return trust_has(t, &a);
}

static void
who_is_listed_is_trusted_and_nobody_else(void **state)
{
	char *const none[] = {NULL};
	struct trust *empty = make(none);
	(void)state;
	assert_true(trusts(trust, "10.1.2.3") && trusts(trust, "::ffff:10.1.2.3"));
	assert_true(trusts(trust, "fd12::1") && trusts(trust, "unix:/s"));
	assert_false(
	    trusts(trust, "11.0.0.1") || trusts(trust, "127.0.0.1") || trusts(trust, "::1"));
	assert_false(
	    trusts(empty, "10.1.2.3") || trusts(empty, "127.0.0.1") || trusts(empty, "unix:/s"));
	trust_free(empty);
}

static void
what_is_no_block_is_named(void **state)
{
	static char a[] = "10.0.0.0/8", b[] = "proxy.example";
	char *const list[] = {a, b, NULL};
	const char *wrong = NULL;
	(void)state;
	assert_null(trust_new(list, &wrong));
	assert_string_equal(wrong, "proxy.example");
}

struct row {
	const char *x, *forwarded; /* NULL: no such field; '|' parts two fields */
	const char *client;        /* NULL: nobody */
};

static void
add(struct headers *h, const char *name, const char *values)
{
	struct span rest = span_str(values), value;
	while (values != NULL && span_next(&rest, '|', &value))
		assert_true(headers_add(h, &arena, span_str(name), span_trim(value)));
}

static void
the_client_is_the_rightmost_that_is_not_trusted(void **state)
{
	static const struct row rows[] = {
	    {NULL, NULL, NULL},
	    {"", NULL, NULL},
	    {"192.0.2.1", NULL, "192.0.2.1"},
	    {"192.0.2.1, 10.0.0.1", NULL, "192.0.2.1"},
	    {"192.0.2.1,10.0.0.1,10.0.0.2", NULL, "192.0.2.1"},
	    {"6.6.6.6, 192.0.2.1", NULL, "192.0.2.1"}, /* the first is the client's own invention */
	    {"6.6.6.6, 192.0.2.1, 10.0.0.1", NULL, "192.0.2.1"},
	    {"10.0.0.9, 192.0.2.1", NULL, "192.0.2.1"},
	    {"10.0.0.1, 10.0.0.2", NULL, "10.0.0.1"}, /* all are proxies: the farthest */
	    {"6.6.6.6 | 192.0.2.1", NULL, "192.0.2.1"},
	    {"192.0.2.1 | 10.0.0.1", NULL, "192.0.2.1"},
	    {"192.0.2.1:4711", NULL, "192.0.2.1"},
	    {"2001:db8::1", NULL, "2001:db8::1"},
	    {"[2001:db8::1]", NULL, "2001:db8::1"},
	    {"[2001:db8::1]:80", NULL, "2001:db8::1"},
	    {"::ffff:192.0.2.1, fd00::1", NULL, "::ffff:192.0.2.1"},
	    /* behind what is no address nothing is believed */
	    {"192.0.2.1, unknown", NULL, NULL},
	    {"192.0.2.1, unknown, 10.0.0.1", NULL, "10.0.0.1"},
	    {", 192.0.2.1,, 10.0.0.1,", NULL, "192.0.2.1"},
	    {NULL, "for=192.0.2.1, ,for=10.0.0.1,", "192.0.2.1"},
	    {"192.0.2.1 10.0.0.1", NULL, NULL},
	    {"127.1", NULL, NULL},
	    {"[192.0.2.1]", NULL, NULL},
	    {"[2001:db8::1", NULL, NULL},
	    {"[2001:db8::1]x", NULL, NULL},
	    {"localhost", NULL, NULL},
	    /* RFC 7239 */
	    {NULL, "for=192.0.2.1", "192.0.2.1"},
	    {NULL, "For=\"192.0.2.1:80\";proto=http;by=10.0.0.1", "192.0.2.1"},
	    {NULL, "proto=https; for=\"[2001:db8::1]:4711\"", "2001:db8::1"},
	    {NULL, "for=6.6.6.6, for=192.0.2.1, for=10.0.0.1", "192.0.2.1"},
	    {NULL, "for=6.6.6.6 | for=192.0.2.1", "192.0.2.1"},
	    {NULL, "for=192.0.2.1, for=unknown", NULL},
	    {NULL, "for=192.0.2.1, for=_hidden, for=10.0.0.1", "10.0.0.1"},
	    {NULL, "for=192.0.2.1, by=10.0.0.1", NULL},
	    {NULL, "for=192.0.2.1;for=192.0.2.2", NULL},
	    {NULL, "for=\"a, for=6.6.6.6", NULL}, /* a quote that does not end hides no element */
	    {NULL, "for=192.0.2.1;x=\"a\\\", for=6.6.6.6\"", "192.0.2.1"},
	    {NULL, "forx=192.0.2.1", NULL},
	    {NULL, "", NULL},
	    /* both */
	    {"192.0.2.1", "for=192.0.2.1", "192.0.2.1"},
	    {"192.0.2.1, 10.0.0.1", "for=\"192.0.2.1:5\"", "192.0.2.1"},
	    {"192.0.2.1", "for=6.6.6.6", NULL},
	    {"192.0.2.1", "for=unknown", NULL},
	    {"unknown", "for=6.6.6.6", NULL},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct headers h = {0};
		struct address a;
		char got[ADDRESS_TEXT_SIZE] = "nobody";
		add(&h, "x-forwarded-for", rows[i].x);
		add(&h, "Forwarded", rows[i].forwarded);
		if (trust_client(trust, &h, &a))
			address_ip_text(&a, got);
		if (strcmp(got, rows[i].client == NULL ? "nobody" : rows[i].client) != 0)
			fail_msg("row %zu: %s", i, got);
	}
}

static void
other_fields_of_that_kind_say_nothing(void **state)
{
	struct headers h = {0};
	struct address a;
	(void)state;
	add(&h, "x-real-ip", "192.0.2.1");
	add(&h, "true-client-ip", "192.0.2.1");
	add(&h, "cf-connecting-ip", "192.0.2.1");
	assert_false(trust_client(trust, &h, &a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_is_listed_is_trusted_and_nobody_else),
	    cmocka_unit_test(what_is_no_block_is_named),
	    cmocka_unit_test(the_client_is_the_rightmost_that_is_not_trusted),
	    cmocka_unit_test(other_fields_of_that_kind_say_nothing),
	};
	arena_init(&arena, 1 << 20);
	return cmocka_run_group_tests(tests, begin, end);
}
