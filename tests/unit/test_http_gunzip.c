#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <zlib.h>

#include "base/buf.h"
#include "http/gunzip.h"

#define MAX_OUT (64u << 20)

static void
collect(void *ctx, struct span plain)
{
	assert_true(plain.n > 0);
	assert_true(buf_put_span(ctx, plain));
}

/* One gzip member of s behind what is in out. */
static void
compress_to(struct buf *out, struct span s)
{
	z_stream z = {0};
	size_t room;

	assert_int_equal(
	    deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	room = deflateBound(&z, s.n);
	z.next_out = (Bytef *)buf_reserve(out, room);
	assert_non_null(z.next_out);
	z.avail_out = (uInt)room;
	z.next_in = (z_const Bytef *)(uintptr_t)s.p;
	z.avail_in = (uInt)s.n;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_commit(out, z.total_out);
	deflateEnd(&z);
}

static struct span
sample(struct buf *b, size_t n)
{
	buf_init(b, MAX_OUT);
	while (buf_len(b) < n)
		assert_true(buf_printf(b, "data: {\"n\": %zu, \"h\": %zx}\n\n", buf_len(b),
		    buf_len(b) * (size_t)2654435761u));
	buf_cut(b, n);
	return buf_view(b);
}

static void
what_was_compressed_comes_back_in_any_pieces(void **state)
{
	static const size_t steps[] = {1, 2, 7, 100, 4096, SIZE_MAX};
	struct buf plain, packed, got;

	(void)state;
	buf_init(&packed, MAX_OUT);
	buf_init(&got, MAX_OUT);
	compress_to(&packed, sample(&plain, 100000));
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct gunzip *g = gunzip_new(MAX_OUT);
		struct span rest = buf_view(&packed);

		buf_reset(&got);
		for (; rest.n > 0; rest = span_skip(rest, steps[i])) {
			assert_false(gunzip_is_complete(g));
			assert_true(gunzip_feed(g, span_head(rest, steps[i]), collect, &got));
		}
		assert_true(gunzip_is_complete(g));
		assert_true(span_eq(buf_view(&got), buf_view(&plain)));
		gunzip_free(g);
	}
	buf_fini(&plain);
	buf_fini(&packed);
	buf_fini(&got);
}

static void
members_may_follow_one_another(void **state)
{
	struct buf packed, got;
	struct gunzip *g = gunzip_new(MAX_OUT);

	(void)state;
	buf_init(&packed, MAX_OUT);
	buf_init(&got, MAX_OUT);
	compress_to(&packed, SPAN_LIT("one "));
	compress_to(&packed, SPAN_LIT(""));
	compress_to(&packed, SPAN_LIT("two"));
	assert_true(gunzip_feed(g, buf_view(&packed), collect, &got));
	assert_true(gunzip_is_complete(g));
	assert_true(span_eq(buf_view(&got), SPAN_LIT("one two")));
	assert_true(gunzip_feed(g, SPAN_LIT("\x1f"), collect, &got)); /* the next one has begun */
	assert_false(gunzip_is_complete(g));
	gunzip_free(g);
	buf_fini(&packed);
	buf_fini(&got);
}

static void
check_damaged(struct span bytes)
{
	struct gunzip *g = gunzip_new(MAX_OUT);
	struct buf got;

	buf_init(&got, MAX_OUT);
	assert_false(gunzip_feed(g, bytes, collect, &got));
	assert_false(gunzip_feed(g, SPAN_LIT("x"), collect, &got)); /* for good */
	assert_false(gunzip_is_complete(g));
	gunzip_free(g);
	buf_fini(&got);
}

static void
what_is_not_gzip_or_is_damaged_fails_for_good(void **state)
{
	struct buf packed;

	(void)state;
	buf_init(&packed, MAX_OUT);
	check_damaged(SPAN_LIT("{\"plain\": true}"));
	check_damaged(SPAN_LIT("\x78\x9c zlib"));
	compress_to(&packed, SPAN_LIT("hello hello hello"));
	packed.p[packed.end - 5] ^= 1; /* the checksum */
	check_damaged(buf_view(&packed));
	packed.p[packed.end - 5] ^= 1;
	assert_true(buf_put(&packed, "garbage", 7));
	check_damaged(buf_view(&packed));
	buf_fini(&packed);
}

static bool
is_accepted(struct span packed, size_t out_max)
{
	struct gunzip *g = gunzip_new(out_max);
	struct buf got;
	bool ok;

	buf_init(&got, MAX_OUT);
	ok = gunzip_feed(g, packed, collect, &got);
	assert_int_equal(gunzip_is_complete(g), ok);
	assert_true(buf_len(&got) <= out_max);
	gunzip_free(g);
	buf_fini(&got);
	return ok;
}

static void
more_than_out_max_fails(void **state)
{
	struct buf plain, packed;

	(void)state;
	buf_init(&packed, MAX_OUT);
	compress_to(&packed, sample(&plain, 50000));
	assert_true(is_accepted(buf_view(&packed), 50000));
	assert_false(is_accepted(buf_view(&packed), 49999));
	assert_false(is_accepted(buf_view(&packed), 0));
	buf_fini(&plain);
	buf_fini(&packed);
}

/* Zeros shrink to about a thousandth. */
static void
more_than_200_times_the_input_fails_after_64_KB(void **state)
{
	char *zeros = calloc(1, 1 << 20);
	struct buf packed;

	(void)state;
	buf_init(&packed, MAX_OUT);
	compress_to(&packed, span_of(zeros, 65536));
	assert_true(is_accepted(buf_view(&packed), MAX_OUT));
	buf_reset(&packed);
	compress_to(&packed, span_of(zeros, 65537));
	assert_false(is_accepted(buf_view(&packed), MAX_OUT));
	buf_reset(&packed);
	compress_to(&packed, span_of(zeros, 1 << 20));
	assert_true(buf_len(&packed) * 200 < 1 << 20);
	assert_false(is_accepted(buf_view(&packed), MAX_OUT));
	free(zeros);
	buf_fini(&packed);
}

static void
whole_is_all_of_it_within_the_buffer(void **state)
{
	struct buf plain, packed, got;
	struct span all;

	(void)state;
	buf_init(&packed, MAX_OUT);
	compress_to(&packed, sample(&plain, 40000));
	all = buf_view(&packed);
	buf_init(&got, 40000);
	assert_true(gunzip_whole(all, &got));
	assert_true(span_eq(buf_view(&got), buf_view(&plain)));
	assert_false(gunzip_whole(all, &got)); /* behind the first: no room */
	buf_fini(&got);
	buf_init(&got, 39999);
	assert_false(gunzip_whole(all, &got));
	buf_fini(&got);
	buf_init(&got, MAX_OUT);
	assert_false(gunzip_whole(span_head(all, all.n - 1), &got));
	assert_false(gunzip_whole(buf_view(&plain), &got));
	buf_fini(&got);
	buf_fini(&packed);
	buf_fini(&plain);
}

static void
freeing_nothing_is_fine(void **state)
{
	struct gunzip *g = gunzip_new(1);

	(void)state;
	assert_false(gunzip_is_complete(g));
	gunzip_free(g);
	gunzip_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_compressed_comes_back_in_any_pieces),
	    cmocka_unit_test(members_may_follow_one_another),
	    cmocka_unit_test(what_is_not_gzip_or_is_damaged_fails_for_good),
	    cmocka_unit_test(more_than_out_max_fails),
	    cmocka_unit_test(more_than_200_times_the_input_fails_after_64_KB),
	    cmocka_unit_test(whole_is_all_of_it_within_the_buffer),
	    cmocka_unit_test(freeing_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
