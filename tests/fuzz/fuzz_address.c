/*
 * The input is an address or a name. What is read is written the same way it would be read again; an
 * address is never a trick; IPv4 is judged alike in and out of IPv6's clothes. A block is one for the
 * configuration too, and holds its own first address. As what a proxy tells of its client the input names an
 * address or nobody, and whom a proxy of ours appends to it is always believed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/chk.h"
#include "config/syntax_int.h"
#include "gateway/trust.h"
#include "net/address.h"
#include "net/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_listen(struct span in)
{
	char text[ADDRESS_TEXT_SIZE], again[ADDRESS_TEXT_SIZE];
	struct address a, b;

	if (!address_parse_listen(in, &a))
		return;
	address_text(&a, text);
	CHK(address_parse_listen(span_str(text), &b));
	address_text(&b, again);
	CHK(strcmp(text, again) == 0 && address_eq_ip(&a, &b));
	CHK(address_port(&a) == address_port(&b) && address_kind(&a) == address_kind(&b));
}

static void
check_ip(struct span in)
{
	char text[ADDRESS_TEXT_SIZE], mapped[ADDRESS_TEXT_SIZE + 8];
	struct address a, b;

	if (!address_parse_ip(in, 80, &a))
		return;
	CHK(!address_is_numeric_trick(in));
	CHK(!address_is_loopback(&a) || address_is_private(&a));
	if (address_kind(&a) != ADDRESS_V4)
		return;
	address_ip_text(&a, text);
	snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
	CHK(address_parse_ip(span_str(mapped), 80, &b) && address_eq_ip(&a, &b));
	CHK(address_is_private(&a) == address_is_private(&b));
	CHK(address_is_loopback(&a) == address_is_loopback(&b));
}

static void
check_network(struct span in)
{
	struct network n;
	struct address a;
	bool is_one = network_parse(in, &n);

	CHK(is_one == (syntax_network(in) == NULL && !span_eq(in, SPAN_LIT("unix"))));
	if (is_one) {
		CHK(address_parse_ip(span_head(in, span_find(in, '/')), 0, &a));
		CHK(network_has(&n, &a));
	}
}

static void
check_forwarded(struct span in)
{
	static char proxies[] = "10.0.0.0/8";
	char *const list[] = {proxies, NULL};
	const char *wrong;
	struct trust *t = trust_new(list, &wrong);
	struct address client, real;
	struct header items[2] = {{.value = in, .id = H_X_FORWARDED_FOR},
	    {.value = SPAN_LIT("192.0.2.1, 10.0.0.1"), .id = H_X_FORWARDED_FOR}};

	CHK(t != NULL && address_parse_ip(SPAN_LIT("192.0.2.1"), 0, &real));
	for (int i = 0; i < 2; i++) {
		(void)trust_client(t, &(struct headers){.items = items, .n = 1}, &client);
		CHK(trust_client(t, &(struct headers){.items = items, .n = 2}, &client));
		CHK(address_eq_ip(&client, &real));
		items[0].id = items[1].id = H_FORWARDED;
		items[1].value = SPAN_LIT("for=192.0.2.1;proto=http, For=\"10.0.0.1:80\"");
	}
	trust_free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);

	check_listen(in);
	check_ip(in);
	check_network(in);
	check_forwarded(in);
	(void)address_is_numeric_trick(in);
	return 0;
}
