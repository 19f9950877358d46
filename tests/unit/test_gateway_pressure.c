#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gateway/pressure.h"

#define MB ((uint64_t)1024 * 1024)

static void
ninety_percent_saves_and_ninety_five_sheds(void **state)
{
	(void)state;
	assert_int_equal(pressure_judge(0, 100 * MB), PRESSURE_NONE);
	assert_int_equal(pressure_judge(90 * MB - 1, 100 * MB), PRESSURE_NONE);
	assert_int_equal(pressure_judge(90 * MB, 100 * MB), PRESSURE_SAVE);
	assert_int_equal(pressure_judge(95 * MB - 1, 100 * MB), PRESSURE_SAVE);
	assert_int_equal(pressure_judge(95 * MB, 100 * MB), PRESSURE_SHED);
	assert_int_equal(pressure_judge(200 * MB, 100 * MB), PRESSURE_SHED);
	assert_int_equal(pressure_judge(UINT64_MAX, 0), PRESSURE_NONE);
}

static void
memory_that_is_taken_is_seen_and_memory_that_is_given_back_too(void **state)
{
	struct pressure p;
	(void)state;
	pressure_init(&p);
	pressure_look(&p, 0, 100);
	uint64_t before = p.bytes;
	assert_in_range(before, 1, 1024 * MB);
	uint64_t ceiling = before + 100 * MB;
	assert_int_equal(pressure_look(&p, ceiling, 200), PRESSURE_NONE);
	char *taken = malloc(100 * MB);
	assert_non_null(taken);
	memset(taken, 1, 100 * MB);
	assert_int_equal(pressure_look(&p, ceiling, 204), PRESSURE_NONE); /* too soon to look */
	assert_int_equal(pressure_look(&p, ceiling, 205), PRESSURE_SHED);
	assert_true(p.bytes >= before + 99 * MB);
	free(taken);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what is freed for a while */
	assert_int_equal(pressure_look(&p, ceiling, 240), PRESSURE_NONE);
#endif
	pressure_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ninety_percent_saves_and_ninety_five_sheds),
	    cmocka_unit_test(memory_that_is_taken_is_seen_and_memory_that_is_given_back_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
