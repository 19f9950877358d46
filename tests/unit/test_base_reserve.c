#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/chk.h"
#include "base/reserve.h"

static void
it_is_filled_again_when_somebody_asks(void **state)
{
	(void)state;
	assert_true(reserve_is_whole());
	assert_false(reserve_is_spent());
	reserve_open();
	assert_true(reserve_is_spent());
	reserve_open(); /* by a second thread */
	assert_true(reserve_is_whole());
	assert_false(reserve_is_spent());
}

static void
nothing_is_something(void **state)
{
	void *p;

	(void)state;
	p = reserve_malloc(0);
	assert_non_null(p);
	p = reserve_realloc(p, 0);
	assert_non_null(p);
	free(p);
	p = reserve_calloc(0, 8);
	assert_non_null(p);
	free(p);
	p = reserve_calloc_lines(0);
	assert_non_null(p);
	free(p);
}

static void
lines_are_whole_and_zeroed(void **state)
{
	static const char zeroes[2 * CACHE_LINE];

	(void)state;
	for (size_t n = 1; n <= CACHE_LINE + 1; n += CACHE_LINE / 2) {
		size_t all = n <= CACHE_LINE ? CACHE_LINE : 2 * CACHE_LINE;
		char *p = reserve_calloc_lines(n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % CACHE_LINE, 0);
		assert_memory_equal(p, zeroes, all);
		memset(p, 0xff, all); /* ours up to its end */
		free(p);
	}
}

#ifndef __SANITIZE_ADDRESS__
/* All that the limit leaves, but for the reserve. */
static void
eat(void)
{
	for (size_t n = 1 << 20; n >= 16; n /= 2)
		while (malloc(n) != NULL)
			continue;
}

static bool
eat_all(void)
{
	struct rlimit lim = {64 << 20, 64 << 20};

	if (!reserve_is_whole() || setrlimit(RLIMIT_AS, &lim) != 0)
		return false;
	eat();
	return !reserve_is_spent();
}

static int
take_it(void)
{
	void *p;

	if (!eat_all())
		return 1;
	p = xcalloc(1, 100 * 1024);
	if (!reserve_is_spent() || reserve_is_whole())
		return 3; /* it is in use, and there is no other memory */
	if (xmalloc(100 * 1024) == NULL)
		return 4; /* what is left of it is used without a word */
	free(p);
	return malloc(2 * RESERVE_BYTES) == NULL ? 0 : 5;
}

static int
take_lines_of_it(void)
{
	const size_t n = 100 * 1024;
	const char *p;

	if (!eat_all())
		return 1;
	p = xcalloc_lines(n);
	if (!reserve_is_spent())
		return 2;
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return 3;
	return 0;
}

static int
take_more_than_it(void)
{
	if (!eat_all())
		return 1;
	return reserve_malloc(4 * RESERVE_BYTES) == NULL && reserve_is_spent() ? 0 : 2;
}

static int
take_more_lines_than_it(void)
{
	if (!eat_all())
		return 1;
	return reserve_calloc_lines(4 * RESERVE_BYTES) == NULL && reserve_is_spent() ? 0 : 2;
}

static void
assert_ends_well(int (*child)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Just under: an allocation that fits into the reserve. Just over: one that does not. */
static void
an_allocation_without_memory_takes_it(void **state)
{
	(void)state;
	assert_ends_well(take_it);
	assert_ends_well(take_lines_of_it);
}

static void
what_is_larger_fails(void **state)
{
	(void)state;
	assert_ends_well(take_more_than_it);
	assert_ends_well(take_more_lines_than_it);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_filled_again_when_somebody_asks),
	    cmocka_unit_test(nothing_is_something),
	    cmocka_unit_test(lines_are_whole_and_zeroed),
#ifndef __SANITIZE_ADDRESS__
	    cmocka_unit_test(an_allocation_without_memory_takes_it),
	    cmocka_unit_test(what_is_larger_fails),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
