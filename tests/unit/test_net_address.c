#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/un.h>

#include "base/chk.h"
#include "net/address_int.h"

static void
assert_listen(const char *text, const char *want)
{
	struct address a;
	char got[ADDRESS_TEXT_SIZE];

	assert_true(address_parse_listen(span_str(text), &a));
	address_text(&a, got);
	assert_string_equal(got, want);
}

static void
listen_addresses_are_read_as_written(void **state)
{
	UNUSED(state);
	assert_listen("127.0.0.1:8787", "127.0.0.1:8787");
	assert_listen(":80", "0.0.0.0:80");
	assert_listen("localhost:0", "127.0.0.1:0");
	assert_listen("LocalHost:65535", "127.0.0.1:65535");
	assert_listen("[::1]:443", "[::1]:443");
	assert_listen("[::]:1", "[::]:1");
	assert_listen("unix:/run/postern.sock", "unix:/run/postern.sock");
}

static void
what_is_no_listen_address_is_refused(void **state)
{
	static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
	    "127.0.0.1:-1", "127.0.0.1:8787x", "127.0.0.1: 80", "example.com:80", "::1:80", "[::1]",
	    "[::1]:", "[]:80", "[127.0.0.1]:80", "[::1:80", "127.1:80", "0x7f.0.0.1:80",
	    "unix:", "unix:/", "unix:relative", "localhost", "80", "127.0.0.1:000080",
	    "[::1%lo]:80"};
	struct address a;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		if (address_parse_listen(span_str(bad[i]), &a))
			fail_msg("accepted: %s", bad[i]);
	}
	assert_false(address_parse_listen(SPAN_LIT("unix:/a\0b"), &a));
}

static void
a_unix_path_is_as_long_as_the_kernel_takes(void **state)
{
	char text[5 + 108 + 1] = "unix:/";
	struct address a;

	UNUSED(state);
	memset(text + 6, 'a', 106);
	assert_true(address_parse_listen(span_of(text, 5 + 107), &a));
	assert_int_equal(strlen(address_path(&a)), 107);
	text[5 + 107] = 'a';
	assert_false(address_parse_listen(span_of(text, 5 + 108), &a));
}

static struct address
ip(const char *text)
{
	struct address a;

	assert_true(address_parse_ip(span_str(text), 1, &a));
	return a;
}

static void
literals_are_what_inet_pton_takes(void **state)
{
	static const char *const bad[] = {"", "localhost", "127.1", "2130706433", "0177.0.0.1",
	    "127.0.0.1 ", "1.2.3.4.5", "256.0.0.1", "::1%eth0", "[::1]", "12345::", ":::"};
	struct address a;
	char text[ADDRESS_TEXT_SIZE];

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(address_parse_ip(span_str(bad[i]), 1, &a));
	assert_false(address_parse_ip(SPAN_LIT("1.2.3.4\0"), 1, &a));
	a = ip("2001:db8::1");
	address_ip_text(&a, text);
	assert_string_equal(text, "2001:db8::1");
	assert_int_equal(address_port(&a), 1);
	assert_int_equal(address_kind(&a), ADDRESS_V6);
}

static void
numbers_in_disguise_are_tricks_and_names_are_not(void **state)
{
	static const char *const tricks[] = {"0x7f.1", "2130706433", "127.1", "0177.0.0.1",
	    "0x7f000001", "127.0.0.1.", "127.0.0.01", "1.2.3.4.5", "256.256.256.256", "0X7F.0.0.1",
	    "0x", "a.1", "1.2.3", "0", "00000000000000000000000000001"};
	static const char *const names[] = {"127.0.0.1", "::1", "api.openai.com", "localhost",
	    "1.com", "0x7f.com", "a1", "1a", "x.0xg", "", ".", "a.b-1", "xn--p1ai"};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(tricks); i++) {
		if (!address_is_numeric_trick(span_str(tricks[i])))
			fail_msg("not seen: %s", tricks[i]);
	}
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (address_is_numeric_trick(span_str(names[i])))
			fail_msg("a fine name: %s", names[i]);
	}
}

