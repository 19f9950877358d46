/* The table against config.h: every key reaches its own field, has its default and its range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/table.h"
#include "config_case.h"

#define KB ((uint64_t)1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define SECOND ((uint64_t)1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

struct number {
	const char *key;
	size_t offset; /* in struct config, or in the gateway "default" */
	uint64_t standard;
	const char *below, *least, *most, *above; /* below NULL: there is nothing under 0 */
	uint64_t min, max;
};

#define OF(member) offsetof(struct config, member)
#define OF_GATEWAY(member) offsetof(struct config_gateway, member)
#define TIME_LIMIT "0", "1ms", "1d", "86400001ms", 1, DAY

static const struct number numbers[] = {
    {"limits.header_size", OF(limits.header_size), 32 * KB, "1023", "1KB", "1MB", "1048577", KB,
	MB},
    {"limits.headers", OF(limits.headers), 100, "0", "1", "10000", "10001", 1, 10000},
    {"limits.request_line", OF(limits.request_line), 8 * KB, "255", "256", "1MB", "1048577", 256,
	MB},
    {"limits.body", OF(limits.body), 32 * MB, "1023", "1KB", "1GB", "1073741825", KB, GB},
    {"limits.connections", OF(limits.connections), 10000, "0", "1", "1000000", "1000001", 1,
	1000000},
    {"limits.connections_per_address", OF(limits.connections_per_address), 256, "0", "1", "1000000",
	"1000001", 1, 1000000},
    {"limits.header_timeout", OF(limits.header_timeout_ms), 10 * SECOND, TIME_LIMIT},
    {"limits.tls_timeout", OF(limits.tls_timeout_ms), 10 * SECOND, TIME_LIMIT},
    {"limits.body_idle", OF(limits.body_idle_ms), 30 * SECOND, TIME_LIMIT},
    {"limits.body_grace", OF(limits.body_grace_ms), 20 * SECOND, NULL, "0", "1d", "86400001ms", 0,
	DAY},
    {"limits.memory", OF(limits.memory), 0, NULL, "0", "1048576GB", "1125899906842625", 0,
	1024 * 1024 * GB},
    {"limits.body_min_rate", OF(limits.body_min_rate), 500, NULL, "0", "1000000000", "1000000001",
	0, 1000000000},
    {"limits.keepalive_idle", OF(limits.keepalive_idle_ms), 75 * SECOND, TIME_LIMIT},
    {"limits.keepalive_requests", OF(limits.keepalive_requests), 1000, "0", "1", "1000000000",
	"1000000001", 1, 1000000000},
    {"limits.write_stall", OF(limits.write_stall_ms), 60 * SECOND, TIME_LIMIT},
    {"limits.drain", OF(limits.drain_ms), 30 * SECOND, NULL, "0", "1d", "86400001ms", 0, DAY},
    {"limits.takeover_drain", OF(limits.takeover_drain_ms), 600 * SECOND, NULL, "0", "1d",
	"86400001ms", 0, DAY},
    {"upstream.connect", OF(upstream.connect_ms), 5 * SECOND, TIME_LIMIT},
    {"upstream.tls", OF(upstream.tls_ms), 10 * SECOND, TIME_LIMIT},
    {"upstream.first_byte", OF(upstream.first_byte_ms), 600 * SECOND, TIME_LIMIT},
    {"upstream.idle", OF(upstream.idle_ms), 300 * SECOND, TIME_LIMIT},
    {"upstream.pool_idle", OF(upstream.pool_idle_ms), 60 * SECOND, NULL, "0", "1d", "86400001ms", 0,
	DAY},
    {"cache.max_size", OF(cache_max_size), 2 * GB, "1048575", "1MB", "16384GB", "17592186044417",
	MB, 16384 * GB},
    {"log.max_size", OF(log_max_size), 5 * GB, "1048575", "1MB", "16384GB", "17592186044417", MB,
	16384 * GB},
    {"log.payload_max_size", OF(log_payload_max_size), 4 * GB, NULL, "0", "16384GB",
	"17592186044417", 0, 16384 * GB},
    {"log.retention", OF(log_retention_ms), 30 * DAY, "999ms", "1s", "3650d", "3651d", SECOND,
	3650 * DAY},
    {"log.payload_retention", OF(log_payload_retention_ms), 7 * DAY, "999ms", "1s", "3650d",
	"3651d", SECOND, 3650 * DAY},
};
static const struct number gateway_numbers[] = {
    {"gateways.default.cache.ttl", OF_GATEWAY(cache.ttl_ms), HOUR, NULL, "0", "365d", "366d", 0,
	365 * DAY},
    {"gateways.default.cache.stale_if_error", OF_GATEWAY(cache.stale_if_error_ms), 0, NULL, "0",
	"365d", "366d", 0, 365 * DAY},
    {"gateways.default.cache.stale_while_revalidate", OF_GATEWAY(cache.stale_while_revalidate_ms),
	0, NULL, "0", "365d", "366d", 0, 365 * DAY},
    {"gateways.default.cache.max_entry", OF_GATEWAY(cache.max_entry), 25 * MB, "1023", "1KB", "1GB",
	"1073741825", KB, GB},
    {"gateways.default.log.max_payload", OF_GATEWAY(log.max_payload), 10 * MB, NULL, "0", "1GB",
	"1073741825", 0, GB},
};

