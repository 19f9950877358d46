/*
 * The input is an address or a name. What is read is written the same way it would be read again; an
 * address is never a trick; IPv4 is judged alike in and out of IPv6's clothes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/chk.h"
#include "net/address.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);

	check_listen(in);
	check_ip(in);
	(void)address_is_numeric_trick(in);
	return 0;
}
