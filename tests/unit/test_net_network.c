#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/chk.h"
#include "config/syntax_int.h"
#include "net/network.h"

static struct network
network(const char *text)
{
	struct network n;

	if (!network_parse(span_str(text), &n))
		fail_msg("not read: %s", text);
	return n;
}

static struct address
ip(const char *text)
{
	struct address a;

	assert_true(address_parse_ip(span_str(text), 80, &a));
	return a;
}

static bool
has(const char *block, const char *address)
{
	struct network n = network(block);
	struct address a = ip(address);

	return network_has(&n, &a);
}

/* A block, and the last address before it, its first, its last, the first behind it. */
static void
a_block_ends_where_its_bits_say(void **state)
{
	static const char *const rows[][5] = {
	    {"10.0.0.0/8", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
	    {"192.0.2.128/25", "192.0.2.127", "192.0.2.128", "192.0.2.255", "192.0.3.0"},
	    {"192.0.2.4/30", "192.0.2.3", "192.0.2.4", "192.0.2.7", "192.0.2.8"},
	    {"192.0.2.7", "192.0.2.6", "192.0.2.7", "192.0.2.7", "192.0.2.8"},
	    {"0.0.0.0/0", NULL, "0.0.0.0", "255.255.255.255", NULL},
	    {"fd00::/8", "fcff::", "fd00::", "fdff:ffff::", "fe00::"},
	    {"2001:db8::/33",
		"2001:db7:ffff::", "2001:db8::", "2001:db8:7fff::", "2001:db8:8000::"},
	    {"::1", "::", "::1", "::1", "::2"},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (int j = 1; j < 5; j++)
			if (rows[i][j] != NULL && has(rows[i][0], rows[i][j]) != (j == 2 || j == 3))
				fail_msg("%s, %s", rows[i][0], rows[i][j]);
}

static void
the_families_are_kept_apart_and_mapped_addresses_are_ipv4(void **state)
{
	struct network any4 = network("0.0.0.0/0"), any6 = network("::/0");
	struct address mapped = ip("::ffff:10.0.0.1"), unix_socket;

	UNUSED(state);
	assert_true(network_has(&any4, &mapped));
	assert_false(network_has(&any6, &mapped));
	assert_false(has("::/0", "10.0.0.1"));
	assert_false(has("0.0.0.0/0", "::1"));
	assert_true(address_parse_listen(SPAN_LIT("unix:/s"), &unix_socket));
	assert_false(network_has(&any4, &unix_socket));
	assert_false(network_has(&any6, &unix_socket));
}

static void
the_network_of_an_address_forgets_what_is_behind_its_bits(void **state)
{
	struct address a = ip("2001:db8::1"), b = ip("2001:db8::ffff:0:0:9"),
		       c = ip("2001:db8:0:1::1");
	struct network na = network_of(&a, 32, 64), nb = network_of(&b, 32, 64),
		       nc = network_of(&c, 32, 64);

	UNUSED(state);
	assert_memory_equal(&na, &nb, sizeof(na));
	assert_memory_not_equal(&na, &nc, sizeof(na));
}

/* The configuration's check and this reader must take the same, or a configuration that passes does not start. */
static void
what_the_configuration_takes_is_read_and_nothing_else(void **state)
{
	static const char *const texts[] = {"10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "::/0",
	    "::/129", "::1", "1.2.3.4", "", "/", "/8", "10.0.0.0/", "x/8", "10.0.0.0/08",
	    "10.0.0.0/008", "10.0.0.0/0008", "::ffff:1.2.3.4", "::ffff:0:0/96", "::fffe:0:0/96",
	    "127.1", "10.0.0.0/8 ", " ::1", "fd00::/8/8", "[::1]", "1.2.3.4:80"};
	struct network n;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (network_parse(span_str(texts[i]), &n) !=
		    (syntax_network(span_str(texts[i])) == NULL))
			fail_msg("%s", texts[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_block_ends_where_its_bits_say),
	    cmocka_unit_test(the_families_are_kept_apart_and_mapped_addresses_are_ipv4),
	    cmocka_unit_test(the_network_of_an_address_forgets_what_is_behind_its_bits),
	    cmocka_unit_test(what_the_configuration_takes_is_read_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
