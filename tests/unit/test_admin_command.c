#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/command.h"
#include "base/arena.h"
#include "base/clock.h"
#include "crypto/crypto.h"
#include "http/message.h"
#include "http/target.h"
#include "journal/journal.h"
#include "store/datadir.h"
#include "store/records.h"

#define NOW 1795305600000 /* 2026-11-22 00:00 UTC */

static struct datadir dir;
static struct records *records;
static struct command_stores stores;
static char path[64];

static struct id
append(int64_t at_ms, const char *provider, int status, const char *payload)
{
	static struct id_source source;
	static const uint8_t seed[16] = {1};
	struct buf b;
	struct record r;
	if (source.seed[0] == 0)
		id_source_init(&source, seed, NULL);
	record_init(&r);
	r.id = id_new(&source, at_ms);
	r.created_ms = at_ms;
	r.gateway = SPAN_LIT("default");
	r.provider = span_str(provider);
	r.model = SPAN_LIT("m");
	r.status = status;
	r.cache = status == 201 ? RECORD_HIT : RECORD_MISS;
	if (status == 404) {
		r.duration_us = 2000000;
		r.tokens_in = 70;
		r.tokens_out = 30;
		r.metadata = SPAN_LIT("{\"user\":\"=u\",\"n\":7}");
	}
	r.has_payload_request = payload != NULL;
	buf_init(&b, 65536);
	assert_true(record_encode(&r, &b));
	record_append(
	    records, &r.id, buf_view(&b), (const struct span[2]){span_str(payload), SPAN_NONE});
	buf_fini(&b);
	return r.id;
}

