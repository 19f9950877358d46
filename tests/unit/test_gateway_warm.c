#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/warm.h"

#define MAX (8u << 20)

/* A buf with just so much memory. */
static struct buf
block(size_t cap)
{
	struct buf b = {.max = cap};

	assert_non_null(buf_reserve(&b, cap));
	assert_int_equal(b.cap, cap);
	b.max = MAX;
	return b;
}

static void
give(struct warm *w, size_t cap)
{
	struct buf b = block(cap);

	warm_give(w, &b);
	assert_null(b.p);
}

static void
what_was_given_is_taken_again(void **state)
{
	struct warm w = {.n = 0};
	struct buf b = block(100000), other = {.max = MAX};
	const char *p = b.p;

	(void)state;
	assert_true(buf_put(&b, "secret", 6));
	warm_give(&w, &b);
	assert_true(b.p == NULL && buf_len(&b) == 0 && b.max == MAX);
	warm_take(&w, &other, 90000);
	assert_ptr_equal(other.p, p);
	assert_int_equal(buf_len(&other), 0);
	assert_int_equal(other.cap, 100000);
	assert_int_equal(other.max, MAX);
	assert_true(w.n == 0 && w.bytes == 0);
	buf_fini(&other);
}

/* 300,000 is for somebody who needs more; what is small is not kept, nor what is very large. */
static void
a_block_fits(void **state)
{
	struct warm w = {.n = 0};
	struct buf b = {.max = MAX};

	(void)state;
	give(&w, 300000);
	give(&w, 140000);
	give(&w, WARM_BLOCK_MIN - 1);
	give(&w, WARM_BLOCK_MAX + 1);
	assert_int_equal(w.n, 2);
	warm_take(&w, &b, 149999);
	assert_true(b.cap >= 149999 && b.cap != 300000);
	assert_int_equal(w.n, 2);
	buf_fini(&b);
	warm_take(&w, &b, 140000);
	assert_int_equal(b.cap, 140000);
	warm_give(&w, &b);
	warm_take(&w, &b, 150000);
	assert_int_equal(b.cap, 300000);
	buf_fini(&b);
	warm_fini(&w);
	assert_true(w.n == 0 && w.bytes == 0);
}

static void
all_of_it_is_capped(void **state)
{
	struct warm w = {.n = 0};

	(void)state;
	for (int i = 0; i < 3; i++)
		give(&w, WARM_BLOCK_MAX);
	assert_int_equal(w.bytes, WARM_BYTES);
	warm_fini(&w);
	for (int i = 0; i < WARM_BLOCKS + 1; i++)
		give(&w, WARM_BLOCK_MIN);
	assert_int_equal(w.n, WARM_BLOCKS);
	warm_fini(&w);
}

/* What a peer says that it will send is believed so far and no further. */
static void
no_more_is_set_aside_than_a_block(void **state)
{
	struct warm w = {.n = 0};
	struct buf b = {.max = MAX}, capped = {.max = 70000};

	(void)state;
	warm_take(&w, &b, SIZE_MAX);
	assert_int_equal(b.cap, WARM_BLOCK_MAX);
	give(&w, 80000);
	warm_take(&w, &capped, 70001);
	assert_null(capped.p);
	warm_take(&w, &capped, 70000);
	assert_int_equal(capped.cap, 80000);
	buf_fini(&b);
	buf_fini(&capped);
	warm_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_given_is_taken_again),
	    cmocka_unit_test(a_block_fits),
	    cmocka_unit_test(all_of_it_is_capped),
	    cmocka_unit_test(no_more_is_set_aside_than_a_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
