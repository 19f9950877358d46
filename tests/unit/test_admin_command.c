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
#include "base/clock.h"
#include "crypto/crypto.h"
#include "journal/record.h"
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
	const char *words[4], *says;
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
	    {{"logs", "x"}, "not a record's id: 'x'; ids are the UUIDs that 'postern logs' shows"},
	    {{"cache"}, "unknown cache command ''; use 'cache stats' or 'cache purge'"},
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
	    cmocka_unit_test(logs_are_newest_first),
	    cmocka_unit_test(one_record_has_its_payloads),
	    cmocka_unit_test(wrong_words_are_named),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
