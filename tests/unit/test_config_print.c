/* What config_print and config_schema say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <regex.h>

#include "config/table.h"
#include "config_case.h"
#include "json/json.h"

static int
reset(void **state)
{
	UNUSED(state);
	case_reset();
	return 0;
}

/* The print as a string, to be freed. */
static char *
printed(const struct config *c)
{
	struct buf out;
	char *text;

	buf_init(&out, 1 << 20);
	assert_true(config_print(c, &out));
	text = span_dup(buf_view(&out));
	buf_fini(&out);
	return text;
}

static void
the_defaults_are_printed_whole(void **state)
{
	struct config *c = case_must_load("data: /d");
	char *text = printed(c);

	UNUSED(state);
	assert_string_equal(text,
	    "listen:\n"
	    "  - \"127.0.0.1:8787\"\n"
	    "data: \"/d\"\n"
	    "sandbox: true\n"
	    "admin:\n"
	    "  listen: []\n"
	    "  hosts: []\n"
	    "trusted_proxies: []\n"
	    "limits:\n"
	    "  header_size: 32KB\n"
	    "  headers: 100\n"
	    "  request_line: 8KB\n"
	    "  body: 32MB\n"
	    "  connections: 10000\n"
	    "  connections_per_address: 256\n"
	    "  header_timeout: 10s\n"
	    "  tls_timeout: 10s\n"
	    "  body_idle: 30s\n"
	    "  body_grace: 20s\n"
	    "  body_min_rate: 500\n"
	    "  keepalive_idle: 75s\n"
	    "  keepalive_requests: 1000\n"
	    "  write_stall: 1m\n"
	    "  drain: 30s\n"
	    "  takeover_drain: 10m\n"
	    "  half_close: false\n"
	    "  memory: 0\n"
	    "upstream:\n"
	    "  connect: 5s\n"
	    "  tls: 10s\n"
	    "  first_byte: 10m\n"
	    "  idle: 5m\n"
	    "  pool_idle: 1m\n"
	    "  ca: system\n"
	    "  proxy: none\n"
	    "  no_proxy: []\n"
	    "cache:\n"
	    "  max_size: 2GB\n"
	    "log:\n"
	    "  max_size: 5GB\n"
	    "  payload_max_size: 4GB\n"
	    "  retention: 30d\n"
	    "  payload_retention: 7d\n"
	    "gateways:\n"
	    "  \"default\":\n"
	    "    on_disconnect: \"cancel\"\n"
	    "    cache:\n"
	    "      mode: \"all\"\n"
	    "      ttl: 1h\n"
	    "      scope: \"credential\"\n"
	    "      max_entry: 25MB\n"
	    "      ignore: []\n"
	    "      coalesce: true\n"
	    "      stale_if_error: 0\n"
	    "      stale_while_revalidate: 0\n"
	    "      cross_form: false\n"
	    "      split_embeddings: false\n"
	    "      respect_upstream: false\n"
	    "      seal: false\n"
	    "    log:\n"
	    "      collect: true\n"
	    "      payload: \"full\"\n"
	    "      max_payload: 10MB\n"
	    "      scrub: true\n"
	    "      seal: false\n");
	free(text);
	config_unref(c);
}

/* Every key with another value than its default, and values that need care in quotes. */
static const char everything[] =
    "listen: [\":1\", \"unix:/run/a b\", {address: \"[::1]:2\", tls: {certificate: \"c\\\"\\\\.pem\", key: \"$${K}\"}},\n"
    "  {address: \":3\", tls: {certificate: c, key: k, certificates: [{certificate: c2, key: k2}, {certificate: c3, key: k3}],\n"
    "    client_ca: \"/a b\", client_certificates: request}}, {address: \":4\", tls: {certificate: c, key: k, client_ca: d}},\n"
    "  {address: \":5\", tls: {certificate: c, key: k, client_ca: d, client_certificates: off}}]\n"
    "data: \"/d\\\\$$${X} # \xc3\xa4: \\\"q\\\"\"\n"
    "sandbox: false\n"
    "admin: {listen: [\":1\"], hosts: [a.example, b.example]}\n"
    "limits: {header_size: 33KB, headers: 101, request_line: 9KB, body: 1000000, connections: 1, connections_per_address: 2,\n"
    "  header_timeout: 1500ms, tls_timeout: 11s, body_idle: 31s, body_grace: 0, body_min_rate: 0, keepalive_idle: 76s,\n"
    "  keepalive_requests: 3, write_stall: 61s, drain: 0, takeover_drain: 7m, half_close: true, memory: 256MB}\n"
    "trusted_proxies: [10.0.0.0/8, unix]\n"
    "upstream: {connect: 6s, tls: 12s, first_byte: 601s, idle: 301s, pool_idle: 0, ca: /ca.pem, proxy: \"http://h:1\", no_proxy: [a, .b]}\n"
    "cache: {max_size: 3GB}\n"
    "log: {max_size: 6GB, payload_max_size: 3GB, retention: 31d, payload_retention: 8d}\n"
    "gateways:\n"
    "  default: {on_disconnect: finish, cache: {mode: off, ttl: 2h, max_entry: 26MB, ignore: [user, \"a, b\"],\n"
    "    respect_upstream: true}, log: {collect: false, payload: none, max_payload: 11MB, scrub: false}}\n"
    "  'null': {cache: {mode: deterministic}}\n"
    "  '12': {}\n"
    "providers:\n"
    "  x: {base_url: \"https://h:8/v1\", dialect: cohere, allow_private: true, ca: \"/c: x.pem\"}\n"
    "  'true': {}\n";

