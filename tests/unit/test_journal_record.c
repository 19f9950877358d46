#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "journal/record_int.h"
#include "json/json.h"

static struct record
typical(void)
{
	struct record r;
	record_init(&r);
	memset(r.id.b, 7, sizeof(r.id.b));
	r.created_ms = 1795000000123;
	r.gateway = SPAN_LIT("default");
	r.provider = SPAN_LIT("openai");
	r.model = SPAN_LIT("gpt-4o-mini");
	r.method = SPAN_LIT("POST");
	r.path = SPAN_LIT("/openai/v1/chat/completions");
	r.host = SPAN_LIT("api.openai.com");
	r.key_id = SPAN_LIT("0badcafe");
	r.client = SPAN_LIT("127.0.0.1");
	r.user_agent = SPAN_LIT("OpenAI/Python 1.99.0");
	r.end_reason = SPAN_LIT("ok");
	r.ending = SPAN_LIT("--");
	r.request_content_type = SPAN_LIT("application/json");
	r.response_content_type = SPAN_LIT("application/json");
	r.status = 200;
	r.cache = RECORD_MISS;
	r.success = true;
	r.attempts = 1;
	r.duration_us = 1234567;
	r.ttfb_us = 1200001;
	r.overhead_us = 42;
	r.request_size = 1024;
	r.response_size = 2048;
	r.usage[0] = 11;
	r.usage[4] = 22;
	r.tokens_in = 11;
	r.tokens_out = 22;
	return r;
}

static struct record
through_store(const struct record *r, struct buf *b)
{
	struct record out;
	buf_init(b, 65536);
	assert_true(record_encode(r, b));
	assert_true(record_decode(buf_view(b), &out));
	return out;
}

static void
every_field_comes_back(void **state)
{
	struct buf b;
	(void)state;
	struct record r = typical();
	r.account = SPAN_LIT("acc");
	r.event_id = SPAN_LIT("evt-1");
	r.metadata = SPAN_LIT("{\"user\":\"u\"}");
	r.is_stream = r.is_truncated = r.is_estimated = r.has_payload_request =
	    r.has_payload_response = true;
	r.step = 3;
	r.ttft_us = 5;
	r.bytes_in = 9;
	r.bytes_out = INT64_MAX;
	r.frames_in = 0;
	r.frames_out = INT64_MAX;
	r.cost_usd12 = 19100000000;
	for (int i = 0; i < RECORD_USAGE_CLASSES; i++)
		r.usage[i] = 100 + i;
	memset(r.body_record.b, 9, sizeof(r.body_record.b));
	struct record o = through_store(&r, &b);
	assert_memory_equal(o.id.b, r.id.b, 16);
	assert_memory_equal(o.body_record.b, r.body_record.b, 16);
	assert_memory_equal(o.usage, r.usage, sizeof(r.usage));
	assert_int_equal(o.created_ms, r.created_ms);
	assert_true(span_eq(o.account, r.account) && span_eq(o.event_id, r.event_id));
	assert_true(
	    span_eq(o.metadata, r.metadata) && span_eq(o.host, r.host) && span_eq(o.path, r.path));
	assert_true(o.success && o.is_stream && o.is_truncated && o.is_estimated);
	assert_true(o.has_payload_request && o.has_payload_response);
	assert_int_equal(o.cache, RECORD_MISS);
	assert_int_equal(o.step, 3);
	assert_int_equal(o.ttft_us, 5);
	assert_int_equal(o.bytes_out, INT64_MAX);
	assert_int_equal(o.frames_in, 0);
	assert_int_equal(o.frames_out, INT64_MAX);
	assert_int_equal(o.cost_usd12, 19100000000);
	buf_fini(&b);
}

static void
unknown_numbers_stay_unknown(void **state)
{
	struct buf b;
	struct record r;
	(void)state;
	record_init(&r);
	struct record o = through_store(&r, &b);
	assert_int_equal(o.tokens_in, -1);
	assert_int_equal(o.cost_usd12, -1);
	assert_int_equal(o.ttft_us, -1);
	assert_int_equal(o.usage[0], -1);
	assert_int_equal(o.frames_in, -1);
	buf_fini(&b);
}

static void
the_time_is_kept_though_the_id_has_another(void **state)
{
	struct buf b;
	(void)state;
	struct record r = typical();
	static const int64_t times[] = {0, 1, 1795000000123, INT64_MAX, INT64_MIN};
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		r.created_ms = times[i];
		assert_int_equal(through_store(&r, &b).created_ms, times[i]);
		buf_fini(&b);
	}
}

