/* Responses: as fuzz_http_request. The first byte chooses limits and pieces, the second whether
 * HEAD was asked. */
#include "http_forwarded.h"
#include "http_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_head = size > 1 && (data[1] & 1);
	struct span bytes = span_skip(span_of(data, size), 2);

	if (bytes.n == 0)
		return 0;
	check_messages(true, is_head ? METHOD_HEAD : METHOD_POST, data[0], bytes);
	check_forwarded(true, is_head, false, bytes);
	return 0;
}