static int
reset(void **state)
{
	UNUSED(state);
	case_reset();
	return 0;
}

/* The number that is at offset when the key is set to that text (NULL: not set). */
static uint64_t
number_with(const struct number *n, bool is_gateway, const char *text)
{
	char set[128];
	struct config *c;
	uint64_t v;

	(void)snprintf(set, sizeof(set), "%s=%s", n->key, text == NULL ? "" : text);
	this_case.set[0] = text == NULL ? NULL : set;
	c = case_must_load(NULL);
	memcpy(&v, (is_gateway ? (const char *)&c->gateways[0] : (const char *)c) + n->offset,
	    sizeof(v));
	config_unref(c);
	return v;
}

static void
assert_out_of_range(const struct number *n, const char *text)
{
	char set[128], error[256];

	(void)snprintf(set, sizeof(set), "%s=%s", n->key, text);
	(void)snprintf(error, sizeof(error), "--set %s: %s is '%s'; choose from %s to %s", n->key,
	    n->key, text, n->least, n->most);
	case_set_refuses(set, error);
}

static void
assert_range(const struct number *n, bool is_gateway)
{
	assert_int_equal(number_with(n, is_gateway, NULL), n->standard);
	assert_int_equal(number_with(n, is_gateway, n->least), n->min);
	assert_int_equal(number_with(n, is_gateway, n->most), n->max);
	if (n->below != NULL)
		assert_out_of_range(n, n->below);
	assert_out_of_range(n, n->above);
}

static void
every_number_has_its_field_default_and_range(void **state)
{
	size_t in_table = 0;

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		assert_range(&numbers[i], false);
	for (size_t i = 0; i < COUNT_OF(gateway_numbers); i++)
		assert_range(&gateway_numbers[i], true);
	for (size_t i = 0; i < table_count(); i++) {
		enum config_type type = table_at(i)->type;

		in_table += type == CONFIG_INT || type == CONFIG_DURATION || type == CONFIG_SIZE;
	}
	assert_int_equal(in_table, COUNT_OF(numbers) + COUNT_OF(gateway_numbers));
}

static void
every_other_key_has_its_default(void **state)
{
	struct config *c;
	const struct config_gateway *g;

	UNUSED(state);
	this_case.set[0] = "providers.x={}";
	c = case_must_load(NULL);
	g = &c->gateways[0];
	assert_null(c->admin_listen[0]);
	assert_null(c->admin_hosts[0]);
	assert_null(c->trusted_proxies[0]);
	assert_true(c->sandbox);
	assert_false(c->limits.half_close);
	assert_null(c->upstream.ca);
	assert_null(c->upstream.proxy);
	assert_null(c->upstream.no_proxy[0]);
	assert_int_equal(g->on_disconnect, DISCONNECT_CANCEL);
	assert_int_equal(g->cache.mode, CACHE_ALL);
	assert_int_equal(g->cache.scope, SCOPE_CREDENTIAL);
	assert_null(g->cache.ignore[0]);
	assert_false(g->cache.respect_upstream);
	assert_false(g->cache.split_embeddings);
	assert_true(g->log.collect);
	assert_int_equal(g->log.payload, PAYLOAD_FULL);
	assert_null(c->providers[0].base_url);
	assert_null(c->providers[0].dialect);
	assert_null(c->providers[0].ca);
	assert_false(c->providers[0].allow_private);
	config_unref(c);
}

