/*
 * text: filler for bodies, words that compress about as prose does (a run of one letter would flatter
 * whoever compresses payloads), the same ones at every run. Nothing in it needs escaping in JSON.
 */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* n bytes of words to a stream. */
static inline void
text_put(FILE *to, size_t n)
{
	static const char words[32][12] = { "the", "cache", "of", "answers", "and", "a", "request",
		"is", "kept", "small", "stream", "model", "tokens", "with", "every", "gateway", "in",
		"provider", "message", "one", "to", "reader", "question", "that", "asks", "for",
		"record", "quick", "same", "morning", "river", "which" };
	uint32_t random = 1;

	while (n > 0) {
		random = random * 1664525 + 1013904223;
		const char *word = words[random >> 27];
		size_t k = strlen(word) < n ? strlen(word) : n;

		fwrite(word, 1, k, to);
		n -= k;
		if (n > 0) {
			fputc(' ', to);
			n--;
		}
	}
}

#endif
