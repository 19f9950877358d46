/* Responses: as fuzz_http_request. The first byte chooses limits and pieces, the second whether
 * HEAD was asked. */
#include "http_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 2)
		check_messages(true, data[1] & 1 ? METHOD_HEAD : METHOD_POST, data[0],
		    span_of(data + 2, size - 2));
	return 0;
}
