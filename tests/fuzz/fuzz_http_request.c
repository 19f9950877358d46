/* Requests: the same events in any pieces, nothing behind a message is used, and what our writer
 * makes of them reads back the same. The first byte chooses limits and pieces. */
#include "http_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 1)
		check_messages(false, METHOD_OTHER, data[0], span_of(data + 1, size - 1));
	return 0;
}