static void
what_is_printed_loads_to_the_same(void **state)
{
	struct config *first = case_must_load(everything), *again;
	char *text, *text_again;

	UNUSED(state);
	text = printed(first);
	again = case_must_load(text);
	text_again = printed(again);
	assert_string_equal(text, text_again);
	assert_int_equal(again->n_listen, 6);
	assert_string_equal(again->listen[1].address, "unix:/run/a b");
	assert_string_equal(again->listen[2].tls[0].certificate, "c\"\\.pem");
	assert_string_equal(again->listen[2].tls[0].key, "${K}");
	assert_int_equal(again->listen[2].client_certificates, CLIENTS_OFF);
	assert_int_equal(again->listen[3].n_tls, 3);
	assert_string_equal(again->listen[3].tls[2].key, "k3");
	assert_string_equal(again->listen[3].client_ca, "/a b");
	assert_int_equal(again->listen[3].client_certificates, CLIENTS_REQUEST);
	assert_int_equal(again->listen[4].client_certificates, CLIENTS_REQUIRE);
	assert_int_equal(again->listen[5].client_certificates, CLIENTS_OFF);
	assert_string_equal(again->data, "/d\\$${X} # \xc3\xa4: \"q\"");
	assert_false(again->sandbox);
	assert_string_equal(again->admin_hosts[1], "b.example");
	assert_int_equal(again->limits.body, 1000000);
	assert_int_equal(again->limits.header_timeout_ms, 1500);
	assert_int_equal(again->limits.drain_ms, 0);
	assert_string_equal(again->upstream.ca, "/ca.pem");
	assert_int_equal(again->n_gateways, 3);
	assert_string_equal(again->gateways[1].name, "null");
	assert_string_equal(again->gateways[2].name, "12");
	assert_int_equal(again->gateways[1].cache.mode, CACHE_DETERMINISTIC);
	assert_int_equal(again->gateways[2].cache.mode, CACHE_OFF);
	assert_string_equal(again->gateways[0].cache.ignore[1], "a, b");
	assert_int_equal(again->gateways[0].log.payload, PAYLOAD_NONE);
	assert_false(again->gateways[0].log.scrub);
	assert_int_equal(again->n_providers, 2);
	assert_string_equal(again->providers[0].ca, "/c: x.pem");
	assert_string_equal(again->providers[1].slug, "true");
	config_unref(first);
	config_unref(again);
	free(text);
	free(text_again);
}

/* Its value in a print of the defaults would be in the other print too, were the row not printed. */
static void
every_row_is_printed(void **state)
{
	struct config *c = case_must_load(everything);
	char *text = printed(c);

	UNUSED(state);
	for (size_t i = 0; i < table_count(); i++) {
		const struct config_row *row = table_at(i);
		const char *dot = strrchr(row->path, '.');
		char key[CONFIG_PATH_SIZE];

		(void)snprintf(key, sizeof(key), "%s:", dot == NULL ? row->path : dot + 1);
		if (row->offset != CONFIG_NO_FIELD)
			assert_non_null(strstr(text, key));
	}
	free(text);
	config_unref(c);
}

static void
a_print_that_does_not_fit_is_none(void **state)
{
	struct config *c = case_must_load(everything);
	char *text = printed(c);
	struct buf out;

	UNUSED(state);
	for (size_t most = 0; most < strlen(text); most += 7) {
		buf_init(&out, most);
		assert_false(config_print(c, &out));
		buf_fini(&out);
	}
	free(text);
	config_unref(c);
}

static struct json_doc *
schema(void)
{
	struct buf out;
	struct json_doc *doc;

	buf_init(&out, 1 << 20);
	assert_true(config_schema(&out));
	doc = json_parse(buf_view(&out));
	assert_non_null(doc);
	buf_fini(&out);
	return doc;
}

static void
assert_str(struct json_val v, const char *text)
{
	struct span s = SPAN_NONE;

	assert_true(json_str(v, &s));
	assert_true(span_eq(s, span_str(text)));
}

