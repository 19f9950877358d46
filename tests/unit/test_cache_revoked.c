#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/revoked.h"

static void
a_caller_is_revoked_until_it_is_removed(void **state)
{
	(void)state;
	struct revoked *r = revoked_new();
	assert_false(revoked_has(r, 1));
	revoked_add(r, 1);
	revoked_add(r, 1);
	assert_int_equal(revoked_count(r), 1);
	assert_true(revoked_has(r, 1));
	assert_false(revoked_has(r, 2));
	revoked_remove(r, 2);
	revoked_remove(r, 1);
	assert_false(revoked_has(r, 1));
	assert_int_equal(revoked_count(r), 0);
	revoked_free(r);
}

static void
the_oldest_goes_when_there_are_too_many(void **state)
{
	(void)state;
	struct revoked *r = revoked_new();
	for (uint64_t i = 1; i <= REVOKED_MAX; i++)
		revoked_add(r, i);
	assert_true(revoked_has(r, 1));
	revoked_add(r, REVOKED_MAX + 1);
	assert_false(revoked_has(r, 1));
	assert_true(revoked_has(r, 2));
	assert_true(revoked_has(r, REVOKED_MAX + 1));
	assert_int_equal(revoked_count(r), REVOKED_MAX);
	revoked_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_caller_is_revoked_until_it_is_removed),
	    cmocka_unit_test(the_oldest_goes_when_there_are_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
