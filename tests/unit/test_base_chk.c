/* What CHK promises: silence when it holds; place, expression and abort when it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/chk.h"

static void
break_a_promise(void)
{
	CHK(1 + 1 == 3);
}

static void
reach_the_unreachable(void)
{
	UNREACHED("the moon");
}

/* Runs f in a child, gives its standard error, returns the signal that ended it. */
static int
signal_of(void (*f)(void), char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		dup2(fds[1], STDERR_FILENO);
		f();
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
chk_aborts_and_names_place_and_expression(void **state)
{
	char text[512];

	(void)state;
	assert_int_equal(signal_of(break_a_promise, text, sizeof(text)), SIGABRT);
	assert_non_null(strstr(text, "test_base_chk.c:"));
	assert_non_null(strstr(text, "1 + 1 == 3"));
	assert_int_equal(signal_of(reach_the_unreachable, text, sizeof(text)), SIGABRT);
	assert_non_null(strstr(text, "the moon"));
}

static void
chk_that_holds_evaluates_once_and_goes_on(void **state)
{
	int times = 0;

	(void)state;
	CHK(++times == 1);
	assert_int_equal(times, 1);
}

static void
allocation_of_nothing_is_something_that_can_be_freed(void **state)
{
	char *p = xmalloc(0), *q = xcalloc(0, 8), *r;

	(void)state;
	assert_non_null(p);
	assert_non_null(q);
	r = xrealloc(p, 3);
	memcpy(r, "ab", 3);
	r = xrealloc(r, 1000);
	assert_string_equal(r, "ab");
	free(r);
	free(q);
}

static void
xcalloc_zeroes_and_xstrdup_copies(void **state)
{
	int *v = xcalloc(3, sizeof(int));
	char *s = xstrdup("text");

	(void)state;
	assert_int_equal(v[0] | v[1] | v[2], 0);
	assert_string_equal(s, "text");
	free(v);
	free(s);
}

struct outer {
	int before;
	int inner;
};

static void
container_of_goes_back_to_the_struct(void **state)
{
	struct outer o = {1, 2};

	(void)state;
	assert_ptr_equal(CONTAINER_OF(&o.inner, struct outer, inner), &o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chk_aborts_and_names_place_and_expression),
	    cmocka_unit_test(chk_that_holds_evaluates_once_and_goes_on),
	    cmocka_unit_test(allocation_of_nothing_is_something_that_can_be_freed),
	    cmocka_unit_test(xcalloc_zeroes_and_xstrdup_copies),
	    cmocka_unit_test(container_of_goes_back_to_the_struct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
