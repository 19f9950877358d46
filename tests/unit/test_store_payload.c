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

/* ---- blocks ---- */

/* 1, 3, 9, ... bytes, and what then is left of a block. */
static uint64_t
part_size(int i)
{
	static const uint64_t sizes[] = {1, 3, 9, 2187, PAYLOAD_SMALL, PAYLOAD_SMALL};

	return i < 6 ? sizes[i] : PAYLOAD_BLOCK - 2200 - 2 * PAYLOAD_SMALL;
}

static struct span
pack_block(void)
{
	size_t at = 0;

	for (int i = 0; i < 7; at += part_size(i), i++)
		packer_gather(&packer, span_of(raw + at, part_size(i)));
	assert_int_equal(at, PAYLOAD_BLOCK);
	return packer_pack_gathered(&packer, 7);
}

static void
each_part_of_a_block_comes_out(void **state)
{
	(void)state;
	for (int noise = 0; noise < 2; noise++) {
		struct block_part part = {.from = 0};
		struct span packed;
		struct buf out;

		noise ? fill_noise() : fill_text();
		packed = pack_block();
		buf_init(&out, PAYLOAD_BLOCK);
		for (int i = 0; i < 7; i++) {
			part.size = part_size(i);
			assert_true(block_unpack(7, packed, &part, &out));
			assert_int_equal(buf_len(&out), part.size);
			assert_memory_equal(buf_view(&out).p, raw + part.from, part.size);
			buf_reset(&out);
			part.from += part.size;
		}
		buf_fini(&out);
	}
}

static void
a_block_gives_nothing_beyond_its_end_nor_of_another(void **state)
{
	const struct block_part all = {.size = PAYLOAD_BLOCK}, more = {.size = PAYLOAD_BLOCK + 1},
				behind = {.from = 1, .size = PAYLOAD_BLOCK},
				far = {.from = PAYLOAD_BLOCK + 1, .size = 0},
				round = {.from = 2, .size = UINT64_MAX};
	struct span packed;
	struct buf out;

	(void)state;
	fill_text();
	packed = pack_block();
	buf_init(&out, 2 * PAYLOAD_BLOCK);
	assert_false(block_unpack(7, packed, &more, &out));
	assert_false(block_unpack(7, packed, &behind, &out));
	assert_false(block_unpack(7, packed, &far, &out));
	assert_false(block_unpack(7, packed, &round, &out));
	assert_false(block_unpack(8, packed, &all, &out));
	assert_false(block_unpack(7, span_head(packed, packed.n - 1), &all, &out));
	assert_false(block_unpack(7, span_of(packed.p, (size_t)1 << 40), &all, &out));
	assert_int_equal(buf_len(&out), 0);
	assert_true(block_unpack(7, packed, &all, &out));
	buf_fini(&out);
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
	    cmocka_unit_test(each_part_of_a_block_comes_out),
	    cmocka_unit_test(a_block_gives_nothing_beyond_its_end_nor_of_another),
	};
	int failed;

	packer_init(&packer);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	packer_fini(&packer);
	return failed;
}
