#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_case.h"

static int
reset(void **state)
{
	UNUSED(state);
	case_reset();
	return 0;
}

static void
nothing_at_all_gives_the_defaults(void **state)
{
	struct config *c = case_must_load(NULL);

	UNUSED(state);
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].address, "127.0.0.1:8787");
	assert_null(c->listen[0].tls);
	assert_string_equal(c->data, "/home/gw/.local/state/postern");
	assert_null(c->upstream.ca);
	assert_int_equal(c->n_gateways, 1);
	assert_string_equal(c->gateways[0].name, "default");
	assert_int_equal(c->n_providers, 0);
	config_unref(c);
}

static void
an_empty_file_gives_the_defaults(void **state)
{
	static const char *const files[] = {"", "\n\n", "# nothing\n", "---\n", "--- ~\n...\n",
	    "{}\n", "cache:\nlimits: ~\ngateways:\nproviders: null\n", "gateways: {default: }\n"};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		struct config *c = case_must_load(files[i]);

		assert_int_equal(c->limits.headers, 100);
		assert_int_equal(c->gateways[0].cache.ttl_ms, 3600000);
		config_unref(c);
	}
}

static void
json_is_yaml(void **state)
{
	struct config *c = case_must_load(
	    "{\"limits\": {\"headers\": 7, \"drain\": \"5s\", \"half_close\": true},\n"
	    " \"listen\": [\"[::1]:0\", {\"address\": \":80\", \"tls\": "
	    "{\"certificate\": \"c.pem\", \"key\": \"k.pem\"}}]}");

	UNUSED(state);
	assert_int_equal(c->limits.headers, 7);
	assert_int_equal(c->limits.drain_ms, 5000);
	assert_true(c->limits.half_close);
	assert_int_equal(c->n_listen, 2);
	assert_string_equal(c->listen[0].address, "[::1]:0");
	assert_string_equal(c->listen[1].address, ":80");
	assert_string_equal(c->listen[1].tls[0].certificate, "c.pem");
	assert_string_equal(c->listen[1].tls[0].key, "k.pem");
	config_unref(c);
}

static void
later_sources_override_earlier_ones(void **state)
{
	static char listen[] = "POSTERN_LISTEN=127.0.0.1:2,  unix:/run/gw.sock";
	static char data[] = "POSTERN_DATA=/from/environment";
	const char *file =
	    "listen: [\"127.0.0.1:1\"]\ndata: /from/file\nupstream: {ca: /file.pem}\nlimits: {headers: 5}\n";
	struct config *c;

	UNUSED(state);
	c = case_must_load(file);
	assert_string_equal(c->listen[0].address, "127.0.0.1:1");
	assert_string_equal(c->data, "/from/file");
	assert_string_equal(c->upstream.ca, "/file.pem");
	config_unref(c);

	this_case.environ[1] = listen;
	this_case.environ[2] = data;
	c = case_must_load(file);
	assert_int_equal(c->n_listen, 2);
	assert_string_equal(c->listen[0].address, "127.0.0.1:2");
	assert_string_equal(c->listen[1].address, "unix:/run/gw.sock");
	assert_string_equal(c->data, "/from/environment");
	assert_string_equal(c->upstream.ca, "/file.pem");
	assert_int_equal(c->limits.headers, 5);
	config_unref(c);

	this_case.set[0] = "listen=[\"127.0.0.1:3\"]";
	this_case.set[1] = "data=/from/set";
	this_case.set[2] = "upstream.ca=/set.pem";
	this_case.set[3] = "limits.headers=6";
	this_case.set[4] = "limits.headers=7"; /* the last one counts */
	c = case_must_load(file);
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].address, "127.0.0.1:3");
	assert_string_equal(c->data, "/from/set");
	assert_string_equal(c->upstream.ca, "/set.pem");
	assert_int_equal(c->limits.headers, 7);
	config_unref(c);

	this_case.listen[0] = "127.0.0.1:4";
	this_case.listen[1] = "127.0.0.1:5";
	this_case.data = "/from/flag";
	c = case_must_load(file);
	assert_int_equal(c->n_listen, 2);
	assert_string_equal(c->listen[0].address, "127.0.0.1:4");
	assert_string_equal(c->data, "/from/flag");
	config_unref(c);
}