/* Runs the words to their end; the output, or the complaint. */
static char *
run(const char *const *words, bool expect_ok)
{
	struct buf out, err;
	buf_init(&out, 64 << 20);
	buf_init(&err, 4096);
	struct command *c = command_new(&stores, words, &err);
	enum command_result r = COMMAND_FAILED;
	if (c != NULL)
		while ((r = command_step(c, &out)) == COMMAND_MORE)
			continue;
	command_free(c);
	assert_int_equal(r == COMMAND_DONE, expect_ok);
	char *text = span_dup(c != NULL ? buf_view(&out) : buf_view(&err));
	buf_fini(&out);
	buf_fini(&err);
	return text;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static size_t
lines(const char *const *words)
{
	char *text = run(words, true);
	size_t n = 0;
	for (const char *p = text; *p != '\0'; p++)
		n += *p == '\n';
	free(text);
	return n;
}

static void
logs_filter(void **state)
{
	(void)state;
	assert_int_equal(lines(WORDS("logs", "--json")), 50);
	assert_int_equal(lines(WORDS("logs")), 51); /* a heading */
	assert_int_equal(lines(WORDS("logs", "--json", "--limit", "2000")), 1203);
	assert_int_equal(lines(WORDS("logs", "--json", "--limit=7")), 7);
	assert_int_equal(
	    lines(WORDS("logs", "--json", "--limit", "2000", "--provider", "anthropic")), 2);
	assert_int_equal(lines(WORDS("logs", "--json", "--limit", "2000", "--status", "5xx")), 1);
	assert_int_equal(lines(WORDS("logs", "--json", "--limit", "2000", "--cached")), 1);
	assert_int_equal(lines(WORDS("logs", "--json", "--limit", "2000", "--since", "1h")), 3);
	assert_int_equal(lines(WORDS("logs", "--json", "--limit", "2000", "--until", "1h")), 1200);
	assert_int_equal(lines(WORDS("logs", "--json", "--gateway", "other")), 0);
}

static void
logs_filter_by_duration_tokens_and_metadata(void **state)
{
	(void)state;
	assert_int_equal(lines(WORDS("logs", "--json", "--min-duration", "2s")), 1);
	assert_int_equal(lines(WORDS("logs", "--json", "--min-duration", "2001ms")), 0);
	assert_int_equal(lines(WORDS("logs", "--json", "--max-duration=2s")), 1);
	assert_int_equal(
	    lines(WORDS("logs", "--json", "--min-tokens", "100", "--max-tokens", "100")), 1);
	assert_int_equal(lines(WORDS("logs", "--json", "--min-tokens", "101")), 0);
	assert_int_equal(
	    lines(WORDS("logs", "--json", "--metadata", "n=7", "--metadata=user==u")), 1);
	assert_int_equal(lines(WORDS("logs", "--json", "--metadata", "n=8")), 0);
	assert_int_equal(lines(WORDS("logs", "--json", "--limit", "2000", "--uncached")), 1202);
}

static void
export_gives_all_of_it(void **state)
{
	(void)state;
	assert_int_equal(lines(WORDS("logs", "export")), 1203);
	assert_int_equal(
	    lines(WORDS("logs", "export", "--format", "ndjson", "--limit", "501")), 501);
	assert_int_equal(lines(WORDS("logs", "export", "--format=csv")), 1204);
	assert_int_equal(lines(WORDS("logs", "export", "--format=csv", "--provider", "nobody")), 1);
	char *text = run(WORDS("logs", "export", "--format", "csv", "--status", "404"), true);
	assert_true(strncmp(text, "id,created_at,gateway,", 22) == 0);
	assert_non_null(strstr(text, ",404,false,false,MISS,2000.000,"));
	assert_non_null(strstr(text, ",\"{\"\"user\"\":\"\"=u\"\",\"\"n\"\":7}\","));
	free(text);
}

/* As the server's loop would: the record of an exchange that ends now. */
static struct id
write_now(struct journal *j, const char *provider)
{
	static const struct request_head head;
	static const struct target target;
	struct arena a;
	arena_init(&a, 65536);
	struct journal_entry e = {.head = &head, .target = &target};
	record_init(&e.record);
	static struct id_source source;
	static const uint8_t seed[16] = {2};
	if (source.seed[0] == 0)
		id_source_init(&source, seed, NULL);
	e.record.id = id_new(&source, NOW + 5000);
	e.record.created_ms = NOW + 5000;
	e.record.provider = span_str(provider);
	e.record.status = 200;
	journal_write(j, &e, &a);
	arena_fini(&a);
	return e.record.id;
}

static void
count_call(void *ctx)
{
	++*(int *)ctx;
}

/* Steps until there is no more for now. */
static char *
steps(struct command *c, bool is_last, enum command_result expected)
{
	struct buf out;
	enum command_result r;
	buf_init(&out, 1 << 20);
	assert_int_equal(command_collect(c, is_last), 0);
	while ((r = command_step(c, &out)) == COMMAND_MORE)
		continue;
	assert_int_equal(r, expected);
	char *text = span_dup(buf_view(&out));
	buf_fini(&out);
	return text;
}

static size_t
times(const char *text, const char *what)
{
	size_t n = 0;
	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
follow_shows_the_last_and_then_what_comes(void **state)
{
	static const uint8_t key[32];
	struct buf err;
	int woken = 0;
	(void)state;
	struct journal *j = journal_new(records, key, key);
	stores.journal = j;
	buf_init(&err, 4096);
	struct command *c = command_new(&stores,
	    WORDS("logs", "-f", "--json", "--limit", "2", "--provider", "anthropic"), &err);
	assert_non_null(c);
	assert_true(command_is_endless(c));
	command_watch(c, count_call, &woken);
	/* One that is written before the past is read is in both, and shown once. */
	write_now(j, "anthropic");
	assert_int_equal(woken, 1);
	char *text = steps(c, false, COMMAND_WAIT);
	assert_int_equal(times(text, "\n"), 2);
	assert_true(strstr(text, "00:00:05") > strstr(text, "23:59:59")); /* oldest first */
	free(text);
	assert_false(command_has_news(c)); /* it was taken with that step... */
	text = steps(c, false, COMMAND_WAIT);
	assert_string_equal(text, ""); /* ...and not shown again */
	free(text);
	write_now(j, "anthropic");
	write_now(j, "openai");
	write_now(j, "anthropic");
	assert_true(command_has_news(c));
	text = steps(c, false, COMMAND_WAIT);
	assert_int_equal(times(text, "\"provider\":\"anthropic\""), 2);
	assert_int_equal(times(text, "\n"), 2);
	free(text);
	write_now(j, "anthropic");
	text = steps(c, true, COMMAND_DONE);
	assert_int_equal(times(text, "\n"), 1);
	free(text);
	command_free(c);
	assert_int_equal(woken, 5);
	write_now(j, "anthropic"); /* nobody listens any more */
	assert_int_equal(woken, 5);
	stores.journal = NULL;
	journal_free(j);
	buf_fini(&err);
}

/* Who does not read does not fill the server's memory: 4 MB, then records are left out and counted. */
static void
a_follower_that_lags_is_told(void **state)
{
	static const uint8_t key[32];
	struct buf err;
	int woken = 0;
	(void)state;
	struct journal *j = journal_new(records, key, key);
	stores.journal = j;
	buf_init(&err, 4096);
	struct command *c = command_new(&stores, WORDS("logs", "--follow", "--limit", "0"), &err);
	assert_non_null(c);
	command_watch(c, count_call, &woken);
	for (int i = 0; i < 200000; i++)
		write_now(j, "openai");
	assert_in_range(command_collect(c, false), 1000, 199000);
	assert_false(command_has_news(c));
	command_free(c);
	stores.journal = NULL;
	journal_free(j);
	buf_fini(&err);
}

static void
logs_are_newest_first(void **state)
{
	(void)state;
	char *text = run(WORDS("logs", "--json", "--limit", "1"), true);
	assert_non_null(strstr(text, "\"status_code\":503"));
	free(text);
}

static void
one_record_has_its_payloads(void **state)
{
	char id[ID_TEXT_SIZE];
	(void)state;
	struct id made = append(NOW, "openai", 503, "the \x1b[31mrequest\n");
	id_text(&made, id);
	char *text = run(WORDS("logs", id), true);
	assert_non_null(strstr(text, "the \\x1b[31mrequest\n"));
	assert_non_null(strstr(text, "--- response: not kept ---"));
	free(text);
	text = run(WORDS("logs", id, "--json"), true);
	assert_non_null(
	    strstr(text, "\"request\":\"the \\u001b[31mrequest\\n\",\"response\":null}"));
	free(text);
	id[0] = 'f';
	text = run(WORDS("logs", id), false);
	assert_string_equal(text, "no record has this id");
	free(text);
}

struct complaint {
	const char *words[5], *says;
};

static void
wrong_words_are_named(void **state)
{
	static const struct complaint rows[] = {
	    {{"logs", "--colour"}, "unknown option '--colour'; see 'postern help'"},
	    {{"logs", "--limit", "0"}, "not understood: '0'; a number from 1"},
	    {{"logs", "--limit"}, "wrong use of '--limit'; a number from 1"},
	    {{"logs", "--json=1"}, "wrong use of '--json=1'; it takes no value"},
	    {{"logs", "--status", "700"},
		"not understood: '700'; a status, a class or a range (429, 5xx, 400-499)"},
	    {{"logs", "-f"},
		"no server runs on this data directory, so there is nothing to follow; start it, or leave out -f"},
	    {{"logs", "-f", "--until", "1h"}, "--until does not go with -f, which has no end"},
	    {{"logs", "-f", "--limit", "1001"}, "--limit is at most 1000 with -f"},
	    {{"logs", "export", "-f"}, "-f goes neither with an id nor with export"},
	    {{"logs", "export", "--json"}, "--json does not go with export; use --format ndjson"},
	    {{"logs", "export", "--format", "xml"}, "not understood: 'xml'; ndjson or csv"},
	    {{"logs", "--format", "csv"}, "--format is for 'logs export'"},
	    {{"logs", "--metadata", "user"},
		"not understood: 'user'; KEY=VALUE, at most four times"},
	    {{"logs", "--min-tokens", "-1"},
		"not understood: '-1'; a number of tokens, in and out together"},
	    {{"logs", "--max-duration", "5"}, "not understood: '5'; a duration (500ms, 2s, 1m)"},
	    {{"logs", "export", "x"},
		"not a record's id: 'x'; ids are the UUIDs that 'postern logs' shows"},
	    {{"logs", "x"}, "not a record's id: 'x'; ids are the UUIDs that 'postern logs' shows"},
	    {{"cache"},
		"unknown cache command ''; use 'cache stats', 'cache purge' or 'cache compact'"},
	    {{"backup"}, "wrong use of 'backup'; it takes one directory: postern backup DIR"},
	    {{"cache", "stats"},
		"no server runs on this data directory, and the cache is a running server's; start it first"},
	    {{"dance"}, "unknown command 'dance'; see 'postern help'"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *text = run(rows[i].words, false);
		assert_string_equal(text, rows[i].says);
		free(text);
	}
}

static int
setup(void **state)
{
	char detail[256];
	const struct records_options o = {.max_size = 1 << 30,
	    .retention_ms = 86400000 * 30ll,
	    .payload_retention_ms = 86400000 * 7ll};
	(void)state;
	if (!crypto_init())
		return -1;
	snprintf(path, sizeof(path), "%s/postern-XXXXXX",
	    getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(path) == NULL || datadir_open(path, &dir, detail, sizeof(detail)) != E_OK ||
	    records_open(&dir, &o, &records, detail, sizeof(detail)) != E_OK)
		return -1;
	clock_fake(1000000000, NOW);
	stores.records = records;
	for (int i = 0; i < 1199; i++)
		append(NOW - 7200000, "openai", 200, NULL);
	append(NOW - 7200000, "anthropic", 200, NULL);
	append(NOW - 1000, "anthropic", 201, NULL);
	append(NOW - 1000, "openai", 404, NULL);
	append(NOW, "openai", 503, NULL);
	return 0;
}

static int
teardown(void **state)
{
	char command[128];
	(void)state;
	records_close(records);
	datadir_close(&dir);
	clock_fake(0, 0);
	crypto_fini();
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(logs_filter),
	    cmocka_unit_test(logs_filter_by_duration_tokens_and_metadata),
	    cmocka_unit_test(logs_are_newest_first),
	    cmocka_unit_test(export_gives_all_of_it),
	    cmocka_unit_test(one_record_has_its_payloads),
	    cmocka_unit_test(wrong_words_are_named),
	    cmocka_unit_test(follow_shows_the_last_and_then_what_comes),
	    cmocka_unit_test(a_follower_that_lags_is_told),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