static void
private_blocks_end_where_they_should(void **state)
{
	/* the last before, the first, the last, the first after */
	static const char *const edges[][4] = {
	    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
	    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
	    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
	    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
	    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
	    {NULL, "169.254.169.254", "169.254.170.2", NULL}, /* metadata of the clouds */
	    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
	    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
	    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
	    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
	    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
	    {NULL, "240.0.0.0", "255.255.255.255", NULL},
	    {NULL, "::", "::ffff:ffff", "::1:0:0"},
	    {"::fffe:ffff:ffff", "::ffff:0.0.0.0", "::ffff:0.255.255.255", "::ffff:1.0.0.0"},
	    {"::ffff:9.255.255.255", "::ffff:10.0.0.0", "::ffff:127.0.0.1", "::ffff:8.8.8.8"},
	    {NULL, "::ffff:240.0.0.0", "::ffff:255.255.255.255", "::1:0:0:0"},
	    {"64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::", "64:ff9b::ffff:ffff",
		"64:ff9b::1:0:0"},
	    {"64:ff9b:0:ffff:ffff:ffff:ffff:ffff",
		"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"},
	    {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
	    {"fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"},
	    {NULL, "fd00:ec2::254", "fd20:ce::254", NULL}, /* metadata of the clouds */
	    {"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	    {NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	    {NULL, "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	    {"2606:4700::1111", "ff02::1", "::ffff:192.168.0.1", "2a00::"},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		for (int j = 0; j < 4; j++) {
			struct address a;

			if (edges[i][j] == NULL)
				continue;
			a = ip(edges[i][j]);
			if (address_is_private(&a) != (j == 1 || j == 2))
				fail_msg("wrong: %s", edges[i][j]);
		}
	}
}

static void
loopback_is_127_and_colon_colon_one_and_unix(void **state)
{
	static const char *const yes[] = {"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"};
	static const char *const no[] = {"128.0.0.1", "10.0.0.1", "::", "::2", "::ffff:10.0.0.1"};
	struct address a;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(yes); i++) {
		a = ip(yes[i]);
		assert_true(address_is_loopback(&a));
	}
	for (size_t i = 0; i < COUNT_OF(no); i++) {
		a = ip(no[i]);
		assert_false(address_is_loopback(&a));
	}
	assert_true(address_parse_listen(SPAN_LIT("unix:/x"), &a));
	assert_true(address_is_loopback(&a) && address_is_private(&a));
	memset(&a, 0, sizeof(a)); /* never filled in */
	assert_false(address_is_loopback(&a));
}

static void
addresses_are_compared_without_their_ports(void **state)
{
	struct address a = ip("10.0.0.1"), b = ip("10.0.0.1"), c = ip("::ffff:10.0.0.1"),
		       d = ip("::1");

	UNUSED(state);
	address_set_port(&b, 99);
	assert_int_equal(address_port(&b), 99);
	assert_true(address_eq_ip(&a, &b));
	assert_true(address_eq_ip(&a, &c));
	assert_false(address_eq_ip(&a, &d));
	address_set_port(&d, 98);
	assert_int_equal(address_port(&d), 98);
}

static void
a_dual_stack_peer_is_shown_as_ipv4(void **state)
{
	struct address mapped = ip("::ffff:192.0.2.7"), a;
	char text[ADDRESS_TEXT_SIZE];

	UNUSED(state);
	assert_true(address_from_sockaddr(&a, address_sockaddr(&mapped), mapped.len));
	address_text(&a, text);
	assert_string_equal(text, "192.0.2.7:1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(listen_addresses_are_read_as_written),
	    cmocka_unit_test(what_is_no_listen_address_is_refused),
	    cmocka_unit_test(a_unix_path_is_as_long_as_the_kernel_takes),
	    cmocka_unit_test(literals_are_what_inet_pton_takes),
	    cmocka_unit_test(numbers_in_disguise_are_tricks_and_names_are_not),
	    cmocka_unit_test(private_blocks_end_where_they_should),
	    cmocka_unit_test(loopback_is_127_and_colon_colon_one_and_unix),
	    cmocka_unit_test(addresses_are_compared_without_their_ports),
	    cmocka_unit_test(a_dual_stack_peer_is_shown_as_ipv4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