static void
every_other_key_reaches_its_field(void **state)
{
	struct config *c = case_must_load(
	    "listen: [\"127.0.0.1:1\", \"unix:/s\"]\n"
	    "data: /d\n"
	    "sandbox: false\n"
	    "admin: {listen: [\"127.0.0.1:1\", \"unix:/s\"], hosts: [a.example]}\n"
	    "trusted_proxies: [\"::1\", 10.0.0.0/8]\n"
	    "limits: {half_close: true}\n"
	    "upstream: {ca: /ca.pem, proxy: \"http://h:1\", no_proxy: [a, .b]}\n"
	    "gateways: {default: {authentication: false, on_disconnect: finish,\n"
	    "  cache: {mode: deterministic, scope: shared, ignore: [user], respect_upstream: true, split_embeddings: true},\n"
	    "  log: {collect: false, payload: none}}}\n"
	    "providers: {x: {base_url: \"http://h\", dialect: gemini, allow_private: true, ca: c}}\n");
	const struct config_gateway *g = &c->gateways[0];

	UNUSED(state);
	assert_string_equal(c->listen[1].address, "unix:/s");
	assert_string_equal(c->data, "/d");
	assert_false(c->sandbox);
	assert_string_equal(c->admin_listen[1], "unix:/s");
	assert_string_equal(c->admin_hosts[0], "a.example");
	assert_string_equal(c->trusted_proxies[1], "10.0.0.0/8");
	assert_true(c->limits.half_close);
	assert_string_equal(c->upstream.ca, "/ca.pem");
	assert_string_equal(c->upstream.proxy, "http://h:1");
	assert_string_equal(c->upstream.no_proxy[1], ".b");
	assert_int_equal(g->on_disconnect, DISCONNECT_FINISH);
	assert_int_equal(g->cache.mode, CACHE_DETERMINISTIC);
	assert_int_equal(g->cache.scope, SCOPE_SHARED);
	assert_string_equal(g->cache.ignore[0], "user");
	assert_true(g->cache.respect_upstream);
	assert_true(g->cache.split_embeddings);
	assert_false(g->log.collect);
	assert_int_equal(g->log.payload, PAYLOAD_NONE);
	assert_string_equal(c->providers[0].base_url, "http://h");
	assert_string_equal(c->providers[0].dialect, "gemini");
	assert_string_equal(c->providers[0].ca, "c");
	assert_true(c->providers[0].allow_private);
	config_unref(c);
}

static void
every_word_of_an_enum_is_taken(void **state)
{
	static const char *const dialects[] = {
	    "openai", "anthropic", "gemini", "bedrock", "cohere", "ollama", "other"};
	struct config *c;

	UNUSED(state);
	c = case_must_load(
	    "gateways: {default: {on_disconnect: cancel, cache: {mode: all, scope: credential}, log: {payload: full}}}");
	assert_int_equal(c->gateways[0].cache.mode, CACHE_ALL);
	config_unref(c);
	c = case_must_load("gateways: {default: {cache: {mode: \"off\"}}}");
	assert_int_equal(c->gateways[0].cache.mode, CACHE_OFF);
	config_unref(c);
	for (size_t i = 0; i < COUNT_OF(dialects); i++) {
		char set[64];

		(void)snprintf(set, sizeof(set), "providers.x.dialect=%s", dialects[i]);
		this_case.set[0] = set;
		c = case_must_load(NULL);
		assert_string_equal(c->providers[0].dialect, dialects[i]);
		config_unref(c);
	}
}

static void
every_row_stands_in_a_section_and_says_what_it_is(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < table_count(); i++) {
		const struct config_row *row = table_at(i);
		const char *dot = strrchr(row->path, '.');
		char parent[CONFIG_PATH_SIZE];
		size_t doc = strlen(row->doc);

		(void)snprintf(parent, sizeof(parent), "%.*s",
		    dot == NULL ? 0 : (int)(dot - row->path), row->path);
		assert_non_null(table_section(parent));
		assert_ptr_equal(table_find(row->path), row);
		assert_true(doc > 10 && row->doc[doc - 1] == '.');
		if (table_is_available(row) &&
		    (row->type == CONFIG_STRING || row->type == CONFIG_STRINGS))
			assert_true(row->choices != NULL || row->pattern != NULL);
		for (size_t j = 0; j < i; j++)
			assert_true(row->offset == CONFIG_NO_FIELD ||
			    table_root(row) != table_root(table_at(j)) ||
			    row->offset != table_at(j)->offset);
	}
	assert_null(table_find("limits"));
	assert_null(table_section("limits.body"));
}

static void
the_children_of_a_section_come_once_and_in_order(void **state)
{
	static const char *const top[] = {"listen", "data", "sandbox", "admin", "trusted_proxies",
	    "default_provider", "limits", "upstream", "cache", "log", "gateways", "providers"};
	static const char *const gateway[] = {"authentication", "on_disconnect", "cache", "log"};
	struct table_iter it = {.section = ""};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(top); i++) {
		assert_true(table_next(&it));
		assert_true(span_eq(it.name, span_str(top[i])));
		assert_true((it.row == NULL) == (table_section(top[i]) != NULL));
	}
	assert_false(table_next(&it));
	it = (struct table_iter){.section = "gateways.*"};
	for (size_t i = 0; i < COUNT_OF(gateway); i++) {
		assert_true(table_next(&it));
		assert_true(span_eq(it.name, span_str(gateway[i])));
	}
	assert_false(table_next(&it));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(every_number_has_its_field_default_and_range, reset),
	    cmocka_unit_test_setup(every_other_key_has_its_default, reset),
	    cmocka_unit_test_setup(every_other_key_reaches_its_field, reset),
	    cmocka_unit_test_setup(every_word_of_an_enum_is_taken, reset),
	    cmocka_unit_test(every_row_stands_in_a_section_and_says_what_it_is),
	    cmocka_unit_test(the_children_of_a_section_come_once_and_in_order),
	};

	return cmocka_run_group_tests_name("config table", tests, case_begin, case_end);
}