static void
an_empty_variable_counts_as_not_set(void **state)
{
	static char listen[] = "POSTERN_LISTEN=", data[] = "POSTERN_DATA=",
		    token[] = "POSTERN_ADMIN_TOKEN=";
	struct config *c;

	UNUSED(state);
	this_case.environ[1] = listen;
	this_case.environ[2] = data;
	this_case.environ[3] = token;
	c = case_must_load(NULL);
	assert_string_equal(c->listen[0].address, "127.0.0.1:8787");
	assert_string_equal(c->data, "/home/gw/.local/state/postern");
	config_unref(c);
	c = case_must_load("listen: [\":1\"]\ndata: /from/file");
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].address, ":1");
	assert_string_equal(c->data, "/from/file");
	config_unref(c);
}

static void
a_set_makes_gateways_and_providers(void **state)
{
	struct config *c;

	UNUSED(state);
	this_case.set[0] = "gateways.gw.cache.ttl=10m";
	this_case.set[1] = "gateways.\"my.gw\".log={collect: false, payload: none}";
	this_case.set[2] = "providers.x.base_url=http://127.0.0.1:9000/v1";
	this_case.set[3] = "gateways.'empty'=";
	c = case_must_load(
	    "gateways: {gw: {cache: {mode: off}}, default: {cache: {max_entry: 1MB}}}");
	assert_int_equal(c->n_gateways, 4);
	assert_string_equal(c->gateways[0].name, "default");
	assert_string_equal(c->gateways[1].name, "gw");
	assert_int_equal(c->gateways[1].cache.ttl_ms, 600000);
	assert_int_equal(c->gateways[1].cache.mode, CACHE_OFF); /* the file's part stays */
	assert_string_equal(c->gateways[2].name, "my.gw");
	assert_false(c->gateways[2].log.collect);
	assert_int_equal(c->gateways[2].log.payload, PAYLOAD_NONE);
	assert_string_equal(c->gateways[3].name, "empty");
	assert_int_equal(c->gateways[3].cache.max_entry, 1 << 20);
	assert_int_equal(c->n_providers, 1);
	assert_string_equal(c->providers[0].slug, "x");
	assert_string_equal(c->providers[0].base_url, "http://127.0.0.1:9000/v1");
	assert_null(c->providers[0].dialect);
	assert_null(c->providers[0].ca);
	assert_false(c->providers[0].allow_private);
	config_unref(c);
}

static void
a_set_replaces_lists_and_adds_to_mappings(void **state)
{
	struct config *c;

	UNUSED(state);
	this_case.set[0] = "admin.hosts=[c.example]";
	this_case.set[1] = "limits={headers: 9}";
	this_case.set[2] = "cache="; /* nothing over a mapping changes nothing */
	c = case_must_load(
	    "admin: {hosts: [a.example, b.example]}\nlimits: {body: 1MB}\ncache: {max_size: 1GB}\n");
	assert_string_equal(c->admin_hosts[0], "c.example");
	assert_null(c->admin_hosts[1]);
	assert_int_equal(c->limits.headers, 9);
	assert_int_equal(c->limits.body, 1 << 20);
	assert_int_equal(c->cache_max_size, 1 << 30);
	config_unref(c);
}

