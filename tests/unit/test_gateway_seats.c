#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/chk.h"
#include "cache/preimage.h"
#include "gateway/seats.h"

static struct cache_keys *keys;
static struct seats seats;

static int
begin(void **state)
{
	static const uint8_t key[32] = {1};
	(void)state;
	keys = cache_keys_new(key, key);
	seats_init(&seats, keys);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	seats_fini(&seats);
	cache_keys_free(keys);
	return 0;
}

static struct seat *
take(const char *ip, uint64_t most)
{
	struct address a;
	assert_true(address_parse_ip(span_str(ip), 4711, &a));
	return seats_take(&seats, &a, most);
}

static void
an_address_has_so_many_and_no_more(void **state)
{
	struct seat *a[3];
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_non_null(a[i] = take("192.0.2.1", 3));
	assert_null(take("192.0.2.1", 3));
	assert_null(take("::ffff:192.0.2.1", 3)); /* the same, in other clothes */
	struct seat *other = take("192.0.2.2", 3);
	assert_non_null(other);
	seats_leave(&seats, a[0]);
	assert_non_null(a[0] = take("192.0.2.1", 3));
	assert_null(take("192.0.2.1", 3));
	for (int i = 0; i < 3; i++)
		seats_leave(&seats, a[i]);
	seats_leave(&seats, other);
	assert_int_equal(seats.map.count, 0);
}

static void
a_limit_that_was_lowered_lets_nobody_in_before_enough_have_left(void **state)
{
	struct seat *a = take("192.0.2.1", 2), *b = take("192.0.2.1", 2);
	(void)state;
	assert_null(take("192.0.2.1", 1));
	seats_leave(&seats, a);
	assert_null(take("192.0.2.1", 1));
	seats_leave(&seats, b);
	assert_non_null(a = take("192.0.2.1", 1));
	seats_leave(&seats, a);
	assert_int_equal(seats.map.count, 0);
}

static void
a_network_of_64_bits_is_one_address(void **state)
{
	struct seat *a = take("2001:db8::1", 2), *b = take("2001:db8::ffff:ffff:ffff:ffff", 2);
	(void)state;
	assert_ptr_equal(a, b);
	assert_null(take("2001:db8::2", 2));
	struct seat *c = take("2001:db8:0:1::1", 2);
	assert_non_null(c);
	seats_leave(&seats, a);
	seats_leave(&seats, b);
	seats_leave(&seats, c);
	assert_int_equal(seats.map.count, 0);
}

static void
ten_thousand_addresses_are_kept_apart(void **state)
{
	static struct seat *all[10000];
	char ip[32];
	(void)state;
	for (int i = 0; i < 10000; i++) {
		snprintf(ip, sizeof(ip), "10.0.%d.%d", i / 256, i % 256);
		assert_non_null(all[i] = take(ip, 1));
	}
	assert_int_equal(seats.map.count, 10000);
	assert_null(take("10.0.39.15", 1));
	for (int i = 0; i < 10000; i++)
		seats_leave(&seats, all[i]);
	assert_int_equal(seats.map.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_address_has_so_many_and_no_more),
	    cmocka_unit_test(a_limit_that_was_lowered_lets_nobody_in_before_enough_have_left),
	    cmocka_unit_test(a_network_of_64_bits_is_one_address),
	    cmocka_unit_test(ten_thousand_addresses_are_kept_apart),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
