#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/chk.h"
#include "config/syntax_int.h"
#include "config/table.h"

static void
assert_fine(config_check_fn check, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_null(check(span_str(texts[i])));
}

struct wrong {
	const char *text;
	const char *starts; /* of what is said of it */
};

static void
assert_wrong(config_check_fn check, const struct wrong *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *said = check(span_str(rows[i].text));

		assert_non_null(said);
		assert_memory_equal(said, rows[i].starts, strlen(rows[i].starts));
		assert_non_null(strchr(said, ';')); /* the mend */
	}
}

/* n times c, to be freed. */
static char *
repeat(const char *head, char c, size_t n)
{
	char *s = xmalloc(strlen(head) + n + 1);

	memcpy(s, head, strlen(head));
	memset(s + strlen(head), c, n);
	s[strlen(head) + n] = '\0';
	return s;
}

static void
assert_longest(config_check_fn check, const char *head, size_t most)
{
	char *fits = repeat(head, 'a', most - strlen(head)),
	     *over = repeat(head, 'a', most - strlen(head) + 1);

	assert_null(check(span_str(fits)));
	assert_non_null(check(span_str(over)));
	free(fits);
	free(over);
}

static void
addresses_have_four_forms(void **state)
{
	static const char *const fine[] = {"127.0.0.1:8787", "0.0.0.0:0", "localhost:80",
	    "LOCALHOST:65535", ":443", ":0", "[::1]:80", "[::]:0", "[::ffff:1.2.3.4]:1",
	    "unix:/run/postern.sock", "unix:/a"};
	static const struct wrong wrong[] = {
	    {"", "has no port"},
	    {"127.0.0.1", "has no port"},
	    {"[::1]", "has no port"},
	    {"8787", "has no port"},
	    {"127.0.0.1:", "has a port"},
	    {":65536", "has a port"},
	    {":-1", "has a port"},
	    {":8o", "has a port"},
	    {": 80", "has a port"},
	    {"::1:80", "has a host"},
	    {"example.com:80", "has a host"},
	    {"127.1:80", "has a host"},
	    {"0x7f.0.0.1:80", "has a host"},
	    {"2130706433:80", "has a host"},
	    {"127.0.0.256:80", "has a host"},
	    {" 127.0.0.1:80", "has a host"},
	    {"[127.0.0.1]:80", "has no IPv6 address"},
	    {"[::1%lo]:80", "has no IPv6 address"},
	    {"[::g]:80", "has no IPv6 address"},
	    {"[]:80", "has a host"},
	    {"http://127.0.0.1:80", "has a host"},
	    {"unix:", "has no absolute path"},
	    {"unix:/", "has no absolute path"},
	    {"unix:run/s", "has no absolute path"},
	    {"unix:@s", "has no absolute path"},
	};

	(void)state;
	assert_fine(syntax_address, fine, COUNT_OF(fine));
	assert_wrong(syntax_address, wrong, COUNT_OF(wrong));
	assert_longest(syntax_address, "unix:/", 5 + 107);
	assert_non_null(syntax_address(span_of("127.0.0.1\0:80", 13)));
}

static void
local_is_loopback_or_unix(void **state)
{
	static const char *const local[] = {
	    "127.0.0.1:1", "127.255.0.9:1", "localhost:1", "[::1]:1", "[0:0::1]:1", "unix:/s"};
	static const char *const open[] = {":1", "0.0.0.0:1", "10.0.0.1:1", "128.0.0.1:1", "[::]:1",
	    "[::2]:1", "[::ffff:127.0.0.1]:1", "192.168.1.1:1"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(local); i++)
		assert_true(syntax_address_is_local(span_str(local[i])));
	for (size_t i = 0; i < COUNT_OF(open); i++)
		assert_false(syntax_address_is_local(span_str(open[i])));
}

