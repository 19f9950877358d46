#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>

#include "http/message.h"

static void
every_known_name_is_found_in_any_case(void **state)
{
	char text[64];

	(void)state;
	for (unsigned id = H_OTHER + 1; id < H_COUNT; id++) {
		struct span name = header_name(id);

		assert_true(name.n > 0 && name.n < sizeof(text));
		assert_int_equal(header_id_of(name), id);
		for (size_t i = 0; i < name.n; i++)
			text[i] = (char)toupper(name.p[i]);
		assert_int_equal(header_id_of(span_of(text, name.n)), id);
	}
}

static void
a_name_is_known_only_whole(void **state)
{
	char text[64];

	(void)state;
	for (unsigned id = H_OTHER + 1; id < H_COUNT; id++) {
		struct span name = header_name(id);

		memcpy(text, name.p, name.n);
		text[name.n] = 'x';
		assert_int_not_equal(
		    header_id_of(span_of(text, name.n + 1)), id == H_CF_AIG_ANY ? 0 : id);
		assert_int_not_equal(header_id_of(span_of(text, name.n - 1)), id);
		text[0] ^= 0x40; /* another byte that only a sloppy fold takes for the same */
		assert_int_not_equal(header_id_of(span_of(text, name.n)), id);
	}
	assert_int_equal(header_id_of(SPAN_NONE), H_OTHER);
	assert_int_equal(header_id_of(SPAN_LIT("x-stainless-lang")), H_OTHER);
	assert_int_equal(header_id_of(SPAN_LIT("content\rlength")), H_OTHER);
	assert_int_equal(header_id_of(SPAN_LIT("content_length")), H_OTHER);
}

/* Whatever byte stands in its place: names are compared eight bytes at a time. */
static void
a_name_with_another_byte_is_another_name(void **state)
{
	char text[64];

	(void)state;
	for (unsigned id = H_OTHER + 1; id < H_COUNT; id++) {
		struct span name = header_name(id);

		memcpy(text, name.p, name.n);
		for (size_t i = 0; i < name.n * 256; i++) {
			char own = text[i / 256], other = (char)i;

			text[i / 256] = other;
			if (other == own || other == toupper(own))
				assert_int_equal(header_id_of(span_of(text, name.n)), id);
			else
				assert_int_not_equal(header_id_of(span_of(text, name.n)), id);
			text[i / 256] = own;
		}
	}
}

static void
names_of_the_family_cf_aig_are_known_as_such(void **state)
{
	(void)state;
	assert_int_equal(header_id_of(SPAN_LIT("CF-AIG-Cache-TTL")), H_CF_AIG_CACHE_TTL);
	assert_int_equal(header_id_of(SPAN_LIT("cf-aig-something-new")), H_CF_AIG_ANY);
	assert_int_equal(header_id_of(SPAN_LIT("Cf-Aig-x")), H_CF_AIG_ANY);
	assert_int_equal(header_id_of(SPAN_LIT("cf-ai")), H_OTHER);
	assert_int_equal(header_id_of(SPAN_LIT("xcf-aig-x")), H_OTHER);
}

/* As header_id_of says it is: letter by letter. */
static enum header_id
id_by_reading(struct span name)
{
	for (enum header_id id = 1; id < H_CF_AIG_ANY; id++)
		if (span_eq_nocase(name, header_name(id)))
			return id;
	return span_starts_nocase(name, SPAN_LIT("cf-aig-")) ? H_CF_AIG_ANY : H_OTHER;
}

static void
any_byte_at_any_place_of_a_name_counts(void **state)
{
	char name[64];

	(void)state;
	for (enum header_id id = 1; id < H_COUNT; id++) {
		struct span known = header_name(id);
		for (size_t at = 0; at < known.n; at++)
			for (int c = 0; c < 256; c++) {
				memcpy(name, known.p, known.n);
				name[at] = (char)c;
				struct span s = span_of(name, known.n);
				assert_int_equal(header_id_of(s), id_by_reading(s));
			}
	}
	for (size_t n = 0; n <= sizeof(name); n++) {
		memset(name, 'A', sizeof(name));
		assert_int_equal(header_id_of(span_of(name, n)), H_OTHER);
	}
}

/* Those of which 64 lie between share a bit. */
static void
no_field_hides_another(void **state)
{
	struct arena a;

	(void)state;
	for (enum header_id there = 1; there < H_CF_AIG_ANY; there++) {
		struct headers h = {0};

		arena_init(&a, 1 << 16);
		assert_true(headers_add(&h, &a, header_name(there), SPAN_LIT("x")));
		for (enum header_id id = 1; id < H_COUNT; id++) {
			assert_int_equal(headers_find(&h, id) != NULL, id == there);
			assert_int_equal(headers_has_token(&h, id, SPAN_LIT("x")), id == there);
		}
		arena_fini(&a);
	}
}