static void
frequent_texts_take_two_bytes(void **state)
{
	struct buf with, without;
	(void)state;
	struct record r = typical();
	struct record o = through_store(&r, &with);
	assert_true(span_eq(o.request_content_type, SPAN_LIT("application/json")));
	assert_true(span_eq(o.path, r.path) && span_eq(o.gateway, r.gateway));
	r.request_content_type = SPAN_NONE;
	through_store(&r, &without);
	assert_int_equal(buf_len(&with) - buf_len(&without), 2);
	buf_fini(&with);
	buf_fini(&without);
}

static void
how_much_of_a_body_is_kept_comes_back(void **state)
{
	struct buf b;
	(void)state;
	struct record r = typical();
	r.request_kept = 4096;
	struct record o = through_store(&r, &b);
	assert_int_equal(o.request_kept, 4096);
	assert_int_equal(o.response_kept, 0);
	buf_fini(&b);
}

static void
assert_csv(struct record *r, struct span cell)
{
	struct buf b;
	buf_init(&b, 65536);
	assert_true(record_csv(r, &b));
	if (span_find_span(buf_view(&b), cell) == buf_len(&b))
		fail_msg("%.*s has no %.*s", SPAN_FMT(buf_view(&b)), SPAN_FMT(cell));
	assert_true(span_ends(buf_view(&b), SPAN_LIT("\r\n")));
	buf_fini(&b);
}

/* RFC 4180; security.md 5. */
static void
csv_cells_are_quoted_and_no_formulas(void **state)
{
	(void)state;
	static const struct {
		struct span text, cell;
	} rows[] = {
	    {SPAN_LIT("plain"), SPAN_LIT(",plain,")},
	    {SPAN_LIT("a,b"), SPAN_LIT(",\"a,b\",")},
	    {SPAN_LIT("a\"b\""), SPAN_LIT(",\"a\"\"b\"\"\",")},
	    {SPAN_LIT("a\r\nb"), SPAN_LIT(",\"a\r\nb\",")},
	    {SPAN_LIT("=1+1"), SPAN_LIT(",'=1+1,")},
	    {SPAN_LIT("+1"), SPAN_LIT(",'+1,")},
	    {SPAN_LIT("-1"), SPAN_LIT(",'-1,")},
	    {SPAN_LIT("@x"), SPAN_LIT(",'@x,")},
	    {SPAN_LIT("\tx"), SPAN_LIT(",'\tx,")},
	    {SPAN_LIT("\rx"), SPAN_LIT(",\"'\rx\",")},
	    {SPAN_LIT("=\"a\",b"), SPAN_LIT(",\"'=\"\"a\"\",b\",")},
	    {SPAN_LIT("a=b"), SPAN_LIT(",a=b,")},
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct record r = typical();
		r.user_agent = rows[i].text;
		assert_csv(&r, rows[i].cell);
	}
}

static size_t
commas(struct span s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == ',';
	return n;
}

static void
csv_has_a_name_for_every_cell(void **state)
{
	struct buf names, cells;
	(void)state;
	buf_init(&names, 65536);
	buf_init(&cells, 65536);
	struct record r = typical();
	assert_true(record_csv_heading(&names) && record_csv(&r, &cells));
	assert_true(span_starts(buf_view(&names), SPAN_LIT("id,created_at,gateway,")));
	assert_true(span_ends(buf_view(&names), SPAN_LIT(",estimated,frames_in,frames_out\r\n")));
	assert_int_equal(commas(buf_view(&names)), commas(buf_view(&cells)));
	buf_fini(&names);
	buf_fini(&cells);
	assert_csv(&r,
	    SPAN_LIT(
		",200,true,false,MISS,1234.567,1200.001,,42,11,22,11,,,,22,,,,,0,1,1024,2048,0,0,"));
	r.cost_usd12 = 1500000000000;
	assert_csv(&r, SPAN_LIT(",1.5,0,1,"));
	r.cost_usd12 = 1;
	assert_csv(&r, SPAN_LIT(",0.000000000001,0,1,"));
}

static void
a_typical_record_is_under_300_bytes(void **state)
{
	struct buf b;
	(void)state;
	struct record r = typical();
	through_store(&r, &b);
	assert_in_range(buf_len(&b), 60, 199);
	buf_fini(&b);
}

/* Each by its number, and nothing that is only as long. */
static void
every_word_is_found_again(void **state)
{
	struct span word;
	char other[64];
	int count = 0, number = -1;

	(void)state;
	for (; record_word(count, &word); count++) {
		assert_true(record_word_find(word, &number));
		assert_int_equal(number, count);
		assert_true(word.n < sizeof(other));
		memcpy(other, word.p, word.n);
		other[word.n - 1] ^= 1;
		assert_false(record_word_find(span_of(other, word.n), &number));
	}
	assert_true(count >= 29); /* of a log that was written before */
	for (size_t n = 0; n < sizeof(other); n++)
		assert_false(record_word_find(span_of(memset(other, '~', n), n), &number));
}

