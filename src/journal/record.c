#include "journal/record.h"

#include <string.h>

#include "journal/record_int.h"

#define FORMAT_VERSION 1

/* The stored fields: tag (never reused, 1 was), kind, member. A field at its initial value is not written. */
/* clang-format off */
#define RECORD_FIELDS(INT, TEXT) \
	TEXT(2, gateway) TEXT(3, account) TEXT(4, provider) TEXT(5, model) TEXT(6, method) TEXT(7, path) \
	TEXT(8, event_id) TEXT(9, key_id) TEXT(10, client) TEXT(11, user_agent) TEXT(12, end_reason) \
	TEXT(13, ending) TEXT(14, metadata) TEXT(15, request_content_type) TEXT(16, response_content_type) \
	TEXT(17, host) INT(18, status) INT(19, step) INT(20, attempts) INT(21, duration_us) INT(22, ttfb_us) \
	INT(23, ttft_us) INT(24, overhead_us) INT(25, request_size) INT(26, response_size) INT(27, bytes_in) \
	INT(28, bytes_out) INT(29, tokens_in) INT(30, tokens_out) INT(31, cost_usd12) INT(32, usage[0]) \
	INT(33, usage[1]) INT(34, usage[2]) INT(35, usage[3]) INT(36, usage[4]) INT(37, usage[5]) \
	INT(38, usage[6]) INT(39, usage[7]) INT(40, request_kept) INT(41, response_kept) INT(50, frames_in) \
	INT(51, frames_out)
/* clang-format on */

#define TAG_CREATED 42 /* against the id's time */
#define TAG_FLAGS 60
#define TAG_BODY_RECORD 61
#define TAG_WORD 0x80 /* with a text's tag: a number of record_word follows */
enum {
	FLAG_SUCCESS = 1,
	FLAG_STREAM = 2,
	FLAG_TRUNCATED = 4,
	FLAG_ESTIMATED = 8,
	FLAG_REQUEST = 16,
	FLAG_RESPONSE = 32,
	FLAG_CACHE_SHIFT = 6
};

static const struct id no_id;

void
record_init(struct record *r)
{
	*r = (struct record){.duration_us = -1,
	    .ttfb_us = -1,
	    .ttft_us = -1,
	    .overhead_us = -1,
	    .frames_in = -1,
	    .frames_out = -1,
	    .tokens_in = -1,
	    .tokens_out = -1,
	    .cost_usd12 = -1};
	for (size_t i = 0; i < RECORD_USAGE_CLASSES; i++)
		r->usage[i] = -1;
}

/* ---- stored form: version, id, then tag and value until the end ---- */

/* Writes into what was reserved for the longest the record can be. */
#define VARINT_SIZE 10

static char *
put_varint(char *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (char)(v | 0x80);
	*to++ = (char)v;
	return to;
}

