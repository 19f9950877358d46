#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/chk.h"
#include "base/id.h"

#define T0 INT64_C(1763844194123)

static const uint8_t seed[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void
assert_after(const struct id *a, const struct id *b)
{
	assert_true(memcmp(a->b, b->b, ID_BYTES) > 0);
}

static void
an_id_has_time_version_and_variant_of_rfc_9562(void **state)
{
	struct id_source s;
	struct id id;
	char text[ID_TEXT_SIZE];

	(void)state;
	id_source_init(&s, seed, NULL);
	id = id_new(&s, T0);
	assert_int_equal(id_wall_ms(&id), T0);
	assert_int_equal(id.b[6] >> 4, 7);
	assert_int_equal(id.b[8] >> 6, 2);
	id_text(&id, text);
	assert_int_equal(strlen(text), 36);
	assert_memory_equal(text, "019aad4e-7f4b-7", 15);
}

static void
ids_of_one_millisecond_increase(void **state)
{
	struct id_source s;
	struct id last, id;

	(void)state;
	id_source_init(&s, seed, NULL);
	last = id_new(&s, T0);
	for (int i = 0; i < 100000; i++, last = id) {
		id = id_new(&s, T0);
		assert_after(&id, &last);
		assert_int_equal(id_wall_ms(&id), T0);
	}
}

static void
ids_increase_when_the_clock_goes_back(void **state)
{
	struct id_source s;
	struct id last, id;

	(void)state;
	id_source_init(&s, seed, NULL);
	last = id_new(&s, T0);
	for (int i = 0; i < 1000; i++, last = id) {
		id = id_new(&s, T0 - 3600000 + i * 7200);
		assert_after(&id, &last);
	}
	id = id_new(&s, -1);
	assert_after(&id, &last);
}

static void
an_exhausted_counter_borrows_from_the_next_millisecond(void **state)
{
	struct id_source s;
	struct id last, id;

	(void)state;
	id_source_init(&s, seed, NULL);
	last = id_new(&s, T0);
	s.counter = UINT32_MAX - 1;
	id = id_new(&s, T0);
	assert_after(&id, &last);
	assert_int_equal(id_wall_ms(&id), T0);
	last = id;
	id = id_new(&s, T0);
	assert_after(&id, &last);
	assert_int_equal(id_wall_ms(&id), T0 + 1);
}

static void
after_a_restart_ids_go_on_above_the_floor(void **state)
{
	static const char *const floors[] = {"019aad4e-7f4b-7000-8000-000000000000",
	    "019aad4e-7f4b-7fff-bfff-ffffffffffff", "ffffffff-0000-7fff-bfff-fbffffffffff"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(floors); i++) {
		struct id_source s;
		struct id floor, id;

		assert_true(id_parse(span_str(floors[i]), &floor));
		id_source_init(&s, seed, &floor);
		id = id_new(&s, T0 - 1000);
		assert_after(&id, &floor);
		id_source_init(&s, seed, &floor);
		id = id_new(&s, T0);
		assert_after(&id, &floor);
	}
}

static void
sources_with_different_seeds_give_different_ids(void **state)
{
	uint8_t other[16] = {9};
	struct id_source a, b;
	struct id x, y;

	(void)state;
	id_source_init(&a, seed, NULL);
	id_source_init(&b, other, NULL);
	x = id_new(&a, T0);
	y = id_new(&b, T0);
	assert_memory_not_equal(x.b, y.b, ID_BYTES);
}

static void
text_is_read_back_in_either_case(void **state)
{
	char text[ID_TEXT_SIZE];
	struct id id;

	(void)state;
	assert_true(id_parse(SPAN_LIT("019AAD42-8F8B-7ABC-9DEF-0123456789ab"), &id));
	id_text(&id, text);
	assert_string_equal(text, "019aad42-8f8b-7abc-9def-0123456789ab");
}

static void
what_is_not_a_uuid_is_refused(void **state)
{
	static const char *const bad[] = {"", "019aad42", "019aad42-8f8b-7abc-9def-0123456789a",
	    "019aad42-8f8b-7abc-9def-0123456789abc", "019aad42-8f8b-7abc-9def-0123456789ag",
	    "019aad4208f8b-7abc-9def-0123456789ab", "019aad428f8b7abc9def0123456789abcdef",
	    "019aad42-8f8b-7abc-9def-0123456-89ab", "019aad4-28f8b-7abc-9def-0123456789ab",
	    "019aad42-8f8b-7abc-9def-01234567-9ab", "------------------------------------"};
	struct id id = {{0}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(id_parse(span_str(bad[i]), &id));
	assert_int_equal(id.b[0], 0);
}

static void
the_floor_of_a_millisecond_is_below_all_its_ids_and_above_the_last(void **state)
{
	struct id_source s;
	struct id floor = id_floor_at(T0), id;

	(void)state;
	id_source_init(&s, seed, NULL);
	id = id_new(&s, T0 - 1);
	s.counter = UINT32_MAX - 1;
	id = id_new(&s, T0 - 1);
	assert_after(&floor, &id);
	id = id_new(&s, T0);
	assert_after(&id, &floor);
	assert_int_equal(id_wall_ms(&floor), T0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_id_has_time_version_and_variant_of_rfc_9562),
	    cmocka_unit_test(ids_of_one_millisecond_increase),
	    cmocka_unit_test(ids_increase_when_the_clock_goes_back),
	    cmocka_unit_test(an_exhausted_counter_borrows_from_the_next_millisecond),
	    cmocka_unit_test(after_a_restart_ids_go_on_above_the_floor),
	    cmocka_unit_test(sources_with_different_seeds_give_different_ids),
	    cmocka_unit_test(text_is_read_back_in_either_case),
	    cmocka_unit_test(what_is_not_a_uuid_is_refused),
	    cmocka_unit_test(the_floor_of_a_millisecond_is_below_all_its_ids_and_above_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
