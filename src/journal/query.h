/*
 * query: records found and shown: the filters of `postern logs` and the management API.
 * Runs off the loop (it scans).
 */
#ifndef JOURNAL_QUERY_H
#define JOURNAL_QUERY_H

#include "journal/record.h"

struct records;

struct query {
	int64_t since_ms, until_ms;           /* wall clock; 0: open */
	struct span gateway, provider, model; /* empty: any */
	int status_min, status_max;           /* 0: any */
	int cached;                           /* -1 any, 0, 1 */
	struct id
	    ceiling;    /* the newest id that is looked at: all ones, or where a former run ended */
	uint64_t limit; /* records delivered; 0: all */
};

/* Everything, without a limit. */
void query_init(struct query *q);
/* "5xx", "429", "200-299". False: not understood. */
bool query_parse_status(struct span text, struct query *q);
/* "1h" "30m" "2d" before now, or RFC 3339, or a date. False: not understood. */
bool query_parse_time(struct span text, int64_t now_ms, int64_t *out);

/* Newest first; fn returns false to stop. */
typedef bool (*query_fn)(void *ctx, const struct record *r);
void query_run(struct records *rs, const struct query *q, query_fn fn, void *ctx);

/* One line of the table that `postern logs` prints, and its heading line. */
MUST_CHECK bool query_row(const struct record *r, struct buf *out);
MUST_CHECK bool query_heading(struct buf *out);
/* One record for a person: every field a line, then the payloads (pretty if JSON) when there are any. */
MUST_CHECK bool query_show(struct records *rs, const struct record *r, struct buf *out);
/* The JSON object of one record plus "request" and "response" members with the payloads as strings. */
MUST_CHECK bool query_show_json(struct records *rs, const struct record *r, struct buf *out);

#endif