static char *
put_int(char *to, int tag, int64_t v, int64_t initial)
{
	if (v == initial)
		return to;
	*to++ = (char)tag;
	return put_varint(to, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static char *
put_text(char *to, int tag, struct span s)
{
	int word;

	if (s.n == 0)
		return to;
	if (record_word_find(s, &word)) {
		*to++ = (char)(tag | TAG_WORD);
		*to++ = (char)word;
		return to;
	}
	*to++ = (char)tag;
	to = put_varint(to, s.n);
	memcpy(to, s.p, s.n);
	return to + s.n;
}

/* Nearly always the same: a byte or nothing instead of seven. */
static int64_t
created_offset(const struct record *r)
{
	return (int64_t)((uint64_t)r->created_ms - (uint64_t)id_wall_ms(&r->id));
}

static int64_t
flags_of(const struct record *r)
{
	return (r->success ? FLAG_SUCCESS : 0) | (r->is_stream ? FLAG_STREAM : 0) |
	    (r->is_truncated ? FLAG_TRUNCATED : 0) | (r->is_estimated ? FLAG_ESTIMATED : 0) |
	    (r->has_payload_request ? FLAG_REQUEST : 0) |
	    (r->has_payload_response ? FLAG_RESPONSE : 0) | ((int64_t)r->cache << FLAG_CACHE_SHIFT);
}

static size_t
longest(const struct record *r)
{
	size_t n = 1 + 2 * sizeof(struct id) + 3 * (1 + VARINT_SIZE);
#define ADD_INT(tag, member) n += 1 + VARINT_SIZE;
#define ADD_TEXT(tag, member) n += 1 + VARINT_SIZE + r->member.n;
	RECORD_FIELDS(ADD_INT, ADD_TEXT)
#undef ADD_INT
#undef ADD_TEXT
	return n;
}

bool
record_encode(const struct record *r, struct buf *out)
{
	struct record initial;
	char *start = buf_reserve(out, longest(r)), *to = start;

	if (start == NULL)
		return false;
	record_init(&initial);
	*to++ = FORMAT_VERSION;
	memcpy(to, r->id.b, sizeof(r->id.b));
	to = put_int(to + sizeof(r->id.b), TAG_FLAGS, flags_of(r), 0);
	to = put_int(to, TAG_CREATED, created_offset(r), 0);
#define PUT_INT(tag, member) to = put_int(to, tag, r->member, initial.member);
#define PUT_TEXT(tag, member) to = put_text(to, tag, r->member);
	RECORD_FIELDS(PUT_INT, PUT_TEXT)
#undef PUT_INT
#undef PUT_TEXT
	if (memcmp(r->body_record.b, no_id.b, sizeof(no_id.b)) != 0)
		to = put_text(to, TAG_BODY_RECORD, span_of(r->body_record.b, sizeof(no_id.b)));
	buf_commit(out, (size_t)(to - start));
	return true;
}

static bool
get_varint(struct span *in, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; in->n > 0 && shift < 64; shift += 7) {
		unsigned char c = (unsigned char)in->p[0];
		*in = span_skip(*in, 1);
		*out |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return true;
	}
	return false;
}

static bool
get_int(struct span *in, int64_t *out)
{
	uint64_t zigzag;
	if (!get_varint(in, &zigzag))
		return false;
	*out = (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
	return true;
}

static bool
get_text(struct span *in, struct span *out)
{
	uint64_t n;
	if (!get_varint(in, &n) || n > in->n)
		return false;
	*out = span_head(*in, n);
	*in = span_skip(*in, n);
	return true;
}

static bool
get_word(struct span *in, struct span *out)
{
	if (in->n == 0 || !record_word((unsigned char)in->p[0], out))
		return false;
	*in = span_skip(*in, 1);
	return true;
}

static bool
get_flags(struct span *in, struct record *r)
{
	int64_t f;
	if (!get_int(in, &f) || f < 0 || f >> FLAG_CACHE_SHIFT > RECORD_BYPASS)
		return false;
	r->success = f & FLAG_SUCCESS;
	r->is_stream = f & FLAG_STREAM;
	r->is_truncated = f & FLAG_TRUNCATED;
	r->is_estimated = f & FLAG_ESTIMATED;
	r->has_payload_request = f & FLAG_REQUEST;
	r->has_payload_response = f & FLAG_RESPONSE;
	r->cache = (enum record_cache)(f >> FLAG_CACHE_SHIFT);
	return true;
}

static bool
get_field(int tag, struct span *in, struct record *r)
{
	struct span text;
	int64_t number;
	bool is_word = tag & TAG_WORD;
	switch (tag & ~TAG_WORD) {
#define GET_INT(t, member)                                                                         \
	case t:                                                                                    \
		if (is_word || !get_int(in, &number))                                              \
			return false;                                                              \
		r->member = (__typeof__(r->member))number;                                         \
		return true;
#define GET_TEXT(t, member)                                                                        \
	case t:                                                                                    \
		return is_word ? get_word(in, &r->member) : get_text(in, &r->member);
		RECORD_FIELDS(GET_INT, GET_TEXT)
#undef GET_INT
#undef GET_TEXT
	case TAG_FLAGS:
		return !is_word && get_flags(in, r);
	case TAG_CREATED:
		if (is_word || !get_int(in, &number))
			return false;
		r->created_ms = (int64_t)((uint64_t)r->created_ms + (uint64_t)number);
		return true;
	case TAG_BODY_RECORD:
		if (is_word || !get_text(in, &text) || text.n != sizeof(r->body_record.b))
			return false;
		memcpy(r->body_record.b, text.p, text.n);
		return true;
	default:
		return false;
	}
}

bool
record_decode(struct span in, struct record *out)
{
	record_init(out);
	if (in.n < 1 + sizeof(out->id.b) || in.p[0] != FORMAT_VERSION)
		return false;
	memcpy(out->id.b, in.p + 1, sizeof(out->id.b));
	out->created_ms = id_wall_ms(&out->id);
	in = span_skip(in, 1 + sizeof(out->id.b));
	while (in.n > 0) {
		int tag = (unsigned char)in.p[0];
		in = span_skip(in, 1);
		if (!get_field(tag, &in, out))
			return false;
	}
	return true;
}
