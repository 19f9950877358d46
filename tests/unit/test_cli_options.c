#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/options.h"

#define WORDS_MAX (2 * LIST_MAX)

/* "postern" and the words, which end with NULL. */
static int
parse(struct options *o, const char *const *words)
{
	static char copies[WORDS_MAX][32] = {"postern"};
	char *argv[WORDS_MAX + 1] = {copies[0]};
	int argc = 1;

	*o = (struct options){0};
	for (; *words != NULL; words++, argc++)
		argv[argc] = strcpy(copies[argc], *words);
	return options_parse(o, argc, argv);
}
#define PARSE(o, ...) parse(o, (const char *const[]){__VA_ARGS__, NULL})

static void
without_a_command_it_is_serve(void **state)
{
	struct options o;

	UNUSED(state);
	assert_int_equal(PARSE(&o, "--data", "d"), 0);
	assert_string_equal(o.command, "serve");
	assert_string_equal(o.data, "d");
	assert_int_equal(PARSE(&o, "--version"), 0);
	assert_string_equal(o.command, "version");
}

static void
a_value_follows_or_stands_behind_an_equals_sign(void **state)
{
	struct options o;

	UNUSED(state);
	assert_int_equal(
	    PARSE(&o, "check", "--config=a=b", "--set", "x=1", "--set=y=", "--schema"), 0);
	assert_string_equal(o.config_file, "a=b");
	assert_int_equal(o.n_set, 2);
	assert_string_equal(o.set[0], "x=1");
	assert_string_equal(o.set[1], "y=");
	assert_null(o.set[2]);
	assert_true(o.wants_schema);
	assert_int_equal(PARSE(&o, "check", "--configuration", "a"), EXIT_USE);
	assert_int_equal(PARSE(&o, "check", "--config"), EXIT_USE);
}

static void
words_of_a_command_are_passed_on_in_their_order(void **state)
{
	struct options o;

	UNUSED(state);
	assert_int_equal(PARSE(&o, "logs", "--limit", "5", "--data", "d", "id", "-f"), 0);
	assert_int_equal(o.n_rest, 4);
	assert_string_equal(o.rest[0], "--limit");
	assert_string_equal(o.rest[1], "5");
	assert_string_equal(o.rest[2], "id");
	assert_string_equal(o.rest[3], "-f");
	assert_null(o.rest[4]);
}

static void
options_of_one_command_are_not_anothers(void **state)
{
	static const char *const cases[][4] = {
	    {"logs", "--listen", ":1"},
	    {"check", "--takeover"},
	    {"serve", "--schema"},
	    {"serve", "--limit", "5"},
	    {"version", "now"},
	    {"launch"},
	};
	struct options o;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (parse(&o, cases[i]) != EXIT_USE)
			fail_msg("postern %s %s", cases[i][0], cases[i][1]);
	assert_int_equal(PARSE(&o, "check", "--listen", ":1"), 0);
	assert_int_equal(PARSE(&o, "serve", "--takeover"), 0);
}

static void
each_list_holds_64_and_ends_with_null(void **state)
{
	static const char *const kinds[][2] = {
	    {"serve", "--set=a=1"}, {"serve", "--listen=:1"}, {"logs", "--json"}};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		const char *words[LIST_MAX + 3] = {kinds[i][0]};
		struct options o;

		for (size_t n = 0; n < LIST_MAX; n++)
			words[n + 1] = kinds[i][1];
		assert_int_equal(parse(&o, words), 0);
		assert_int_equal(o.n_set + o.n_listen + o.n_rest, LIST_MAX);
		assert_null(o.set[o.n_set]);
		assert_null(o.listen[o.n_listen]);
		assert_null(o.rest[o.n_rest]);
		words[LIST_MAX + 1] = kinds[i][1];
		assert_int_equal(parse(&o, words), EXIT_USE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_command_it_is_serve),
	    cmocka_unit_test(a_value_follows_or_stands_behind_an_equals_sign),
	    cmocka_unit_test(words_of_a_command_are_passed_on_in_their_order),
	    cmocka_unit_test(options_of_one_command_are_not_anothers),
	    cmocka_unit_test(each_list_holds_64_and_ends_with_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