static void
a_gateway_has_from_default_what_it_does_not_set(void **state)
{
	struct config *c;

	UNUSED(state);
	this_case.set[0] =
	    "gateways.default.cache.ttl=2h"; /* a later source counts for all of them */
	c = case_must_load(
	    "gateways:\n  a: {on_disconnect: cancel, cache: {ignore: [user]}}\n"
	    "  default: {on_disconnect: finish, cache: {ignore: [metadata, seed], respect_upstream: true}}\n"
	    "  b: {log: {max_payload: 0}}\n");
	assert_int_equal(c->n_gateways, 3);
	assert_string_equal(c->gateways[0].name, "default");
	assert_int_equal(c->gateways[0].on_disconnect, DISCONNECT_FINISH);
	assert_int_equal(config_gateway(c, "a", 1)->on_disconnect, DISCONNECT_CANCEL);
	assert_int_equal(config_gateway(c, "b", 1)->on_disconnect, DISCONNECT_FINISH);
	assert_string_equal(config_gateway(c, "a", 1)->cache.ignore[0], "user");
	assert_null(config_gateway(c, "a", 1)->cache.ignore[1]);
	assert_string_equal(config_gateway(c, "b", 1)->cache.ignore[1], "seed");
	assert_true(config_gateway(c, "a", 1)->cache.respect_upstream);
	assert_int_equal(config_gateway(c, "b", 1)->cache.ttl_ms, 7200000);
	assert_int_equal(config_gateway(c, "b", 1)->log.max_payload, 0);
	assert_int_equal(config_gateway(c, "a", 1)->log.max_payload, 10 << 20);
	config_unref(c);
}

static void
a_gateway_is_found_by_its_whole_name(void **state)
{
	struct config *c = case_must_load("gateways: {gw: }");

	UNUSED(state);
	assert_ptr_equal(config_gateway(c, "gw", 2), &c->gateways[1]);
	assert_ptr_equal(config_gateway(c, "gwx", 2), &c->gateways[1]);
	assert_ptr_equal(config_gateway(c, "default", 7), &c->gateways[0]);
	assert_null(config_gateway(c, "gw", 1));
	assert_null(config_gateway(c, "gwx", 3));
	assert_null(config_gateway(c, "GW", 2));
	assert_null(config_gateway(c, "", 0));
	config_unref(c);
}

static void
a_provider_has_what_is_said_of_it(void **state)
{
	struct config *c =
	    case_must_load("providers:\n"
			   "  ollama: {base_url: \"http://127.0.0.1:11434/v1\", dialect: openai}\n"
			   "  corp: {base_url: https://llm.corp.example/v1, dialect: anthropic, "
			   "allow_private: true, ca: /etc/corp.pem}\n"
			   "  openai:\n");

	UNUSED(state);
	assert_int_equal(c->n_providers, 3);
	assert_string_equal(c->providers[0].dialect, "openai");
	assert_string_equal(c->providers[1].slug, "corp");
	assert_string_equal(c->providers[1].base_url, "https://llm.corp.example/v1");
	assert_string_equal(c->providers[1].dialect, "anthropic");
	assert_string_equal(c->providers[1].ca, "/etc/corp.pem");
	assert_true(c->providers[1].allow_private);
	assert_string_equal(c->providers[2].slug, "openai");
	assert_null(c->providers[2].base_url);
	config_unref(c);
}

static void
assert_data(char *const variables[], const char *data)
{
	struct config *c;

	memset(this_case.environ, 0, sizeof(this_case.environ));
	for (size_t i = 0; variables[i] != NULL; i++)
		this_case.environ[i] = variables[i];
	c = case_must_load(NULL);
	assert_string_equal(c->data, data);
	config_unref(c);
}

static void
the_data_directory_follows_the_environment(void **state)
{
	char home[] = "HOME=/h", xdg[] = "XDG_STATE_HOME=/x",
	     systemd[] = "STATE_DIRECTORY=/var/lib/postern:/var/lib/more";
	char relative[] = "XDG_STATE_HOME=x", empty[] = "STATE_DIRECTORY=";

	UNUSED(state);
	assert_data((char *[]){home, NULL}, "/h/.local/state/postern");
	assert_data((char *[]){home, xdg, NULL}, "/x/postern");
	assert_data((char *[]){home, xdg, systemd, NULL}, "/var/lib/postern");
	assert_data((char *[]){home, relative, empty, NULL}, "/h/.local/state/postern");

	memset(this_case.environ, 0, sizeof(this_case.environ));
	case_refuses(NULL,
	    "data: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME names a directory; use --data DIR");
	this_case.data = "here";
	config_unref(case_must_load(NULL));
}

