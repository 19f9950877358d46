/*
 * query: records found and shown: the filters of `postern logs` and the management API.
 * Runs off the loop (it scans).
 */
#ifndef JOURNAL_QUERY_H
#define JOURNAL_QUERY_H

#include "journal/record.h"

struct records;

#define QUERY_METADATA_MAX 4
#define QUERY_SLICE 20000 /* records that one query_run looks at */

struct
    query_pair { /* key has value: a string's text, or a number, true, false or null as it was written */
	struct span key, value;
};

struct query {
	int64_t since_ms, until_ms;           /* wall clock; 0: open */
	struct span gateway, provider, model; /* empty: any */
	int status_min, status_max;           /* 0: any */
	int cached;                           /* -1 any, 0, 1 */
	int64_t duration_min_us,
	    duration_max_us;            /* both ends included; -1: open. Unknown is not inside */
	int64_t tokens_min, tokens_max; /* in and out together, likewise */
	struct query_pair metadata[QUERY_METADATA_MAX]; /* all of them */
	size_t n_metadata;
	struct id ceiling; /* the newest id that is looked at: all ones; query_run moves it on */
	uint64_t limit;    /* records delivered in one run; 0: all */
};

/* Everything, without a limit. What its spans point into stays the caller's. */
void query_init(struct query *q);
/* "5xx", "429", "200-299". False: not understood. */
bool query_parse_status(struct span text, struct query *q);
/* "1h" "30m" "2d" before now, or RFC 3339, or a date. False: not understood. */
bool query_parse_time(struct span text, int64_t now_ms, int64_t *out);

/* A duration ("1.5s" is not one, "1500ms" is) as microseconds. */
bool query_parse_duration(struct span text, int64_t *out_us);
/* "key=value", one more; false: not that, or more than QUERY_METADATA_MAX. */
bool query_add_metadata(struct span text, struct query *q);

bool query_matches(const struct query *q, const struct record *r);
/* Newest first; fn returns false to stop, and is offered that record again by the next run. A run ends too when it has delivered the
 * limit or looked at QUERY_SLICE records; the next goes on where it ended. False: there is no more. */
typedef bool (*query_fn)(void *ctx, const struct record *r);
bool query_run(struct records *rs, struct query *q, query_fn fn, void *ctx);

/* One line of the table that `postern logs` prints, and its heading line. */
MUST_CHECK bool query_row(const struct record *r, struct buf *out);
MUST_CHECK bool query_heading(struct buf *out);
/* One record for a person: every field a line, then the payloads (pretty if JSON) when there are any. */
struct sealer;
/* sealer: opens sealed payloads; NULL: they are named as such. */
MUST_CHECK bool query_show(
    struct records *rs, const struct record *r, const struct sealer *sealer, struct buf *out);
/* The JSON object of one record plus "request" and "response" members with the payloads as strings. */
MUST_CHECK bool query_show_json(
    struct records *rs, const struct record *r, const struct sealer *sealer, struct buf *out);

#endif
