#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

static void
memory_is_aligned_and_does_not_overlap(void **state)
{
	char *p[300];
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < 300; i++) {
		p[i] = arena_alloc(&a, i);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)i, i);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_equal((uint8_t)p[i][j], (uint8_t)i);
	arena_fini(&a);
}

static void
the_cap_is_exact_and_counts_all_blocks(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 100000);
	for (int i = 0; i < 10; i++)
		assert_non_null(arena_alloc(&a, 9984));
	assert_null(arena_alloc(&a, 161));
	assert_non_null(arena_alloc(&a, 160));
	assert_null(arena_alloc(&a, 1));
	arena_reset(&a);
	assert_null(arena_alloc(&a, 100001));
	assert_non_null(arena_alloc(&a, 100000));
	assert_null(arena_alloc(&a, 1));
	arena_fini(&a);
}

static void
absurd_sizes_are_refused(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, SIZE_MAX);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_zalloc(&a, SIZE_MAX - 20));
	assert_non_null(arena_alloc(&a, 1));
	arena_fini(&a);
}

/* The two small ones, in whatever order, and none of what was large. */
static void
a_reset_keeps_two_blocks(void **state)
{
	struct arena a;
	char *first, *second, *p;

	(void)state;
	arena_init(&a, 1 << 20);
	first = arena_alloc(&a, 1500);
	second = arena_alloc(&a, 1000);
	for (int i = 0; i < 100; i++)
		assert_non_null(arena_alloc(&a, 1500));
	for (int round = 0; round < 3; round++) {
		arena_reset(&a);
		p = arena_alloc(&a, 1000);
		assert_true(p == first || p == second);
		assert_ptr_equal(arena_alloc(&a, 1000), p + 1008);
		assert_ptr_equal(arena_alloc(&a, 1000), p == first ? second : first);
	}
	arena_fini(&a);
}

static void
a_large_piece_does_not_waste_the_rest_of_the_block(void **state)
{
	struct arena a;
	char *before, *after;

	(void)state;
	arena_init(&a, 1 << 20);
	before = arena_alloc(&a, 16);
	assert_non_null(arena_alloc(&a, 100000));
	after = arena_alloc(&a, 16);
	assert_ptr_equal(after, before + 16);
	arena_fini(&a);
}

static void
zalloc_zeroes_what_was_used_before(void **state)
{
	struct arena a;
	char *p;

	(void)state;
	arena_init(&a, 1000);
	p = arena_alloc(&a, 64);
	memset(p, 'x', 64);
	arena_reset(&a);
	p = arena_zalloc(&a, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(p[i], 0);
	arena_fini(&a);
}

static void
dup_and_printf_end_with_nul_behind_the_span(void **state)
{
	struct arena a;
	struct span s;

	(void)state;
	arena_init(&a, 64);
	s = arena_dup(&a, SPAN_LIT("abc"));
	assert_int_equal(s.n, 3);
	assert_string_equal(s.p, "abc");
	s = arena_dup(&a, SPAN_NONE);
	assert_int_equal(s.n, 0);
	assert_string_equal(s.p, "");
	s = arena_printf(&a, "%s-%d", "x", 7);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.p, "x-7");
	s = arena_printf(&a, "%040d", 7);
	assert_null(s.p);
	s = arena_dup(&a, SPAN_LIT("0123456789abcdef"));
	assert_null(s.p);
	s = arena_dup(&a, SPAN_LIT("0123456789abcde"));
	assert_string_equal(s.p, "0123456789abcde");
	arena_fini(&a);
}

static void
joined_parts_stand_back_to_back_with_nul_behind(void **state)
{
	struct arena a;
	struct span s;

	(void)state;
	arena_init(&a, 16);
	s = arena_join(
	    &a, (const struct span[]){SPAN_LIT("0123456789"), SPAN_NONE, SPAN_LIT("abcdef")}, 3);
	assert_null(s.p);
	s = arena_join(
	    &a, (const struct span[]){SPAN_LIT("0123456789"), SPAN_NONE, SPAN_LIT("abcde")}, 3);
	assert_int_equal(s.n, 15);
	assert_string_equal(s.p, "0123456789abcde");
	s = arena_join(&a, (const struct span[]){span_of("", SIZE_MAX), SPAN_LIT("a")}, 2);
	assert_null(s.p);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(memory_is_aligned_and_does_not_overlap),
	    cmocka_unit_test(the_cap_is_exact_and_counts_all_blocks),
	    cmocka_unit_test(absurd_sizes_are_refused),
	    cmocka_unit_test(a_reset_keeps_two_blocks),
	    cmocka_unit_test(a_large_piece_does_not_waste_the_rest_of_the_block),
	    cmocka_unit_test(zalloc_zeroes_what_was_used_before),
	    cmocka_unit_test(dup_and_printf_end_with_nul_behind_the_span),
	    cmocka_unit_test(joined_parts_stand_back_to_back_with_nul_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