static void
the_same_address_has_many_spellings(void **state)
{
	static const char *const same[][2] = {{":1", "0.0.0.0:1"}, {"localhost:1", "127.0.0.1:1"},
	    {"[::1]:1", "[0:0:0::1]:01"}, {"unix:/a", "unix:/a"}};
	static const char *const other[][2] = {{":1", ":2"}, {"127.0.0.1:1", "127.0.0.2:1"},
	    {"[::]:1", "0.0.0.0:1"}, {"unix:/a", "unix:/b"}, {"unix:/a", ":1"}, {"x", "x"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(same); i++)
		assert_true(syntax_address_is_same(span_str(same[i][0]), span_str(same[i][1])));
	for (size_t i = 0; i < COUNT_OF(other); i++)
		assert_false(syntax_address_is_same(span_str(other[i][0]), span_str(other[i][1])));
}

static void
base_urls_are_origin_and_path(void **state)
{
	static const char *const fine[] = {"http://h", "https://api.openai.com/v1",
	    "http://127.0.0.1:9000/v1", "https://h:1/", "https://h:65535", "http://[::1]:80/a/b/",
	    "http://[fd00::1]", "http://10.0.0.1", "https://a_b.example/x%20y/~z",
	    "http://llm.corp.example/v1", "https://h/a//b"};
	static const struct wrong wrong[] = {
	    {"", "does not begin with"},
	    {"h/v1", "does not begin with"},
	    {"ftp://h", "does not begin with"},
	    {"HTTPS://h", "does not begin with"},
	    {"https:/h", "does not begin with"},
	    {"https://", "has no valid host"},
	    {"https:///v1", "has no valid host"},
	    {"https://:80", "has no valid host"},
	    {"https://a b", "has no valid host"},
	    {"https://.h", "has no valid host"},
	    {"https://a..b", "has no valid host"},
	    {"https://{region}.example", "has no valid host"},
	    {"https://h\\x", "has no valid host"},
	    {"https://[::1", "has no IPv6 address"},
	    {"https://[h]", "has no IPv6 address"},
	    {"https://[::1]x", "has a port"},
	    {"https://h:", "has a port"},
	    {"https://h:0", "has a port"},
	    {"https://h:65536", "has a port"},
	    {"https://h:80x", "has a port"},
	    {"https://u@h", "has a user"},
	    {"https://u:p@h/v1", "has a user"},
	    {"https://h?x", "has a query"},
	    {"https://h/v1?key=x", "has a query"},
	    {"https://h/v1#x", "has a query"},
	    {"https://h/a b", "has characters in its path"},
	    {"https://h/\xc3\xa4", "has characters in its path"},
	    {"https://h/{x}", "has characters in its path"},
	    {"https://h/../x", "has '.' or '..'"},
	    {"https://h/a/.", "has '.' or '..'"},
	};

	(void)state;
	assert_fine(syntax_base_url, fine, COUNT_OF(fine));
	assert_wrong(syntax_base_url, wrong, COUNT_OF(wrong));
	assert_longest(syntax_base_url, "https://", 8 + 253);
}

static void
names_have_their_letters_and_lengths(void **state)
{
	static const char *const gateways[] = {"default", "gw", "my.gw", "A_1-b", "9"};
	static const struct wrong bad_gateways[] = {{"", "is not"}, {".", "is not"},
	    {"-a", "is not"}, {"a/b", "is not"}, {"a b", "is not"}, {"\xc3\xa4", "is not"}};
	static const char *const slugs[] = {"openai", "x", "my-own_1", "1a"};
	static const struct wrong bad_slugs[] = {{"", "is not"},
	    {"OpenAI", "is not a name of a provider; use small"}, {"a.b", "is not"},
	    {"-a", "is not"}, {"_a", "is not"}, {"v1", "is a path"}, {"compat", "is a path"},
	    {"client", "is a path"}};
	static const char *const hosts[] = {"gateway.example.com", "a", "10.0.0.1", "my_host"};
	static const struct wrong bad_hosts[] = {
	    {"a:80", "has a value"}, {"a/b", "has a value"}, {"[::1]", "has a value"}};

	(void)state;
	assert_fine(syntax_gateway_name, gateways, COUNT_OF(gateways));
	assert_wrong(syntax_gateway_name, bad_gateways, COUNT_OF(bad_gateways));
	assert_longest(syntax_gateway_name, "", 64);
	assert_fine(syntax_provider_slug, slugs, COUNT_OF(slugs));
	assert_wrong(syntax_provider_slug, bad_slugs, COUNT_OF(bad_slugs));
	assert_longest(syntax_provider_slug, "", 63);
	assert_fine(syntax_host, hosts, COUNT_OF(hosts));
	assert_wrong(syntax_host, bad_hosts, COUNT_OF(bad_hosts));
	assert_longest(syntax_host, "", 253);
}

static void
paths_are_expanded_by_no_shell(void **state)
{
	static const char *const fine[] = {"/", "/a b", "relative", "/a~"};
	static const struct wrong wrong[] = {{"~", "begins with '~'"}, {"~/d", "begins with '~'"}};

	(void)state;
	assert_fine(syntax_path, fine, COUNT_OF(fine));
	assert_wrong(syntax_path, wrong, COUNT_OF(wrong));
	assert_longest(syntax_path, "/", 4096);
}

static void
text_is_utf8_that_yaml_can_say_back(void **state)
{
	static const char *const fine[] = {"a", " ", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
	    "\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
	static const struct wrong wrong[] = {
	    {"", "is empty"},
	    {"\t", "has a line break"},
	    {"a\n", "has a line break"},
	    {"\x7f", "has a line break"},
	    {"\xc2\x85", "has a line break"},
	    {"\xe2\x80\xa8", "has a line break"},
	    {"\xe2\x80\xa9", "has a line break"},
	    {"\xef\xbb\xbf", "has a line break"},
	    {"\xef\xbf\xbf", "has a line break"},
	    {"\x80", "is not UTF-8"},
	    {"\xc3", "is not UTF-8"},
	    {"\xc0\x80", "is not UTF-8"},
	    {"\xc1\xbf", "is not UTF-8"},
	    {"\xe0\x9f\xbf", "is not UTF-8"},
	    {"\xed\xa0\x80", "is not UTF-8"},
	    {"\xf0\x8f\xbf\xbf", "is not UTF-8"},
	    {"\xf4\x90\x80\x80", "is not UTF-8"},
	    {"\xf5\x80\x80\x80", "is not UTF-8"},
	    {"\xe2\x82x", "is not UTF-8"},
	};

	(void)state;
	assert_fine(syntax_text, fine, COUNT_OF(fine));
	assert_wrong(syntax_text, wrong, COUNT_OF(wrong));
	assert_non_null(syntax_text(span_of("a\0b", 3)));
}

static void
networks_are_addresses_and_blocks_in_their_shortest_form(void **state)
{
	static const char *const fine[] = {"unix", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.1",
	    "192.0.2.1/32", "::1", "::/0", "fd00::/8", "2001:db8::1/128", "::ffff:0:0:0/80"};
	static const struct wrong bad[] = {
	    {"", "has an item that is no address"},
	    {"proxy.example", "has an item that is no address"},
	    {"10.0.0/8", "has an item that is no address"},
	    {"127.1", "has an item that is no address"},
	    {"/8", "has an item that is no address"},
	    {"unix:/s", "has an item that is no address"},
	    {"10.0.0.0/", "has a block whose length"},
	    {"10.0.0.0/33", "has a block whose length"},
	    {"10.0.0.0/-1", "has a block whose length"},
	    {"10.0.0.0/8 ", "has a block whose length"},
	    {"::/129", "has a block whose length"},
	    {"10.0.0.1/8", "has a block with bits set"},
	    {"10.128.0.0/8", "has a block with bits set"},
	    {"fd00::1/64", "has a block with bits set"},
	    {"::ffff:10.0.0.1", "has an IPv4 address inside IPv6"},
	};
	(void)state;
	assert_fine(syntax_network, fine, COUNT_OF(fine));
	assert_wrong(syntax_network, bad, COUNT_OF(bad));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(networks_are_addresses_and_blocks_in_their_shortest_form),
	    cmocka_unit_test(addresses_have_four_forms),
	    cmocka_unit_test(local_is_loopback_or_unix),
	    cmocka_unit_test(the_same_address_has_many_spellings),
	    cmocka_unit_test(base_urls_are_origin_and_path),
	    cmocka_unit_test(names_have_their_letters_and_lengths),
	    cmocka_unit_test(paths_are_expanded_by_no_shell),
	    cmocka_unit_test(text_is_utf8_that_yaml_can_say_back),
	};

	return cmocka_run_group_tests_name("config syntax", tests, NULL, NULL);
}