static void
fields_are_found_counted_and_kept_in_order(void **state)
{
	struct headers h = {0};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_null(headers_find(&h, H_HOST));
	assert_null(headers_value(&h, H_HOST).p);
	assert_true(headers_add(&h, &a, SPAN_LIT("Accept"), SPAN_LIT("a")));
	assert_true(headers_add(&h, &a, SPAN_LIT("X-Other"), SPAN_LIT("b")));
	assert_true(headers_add(&h, &a, SPAN_LIT("ACCEPT"), SPAN_LIT("")));
	assert_int_equal(headers_count(&h, H_ACCEPT), 2);
	assert_int_equal(headers_count(&h, H_HOST), 0);
	assert_ptr_equal(headers_find(&h, H_ACCEPT), &h.items[0]);
	assert_true(span_eq(headers_value(&h, H_ACCEPT), SPAN_LIT("a")));
	assert_true(span_eq(h.items[2].name, SPAN_LIT("ACCEPT")));
	assert_non_null(h.items[2].value.p); /* empty is not absent */
	arena_fini(&a);
}

static void
adding_grows_until_the_arena_is_full(void **state)
{
	struct headers h = {0};
	struct arena a;

	(void)state;
	arena_init(&a, 100 * sizeof(struct header));
	while (headers_add(&h, &a, SPAN_LIT("name"), SPAN_LIT("value")))
		assert_true(h.n < 1000);
	assert_true(h.n >= 24);
	for (size_t i = 0; i < h.n; i++)
		assert_true(span_eq(h.items[i].name, SPAN_LIT("name")));
	arena_fini(&a);
}

static void
a_token_is_found_in_any_field_of_the_name(void **state)
{
	struct headers h = {0};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_true(headers_add(&h, &a, SPAN_LIT("Connection"), SPAN_LIT("a, ,Keep-Alive\t ,b")));
	assert_true(headers_add(&h, &a, SPAN_LIT("Upgrade"), SPAN_LIT("x")));
	assert_true(headers_add(&h, &a, SPAN_LIT("connection"), SPAN_LIT("CLOSE")));
	assert_true(headers_has_token(&h, H_CONNECTION, SPAN_LIT("keep-alive")));
	assert_true(headers_has_token(&h, H_CONNECTION, SPAN_LIT("close")));
	assert_true(headers_has_token(&h, H_CONNECTION, SPAN_LIT("B")));
	assert_false(headers_has_token(&h, H_CONNECTION, SPAN_LIT("x")));
	assert_false(headers_has_token(&h, H_CONNECTION, SPAN_LIT("keep")));
	assert_false(headers_has_token(&h, H_CONNECTION, SPAN_LIT("keep-alive-x")));
	assert_false(headers_has_token(&h, H_ACCEPT, SPAN_LIT("a")));
	arena_fini(&a);
}

static void
a_websocket_is_asked_for_by_a_plain_get(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	struct request_head good = {.method = METHOD_GET, .minor = 1, .is_upgrade = true}, bad;
	assert_false(request_is_websocket(&good));
	assert_true(headers_add(&good.headers, &a, SPAN_LIT("Upgrade"), SPAN_LIT("h2c")));
	assert_false(request_is_websocket(&good));
	assert_true(headers_add(&good.headers, &a, SPAN_LIT("Upgrade"), SPAN_LIT("x, WebSocket")));
	assert_true(request_is_websocket(&good));
	bad = good;
	bad.is_upgrade = false;
	assert_false(request_is_websocket(&bad));
	bad = good;
	bad.method = METHOD_POST;
	assert_false(request_is_websocket(&bad));
	bad = good;
	bad.framing = BODY_LENGTH;
	assert_false(request_is_websocket(&bad));
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_known_name_is_found_in_any_case),
	    cmocka_unit_test(a_name_is_known_only_whole),
	    cmocka_unit_test(a_name_with_another_byte_is_another_name),
	    cmocka_unit_test(names_of_the_family_cf_aig_are_known_as_such),
	    cmocka_unit_test(any_byte_at_any_place_of_a_name_counts),
	    cmocka_unit_test(no_field_hides_another),
	    cmocka_unit_test(fields_are_found_counted_and_kept_in_order),
	    cmocka_unit_test(adding_grows_until_the_arena_is_full),
	    cmocka_unit_test(a_token_is_found_in_any_field_of_the_name),
	    cmocka_unit_test(a_websocket_is_asked_for_by_a_plain_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
