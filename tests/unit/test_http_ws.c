#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "http/ws.h"

#define COUNTS(bytes, n, closed) check(SPAN_LIT(bytes), n, closed)

/* From memory of its own, gone before the next piece. */
static struct ws_scan
scan(struct span bytes, size_t first, size_t then)
{
	struct ws_scan s = {0};

	for (size_t n = first; bytes.n > 0; n = then) {
		char *copy = span_dup(span_head(bytes, n));
		ws_scan(&s, span_of(copy, span_head(bytes, n).n));
		free(copy);
		bytes = span_skip(bytes, n);
	}
	return s;
}

/* At once, cut in two at every place, and byte by byte. */
static void
check(struct span bytes, uint64_t frames, bool has_closed)
{
	for (size_t first = 0; first <= bytes.n; first++) {
		struct ws_scan s = scan(bytes, first == 0 ? 1 : first, first == 0 ? 1 : bytes.n);
		assert_int_equal(s.frames, frames);
		assert_int_equal(s.has_closed, has_closed);
		assert_false(s.is_lost);
	}
}

static void
test_small_frames(void **state)
{
	(void)state;
	COUNTS("", 0, false);
	COUNTS("\x81", 0, false);
	COUNTS("\x81\x05Hello", 1, false); /* RFC 6455 5.7 */
	COUNTS("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 1, false);
	COUNTS("\x01\x03Hel\x80\x02lo", 2, false); /* a message in two frames */
	COUNTS("\x89\x05Hello\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 2, false);
	COUNTS("\x81\x00\x81\x00\x81\x00", 3, false);
	COUNTS("\x81\x80mask\x81\x80mask", 2, false); /* empty, but masked */
	COUNTS("\xc1\x01x", 1, false);                /* RSV1: compressed */
}

static void
test_a_frame_counts_when_it_is_whole(void **state)
{
	(void)state;
	COUNTS("\x81\x05Hell", 0, false);
	COUNTS("\x81\x80mas", 0, false);
	COUNTS("\x81\x05Hello\x81\x05", 1, false);
	COUNTS("\x88\x02\x03", 0, false);
}

static void
test_close(void **state)
{
	(void)state;
	COUNTS("\x88\x00", 1, true);
	COUNTS("\x88\x02\x03\xe8", 1, true);
	COUNTS("\x88\x82mask\x03\xe8", 1, true);
	COUNTS("\x82\x02\x88\x00", 1, false); /* inside a payload it is none */
}

/* A head, then n bytes that look like heads themselves. */
static void
check_long(struct span head, size_t n)
{
	char *all = malloc(head.n + n + 1);

	memcpy(all, head.p, head.n);
	memset(all + head.n, 0x88, n + 1);
	for (size_t step = 1; step < 5000; step = step * 3 + 1) {
		struct ws_scan s = scan(span_of(all, head.n + n - 1), step, step);
		assert_int_equal(s.frames, 0);
		s = scan(span_of(all, head.n + n + 1), step, step);
		assert_int_equal(s.frames, 1);
		assert_false(s.has_closed);
	}
	free(all);
}

static void
test_lengths(void **state)
{
	(void)state;
	check_long(SPAN_LIT("\x82\x7d"), 125);
	check_long(SPAN_LIT("\x82\x7e\x00\x7e"), 126);
	check_long(SPAN_LIT("\x82\x7e\xff\xff"), 65535);
	check_long(SPAN_LIT("\x82\x7f\0\0\0\0\0\x01\0\0"), 65536);
	check_long(SPAN_LIT("\x82\xff\0\0\0\0\0\x01\0\0mask"), 65536);
	check_long(SPAN_LIT("\x82\x7f\0\0\0\0\0\0\0\x03"),
	    3); /* not the shortest form: counted all the same */
}

static void
test_what_is_no_frame_ends_the_counting(void **state)
{
	(void)state;
	for (size_t step = 1; step < 20; step++) {
		struct ws_scan s = scan(
		    SPAN_LIT("\x81\x00\x82\x7f\x80\0\0\0\0\0\0\0\x88\x00\x88\x00"), step, step);
		assert_true(s.is_lost);
		assert_int_equal(s.frames, 1);
		assert_false(s.has_closed);
		/* one below is only long */
		s = scan(SPAN_LIT("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff\x88\x00"), step, step);
		assert_false(s.is_lost);
		assert_int_equal(s.frames, 0);
		assert_true(s.left == INT64_MAX - 2);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_small_frames),
	    cmocka_unit_test(test_a_frame_counts_when_it_is_whole),
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_what_is_no_frame_ends_the_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
