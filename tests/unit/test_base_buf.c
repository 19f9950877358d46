#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/buf.h"

static void
assert_holds(const struct buf *b, const char *want)
{
	assert_int_equal(buf_len(b), strlen(want));
	assert_int_equal(buf_view(b).n, strlen(want));
	assert_memory_equal(buf_view(b).p, want, strlen(want));
}

static void
bytes_come_out_in_the_order_they_went_in(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_holds(&b, "");
	assert_true(buf_put(&b, "ab", 2));
	assert_true(buf_put_span(&b, SPAN_LIT("cd")));
	assert_true(buf_putc(&b, 'e'));
	assert_true(buf_printf(&b, "%d", 42));
	assert_holds(&b, "abcde42");
	buf_drop(&b, 3);
	assert_holds(&b, "de42");
	buf_cut(&b, 1);
	assert_holds(&b, "d");
	buf_reset(&b);
	assert_holds(&b, "");
	buf_fini(&b);
}

static void
the_cap_is_exact_and_a_refused_append_changes_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	assert_true(buf_put(&b, "abc", 3));
	assert_false(buf_put(&b, "de", 2));
	assert_false(buf_printf(&b, "%s", "de"));
	assert_null(buf_reserve(&b, 2));
	assert_holds(&b, "abc");
	assert_true(buf_printf(&b, "%s", "d"));
	assert_holds(&b, "abcd");
	assert_false(buf_putc(&b, 'e'));
	assert_true(buf_put(&b, NULL, 0));
	buf_drop(&b, 1);
	assert_true(buf_putc(&b, 'e'));
	assert_holds(&b, "bcde");
	buf_fini(&b);
}

static void
sizes_that_would_overflow_are_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	assert_true(buf_put(&b, "abc", 3));
	assert_null(buf_reserve(&b, SIZE_MAX - 2));
	assert_null(buf_reserve(&b, SIZE_MAX - 3));
	assert_holds(&b, "abc");
	buf_fini(&b);
	buf_init(&b, 0);
	assert_false(buf_putc(&b, 'x'));
	assert_true(buf_printf(&b, "%s", ""));
	assert_holds(&b, "");
	buf_fini(&b);
}

static void
reserve_then_commit_appends_what_was_written(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 1000);
	p = buf_reserve(&b, 500);
	assert_non_null(p);
	memset(p, 'x', 500);
	buf_commit(&b, 2);
	assert_holds(&b, "xx");
	buf_fini(&b);
}

static void
a_long_printf_grows_the_buffer(void **state)
{
	char long_text[3000];
	struct buf b;

	(void)state;
	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	buf_init(&b, 3001);
	assert_true(buf_printf(&b, "<%s>", long_text));
	assert_int_equal(buf_len(&b), 3001);
	assert_int_equal(buf_view(&b).p[3000], '>');
	buf_fini(&b);
}

/* A queue that runs for ever needs no more memory than its cap. */
static void
a_queue_reuses_the_room_at_its_front(void **state)
{
	uint8_t in = 0, out = 0;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (int round = 0; round < 10000; round++) {
		while (buf_putc(&b, (char)in))
			in++;
		assert_int_equal(buf_len(&b), 1000);
		assert_true(b.cap <= 1000);
		for (int i = 0; i < 600; i++, out++)
			assert_int_equal((uint8_t)buf_view(&b).p[i], out);
		buf_drop(&b, 600);
	}
	buf_fini(&b);
}

/* Bytes that move are the cost of a queue; a byte in and a byte out must not move all the others. */
static void
a_long_queue_that_is_drained_slowly_seldom_moves(void **state)
{
	struct buf b;
	int moves = 0;

	(void)state;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 5000; i++)
		assert_true(buf_putc(&b, 'x'));
	for (int i = 0; i < 100000; i++) {
		size_t off = b.off + 1;

		buf_drop(&b, 1);
		assert_true(buf_putc(&b, 'x'));
		moves += b.off != off;
	}
	assert_true(moves <= 100000 / 5000);
	buf_fini(&b);
}

static void
take_moves_the_bytes_and_leaves_a_usable_buffer(void **state)
{
	struct buf b;
	char *p;
	size_t n;

	(void)state;
	buf_init(&b, 10);
	assert_true(buf_put(&b, "abcdef", 6));
	buf_drop(&b, 2);
	p = buf_take(&b, &n);
	assert_int_equal(n, 4);
	assert_memory_equal(p, "cdef", 4);
	free(p);
	assert_holds(&b, "");
	assert_true(buf_put(&b, "0123456789", 10));
	assert_false(buf_putc(&b, 'x'));
	buf_fini(&b);
	assert_int_equal(b.max, 10);
	p = buf_take(&b, &n);
	assert_null(p);
	assert_int_equal(n, 0);
}

static void
shrinking_keeps_the_contents_and_nothing_else(void **state)
{
	struct buf b;

	UNUSED(state);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 1000; i++)
		assert_true(buf_put(&b, "0123456789", 10));
	buf_drop(&b, 5);
	buf_cut(&b, 10);
	buf_shrink(&b);
	assert_true(span_eq(buf_view(&b), SPAN_LIT("5678901234")));
	assert_int_equal(b.cap, 10);
	assert_true(buf_put(&b, "x", 1));
	assert_true(span_eq(buf_view(&b), SPAN_LIT("5678901234x")));
	buf_reset(&b);
	buf_shrink(&b);
	assert_int_equal(b.cap, 0);
	assert_int_equal(b.max, 1 << 20);
	buf_fini(&b);
}

static void
fini_is_fine_on_a_zeroed_one(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_fini(&b);
	assert_holds(&b, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
	    cmocka_unit_test(the_cap_is_exact_and_a_refused_append_changes_nothing),
	    cmocka_unit_test(sizes_that_would_overflow_are_refused),
	    cmocka_unit_test(reserve_then_commit_appends_what_was_written),
	    cmocka_unit_test(a_long_printf_grows_the_buffer),
	    cmocka_unit_test(a_queue_reuses_the_room_at_its_front),
	    cmocka_unit_test(a_long_queue_that_is_drained_slowly_seldom_moves),
	    cmocka_unit_test(take_moves_the_bytes_and_leaves_a_usable_buffer),
	    cmocka_unit_test(shrinking_keeps_the_contents_and_nothing_else),
	    cmocka_unit_test(fini_is_fine_on_a_zeroed_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
