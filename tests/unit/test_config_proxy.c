/* upstream.proxy and upstream.no_proxy: their forms, where they come from, and what is never shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/proxy.h"
#include "config_case.h"

static int
reset(void **state)
{
	UNUSED(state);
	case_reset();
	return 0;
}

static void
proxies_are_read_as_other_programs_read_them(void **state)
{
	static const struct {
		const char *text, *host, *user;
		uint16_t port;
	} rows[] = {
	    {"http://proxy.test:3128", "proxy.test", "", 3128},
	    {"http://proxy.test", "proxy.test", "", 80},
	    {"HTTP://proxy.test/", "proxy.test", "", 80},
	    {"proxy.test:8080", "proxy.test", "", 8080},
	    {"http://u:p@proxy.test:1", "proxy.test", "u:p", 1},
	    {"http://u:p@ss@proxy.test:65535", "proxy.test", "u:p@ss", 65535},
	    {"http://token@10.0.0.1:3128", "10.0.0.1", "token", 3128},
	    {"http://[::1]:3128/", "::1", "", 3128},
	    {"http://u:p@[fd00::1]", "fd00::1", "u:p", 80},
	};
	struct proxy p;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *wrong = proxy_read(span_str(rows[i].text), &p);

		if (wrong != NULL)
			fail_msg("%s: %s", rows[i].text, wrong);
		assert_true(span_eq(p.host, span_str(rows[i].host)));
		assert_true(span_eq(p.user, span_str(rows[i].user)));
		assert_int_equal(p.port, rows[i].port);
	}
}

static void
what_is_no_http_proxy_is_refused_without_being_shown(void **state)
{
	static const char *const bad[] = {"https://secret@p:1", "socks5://secret@p:1", "http://",
	    "http://secret@", "http://secret@:80", "http://secret@p:0", "http://secret@p:65536",
	    "http://secret@p:x", "http://secret@p:", "http://secret@p/path", "http://secret@p?q",
	    "http://secret@[::1", "http://secret@p p", "http://secret@p\xc3\xa4",
	    "http://a..secret"};
	struct proxy p;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char set[128];

		if (proxy_read(span_str(bad[i]), &p) == NULL)
			fail_msg("taken: %s", bad[i]);
		(void)snprintf(set, sizeof(set), "upstream.proxy='%s'", bad[i]);
		this_case.set[0] = set;
		assert_null(case_load(NULL));
		assert_non_null(strstr(this_case.error, "upstream.proxy "));
		assert_null(strstr(this_case.error, "secret"));
	}
}

static void
no_proxy_names_hosts_domains_ports_and_all(void **state)
{
	static const struct {
		const char *item, *host;
		uint16_t port;
		bool is_named;
	} rows[] = {
	    {"*", "any.test", 443, true},
	    {"a.test", "a.test", 443, true},
	    {"A.Test", "a.test", 443, true},
	    {"a.test", "x.a.test", 443, true},
	    {".a.test", "x.a.test", 443, true},
	    {".a.test", "a.test", 443, true},
	    {"*.a.test", "x.a.test", 443, true},
	    {"a.test", "xa.test", 443, false},
	    {"a.test", "a.test.evil", 443, false},
	    {"x.a.test", "a.test", 443, false},
	    {"a.test:443", "a.test", 443, true},
	    {"a.test:444", "a.test", 443, false},
	    {"192.0.2.1", "192.0.2.1", 443, true},
	    {"192.0.2.1", "192.0.2.10", 443, false},
	    {"2001:db8::1", "2001:db8::1", 443, true},
	    {"[2001:db8::1]", "2001:db8::1", 443, true},
	    {"[2001:db8::1]:444", "2001:db8::1", 443, false},
	    {"b.test, a.test ,c.test", "a.test", 443, true},
	    {"b.test,,", "a.test", 443, false},
	    {".", "a.test", 443, false},
	    {"", "a.test", 443, false},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char item[64];
		char *list[] = {item, NULL};

		(void)snprintf(item, sizeof(item), "%s", rows[i].item);
		if (no_proxy_has(list, span_str(rows[i].host), rows[i].port) != rows[i].is_named)
			fail_msg("'%s' and %s:%u", rows[i].item, rows[i].host, rows[i].port);
	}
}

static void
assert_proxy(const char *yaml, const char *want)
{
	struct config *c = case_must_load(yaml);

	if (want == NULL)
		assert_null(c->upstream.proxy);
	else
		assert_string_equal(c->upstream.proxy, want);
	config_unref(c);
}

static void
the_environment_counts_where_nothing_else_is_said(void **state)
{
	static char upper[] = "HTTPS_PROXY=http://upper:1", lower[] = "https_proxy=http://lower:1";
	static char empty[] = "HTTPS_PROXY=", bad[] = "HTTPS_PROXY=socks5://s:1";

	UNUSED(state);
	assert_proxy(NULL, NULL);
	this_case.environ[1] = lower;
	assert_proxy(NULL, "http://lower:1");
	this_case.environ[2] = upper;
	assert_proxy("{}", "http://upper:1");
	assert_proxy("upstream: {connect: 6s}", "http://upper:1");
	assert_proxy("upstream: {proxy: \"http://file:1\"}", "http://file:1");
	assert_proxy("upstream: {proxy: none}", NULL);
	assert_proxy("upstream: {proxy: \"${HTTPS_PROXY:-}\"}", "http://upper:1");
	this_case.set[0] = "upstream.proxy=http://set:1";
	assert_proxy("upstream: {proxy: none}", "http://set:1");
	this_case.set[0] = NULL;
	this_case.environ[2] = empty;
	assert_proxy(NULL, "http://lower:1");
	this_case.environ[2] = bad;
	case_refuses(NULL,
	    "HTTPS_PROXY: upstream.proxy is no http:// proxy, which is the only kind that this version "
	    "speaks to; write http://[USER:PASSWORD@]HOST[:PORT], or none");
	assert_proxy("upstream: {proxy: none}", NULL);
}

static void
no_proxy_comes_from_the_environment_too(void **state)
{
	static char both[] = "NO_PROXY= a.test , .b.test,";
	struct config *c;

	UNUSED(state);
	this_case.environ[1] = both;
	c = case_must_load(NULL);
	assert_string_equal(c->upstream.no_proxy[0], "a.test");
	assert_string_equal(c->upstream.no_proxy[1], ".b.test");
	assert_null(c->upstream.no_proxy[2]);
	config_unref(c);
	c = case_must_load("upstream: {no_proxy: [c.test]}");
	assert_string_equal(c->upstream.no_proxy[0], "c.test");
	assert_null(c->upstream.no_proxy[1]);
	config_unref(c);
}

static void
it_is_printed_without_user_and_password(void **state)
{
	static const char *const rows[][2] = {
	    {"http://user:secret@proxy.test:3128", "proxy: \"http://***@proxy.test:3128\"\n"},
	    {"user:se@secret@proxy.test", "proxy: \"***@proxy.test\"\n"},
	    {"http://proxy.test:3128", "proxy: \"http://proxy.test:3128\"\n"},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char set[128], *text;
		struct config *c;
		struct buf out;

		(void)snprintf(set, sizeof(set), "upstream.proxy=%s", rows[i][0]);
		this_case.set[0] = set;
		c = case_must_load(NULL);
		buf_init(&out, 1 << 20);
		assert_true(config_print(c, &out));
		text = span_dup(buf_view(&out));
		assert_null(strstr(text, "secret"));
		if (strstr(text, rows[i][1]) == NULL)
			fail_msg("no %s in\n%s", rows[i][1], text);
		free(text);
		buf_fini(&out);
		config_unref(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(proxies_are_read_as_other_programs_read_them, reset),
	    cmocka_unit_test_setup(what_is_no_http_proxy_is_refused_without_being_shown, reset),
	    cmocka_unit_test_setup(no_proxy_names_hosts_domains_ports_and_all, reset),
	    cmocka_unit_test_setup(the_environment_counts_where_nothing_else_is_said, reset),
	    cmocka_unit_test_setup(no_proxy_comes_from_the_environment_too, reset),
	    cmocka_unit_test_setup(it_is_printed_without_user_and_password, reset),
	};

	return cmocka_run_group_tests(tests, case_begin, case_end);
}