static void
a_file_that_cannot_be_read_is_named(void **state)
{
	struct config_source src = {.file = "missing.yaml", .environ = this_case.environ};
	struct config *c = NULL;
	struct buf err;

	UNUSED(state);
	buf_init(&err, 1024);
	assert_int_equal(config_load(&src, &c, &err), -1);
	assert_true(span_eq(buf_view(&err),
	    SPAN_LIT("missing.yaml: cannot be read: No such file or directory; "
		     "check the path given with --config or POSTERN_CONFIG")));
	buf_reset(&err);
	src.file = ".";
	assert_int_equal(config_load(&src, &c, &err), -1);
	assert_true(span_eq(buf_view(&err),
	    SPAN_LIT(".: cannot be read: Is a directory; "
		     "check the path given with --config or POSTERN_CONFIG")));
	buf_fini(&err);
	assert_null(c);
}

static void
a_file_may_have_one_megabyte_and_no_more(void **state)
{
	size_t n = (size_t)1 << 20;
	char *text = xmalloc(n + 2);

	UNUSED(state);
	memset(text, '#', n + 1);
	text[n] = '\0';
	config_unref(case_must_load(text));
	text[n] = '#';
	text[n + 1] = '\0';
	case_refuses(text,
	    "postern.yaml: larger than any configuration needs (100000 values, 1 MB of text); shorten it");
	free(text);
}

static void
a_small_buffer_for_the_error_does_no_harm(void **state)
{
	const char *const set[] = {"limits.headers=x", NULL};
	struct config_source src = {.set = set, .environ = this_case.environ};
	struct config *c = NULL;
	struct buf err;

	UNUSED(state);
	buf_init(&err, 8);
	assert_int_equal(config_load(&src, &c, &err), -1);
	assert_int_equal(buf_len(&err), 0);
	buf_fini(&err);
}

static void
references_keep_it_alive(void **state)
{
	struct config *c = case_must_load(NULL);

	UNUSED(state);
	assert_int_equal(c->refs, 1);
	assert_ptr_equal(config_ref(c), c);
	assert_int_equal(c->refs, 2);
	config_unref(c);
	assert_int_equal(c->refs, 1);
	assert_string_equal(c->listen[0].address, "127.0.0.1:8787");
	config_unref(c);
	config_unref(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(nothing_at_all_gives_the_defaults, reset),
	    cmocka_unit_test_setup(an_empty_file_gives_the_defaults, reset),
	    cmocka_unit_test_setup(json_is_yaml, reset),
	    cmocka_unit_test_setup(later_sources_override_earlier_ones, reset),
	    cmocka_unit_test_setup(an_empty_variable_counts_as_not_set, reset),
	    cmocka_unit_test_setup(a_set_makes_gateways_and_providers, reset),
	    cmocka_unit_test_setup(a_set_replaces_lists_and_adds_to_mappings, reset),
	    cmocka_unit_test_setup(a_gateway_has_from_default_what_it_does_not_set, reset),
	    cmocka_unit_test_setup(a_gateway_is_found_by_its_whole_name, reset),
	    cmocka_unit_test_setup(a_provider_has_what_is_said_of_it, reset),
	    cmocka_unit_test_setup(the_data_directory_follows_the_environment, reset),
	    cmocka_unit_test_setup(a_file_that_cannot_be_read_is_named, reset),
	    cmocka_unit_test_setup(a_file_may_have_one_megabyte_and_no_more, reset),
	    cmocka_unit_test_setup(a_small_buffer_for_the_error_does_no_harm, reset),
	    cmocka_unit_test_setup(references_keep_it_alive, reset),
	};

	return cmocka_run_group_tests_name("config load", tests, case_begin, case_end);
}
