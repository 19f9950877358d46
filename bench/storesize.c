/*
 * storesize: fills a log, or opens one under a shorter retention, and says how large it is.
 *
 *   storesize [-n RECORDS] [-p] [-d DAYS] [-r DAYS] [-b DAYS] [-m MB] [-P MB] DIR
 *
 * Appends RECORDS (0: none) typical exchanges, spread evenly over the last DAYS (4); -p: with bodies, a chat request and an answer
 * of 1 KB each, no two the same. Retention of records -r, of bodies -b, of all by size -m, of bodies by size -P; 0: no limit. It runs when
 * the log is opened, as in the server. On standard output words and figures: records in the log, its bytes, records lost, bytes
 * of the records and of all that this run handed over, seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "crypto/crypto.h"
#include "journal/record.h"
#include "store/datadir.h"
#include "store/records.h"

#define DAY_MS INT64_C(86400000)
#define QUEUE_FULL (4u << 20) /* beyond an eighth of the queue bodies are not compressed */
#define ASK_EVERY 1024
#define BODY_SIZE 1024

struct fill {
	struct records *records;
	uint64_t n, encoded, handed;
	int64_t days_ms;
	bool has_bodies;
	uint32_t random;
	char request[BODY_SIZE + 1], answer[BODY_SIZE + 1];
};

/* ---- bodies ---- */

static const char *
next_word(struct fill *f)
{
	static const char words[64][12] = {"the", "cache", "of", "answers", "and", "a", "request",
	    "is", "kept", "small", "stream", "model", "tokens", "with", "every", "gateway", "in",
	    "provider", "message", "one", "to", "reader", "question", "that", "asks", "for",
	    "record", "quick", "same", "morning", "river", "which", "winter", "garden", "number",
	    "please", "explain", "between", "because", "although", "history", "function", "letter",
	    "summary", "translate", "sentence", "however", "example", "result", "table", "column",
	    "paragraph", "between", "theory", "value", "under", "market", "engine", "doctor",
	    "island", "certain", "measure", "colour", "pencil"};

	f->random = f->random * 1664525 + 1013904223;
	return words[f->random >> 26];
}

/* Exactly BODY_SIZE: a frame with words in it. */
static void
make_body(struct fill *f, char *to, const char *front, const char *back)
{
	size_t n = (size_t)snprintf(to, BODY_SIZE, "%s", front), end = BODY_SIZE - strlen(back);

	while (n < end) {
		const char *word = next_word(f);
		while (*word != '\0' && n < end)
			to[n++] = *word++;
		if (n < end)
			to[n++] = ' ';
	}
	memcpy(to + n, back, strlen(back) + 1);
}

static void
make_bodies(struct fill *f, struct span payload[RECORD_PAYLOADS])
{
	make_body(f, f->request,
	    "{\"model\":\"gpt-4o-mini\",\"temperature\":0.7,\"max_tokens\":256,\"messages\":[{\"role\":\"system\","
	    "\"content\":\"You are a helpful assistant. Answer briefly.\"},{\"role\":\"user\",\"content\":\"",
	    "\"}]}");
	make_body(f, f->answer,
	    "{\"id\":\"chatcmpl-8f2c1b7a\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
	    "\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
	    "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":230,\"completion_tokens\":160,"
	    "\"total_tokens\":390}}");
	payload[RECORD_REQUEST] = span_of(f->request, BODY_SIZE);
	payload[RECORD_RESPONSE] = span_of(f->answer, BODY_SIZE);
}

/* ---- records ---- */

static void
make_record(struct record *r, uint64_t i, bool has_bodies)
{
	record_init(r);
	r->gateway = SPAN_LIT("default");
	r->provider = SPAN_LIT("openai");
	r->host = SPAN_LIT("api.openai.com");
	r->path = SPAN_LIT("/openai/v1/chat/completions");
	r->model = SPAN_LIT("gpt-4o-mini");
	r->method = SPAN_LIT("POST");
	r->key_id = SPAN_LIT("3fa94c1e");
	r->client = SPAN_LIT("127.0.0.1");
	r->user_agent = SPAN_LIT("OpenAI/Python 1.99.2");
	r->request_content_type = r->response_content_type = SPAN_LIT("application/json");
	r->end_reason = SPAN_LIT("ok");
	r->ending = SPAN_LIT("--");
	r->status = 200;
	r->success = true;
	r->cache = RECORD_MISS;
	r->attempts = 1;
	r->duration_us = (int64_t)(200000 + i * 7919 % 3000000);
	r->ttfb_us = r->duration_us / 2;
	r->overhead_us = 60 + (int64_t)(i % 50);
	r->request_size = r->bytes_in = r->response_size = r->bytes_out = BODY_SIZE;
	r->tokens_in = r->usage[0] = 230;
	r->tokens_out = r->usage[4] = 160;
	r->has_payload_request = r->has_payload_response = has_bodies;
}

