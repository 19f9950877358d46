#include "provider/dialect_int.h"

/*
 * Vendors' own: passed and logged; of their paths only speech is known to be a function of the
 * request. Where an answer has a usage object it is nearly always named as OpenAI names it.
 */

/* ElevenLabs /text-to-speech/{voice}[/stream], Deepgram /speak, Cartesia /tts/bytes. */
static bool
classify(const struct path_tail *t, struct endpoint *e)
{
	bool is_speech = span_eq(t->second, SPAN_LIT("text-to-speech")) ||
	    (span_eq(t->third, SPAN_LIT("text-to-speech")) &&
		span_eq(t->last, SPAN_LIT("stream"))) ||
	    (span_eq(t->third, SPAN_LIT("text-to-speech")) &&
		span_eq(t->last, SPAN_LIT("with-timestamps"))) ||
	    (span_eq(t->last, SPAN_LIT("speak")) && span_eq(t->second, SPAN_LIT("v1"))) ||
	    (span_eq(t->last, SPAN_LIT("bytes")) && span_eq(t->second, SPAN_LIT("tts")));

	if (is_speech)
		e->class = ENDPOINT_SPEECH;
	return is_speech;
}

static bool
is_stream(const struct endpoint *e, struct json_val root)
{
	bool b;

	UNUSED(e);
	return json_bool(json_get(root, "stream"), &b) && b;
}

static const char *const sampling[] = {NULL};

const struct dialect_ops dialect_other = {
    .name = "other",
    .refusal = REFUSAL_OPENAI,
    .classify = classify,
    .is_stream = is_stream,
    .sampling = sampling,
    .read_answer = openai_read_answer,
    .read_event = openai_read_event,
};
