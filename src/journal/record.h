/*
 * record: one row of the log: what is known of an exchange when it ends, and its encodings.
 *
 * The binary form is for the store (versioned, tagged fields, small: under 300 bytes typical); the JSON form for people, `postern logs --json`
 * and the management API: Cloudflare's names (cloudflare.md 4.1) plus ours (design.md 4.3).
 * Strings in here are already redacted: journal/journal.h builds them; nobody else writes records.
 */
#ifndef JOURNAL_RECORD_H
#define JOURNAL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/span.h"

#define RECORD_USAGE_CLASSES 8 /* as enum usage_class counts them */

enum record_cache { RECORD_HIT, RECORD_STALE, RECORD_MISS, RECORD_BYPASS };

struct record {
	struct id id;
	int64_t created_ms; /* wall clock: the request's first byte */
	struct span gateway, account, provider, model, method, path; /* path: with redacted query */
	struct span event_id, key_id, client, user_agent, end_reason, ending,
	    metadata;                                                  /* metadata: JSON text */
	struct span request_content_type, response_content_type, host; /* upstream host */
	int status;
	enum record_cache cache;
	bool success, is_stream, is_truncated, is_estimated, has_payload_request,
	    has_payload_response;
	int step, attempts;
	int64_t duration_us, ttfb_us, ttft_us, overhead_us; /* -1: unknown */
	int64_t request_size, response_size; /* bodies, as the client sent and saw them */
	int64_t request_kept,
	    response_kept; /* 0: all of a payload is kept, else so many of its first bytes */
	int64_t bytes_in, bytes_out;         /* on the client's wire, heads included */
	int64_t frames_in, frames_out;       /* of a WebSocket, whole ones; -1: it was none */
	int64_t usage[RECORD_USAGE_CLASSES]; /* -1: unknown */
	int64_t tokens_in, tokens_out;       /* -1: unknown */
	int64_t cost_usd12;                  /* -1: unknown */
	struct id body_record; /* all zero, or: the payloads are those of that record (a hit) */
};

void record_init(struct record *r); /* unknowns as said above */
MUST_CHECK bool record_encode(const struct record *r, struct buf *out);
/* Views into `in`. False: damaged or of a newer format. */
MUST_CHECK bool record_decode(struct span in, struct record *out);
/* One JSON object, no newline. */
MUST_CHECK bool record_json(const struct record *r, struct buf *out);
/* One line of CSV (RFC 4180), with its CR LF; an unknown value is an empty cell. A text that a spreadsheet would take for a
 * formula (it begins with = + - @ TAB or CR) gets a ' in front (security.md 5). */
MUST_CHECK bool record_csv(const struct record *r, struct buf *out);
MUST_CHECK bool record_csv_heading(struct buf *out);

#endif
