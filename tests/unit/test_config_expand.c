#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/node_int.h"
#include "config_case.h"

struct good {
	const char *written, *value;
};

static char name[] = "NAME=gw", other[] = "_x9=${NAME}",
	    empty[] = "EMPTY=", longer[] = "NAMESAKE=no";
static char *const variables[] = {longer, name, other, empty, NULL};

static void
values_are_put_in(void **state)
{
	static const struct good rows[] = {
	    {"${NAME}", "gw"},
	    {"/a/${NAME}/b", "/a/gw/b"},
	    {"${NAME}${NAME}", "gwgw"},
	    {"${_x9}", "${NAME}"}, /* what comes in is not expanded again */
	    {"${NONE:-d}", "d"},
	    {"${NONE:-}", ""},
	    {"${NONE:-a:-b$c}", "a:-b$c"},
	    {"${EMPTY:-d}", "d"}, /* as in a shell: empty or not set */
	    {"${EMPTY}", ""},
	    {"${NAME:-d}", "gw"},
	    {"x${EMPTY}", "x"},
	    {"$NAME", "$NAME"},
	    {"a$b$", "a$b$"},
	    {"$$", "$$"},
	    {"$${NAME}", "${NAME}"},
	    {"$$${NAME}", "$${NAME}"},
	    {"$${", "${"},
	    {"}{", "}{"},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct place at = {.source = "t"};
		struct tree t;
		struct node *n;
		struct buf err;

		tree_init(&t);
		buf_init(&err, 1024);
		n = node_scalar(&t, span_str(rows[i].written), at);
		assert_true(node_expand(&t, n, variables, &err));
		assert_int_equal(n->text.n, strlen(rows[i].value));
		assert_memory_equal(n->text.p, rows[i].value, n->text.n);
		assert_true(span_eq(n->raw, span_str(rows[i].written)));
		assert_true(n->is_unset == (strcmp(rows[i].written, "${NONE:-}") == 0));
		buf_fini(&err);
		tree_fini(&t);
	}
}

static void
a_variable_is_found_by_its_whole_name(void **state)
{
	UNUSED(state);
	assert_string_equal(environ_get(variables, SPAN_LIT("NAME")), "gw");
	assert_string_equal(environ_get(variables, SPAN_LIT("EMPTY")), "");
	assert_null(environ_get(variables, SPAN_LIT("NAM")));
	assert_null(environ_get(NULL, SPAN_LIT("NAME")));
}

static void
an_expanded_value_has_64_kilobytes_at_most(void **state)
{
	size_t most = (size_t)64 << 10;
	char *variable = xmalloc(most + 8);
	char *const one[] = {variable, NULL};
	struct place at = {.source = "t"};
	struct tree t;
	struct node *n;
	struct buf err;

	UNUSED(state);
	memcpy(variable, "V=", 2);
	memset(variable + 2, 'x', most);
	variable[2 + most] = '\0';
	tree_init(&t);
	buf_init(&err, 1024);
	n = node_scalar(&t, SPAN_LIT("${V}"), at);
	assert_true(node_expand(&t, n, one, &err));
	assert_int_equal(n->text.n, most);
	n = node_scalar(&t, SPAN_LIT("${V}y"), at);
	assert_false(node_expand(&t, n, one, &err));
	assert_true(span_eq(buf_view(&err),
	    SPAN_LIT(
		"t: larger than any configuration needs (100000 values, 1 MB of text); shorten it")));
	buf_fini(&err);
	tree_fini(&t);
	free(variable);
}

static int
reset(void **state)
{
	UNUSED(state);
	case_reset();
	return 0;
}

static void
every_type_takes_a_variable(void **state)
{
	static char yes[] = "YES=true", seven[] = "SEVEN=7", ttl[] = "TTL=10m",
		    address[] = "ADDR=127.0.0.1:9";
	struct config *c;

	UNUSED(state);
	this_case.environ[1] = yes;
	this_case.environ[2] = seven;
	this_case.environ[3] = ttl;
	this_case.environ[4] = address;
	this_case.set[0] = "gateways.gw.cache.ignore=[\"a${SEVEN}\"]";
	c = case_must_load(
	    "limits: {half_close: \"${YES}\", headers: \"${SEVEN}\", body: \"${SEVEN}MB\"}\n"
	    "listen: [\"${ADDR}\", \"${MORE:-}\"]\n"
	    "upstream:\n  ca: ${NONE:-t}\n"
	    "admin:\n  hosts: [\"${NONE:-}\"]\n"
	    "gateways: {default: {cache: {ttl: \"${TTL}\", mode: \"${MODE:-off}\"}}}\n");
	assert_true(c->limits.half_close);
	assert_int_equal(c->limits.headers, 7);
	assert_int_equal(c->limits.body, 7 << 20);
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].address, "127.0.0.1:9");
	assert_string_equal(c->upstream.ca, "t");
	assert_null(c->admin_hosts[0]);
	assert_int_equal(c->gateways[0].cache.ttl_ms, 600000);
	assert_int_equal(c->gateways[0].cache.mode, CACHE_OFF);
	assert_string_equal(c->gateways[1].cache.ignore[0], "a7");
	config_unref(c);
}

static void
a_default_that_is_empty_is_as_if_the_key_were_not_there(void **state)
{
	struct config *c;

	UNUSED(state);
	this_case.set[0] = "data=${NONE:-}"; /* and does not hide the file's */
	c = case_must_load(
	    "data: /d\nproviders: {x: {base_url: \"${URL:-}\"}}\nupstream: {ca: \"${CA:-}\"}\n"
	    "limits: {headers: \"${N:-}\"}\ncache: \"${CACHE:-}\"\n");
	assert_string_equal(c->data, "/d");
	assert_null(c->providers[0].base_url);
	assert_null(c->upstream.ca);
	assert_int_equal(c->limits.headers, 100);
	config_unref(c);
	this_case.set[0] = "limits.headers=5";
	c = case_must_load("\"${ALL:-}\"");
	assert_int_equal(c->limits.headers, 5);
	config_unref(c);
}

static void
keys_are_not_expanded(void **state)
{
	UNUSED(state);
	case_refuses("providers: {\"${HOME}\": }",
	    "postern.yaml:1:13: '${HOME}' is not a name of a provider; use small letters");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_put_in),
	    cmocka_unit_test(a_variable_is_found_by_its_whole_name),
	    cmocka_unit_test(an_expanded_value_has_64_kilobytes_at_most),
	    cmocka_unit_test_setup(every_type_takes_a_variable, reset),
	    cmocka_unit_test_setup(a_default_that_is_empty_is_as_if_the_key_were_not_there, reset),
	    cmocka_unit_test_setup(keys_are_not_expanded, reset),
	};

	return cmocka_run_group_tests_name("config expand", tests, case_begin, case_end);
}