static void
wait_for_room(struct records *records)
{
	struct records_stats s;

	do {
		records_stats(records, &s);
		if (s.queued_bytes >= QUEUE_FULL)
			usleep(1000);
	} while (s.queued_bytes >= QUEUE_FULL);
}

static void
append_all(struct fill *f)
{
	static const uint8_t seed[16] = {1};
	int64_t first = clock_wall_ms() - f->days_ms;
	struct id newest = records_newest(f->records);
	struct id_source ids;
	struct buf b;

	id_source_init(&ids, seed, &newest);
	buf_init(&b, 65536);
	for (uint64_t i = 0; i < f->n; i++) {
		struct span payload[RECORD_PAYLOADS] = {SPAN_NONE, SPAN_NONE};
		struct record r;

		make_record(&r, i, f->has_bodies);
		r.created_ms = first + (int64_t)((double)f->days_ms * (double)i / (double)f->n);
		r.id = id_new(&ids, r.created_ms);
		buf_reset(&b);
		CHK(record_encode(&r, &b));
		if (f->has_bodies)
			make_bodies(f, payload);
		record_append(f->records, &r.id, buf_view(&b), payload);
		f->encoded += buf_len(&b);
		f->handed += buf_len(&b) + payload[0].n + payload[1].n;
		if (i % ASK_EVERY == 0)
			wait_for_room(f->records);
	}
	buf_fini(&b);
}

/* ---- */

static uint64_t
number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static int
fail(const char *detail)
{
	fprintf(stderr, "storesize: %s\n", detail);
	return 2;
}

int
main(int argc, char **argv)
{
	struct fill f = {.days_ms = 4 * DAY_MS, .random = 1};
	struct records_options o = {0};
	struct records_stats s;
	struct datadir d;
	char detail[512];

	for (int c; (c = getopt(argc, argv, "n:pd:r:b:m:P:")) != -1;) {
		if (c == 'n')
			f.n = number(optarg);
		else if (c == 'p')
			f.has_bodies = true;
		else if (c == 'd')
			f.days_ms = (int64_t)number(optarg) * DAY_MS;
		else if (c == 'r')
			o.retention_ms = number(optarg) * DAY_MS;
		else if (c == 'b')
			o.payload_retention_ms = number(optarg) * DAY_MS;
		else if (c == 'm')
			o.max_size = number(optarg) << 20;
		else if (c == 'P')
			o.payload_max_size = number(optarg) << 20;
		else
			return 2;
	}
	if (optind + 1 != argc || !crypto_init())
		return fail(
		    "usage: storesize [-n RECORDS] [-p] [-d DAYS] [-r DAYS] [-b DAYS] [-m MB] [-P MB] DIR");
	if (datadir_open(argv[optind], &d, detail, sizeof(detail)) != E_OK ||
	    records_open(&d, &o, &f.records, detail, sizeof(detail)) != E_OK)
		return fail(detail);
	uint64_t began = clock_mono_ns();
	append_all(&f);
	records_close(f.records);
	double seconds = (double)(clock_mono_ns() - began) / 1e9;
	if (records_open(&d, &o, &f.records, detail, sizeof(detail)) != E_OK)
		return fail(detail);
	records_stats(f.records, &s);
	printf("records %llu bytes %llu lost %llu encoded %llu handed %llu seconds %.1f\n",
	    (unsigned long long)s.records, (unsigned long long)s.bytes, (unsigned long long)s.lost,
	    (unsigned long long)f.encoded, (unsigned long long)f.handed, seconds);
	records_close(f.records);
	datadir_mark_clean(&d);
	datadir_close(&d);
	crypto_fini();
	return 0;
}
