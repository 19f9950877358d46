#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/entry_codec_int.h"

static char bytes[1 << 20];

static struct entry_new
entry_of(size_t preimage, size_t body)
{
	return (struct entry_new){
	    .key = {"0123456789abcde"},
	    .preimage = span_of(bytes + 1, preimage),
	    .meta =
		{.stored_ms = 1, .expires_ms = 2, .status = 200, .flags = 3, .usage = {4, 5, 6}},
	    .gateway = SPAN_LIT("default"),
	    .provider = SPAN_LIT("openai"),
	    .model = SPAN_LIT("gpt-4o"),
	    .headers = SPAN_LIT("content-type: application/json\n"),
	    .body = span_of(bytes + 7, body),
	};
}

static struct span
encoded(const struct entry_new *n, uint64_t generation, struct entry_head *h)
{
	static char value[ENTRY_VALUE_MAX];

	assert_true(entry_plan(n, generation, ENTRY_COMPACT, h));
	assert_true(entry_value_size(h) <= ENTRY_VALUE_MAX);
	entry_encode(n, h, value);
	return span_of(value, entry_value_size(h));
}

static void
a_small_entry_is_one_value(void **state)
{
	struct entry_new n = entry_of(1500, 2000);
	struct entry_head h;
	struct entry_view v;

	(void)state;
	assert_true(entry_decode(encoded(&n, 77, &h), &v));
	assert_int_equal(entry_chunks(&h), 0);
	assert_int_equal(v.head.generation, 77);
	assert_memory_equal(&v.head.key, &n.key, 16);
	assert_int_equal(v.head.meta.body_size, 2000);
	assert_int_equal(v.head.meta.status, 200);
	assert_int_equal(v.head.meta.usage[2], 6);
	assert_true(span_eq(v.gateway, n.gateway) && span_eq(v.provider, n.provider) &&
	    span_eq(v.model, n.model));
	assert_true(span_eq(v.headers, n.headers));
	assert_true(span_eq(v.preimage, n.preimage));
	assert_true(span_eq(v.body, n.body));
}

static void
empty_parts_are_parts(void **state)
{
	struct entry_new n = {.meta = {.status = 204}};
	struct entry_head h;
	struct entry_view v;

	(void)state;
	assert_true(entry_decode(encoded(&n, 1, &h), &v));
	assert_int_equal(entry_chunks(&h), 0);
	assert_true(v.head.has_preimage && v.head.has_body);
	assert_int_equal(v.body.n, 0);
}

static size_t
room(void)
{
	struct entry_new n = entry_of(0, 0);
	struct entry_head h;

	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	return ENTRY_VALUE_MAX - entry_value_size(&h);
}

static void
what_does_not_fit_goes_into_chunks(void **state)
{
	struct entry_new n = entry_of(1000, room() - 1000);
	struct entry_head h;

	(void)state;
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	assert_int_equal(entry_chunks(&h), 0);
	n.body.n++;
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	assert_true(h.has_preimage && !h.has_body);
	assert_int_equal(entry_chunks(&h), 1);
	n = entry_of(room() + 1, 10);
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	assert_true(!h.has_preimage && h.has_body);
	assert_int_equal(entry_chunks(&h), 1);
	n = entry_of(2 * ENTRY_CHUNK + 1, 3 * ENTRY_CHUNK);
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	assert_int_equal(entry_preimage_chunks(&h), 3);
	assert_int_equal(entry_chunks(&h), 6);
}

static void
chunks_put_together_are_the_parts(void **state)
{
	struct entry_new n = entry_of(2 * ENTRY_CHUNK + 1, 3 * ENTRY_CHUNK);
	struct entry_head h;
	size_t done = 0;

	(void)state;
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	for (uint32_t i = 0; i < entry_chunks(&h); i++) {
		struct span chunk = entry_chunk_of(&n, &h, i);
		const char *part =
		    i < 3 ? n.preimage.p + i * ENTRY_CHUNK : n.body.p + (i - 3) * ENTRY_CHUNK;

		assert_ptr_equal(chunk.p, part);
		done += chunk.n;
	}
	assert_int_equal(done, n.preimage.n + n.body.n);
	assert_int_equal(entry_chunk_of(&n, &h, 2).n, 1);
}

static void
a_scattered_entry_takes_single_pages(void **state)
{
	struct entry_new n = entry_of(3 * ENTRY_PAGE_CHUNK, 9000);
	struct entry_head h;
	size_t done = 0;

	(void)state;
	assert_true(entry_plan(&n, 1, ENTRY_SCATTERED, &h));
	assert_true(entry_value_size(&h) <= ENTRY_PAGE_MAX);
	assert_int_equal(entry_preimage_chunks(&h), 3);
	assert_int_equal(entry_chunks(&h), 6);
	for (uint32_t i = 0; i < 6; i++) {
		struct span chunk = entry_chunk_of(&n, &h, i);

		assert_ptr_equal(chunk.p,
		    i < 3 ? n.preimage.p + i * ENTRY_PAGE_CHUNK
			  : n.body.p + (i - 3) * ENTRY_PAGE_CHUNK);
		done += chunk.n;
	}
	assert_int_equal(done, n.preimage.n + n.body.n);
	n = entry_of(ENTRY_PAGE_MAX, 0);
	assert_true(entry_plan(&n, 1, ENTRY_SCATTERED, &h));
	assert_true(!h.has_preimage && h.has_body);
	n.headers = span_of(bytes, ENTRY_HEADERS_MAX);
	assert_true(entry_plan(&n, 1, ENTRY_SCATTERED, &h));
	n.body.n = (size_t)ENTRY_CHUNKS_MAX * ENTRY_PAGE_CHUNK;
	assert_false(entry_plan(&n, 1, ENTRY_SCATTERED, &h));
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
}

