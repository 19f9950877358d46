#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "obs/log.h"

#define AT "2025-11-22T20:43:14.123Z "

static char captured[20000];
static int real_stderr, memory;

static int
start_capture(void **state)
{
	(void)state;
	clock_fake(1, 1763844194123);
	log_level_set(LOG_INFO);
	memory = memfd_create("stderr", 0);
	real_stderr = dup(STDERR_FILENO);
	return memory < 0 || dup2(memory, STDERR_FILENO) < 0;
}

static int
stop_capture(void **state)
{
	(void)state;
	clock_fake(0, 0);
	close(memory);
	return dup2(real_stderr, STDERR_FILENO) < 0 || close(real_stderr) != 0;
}

static const char *
written(void)
{
	ssize_t n = pread(memory, captured, sizeof(captured) - 1, 0);

	assert_true(n >= 0);
	captured[n] = '\0';
	return captured;
}

static void
a_line_has_date_level_and_text(void **state)
{
	(void)state;
	log_line(LOG_WARN, "%s is %d", "it", 42);
	log_line(LOG_ERROR, "bad");
	assert_string_equal(written(), AT "warn  it is 42\n" AT "error bad\n");
}

static void
lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	log_line(LOG_DEBUG, "no");
	log_line(LOG_INFO, "yes");
	log_level_set(LOG_ERROR);
	log_line(LOG_WARN, "no");
	log_level_set(LOG_DEBUG);
	log_line(LOG_DEBUG, "yes");
	assert_string_equal(written(), AT "info  yes\n" AT "debug yes\n");
}

/* A peer's bytes must neither start a line of their own nor drive a terminal. */
static void
control_bytes_are_escaped(void **state)
{
	(void)state;
	log_line(LOG_INFO, "%s", "a\r\nb\x1b[2J\x7f\t\xc2\x9b\xc2\xa0\xc3\xa4");
	assert_string_equal(
	    written(), AT "info  a\\x0d\\x0ab\\x1b[2J\\x7f\\x09\\xc2\\x9b\xc2\xa0\xc3\xa4\n");
}

static void
a_long_text_is_cut_and_says_so(void **state)
{
	const char *line;
	char text[5000];

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line(LOG_INFO, "%s", text);
	line = written();
	assert_int_equal(strlen(line), strlen(AT "info  ") + 4 * 2044 + strlen("...\n"));
	assert_string_equal(line + strlen(line) - 8, "\\x0a...\n");
}

static void
a_text_that_just_fits_is_whole(void **state)
{
	char text[2048];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line(LOG_INFO, "%s", text);
	assert_int_equal(strlen(written()), strlen(AT "info  ") + 2047 + 1);
	assert_null(strstr(captured, "..."));
}

static void
errno_is_left_alone(void **state)
{
	(void)state;
	errno = ENOENT;
	log_line(LOG_INFO, "%s", "text");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(written(), AT "info  text\n");
}

#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, start_capture, stop_capture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CAPTURED(a_line_has_date_level_and_text),
	    CAPTURED(lines_below_the_level_are_not_written),
	    CAPTURED(control_bytes_are_escaped),
	    CAPTURED(a_long_text_is_cut_and_says_so),
	    CAPTURED(a_text_that_just_fits_is_whole),
	    CAPTURED(errno_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