static void
a_cut_or_foreign_record_is_refused_at_every_length(void **state)
{
	struct buf b;
	struct record o, r = typical();
	(void)state;
	through_store(&r, &b);
	size_t refused = 0;
	for (size_t n = 0; n < buf_len(&b); n++)
		refused += !record_decode(span_head(buf_view(&b), n), &o);
	/* A cut between two fields is not seen here; the store's checksum sees it. */
	assert_true(refused > buf_len(&b) / 2);
	b.p[b.off] = 99;
	assert_false(record_decode(buf_view(&b), &o));
	buf_fini(&b);
}

static void
json_has_cloudflares_names_and_ours(void **state)
{
	struct buf b;
	int64_t n;
	struct span s;
	bool flag;
	(void)state;
	buf_init(&b, 65536);
	struct record r = typical();
	r.cost_usd12 = 19100000000;
	r.metadata = SPAN_LIT("{\"team\":\"a\"}");
	assert_true(record_json(&r, &b));
	struct json_doc *d = json_parse(buf_view(&b));
	assert_non_null(d);
	struct json_val root = json_root(d);
	static const char *const names[] = {"id", "created_at", "provider", "model", "path",
	    "status_code", "success", "cached", "duration", "tokens_in", "tokens_out", "cost",
	    "metadata", "step", "request_size", "response_size", "gateway", "account",
	    "cache_status", "ttfb_ms", "ttft_ms", "usage", "attempts", "end_reason", "ending",
	    "key_id", "client", "bytes_in", "bytes_out", "truncated", "estimated"};
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_int_not_equal(json_type(json_get(root, names[i])), JSON_NONE);
	assert_true(json_int(json_get(root, "duration"), &n) && n == 1235);
	assert_true(json_str(json_get(root, "cache_status"), &s) && span_eq(s, SPAN_LIT("MISS")));
	assert_true(json_bool(json_get(root, "cached"), &flag) && !flag);
	assert_true(json_str(json_path(root, "metadata.team"), &s) && span_eq(s, SPAN_LIT("a")));
	assert_int_equal(json_type(json_get(root, "ttft_ms")), JSON_NULL);
	assert_true(span_find_span(buf_view(&b), SPAN_LIT("\"cost\":0.0191,")) < buf_len(&b));
	assert_true(span_find_span(buf_view(&b),
			SPAN_LIT("\"usage\":{\"input\":11,\"output\":22}")) < buf_len(&b));
	json_free(d);
	buf_fini(&b);
}

static void
unknown_cost_is_null_and_a_hit_costs_nothing(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 65536);
	struct record r = typical();
	assert_true(record_json(&r, &b));
	assert_true(span_find_span(buf_view(&b), SPAN_LIT("\"cost\":null")) < buf_len(&b));
	buf_reset(&b);
	r.cost_usd12 = 0;
	r.cache = RECORD_HIT;
	assert_true(record_json(&r, &b));
	assert_true(span_find_span(buf_view(&b), SPAN_LIT("\"cost\":0,")) < buf_len(&b));
	assert_true(span_find_span(buf_view(&b), SPAN_LIT("\"cached\":true")) < buf_len(&b));
	buf_fini(&b);
}

static void
frames_are_told_of_a_websocket_only(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 65536);
	struct record r = typical();
	assert_true(record_json(&r, &b));
	assert_true(span_find_span(buf_view(&b), SPAN_LIT("frames")) == buf_len(&b));
	r.frames_in = 0;
	r.frames_out = 7;
	buf_reset(&b);
	assert_true(record_json(&r, &b));
	assert_true(span_find_span(buf_view(&b), SPAN_LIT("\"frames_in\":0,\"frames_out\":7,")) <
	    buf_len(&b));
	buf_reset(&b);
	assert_true(record_csv(&r, &b));
	assert_true(span_ends(buf_view(&b), SPAN_LIT(",0,7\r\n")));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_field_comes_back),
	    cmocka_unit_test(unknown_numbers_stay_unknown),
	    cmocka_unit_test(the_time_is_kept_though_the_id_has_another),
	    cmocka_unit_test(frequent_texts_take_two_bytes),
	    cmocka_unit_test(how_much_of_a_body_is_kept_comes_back),
	    cmocka_unit_test(csv_cells_are_quoted_and_no_formulas),
	    cmocka_unit_test(csv_has_a_name_for_every_cell),
	    cmocka_unit_test(a_typical_record_is_under_300_bytes),
	    cmocka_unit_test(every_word_is_found_again),
	    cmocka_unit_test(a_cut_or_foreign_record_is_refused_at_every_length),
	    cmocka_unit_test(json_has_cloudflares_names_and_ours),
	    cmocka_unit_test(unknown_cost_is_null_and_a_hit_costs_nothing),
	    cmocka_unit_test(frames_are_told_of_a_websocket_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
