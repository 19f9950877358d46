#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/tap.h"

static struct capture_tap capture;

static void
feed(const char *text)
{
	capture.tap.bytes(&capture.tap, span_of(text, strlen(text)));
}

static int
set_up(void **state)
{
	(void)state;
	memset(&capture, 0, sizeof(capture));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	buf_fini(&capture.body);
	return 0;
}

static void
all_of_a_body_up_to_what_is_wanted(void **state)
{
	(void)state;
	capture_tap_init(&capture, 6, 8);
	feed("abc");
	feed("def");
	assert_false(capture.is_cut);
	feed("g");
	assert_true(capture.is_cut);
	assert_false(capture.is_full);
	assert_int_equal(buf_len(&capture.body), 7);
}

static void
no_more_than_there_is_room_for(void **state)
{
	(void)state;
	capture_tap_init(&capture, 6, 8);
	feed("abcdefgh");
	assert_false(capture.is_full);
	feed("i");
	assert_true(capture.is_full);
	feed("j");
	assert_int_equal(buf_len(&capture.body), 8);
	assert_memory_equal(buf_view(&capture.body).p, "abcdefgh", 8);
}

static void
once_stopped_it_stays_so(void **state)
{
	(void)state;
	capture_tap_init(&capture, 6, 8);
	feed("abc");
	capture_tap_stop(&capture);
	feed("def");
	assert_true(capture.is_cut);
	assert_true(capture.is_full);
	assert_int_equal(buf_len(&capture.body), 3);
	capture_tap_init(&capture, 6, 8);
	assert_false(capture.is_cut);
	assert_false(capture.is_full);
	assert_int_equal(buf_len(&capture.body), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(all_of_a_body_up_to_what_is_wanted),
	    TEST(no_more_than_there_is_room_for),
	    TEST(once_stopped_it_stays_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
