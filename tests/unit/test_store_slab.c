#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "store/slab_int.h"

#define PIECES 20000

struct piece {
	char *p;
	struct slab *of;
	size_t size;
	char mark;
};

static struct piece
take(struct slabs *s, size_t size, char mark)
{
	struct piece piece = {.size = size, .mark = mark};

	piece.p = slabs_take(s, size, &piece.of);
	assert_non_null(piece.p);
	assert_int_equal((uintptr_t)piece.p % 16, 0);
	memset(piece.p, mark, size);
	return piece;
}

static void
give(struct slabs *s, const struct piece *piece)
{
	for (size_t i = 0; i < piece->size; i++)
		assert_int_equal(piece->p[i], piece->mark);
	slabs_give(s, piece->of);
}

/* All sizes, given back in another order than they were taken: none overlaps another. */
static void
pieces_do_not_overlap(void **state)
{
	static struct piece pieces[PIECES];
	struct slabs s;
	uint32_t dice = 1;
	size_t from = 0;

	(void)state;
	slabs_init(&s);
	for (size_t i = 0; i < PIECES; i++) {
		dice = dice * 1664525 + 1013904223;
		pieces[i] = take(&s, dice >> 21, (char)i);
		for (; i - from > 1000; from += 2) {
			give(&s, &pieces[from + 1]);
			give(&s, &pieces[from]);
		}
	}
	for (; from < PIECES; from++)
		give(&s, &pieces[from]);
	assert_true(s.n <= SLABS_SPARE + 1);
	slabs_fini(&s);
}

static void
one_that_is_free_is_used_again(void **state)
{
	struct slabs s;
	char *first = NULL;

	(void)state;
	slabs_init(&s);
	for (int i = 0; i < 100; i++) {
		struct piece a = take(&s, SLAB_PIECE_MAX, 'a'), b = take(&s, 1, 'b');

		first = first == NULL ? a.p : first;
		assert_ptr_equal(a.p, first);
		give(&s, &b);
		give(&s, &a);
	}
	assert_int_equal(s.n, 1);
	slabs_fini(&s);
}

/* As many as the limit says, not one more; all but a few go back to the kernel. */
static void
there_is_a_limit(void **state)
{
	static struct piece pieces[SLABS_MAX * 8];
	struct slabs s;
	struct slab *of;
	size_t n = 0;

	(void)state;
	slabs_init(&s);
	while (s.n < SLABS_MAX)
		pieces[n++] = take(&s, SLAB_PIECE_MAX, 'x');
	for (int i = 0; i < 2; i++)
		pieces[n++] = take(&s, SLAB_PIECE_MAX, 'x');
	assert_null(slabs_take(&s, SLAB_PIECE_MAX, &of));
	assert_int_equal(s.n, SLABS_MAX);
	give(&s, &pieces[0]);
	assert_null(slabs_take(&s, SLAB_PIECE_MAX, &of)); /* its neighbours are in use */
	give(&s, &pieces[1]);
	give(&s, &pieces[2]);
	pieces[0] = take(&s, SLAB_PIECE_MAX, 'y');
	give(&s, &pieces[0]);
	for (size_t i = 3; i < n; i++)
		give(&s, &pieces[i]);
	assert_int_equal(s.n, SLABS_SPARE + 1);
	slabs_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pieces_do_not_overlap),
	    cmocka_unit_test(one_that_is_free_is_used_again),
	    cmocka_unit_test(there_is_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