/* Sealed anew, so that only the size is wrong. */
static void
a_chunk_size_of_no_version_is_damage(void **state)
{
	static char value[ENTRY_VALUE_MAX];
	struct entry_new n = entry_of(10, 10);
	struct entry_head h;
	struct entry_view v;

	(void)state;
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	h.chunk = 0;
	entry_encode(&n, &h, value);
	assert_false(entry_decode(span_of(value, entry_value_size(&h)), &v));
	h.chunk = ENTRY_PAGE_CHUNK;
	entry_encode(&n, &h, value);
	assert_true(entry_decode(span_of(value, entry_value_size(&h)), &v));
}

static void
names_and_headers_have_limits(void **state)
{
	struct entry_new n = entry_of(10, 10);
	struct entry_head h;

	(void)state;
	n.headers = span_of(bytes, ENTRY_HEADERS_MAX);
	n.gateway = n.provider = n.model = span_of(bytes, ENTRY_NAME_MAX);
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	n.headers.n++;
	assert_false(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	n.headers.n--;
	n.gateway.n++;
	assert_false(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	n.gateway.n--;
	n.model.n++;
	assert_false(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	n.model.n--;
	n.body.n = (size_t)(ENTRY_CHUNKS_MAX - 2) * ENTRY_CHUNK;
	assert_true(entry_plan(&n, 1, ENTRY_COMPACT, &h));
	n.body.n = (size_t)ENTRY_CHUNKS_MAX * ENTRY_CHUNK;
	assert_false(entry_plan(&n, 1, ENTRY_COMPACT, &h));
}

static void
every_flipped_bit_of_a_head_is_seen(void **state)
{
	struct entry_new n = entry_of(60, 70);
	struct entry_head h;
	struct entry_view v;
	struct span value = encoded(&n, 1, &h);
	char copy[1024];

	(void)state;
	memcpy(copy, value.p, value.n);
	for (size_t bit = 0; bit < value.n * 8; bit++) {
		copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
		assert_false(entry_decode(span_of(copy, value.n), &v));
		copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t shorter = 0; shorter < value.n; shorter++)
		assert_false(entry_decode(span_of(copy, shorter), &v));
	assert_true(entry_decode(span_of(copy, value.n), &v));
}

static void
every_flipped_bit_of_a_chunk_is_seen(void **state)
{
	char value[108];
	struct span out;

	(void)state;
	entry_chunk_encode(5, 3, span_of(bytes, 100), value);
	assert_true(entry_chunk_decode(5, 3, span_of(value, 108), &out));
	assert_true(span_eq(out, span_of(bytes, 100)));
	for (size_t bit = 0; bit < 108 * 8; bit++) {
		value[bit / 8] = (char)(value[bit / 8] ^ 1 << bit % 8);
		assert_false(entry_chunk_decode(5, 3, span_of(value, 108), &out));
		value[bit / 8] = (char)(value[bit / 8] ^ 1 << bit % 8);
	}
	assert_false(entry_chunk_decode(6, 3, span_of(value, 108), &out));
	assert_false(entry_chunk_decode(5, 4, span_of(value, 108), &out));
	assert_false(entry_chunk_decode(5, 3, span_of(value, 107), &out));
	assert_false(entry_chunk_decode(5, 3, span_of(value, 8), &out));
}

static void
chunk_keys_sort_by_generation_then_number(void **state)
{
	uint8_t a[ENTRY_CHUNK_KEY_SIZE], b[ENTRY_CHUNK_KEY_SIZE];

	(void)state;
	entry_chunk_key(255, 65535, a);
	entry_chunk_key(256, 0, b);
	assert_true(memcmp(a, b, sizeof(a)) < 0);
	entry_chunk_key(256, 255, a);
	assert_true(memcmp(a, b, sizeof(a)) > 0);
	entry_chunk_key(UINT64_MAX, 256, b);
	assert_true(memcmp(a, b, sizeof(a)) < 0);
	assert_true(entry_chunk_generation(b) == UINT64_MAX);
	assert_true(entry_chunk_generation(a) == 256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_small_entry_is_one_value),
	    cmocka_unit_test(empty_parts_are_parts),
	    cmocka_unit_test(what_does_not_fit_goes_into_chunks),
	    cmocka_unit_test(chunks_put_together_are_the_parts),
	    cmocka_unit_test(a_scattered_entry_takes_single_pages),
	    cmocka_unit_test(a_chunk_size_of_no_version_is_damage),
	    cmocka_unit_test(names_and_headers_have_limits),
	    cmocka_unit_test(every_flipped_bit_of_a_head_is_seen),
	    cmocka_unit_test(every_flipped_bit_of_a_chunk_is_seen),
	    cmocka_unit_test(chunk_keys_sort_by_generation_then_number),
	};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 2654435761u >> 24);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
