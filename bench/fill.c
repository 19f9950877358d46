/*
 * fill: puts typical records into a data directory, for timing log queries.
 *
 *   fill [-n RECORDS] [-d DAYS] DIR
 *
 * RECORDS (1000000) exchanges without payloads, spread evenly over the last DAYS (3): three providers, six models, one in
 * fifty failed, one in four a hit, metadata of two members. The server must not run. One line of figures on standard output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "journal/record.h"
#include "store/datadir.h"
#include "store/records.h"

#define QUEUE_FULL (32u << 20)
#define ASK_EVERY 8192

static const struct {
	const char *provider, *host, *path, *models[2];
} calls[] = {
    {"openai", "api.openai.com", "/openai/v1/chat/completions", {"gpt-4o-mini", "gpt-4.1"}},
    {"anthropic", "api.anthropic.com", "/anthropic/v1/messages",
	{"claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"}},
    {"google-ai-studio", "generativelanguage.googleapis.com",
	"/google-ai-studio/v1beta/models/gemini-2.5-flash:generateContent",
	{"gemini-2.5-flash", "gemini-2.5-pro"}},
};

static void
fill_record(struct record *r, uint64_t i, char metadata[64])
{
	size_t call = i % COUNT_OF(calls);
	record_init(r);
	r->gateway = SPAN_LIT("default");
	r->provider = span_str(calls[call].provider);
	r->host = span_str(calls[call].host);
	r->path = span_str(calls[call].path);
	r->model = span_str(calls[call].models[i / 3 % 2]);
	r->method = SPAN_LIT("POST");
	r->key_id = SPAN_LIT("3fa94c1e");
	r->client = SPAN_LIT("127.0.0.1");
	r->user_agent = SPAN_LIT("OpenAI/Python 1.99.2");
	r->request_content_type = r->response_content_type = SPAN_LIT("application/json");
	r->end_reason = SPAN_LIT("ok");
	r->ending = SPAN_LIT("--");
	r->metadata = span_of(metadata,
	    (size_t)snprintf(metadata, 64, "{\"user\":\"u%llu\",\"team\":%llu}",
		(unsigned long long)(i % 1000), (unsigned long long)(i % 7)));
	r->status = i % 50 == 49 ? 529 : 200;
	r->success = r->status == 200;
	r->cache = i % 4 == 0 ? RECORD_HIT : RECORD_MISS;
	r->attempts = r->cache == RECORD_MISS;
	r->duration_us = (int64_t)(200000 + i * 7919 % 3000000);
	r->ttfb_us = r->duration_us / 2;
	r->overhead_us = 60 + (int64_t)(i % 50);
	r->request_size = r->bytes_in = (int64_t)(500 + i % 4000);
	r->response_size = r->bytes_out = (int64_t)(800 + i % 2000);
	r->tokens_in = r->usage[0] = (int64_t)(100 + i % 2000);
	r->tokens_out = r->usage[4] = (int64_t)(50 + i % 800);
}

static void
wait_for_room(struct records *records)
{
	struct records_stats s;
	for (;;) {
		records_stats(records, &s);
		if (s.queued_bytes < QUEUE_FULL)
			return;
		usleep(1000);
	}
}

static uint64_t
append_all(struct records *records, uint64_t n, int64_t days_ms)
{
	static const struct span no_payload[RECORD_PAYLOADS];
	static const uint8_t seed[16] = {1};
	struct id_source ids;
	struct buf b;
	uint64_t bytes = 0;
	char metadata[64];
	int64_t now = clock_wall_ms();
	struct id newest = records_newest(records);
	id_source_init(&ids, seed, &newest);
	buf_init(&b, 65536);
	for (uint64_t i = 0; i < n; i++) {
		struct record r;
		fill_record(&r, i, metadata);
		r.created_ms = now - days_ms + (int64_t)((double)days_ms * (double)i / (double)n);
		r.id = id_new(&ids, r.created_ms);
		buf_reset(&b);
		CHK(record_encode(&r, &b));
		bytes += buf_len(&b);
		record_append(records, &r.id, buf_view(&b), no_payload);
		if (i % ASK_EVERY == 0)
			wait_for_room(records);
	}
	buf_fini(&b);
	return bytes;
}

int
main(int argc, char **argv)
{
	uint64_t n = 1000000, days = 3;
	char detail[512];
	struct datadir d;
	struct records *records;
	struct records_stats s;
	for (int c; (c = getopt(argc, argv, "n:d:")) != -1;) {
		if (c == 'n')
			n = strtoull(optarg, NULL, 10);
		else if (c == 'd')
			days = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind + 1 != argc || n == 0 || !crypto_init())
		return 2;
	const struct records_options o = {.max_size = UINT64_C(5) << 30};
	if (datadir_open(argv[optind], &d, detail, sizeof(detail)) != E_OK ||
	    records_open(&d, &o, &records, detail, sizeof(detail)) != E_OK) {
		fprintf(stderr, "fill: %s\n", detail);
		return 2;
	}
	uint64_t began = clock_mono_ns();
	uint64_t bytes = append_all(records, n, (int64_t)days * 86400000);
	records_close(records);
	double seconds = (double)(clock_mono_ns() - began) / 1e9;
	if (records_open(&d, &o, &records, detail, sizeof(detail)) != E_OK)
		return 2;
	records_stats(records, &s);
	printf("%llu records in %.1f s, %.1f bytes each, %.1f on disk\n",
	    (unsigned long long)s.records, seconds, (double)bytes / (double)n,
	    (double)(s.bytes - (UINT64_C(64) << 20)) / (double)s.records);
	records_close(records);
	datadir_mark_clean(&d);
	datadir_close(&d);
	crypto_fini();
	return 0;
}
