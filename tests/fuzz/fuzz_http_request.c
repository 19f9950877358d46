/* Requests: the same events in any pieces, nothing behind a message is used, what our writer makes of
 * them reads back the same, and what goes on to a provider means the same to a second parser. The first
 * byte chooses limits and pieces. */
#include "http_forwarded.h"
#include "http_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = span_skip(span_of(data, size), 1);

	if (bytes.n == 0)
		return 0;
	check_messages(false, METHOD_OTHER, data[0], bytes);
	check_forwarded(false, false, data[0] & 2, bytes);
	return 0;
}
