/*
 * record_int: what the encodings of a record share.
 *
 *   record.c  stored form     record_words.c  its words     record_json.c  record_csv.c
 */
#ifndef JOURNAL_RECORD_INT_H
#define JOURNAL_RECORD_INT_H

#include "journal/record.h"

/* Texts that most records have are stored as a number. */
bool record_word_find(struct span text, int *number);
bool record_word(int number, struct span *text); /* false: there is no such */

/* In the order of enum usage_class. */
extern const char *const record_usage_names[RECORD_USAGE_CLASSES];
const char *record_cache_word(enum record_cache c);
/* Microseconds as milliseconds, with their fraction. */
MUST_CHECK bool record_put_ms(int64_t us, struct buf *out);
/* Pico-USD as USD, without a double in between. */
MUST_CHECK bool record_put_usd(int64_t usd12, struct buf *out);

#endif