/* The schema of a path: through properties, and additionalProperties for '*'. */
static struct json_val
schema_at(struct json_val v, const char *path)
{
	struct span rest = span_str(path), part;
	bool closed = true;

	while (span_next(&rest, '.', &part)) {
		char *name = span_dup(part);

		if (strcmp(name, "*") == 0) {
			v = json_get(v, "additionalProperties");
		} else {
			if (json_bool(json_get(v, "additionalProperties"), &closed))
				assert_false(closed);
			v = json_get(json_get(v, "properties"), name);
		}
		free(name);
	}
	return v;
}

static void
the_schema_has_every_key_with_its_text(void **state)
{
	struct json_doc *doc = schema();
	struct json_val root = json_root(doc);

	UNUSED(state);
	assert_str(json_get(root, "$schema"), "https://json-schema.org/draft/2020-12/schema");
	for (size_t i = 0; i < table_count(); i++) {
		const struct config_row *row = table_at(i);
		struct json_val v = schema_at(root, row->path);
		struct span text = SPAN_NONE;

		if (!table_is_available(row)) {
			assert_int_equal(json_type(v), JSON_NONE);
			continue;
		}
		assert_true(json_str(json_get(v, "description"), &text));
		assert_true(span_starts(text, span_str(row->doc)));
		assert_true(json_type(json_get(v, "anyOf")) == JSON_ARRAY ||
		    json_type(json_get(v, "items")) == JSON_OBJECT ||
		    json_type(json_get(v, "const")) == JSON_BOOL);
		assert_true((json_type(json_get(v, "default")) == JSON_NONE) == (row->def == NULL));
	}
	json_free(doc);
}

static void
the_schema_knows_types_words_and_ranges(void **state)
{
	struct json_doc *doc = schema();
	struct json_val root = json_root(doc), v;
	int64_t n = 0;

	UNUSED(state);
	v = json_at(json_get(schema_at(root, "limits.headers"), "anyOf"), 0);
	assert_str(json_get(v, "type"), "integer");
	assert_true(json_int(json_get(v, "minimum"), &n) && n == 1);
	assert_true(json_int(json_get(v, "maximum"), &n) && n == 10000);
	v = json_get(
	    json_at(json_get(schema_at(root, "gateways.*.log.payload"), "anyOf"), 0), "enum");
	assert_int_equal(json_size(v), 3);
	assert_str(json_at(v, 0), "full");
	assert_str(json_at(v, 1), "head");
	assert_str(json_at(v, 2), "none");
	v = json_get(json_at(json_get(schema_at(root, "providers.*.dialect"), "anyOf"), 0), "enum");
	assert_int_equal(json_size(v), 7);
	assert_str(json_get(schema_at(root, "log.retention"), "description"),
	    "How long records are kept. From 1s to 3650d.");
	assert_str(json_path(schema_at(root, "gateways"), "propertyNames.pattern"),
	    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$");
	assert_str(
	    json_get(json_at(json_get(json_get(schema_at(root, "listen"), "items"), "anyOf"), 1),
		"$ref"),
	    "#/$defs/environment");
	assert_int_equal(json_type(json_path(root, "$defs.environment")), JSON_OBJECT);
	json_free(doc);
}

static bool
matches(const char *pattern, const char *text)
{
	regex_t re;
	int result;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	result = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	return result == 0;
}

static void
the_patterns_agree_with_the_checks(void **state)
{
	static const struct {
		const char *key, *text;
	} rows[] = {
	    {"listen", "127.0.0.1:80"},
	    {"listen", ":0"},
	    {"listen", "[::1]:80"},
	    {"listen", "unix:/a"},
	    {"listen", "localhost:1"},
	    {"listen", "80"},
	    {"listen", "a.example:80"},
	    {"listen", "unix:a"},
	    {"listen", "127.0.0.1:"},
	    {"data", "/d"},
	    {"data", "~/d"},
	    {"admin.hosts", "a.example"},
	    {"admin.hosts", "a:80"},
	    {"providers.*.base_url", "https://h/v1"},
	    {"providers.*.base_url", "http://127.0.0.1:9000"},
	    {"providers.*.base_url", "http://[::1]:80/"},
	    {"providers.*.base_url", "ftp://h"},
	    {"providers.*.base_url", "https://u@h"},
	    {"providers.*.base_url", "https://h/?a"},
	    {"providers.*.base_url", "https://"},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct config_row *row = table_find(rows[i].key);

		assert_true(matches(row->pattern, rows[i].text) ==
		    (row->check(span_str(rows[i].text)) == NULL));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(the_defaults_are_printed_whole, reset),
	    cmocka_unit_test_setup(what_is_printed_loads_to_the_same, reset),
	    cmocka_unit_test_setup(every_row_is_printed, reset),
	    cmocka_unit_test_setup(a_print_that_does_not_fit_is_none, reset),
	    cmocka_unit_test(the_schema_has_every_key_with_its_text),
	    cmocka_unit_test(the_schema_knows_types_words_and_ranges),
	    cmocka_unit_test(the_patterns_agree_with_the_checks),
	};

	return cmocka_run_group_tests_name("config print", tests, case_begin, case_end);
}
