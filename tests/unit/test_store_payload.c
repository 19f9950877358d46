#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/payload_int.h"

static char raw[PAYLOAD_PIECE];
static struct packer packer;

static void
fill_text(void)
{
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = "all work and no play "[i % 21];
}

static void
fill_noise(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(raw); i++) {
		x = x * 1664525 + 1013904223;
		raw[i] = (char)(x >> 24);
	}
}

static void
comes_out_as_it_went_in(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 100, 4096, PAYLOAD_PIECE - 1, PAYLOAD_PIECE};

	(void)state;
	for (int noise = 0; noise < 2; noise++) {
		noise ? fill_noise() : fill_text();
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct buf out;
			struct span packed = packer_pack(&packer, 5, span_of(raw, sizes[i]));

			buf_init(&out, 1 << 20);
			assert_true(buf_put(&out, "before", 6));
			assert_true(piece_unpack(5, packed, sizes[i], &out));
			assert_int_equal(buf_len(&out), sizes[i] + 6);
			assert_memory_equal(buf_view(&out).p + 6, raw, sizes[i]);
			buf_fini(&out);
		}
	}
}

static void
in_haste_nothing_is_compressed(void **state)
{
	struct buf out;
	struct span packed;

	(void)state;
	fill_text();
	packer.is_hasty = true;
	packed = packer_pack(&packer, 5, span_of(raw, sizeof(raw)));
	packer.is_hasty = false;
	assert_int_equal(packed.n, sizeof(struct piece_head) + sizeof(raw));
	buf_init(&out, 1 << 20);
	assert_true(piece_unpack(5, packed, sizeof(raw), &out));
	assert_memory_equal(buf_view(&out).p, raw, sizeof(raw));
	buf_fini(&out);
}

static void
text_gets_small_and_noise_does_not_grow(void **state)
{
	(void)state;
	fill_text();
	assert_true(packer_pack(&packer, 0, span_of(raw, sizeof(raw))).n < sizeof(raw) / 100);
	fill_noise();
	assert_int_equal(packer_pack(&packer, 0, span_of(raw, sizeof(raw))).n,
	    sizeof(raw) + sizeof(struct piece_head));
}

static void
what_is_not_exactly_it_is_refused(void **state)
{
	struct buf out;
	struct span packed;

	(void)state;
	fill_text();
	packed = packer_pack(&packer, 5, span_of(raw, 1000));
	buf_init(&out, 1000);
	assert_false(piece_unpack(6, packed, 1000, &out));
	assert_false(piece_unpack(5, packed, 999, &out));
	assert_false(piece_unpack(5, packed, 1001, &out));
	assert_false(piece_unpack(5, span_head(packed, packed.n - 1), 1000, &out));
	assert_false(piece_unpack(5, span_head(packed, 15), 1000, &out));
	assert_false(piece_unpack(5, SPAN_NONE, 1000, &out));
	/* of a damaged size not a byte is read: it may end behind the file */
	assert_false(piece_unpack(5, span_of(packed.p, (size_t)1 << 40), 1000, &out));
	assert_true(buf_put(&out, "x", 1));
	assert_false(piece_unpack(5, packed, 1000, &out)); /* no room by one */
	assert_int_equal(buf_len(&out), 1);
	buf_drop(&out, 1);
	assert_true(piece_unpack(5, packed, 1000, &out));
	buf_fini(&out);
}

static void
every_flipped_bit_is_seen(void **state)
{
	char copy[2048];

	(void)state;
	for (int noise = 0; noise < 2; noise++) {
		struct span packed;
		struct buf out;

		noise ? fill_noise() : fill_text();
		packed = packer_pack(&packer, 5, span_of(raw, 1000));
		memcpy(copy, packed.p, packed.n);
		buf_init(&out, 4096);
		for (size_t bit = 0; bit < packed.n * 8; bit++) {
			copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
			assert_false(piece_unpack(5, span_of(copy, packed.n), 1000, &out));
			assert_int_equal(buf_len(&out), 0);
			copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
		}
		assert_true(piece_unpack(5, span_of(copy, packed.n), 1000, &out));
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_out_as_it_went_in),
	    cmocka_unit_test(in_haste_nothing_is_compressed),
	    cmocka_unit_test(text_gets_small_and_noise_does_not_grow),
	    cmocka_unit_test(what_is_not_exactly_it_is_refused),
	    cmocka_unit_test(every_flipped_bit_is_seen),
	};
	int failed;

	packer_init(&packer);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	packer_fini(&packer);
	return failed;
}
