/*
 * convert: a complete answer of one form into the other: a stored stream into the JSON answer that the same request
 * without "stream" would have had, and back. OpenAI chat completions and Anthropic messages. Pure.
 *
 * Only what is known whole is converted: any event, field or block type that this file does not know, a missing usage, a
 * missing end, give CONVERT_UNKNOWN, and the caller treats it as a miss. Text, tool calls, reasoning (thinking), refusals,
 * log probabilities, citations and finish reasons are kept; ids, model, created and usage are the stored ones. What comes
 * out is accepted by the official SDKs of both vendors.
 */
#ifndef PROVIDER_CONVERT_H
#define PROVIDER_CONVERT_H

#include "base/buf.h"
#include "base/chk.h"
#include "provider/dialect.h"

enum convert_result { CONVERT_OK, CONVERT_UNKNOWN, CONVERT_FULL };

/* Whether answers of this endpoint can be converted at all (chat, messages). */
bool convert_knows(const struct endpoint *e);
/* stream: all the bytes of a text/event-stream. Appends one JSON object. */
MUST_CHECK enum convert_result convert_stream_to_json(
    const struct endpoint *e, struct span stream, struct buf *out);
/* json: the whole answer. Appends the bytes of a text/event-stream: the first event, one event a piece of content (never
 * split inside a UTF-8 sequence), the last ones, and for OpenAI "data: [DONE]". with_usage: OpenAI's
 * stream_options.include_usage (Anthropic's events always carry it). */
MUST_CHECK enum convert_result convert_json_to_stream(
    const struct endpoint *e, struct span json, bool with_usage, struct buf *out);

#endif
