/*
 * bodies: what the programs here send and answer. The filler is words that compress about as prose
 * does (a run of one letter would flatter whoever compresses payloads), the same ones at every run;
 * nothing in it needs escaping in JSON.
 */
#ifndef BENCH_BODIES_H
#define BENCH_BODIES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_USAGE                                                                                 \
	"\"usage\":{\"prompt_tokens\":230,\"completion_tokens\":160,\"total_tokens\":390}"
#define BODY_CHUNK                                                                                 \
	"{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"  \
	"\"model\":\"gpt-4o-mini\",\"choices\":["

/* n bytes of words. */
static inline void
body_put_words(FILE *to, size_t n)
{
	static const char words[32][12] = {"the", "cache", "of", "answers", "and", "a", "request",
	    "is", "kept", "small", "stream", "model", "tokens", "with", "every", "gateway", "in",
	    "provider", "message", "one", "to", "reader", "question", "that", "asks", "for",
	    "record", "quick", "same", "morning", "river", "which"};
	uint32_t random = 1;

	while (n > 0) {
		random = random * 1664525 + 1013904223;
		const char *word = words[random >> 27];
		size_t k = strlen(word) < n ? strlen(word) : n;

		n -= fwrite(word, 1, k, to);
		if (n > 0 && fputc(' ', to) != EOF)
			n--;
	}
}

/* `size` bytes, or a few more than `front` and `back`, with words between these. */
static inline void
body_put_filled(FILE *to, const char *front, const char *back, size_t size)
{
	size_t frame = strlen(front) + strlen(back);

	fputs(front, to);
	body_put_words(to, size > frame ? size - frame : 0);
	fputs(back, to);
}

#define BODY_DIGITS "000000000000" /* stand in a chat once, for a number to be written over */

static inline void
body_put_chat(FILE *to, size_t size, bool is_stream)
{
	char front[512];

	snprintf(front, sizeof(front),
	    "{\"model\":\"gpt-4o-mini\",\"temperature\":0.7,\"max_tokens\":256,%s\"messages\":["
	    "{\"role\":\"system\",\"content\":\"You are a helpful assistant. Answer briefly.\"},"
	    "{\"role\":\"user\",\"content\":\"Question %s: ",
	    is_stream ? "\"stream\":true,\"stream_options\":{\"include_usage\":true}," : "",
	    BODY_DIGITS);
	body_put_filled(to, front, "\"}]}", size);
}

struct body_ask {
	const char *path, *host;
	const char *fields; /* more of the head, each line with its end */
	size_t size;        /* of the chat */
	bool is_stream;
};

/* The whole request, allocated, as a string. */
static inline void
body_request(const struct body_ask *ask, char **text, size_t *size)
{
	char *chat;
	size_t n;
	FILE *f = open_memstream(&chat, &n);

	body_put_chat(f, ask->size, ask->is_stream);
	fclose(f);
	f = open_memstream(text, size);
	fprintf(f,
	    "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer sk-bench-0123456789abcdef\r\n"
	    "Content-Type: application/json\r\nAccept: */*\r\n%sContent-Length: %zu\r\n\r\n%s",
	    ask->path, ask->host, ask->fields, n, chat);
	fclose(f);
	free(chat);
}

static inline void
body_put_completion(FILE *to, size_t size)
{
	body_put_filled(to,
	    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
	    "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
	    "\"content\":\"",
	    "\"},\"finish_reason\":\"stop\"}]," BODY_USAGE "}", size);
}

/* An HTTP chunk for each event: that is how providers send them. */
static inline void
body_put_event(FILE *to, const char *data)
{
	fprintf(to, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + strlen("data: \n\n"), data);
}

/* Then 20 digits, ns of the monotonic clock, a comma, and 8 digits, the event's number. It stands in
 * the content, which those pass on too that write each event anew. */
#define BODY_STAMP "stamp="
#define BODY_STAMP_NUMBER (sizeof(BODY_STAMP) - 1 + 20 + 1) /* where that number begins */
#define BODY_STAMP_SIZE (BODY_STAMP_NUMBER + 8)
#define BODY_STREAM_END "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"

/* Event number n of a stream, with the time at which it is written. */
static inline void
body_put_paced_event(FILE *to, long n, uint64_t at_ns)
{
	char data[512];

	snprintf(data, sizeof(data),
	    BODY_CHUNK "{\"index\":0,\"delta\":{\"content\":\"" BODY_STAMP "%020llu,%08ld "
		       "\"},\"finish_reason\":null}]}",
	    (unsigned long long)at_ns, n);
	body_put_event(to, data);
}

static inline void
body_put_stream(FILE *to, long events)
{
	char data[512];

	for (long i = 0; i < events; i++) {
		snprintf(data, sizeof(data),
		    BODY_CHUNK
		    "{\"index\":0,\"delta\":{\"content\":\"word%ld \"},\"finish_reason\":%s}]}",
		    i, i + 1 < events ? "null" : "\"stop\"");
		body_put_event(to, data);
	}
	body_put_event(to, BODY_CHUNK "]," BODY_USAGE "}");
	body_put_event(to, "[DONE]");
	fputs("0\r\n\r\n", to);
}

#endif
