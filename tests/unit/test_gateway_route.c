#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "gateway/route.h"
#include "gateway/setup.h"
#include "provider/registry.h"

static struct setup *s;

struct row {
	const char *path;
	enum err e;
	const char *provider, *rest, *account, *gateway;
};

static void
paths_lead_where_the_table_says(void **state)
{
	static const struct row rows[] = {
	    {"/openai/v1/chat/completions", E_OK, "openai", "/v1/chat/completions", "", "default"},
	    {"/openai/chat/completions", E_OK, "openai", "/chat/completions", "", "default"},
	    {"/openai", E_OK, "openai", "", "", "default"},
	    {"/openai/", E_OK, "openai", "/", "", "default"},
	    {"/mine/x%2Fy", E_OK, "mine", "/x%2Fy", "", "default"},
	    {"/custom-mine/x", E_OK, "mine", "/x", "", "default"},
	    {"/v1/acc/default/anthropic/v1/messages", E_OK, "anthropic", "/v1/messages", "acc",
		"default"},
	    {"/v1/acc/other/openai/chat/completions", E_OK, "openai", "/chat/completions", "acc",
		"other"},
	    {"/v1/acc/nobody/openai/chat/completions", E_UNKNOWN_GATEWAY, NULL, "", "acc",
		"default"},
	    {"/v1/acc/default/nobody/x", E_UNKNOWN_PROVIDER, NULL, "/x", "acc", "default"},
	    {"/v1/acc/default", E_NOT_FOUND, NULL, "", "acc", "default"},
	    {"/v1/acc/default/", E_NOT_FOUND, NULL, "", "acc", "default"},
	    {"/v1/acc", E_NOT_FOUND, NULL, "", "acc", "default"},
	    {"/v1", E_NOT_FOUND, NULL, "", "", "default"},
	    {"/v1/chat/completions", E_NOT_FOUND, NULL, "", "chat", "default"},
	    {"/v1/models", E_NOT_FOUND, NULL, "", "models", "default"},
	    {"/nobody/x", E_UNKNOWN_PROVIDER, NULL, "/x", "", "default"},
	    {"/", E_NOT_FOUND, NULL, "", "", "default"},
	    {"//openai/x", E_NOT_FOUND, NULL, "", "", "default"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct route r;
		assert_int_equal(route_find(s, span_str(rows[i].path), &r), rows[i].e);
		assert_int_equal(r.provider != NULL, rows[i].provider != NULL);
		if (rows[i].provider != NULL)
			assert_true(span_eq(r.provider->slug, span_str(rows[i].provider)));
		assert_true(span_eq(r.rest, span_str(rows[i].rest)));
		assert_true(span_eq(r.account, span_str(rows[i].account)));
		assert_int_equal(r.gateway != NULL, rows[i].gateway != NULL);
		if (rows[i].gateway != NULL)
			assert_string_equal(r.gateway->name, rows[i].gateway);
		assert_false(r.is_local);
	}
}

static void
a_refusal_says_what_to_do(void **state)
{
	struct route r;
	(void)state;
	assert_int_equal(route_find(s, SPAN_LIT("/v1/chat/completions"), &r), E_NOT_FOUND);
	assert_non_null(strstr(r.hint, "/openai/v1/"));
	assert_int_equal(route_find(s, SPAN_LIT("/v1/a/nobody/openai/x"), &r), E_UNKNOWN_GATEWAY);
	assert_non_null(strstr(r.hint, "gateways"));
}

static void
local_paths_are_the_admin_rooms(void **state)
{
	static const char *const paths[] = {"/-/healthz", "/-/", "/-", "/client/v4/accounts"};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct route r;
		assert_int_equal(route_find(s, span_str(paths[i]), &r), E_OK);
		assert_true(r.is_local);
	}
}

static int
setup(void **state)
{
	static const char *const set[] = {
	    "providers.mine.base_url=http://127.0.0.1:1/v1", "gateways.other.cache.ttl=1m", NULL};
	char home[] = "HOME=/nowhere", *environment[] = {home, NULL};
	struct config *c;
	struct buf err;
	char detail[256];
	(void)state;
	buf_init(&err, 4096);
	if (config_load(&(struct config_source){.set = set, .environ = environment}, &c, &err) !=
	    0) {
		print_error("%.*s\n", SPAN_FMT(buf_view(&err)));
		return -1;
	}
	buf_fini(&err);
	s = setup_new(c, "via", detail, sizeof(detail));
	return s == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	setup_unref(s);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paths_lead_where_the_table_says),
	    cmocka_unit_test(a_refusal_says_what_to_do),
	    cmocka_unit_test(local_paths_are_the_admin_rooms),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
