#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"

static void
a_row_carries_what_the_table_says(void **state)
{
	const struct err_row *r = err_row(E_UPSTREAM_TIMEOUT);

	(void)state;
	assert_int_equal(r->status, 504);
	assert_int_equal(r->blame, BLAME_TIMEOUT);
	assert_int_equal(r->code, 2005);
	assert_string_equal(r->word, "upstream-timeout");
	assert_int_equal(E_OK, 0);
	assert_int_equal(err_row(E_OK)->status, 200);
}

static void
every_row_has_a_status_a_kebab_case_word_and_a_text(void **state)
{
	(void)state;
	for (int e = 0; e < ERR_COUNT; e++) {
		const struct err_row *r = err_row((enum err)e);

		assert_in_range(r->status, 200, 599);
		assert_true(strlen(r->word) > 0);
		assert_int_equal(
		    strspn(r->word, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(r->word));
		assert_true(strlen(r->text) > 0);
		assert_null(strpbrk(r->text, "\"\\\r\n"));
	}
}

static void
words_are_unique(void **state)
{
	(void)state;
	for (int a = 0; a < ERR_COUNT; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(
			    err_row((enum err)a)->word, err_row((enum err)b)->word);
}

/* SDKs retry a 5xx and not a 400: no answer from a provider has to be one. */
static void
every_failure_of_a_provider_is_502_or_504_with_code_2005(void **state)
{
	(void)state;
	for (int e = 0; e < ERR_COUNT; e++) {
		const struct err_row *r = err_row((enum err)e);

		if (strncmp(r->word, "upstream-", 9) != 0)
			continue;
		assert_true(r->status == 502 || r->status == 504);
		assert_int_equal(r->code, 2005);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_row_carries_what_the_table_says),
	    cmocka_unit_test(every_row_has_a_status_a_kebab_case_word_and_a_text),
	    cmocka_unit_test(words_are_unique),
	    cmocka_unit_test(every_failure_of_a_provider_is_502_or_504_with_code_2005),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
