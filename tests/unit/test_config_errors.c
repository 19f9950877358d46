/* Every refusal, with its exact text and place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_case.h"

struct refusal {
	const char *yaml;
	const char *error;
};

static int
reset(void **state)
{
	UNUSED(state);
	case_reset();
	return 0;
}

static void
assert_refusals(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		case_refuses(rows[i].yaml, rows[i].error);
}

static void
unknown_keys_get_the_nearest_name(void **state)
{
	static const struct refusal rows[] = {
	    {"gateways:\n  default:\n    cach: {}\n",
		"postern.yaml:3:5: unknown key 'cach'; did you mean 'cache'?"},
	    {"lsten: []", "postern.yaml:1:1: unknown key 'lsten'; did you mean 'listen'?"},
	    {"limits:\n  header_siz: 1KB\n",
		"postern.yaml:2:3: unknown key 'header_siz'; did you mean 'header_size'?"},
	    {"{admin: {\"Hosts\": x}}",
		"postern.yaml:1:10: unknown key 'Hosts'; did you mean 'hosts'?"},
	    {"gateways: {gw: {cache: {tll: 1h}}}",
		"postern.yaml:1:25: unknown key 'tll'; did you mean 'ttl'?"},
	    {"providers: {x: {baseurl: 1}}",
		"postern.yaml:1:17: unknown key 'baseurl'; did you mean 'base_url'?"},
	    {"listen: [{adress: \":1\"}]",
		"postern.yaml:1:11: unknown key 'adress'; did you mean 'address'?"},
	    {"listen: [{address: \":1\", tls: {kei: a}}]",
		"postern.yaml:1:32: unknown key 'kei'; did you mean 'key'?"},
	    /* A key of another section. */
	    {"cache: {ttl: 1h}",
		"postern.yaml:1:9: unknown key 'ttl' here; did you mean 'gateways.*.cache.ttl'?"},
	    {"connect: 1s",
		"postern.yaml:1:1: unknown key 'connect' here; did you mean 'upstream.connect'?"},
	    /* Nothing near. */
	    {"x: 1",
		"postern.yaml:1:1: unknown key 'x'; known here are listen, data, sandbox, admin, trusted_proxies, limits, "
		"upstream, cache, log, gateways, providers"},
	    {"admin: {zzz: 1}",
		"postern.yaml:1:9: unknown key 'zzz'; known here are listen, hosts"},
	    {"log: {zzz: 1}",
		"postern.yaml:1:7: unknown key 'zzz'; known here are max_size, payload_max_size, retention, payload_retention"},
	    {"gateways: {default: {zzz: 1}}",
		"postern.yaml:1:22: unknown key 'zzz'; known here are authentication, "
		"on_disconnect, cache, log"},
	    {"listen: [{zzz: 1}]",
		"postern.yaml:1:11: unknown key 'zzz'; known here are address and tls"},
	    {"listen: [{address: \":1\", tls: {zzz: 1}}]",
		"postern.yaml:1:32: unknown key 'zzz'; known here are certificate, key, "
		"certificates, client_ca and client_certificates"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, certificates: [{zzz: 1}]}}]",
		"postern.yaml:1:72: unknown key 'zzz'; known here are certificate and key"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, client_cas: c}}]",
		"postern.yaml:1:56: unknown key 'client_cas'; did you mean 'client_ca'?"},
	    {"'': 1",
		"postern.yaml:1:1: unknown key ''; known here are listen, data, sandbox, admin, trusted_proxies, limits, "
		"upstream, cache, log, gateways, providers"},
	    {"limits.body: 1KB",
		"postern.yaml:1:1: unknown key 'limits.body'; write its parts as keys inside each other"},
	    {"\"a\\e[31m\\u2028\": 1",
		"postern.yaml:1:1: unknown key 'a\\x1b[31m\\xe2\\x80\\xa8'; known here are listen, "
		"data, sandbox, admin, trusted_proxies, limits, upstream, cache, log, gateways, providers"},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
}

static void
keys_of_later_versions_are_named(void **state)
{
	static const struct refusal rows[] = {
	    {"admin: {token: sk-secret}",
		"postern.yaml:1:9: admin.token is not in this version; remove it"},
	    {"admin: {token: }", "postern.yaml:1:9: admin.token is not in this version; remove it"},
	    {"admin: {token: \"${POSTERN_ADMIN_TOKEN:-}\"}",
		"postern.yaml:1:9: admin.token is not in this version; remove it"},
	    {"default_provider: openai",
		"postern.yaml:1:1: default_provider is not in this version; remove it"},
	    {"gateways: {gw: {authentication: true}}",
		"postern.yaml:1:33: gateways.gw.authentication: true is not in this version; write false"},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
	/* What this version does anyway may be said. */
	config_unref(case_must_load("gateways: {gw: {authentication: false}}"));
}

static void
wrong_types_say_what_is_right(void **state)
{
	static const struct refusal rows[] = {
	    {"limits: {half_close: yes}",
		"postern.yaml:1:22: limits.half_close is 'yes'; write true or false, without quotes"},
	    {"limits: {half_close: \"true\"}",
		"postern.yaml:1:22: limits.half_close is 'true'; write true or false, without quotes"},
	    {"limits: {headers: many}",
		"postern.yaml:1:19: limits.headers is 'many'; write a whole number, without quotes"},
	    {"limits: {headers: \"7\"}",
		"postern.yaml:1:19: limits.headers is '7'; write a whole number, without quotes"},
	    {"limits: {headers: 1.5}",
		"postern.yaml:1:19: limits.headers is '1.5'; write a whole number, without quotes"},
	    {"limits: {headers: -1}",
		"postern.yaml:1:19: limits.headers is '-1'; write a whole number, without quotes"},
	    {"limits:\n  drain: 30\n",
		"postern.yaml:2:10: limits.drain is '30'; write a duration such as 500ms, 10s, 5m, 1h or 30d"},
	    {"limits: {body: 32MiB}",
		"postern.yaml:1:16: limits.body is '32MiB'; write a size such as 64KB, 25MB or 10GB"},
	    {"gateways: {default: {cache: {mode: of}}}",
		"postern.yaml:1:36: gateways.default.cache.mode is 'of'; did you mean 'off'?"},
	    {"gateways: {default: {cache: {mode: none}}}",
		"postern.yaml:1:36: gateways.default.cache.mode is 'none'; write all, deterministic or off"},
	    {"gateways: {a.b: {log: {payload: \"\"}}}",
		"postern.yaml:1:33: gateways.a.b.log.payload is ''; write full, head or none"},
	    {"providers: {x: {dialect: open-ai}}",
		"postern.yaml:1:26: providers.x.dialect is 'open-ai'; did you mean 'openai'?"},
	    {"providers: {x: {dialect: zzz}}",
		"postern.yaml:1:26: providers.x.dialect is 'zzz'; write openai, anthropic, "
		"gemini, bedrock, cohere, ollama or other"},
	    {"cache: {max_size: [1GB]}",
		"postern.yaml:1:19: cache.max_size is a list; write one value"},
	    {"data: {a: b}", "postern.yaml:1:7: data is a mapping; write one value"},
	    {"data:\n", "postern.yaml:1:6: data has no value; write one or remove the key"},
	    {"limits: {headers: ~}",
		"postern.yaml:1:19: limits.headers has no value; write one or remove the key"},
	    {"data: \"\"", "postern.yaml:1:7: data is empty; write a value or remove the key"},
	    {"data: \"a\\nb\"",
		"postern.yaml:1:7: data has a line break or another control character; remove it"},
	    {"data: ~/postern",
		"postern.yaml:1:7: data begins with '~', which only a shell expands; write ${HOME} instead"},
	    {"limits: 5",
		"postern.yaml:1:9: limits is not a mapping; write its keys under it, or {KEY: VALUE}"},
	    {"gateways: {gw: [a]}",
		"postern.yaml:1:16: gateways.gw is not a mapping; write its keys under it, or {KEY: VALUE}"},
	    {"gateways: [a]",
		"postern.yaml:1:11: gateways is not a mapping; write its keys under it, or {KEY: VALUE}"},
	    {"- a",
		"postern.yaml:1:1: the configuration is not a mapping of keys; write KEY: VALUE"},
	    {"hello",
		"postern.yaml:1:1: the configuration is not a mapping of keys; write KEY: VALUE"},
	    {"admin: {hosts: a.example}",
		"postern.yaml:1:16: admin.hosts is one value, not a list; write [a, b]"},
	    {"admin: {hosts: [[a]]}",
		"postern.yaml:1:17: an item of admin.hosts is not a value; write [a, b]"},
	    {"admin: {hosts: [~]}",
		"postern.yaml:1:17: an item of admin.hosts is not a value; write [a, b]"},
	    {"admin: {hosts: [\"a:80\"]}",
		"postern.yaml:1:17: admin.hosts has a value that is not a host name; write it "
		"without port, as in gateway.example.com"},
	    {"gateways: {default: {cache: {ignore: [user, \"\"]}}}",
		"postern.yaml:1:45: gateways.default.cache.ignore is empty; write a value or remove the key"},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
}

static void
addresses_are_checked(void **state)
{
	static const struct refusal rows[] = {
	    {"listen: \"127.0.0.1:1\"",
		"postern.yaml:1:9: listen is one value, not a list; write [a, b]"},
	    {"listen: []",
		"postern.yaml:1:9: listen is empty; write at least one address, as in [\"127.0.0.1:8787\"]"},
	    {"listen: [8787]",
		"postern.yaml:1:10: the address '8787' has no port; write host:port, :port, [v6]:port or "
		"unix:/path"},
	    {"listen: [\":65536\"]",
		"postern.yaml:1:10: the address ':65536' has a port that is not a number from 0 to "
		"65535; write host:port, :port, [v6]:port or unix:/path"},
	    {"listen: [\"example.com:80\"]",
		"postern.yaml:1:10: the address 'example.com:80' has a host that is neither an "
		"IP address nor localhost; write host:port, :port, [v6]:port or unix:/path"},
	    {"listen: [~]",
		"postern.yaml:1:10: an item of listen is not an address; write \"127.0.0.1:8787\""},
	    {"listen: [[a]]",
		"postern.yaml:1:10: an item of listen is not an address; write \"127.0.0.1:8787\""},
	    {"listen: [{}]",
		"postern.yaml:1:10: an item of listen has no address; write {address: \"127.0.0.1:8787\"}"},
	    {"listen: [{address: [a]}]",
		"postern.yaml:1:20: listen.address has no value; write one"},
	    {"listen: [{address: \":1\", tls: {key: a}}]",
		"postern.yaml:1:31: listen.tls needs two files; write {certificate: FILE, key: FILE}"},
	    {"listen: [{address: \":1\", tls: {certificate: a}}]",
		"postern.yaml:1:31: listen.tls needs two files; write {certificate: FILE, key: FILE}"},
	    {"listen: [{address: \":1\", tls: true}]",
		"postern.yaml:1:31: listen.tls is not a mapping; write {certificate: FILE, key: FILE}"},
	    {"listen: [{address: \":1\", tls: {key: , certificate: a}}]",
		"postern.yaml:1:37: listen.tls.key has no value; write one"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, certificates: c}}]",
		"postern.yaml:1:70: listen.tls.certificates is not a list; write [{certificate: FILE, key: FILE}]"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, certificates: [c]}}]",
		"postern.yaml:1:71: an item of listen.tls.certificates is not a mapping; "
		"write {certificate: FILE, key: FILE}"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, certificates: [{key: c}]}}]",
		"postern.yaml:1:71: an item of listen.tls.certificates needs two files; "
		"write {certificate: FILE, key: FILE}"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, client_certificates: require}}]",
		"postern.yaml:1:31: listen.tls.client_certificates needs listen.tls.client_ca; write client_ca: FILE"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, client_ca: c, client_certificates: yes}}]",
		"postern.yaml:1:91: listen.tls.client_certificates cannot be 'yes'; write off, request or require"},
	    {"listen: [{address: \":1\", tls: {certificate: a, key: b, client_ca: c, client_certificates: [off]}}]",
		"postern.yaml:1:91: listen.tls.client_certificates cannot be a list or a mapping; "
		"write off, request or require"},
	    {"listen: [\":80\", \"0.0.0.0:80\"]",
		"postern.yaml:1:17: the address '0.0.0.0:80' is given twice; remove one"},
	    {"admin: {listen: [\":1x\"]}",
		"postern.yaml:1:18: admin.listen has a port that is not a number from 0 to 65535; "
		"write host:port, :port, [v6]:port or unix:/path"},
	    {"listen: [\"127.0.0.1:1\"]\nadmin: {listen: [\"10.0.0.1:1\"]}",
		"postern.yaml:2:17: admin.listen names '10.0.0.1:1', which is not in listen; add it there or remove it here"},
	};
	struct config *c;

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
	/* Port 0 is another port each time, and another spelling is the same address. */
	config_unref(case_must_load("listen: [\"127.0.0.1:0\", \"127.0.0.1:0\"]"));
	c = case_must_load(
	    "listen: [\":80\", \"unix:/run/a\"]\nadmin: {listen: [\"0.0.0.0:80\", \"unix:/run/a\"]}");
	assert_string_equal(c->admin_listen[0], "0.0.0.0:80");
	config_unref(c);
}

static void
names_are_checked(void **state)
{
	static const struct refusal rows[] = {
	    {"gateways: {\"a b\": }",
		"postern.yaml:1:12: 'a b' is not a name of a gateway; use up to 64 letters, digits, '.', "
		"'_' and '-', a letter or digit first"},
	    {"providers: {OpenAI: }",
		"postern.yaml:1:13: 'OpenAI' is not a name of a provider; use small letters"},
	    {"providers: {a.b: }",
		"postern.yaml:1:13: 'a.b' is not a name of a provider; use up to 63 of a-z, 0-9, '_' and "
		"'-', a letter or digit first"},
	    {"providers: {compat: }",
		"postern.yaml:1:13: 'compat' is a path of Postern's own, not a name for a provider; "
		"choose another"},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
}

static void
yaml_errors_have_a_place(void **state)
{
	static const struct refusal rows[] = {
	    {"limits: {headers: 1\nlog: {}\n",
		"postern.yaml:2:4: not valid YAML: did not find expected ',' or '}' while "
		"parsing a flow mapping; check indentation, brackets and quotes"},
	    {"a: b: c",
		"postern.yaml:1:5: not valid YAML: mapping values are not allowed in this context; check "
		"indentation, brackets and quotes"},
	    {"data: \"x",
		"postern.yaml:1:9: not valid YAML: found unexpected end of stream while scanning a quoted scalar; "
		"check indentation, brackets and quotes"},
	    {"data: a\ndata: b\n", "postern.yaml:2:1: 'data' is given twice; remove one"},
	    {"limits: {body: 1KB, body: 1KB}",
		"postern.yaml:1:21: 'body' is given twice; remove one"},
	    {"data: a\n---\ndata: b\n",
		"postern.yaml:2:1: a second YAML document begins here; keep one"},
	    {"data: &x a\n",
		"postern.yaml:1:7: anchors and aliases (& and *) are not supported; write the value out"},
	    {"a: &x {b: *x}\n",
		"postern.yaml:1:4: anchors and aliases (& and *) are not supported; write the value out"},
	    {"a: &x [b]\n",
		"postern.yaml:1:4: anchors and aliases (& and *) are not supported; write the value out"},
	    {"data: *x\n",
		"postern.yaml:1:7: anchors and aliases (& and *) are not supported; write the value out"},
	    {"data: !!str a\n",
		"postern.yaml:1:7: tags (!) are not supported; remove the tag, or put the value in quotes"},
	    {"limits: !x {}\n",
		"postern.yaml:1:9: tags (!) are not supported; remove the tag, or put the value in quotes"},
	    {"listen: !x []\n",
		"postern.yaml:1:9: tags (!) are not supported; remove the tag, or put the value in quotes"},
	    {"? [a]\n: b\n",
		"postern.yaml:1:3: a key must be a word, not a list or a mapping; write NAME: VALUE"},
	    {"data: a\n\x01",
		"postern.yaml:2:1: not valid YAML: control characters are not allowed; write the file in UTF-8 "
		"without control characters"},
	    {"data: a # \xc3\xa4\n# \xc3\xa4\xc3\xa4\xff",
		"postern.yaml:2:5: not valid YAML: invalid leading UTF-8 octet; write the "
		"file in UTF-8 without control characters"},
	    {"data: \xff\xff",
		"postern.yaml:1:7: not valid YAML: invalid leading UTF-8 octet; write the file in UTF-8 "
		"without control characters"},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
}

static void
variables_that_fail_are_named(void **state)
{
	static const struct refusal rows[] = {
	    {"upstream:\n  ca: ${MISSING}\n",
		"postern.yaml:2:7: the environment variable MISSING is not set; set it, or write ${MISSING:-default}"},
	    {"data: \"a${\"",
		"postern.yaml:1:7: '${' has no '}'; write ${NAME}, or $${ for a literal ${"},
	    {"data: ${}",
		"postern.yaml:1:7: '${' is not a variable; write ${NAME} or ${NAME:-default}, and $${ for a "
		"literal ${"},
	    {"data: ${HOME-x}",
		"postern.yaml:1:7: '${HOME' is not a variable; write ${NAME} or ${NAME:-default}, and $${ for "
		"a literal ${"},
	};
	static char empty[] = "EMPTY=", headers[] = "HEADERS=sk-secret", utf8[] = "BAD=\xff";

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
	this_case.environ[1] = empty;
	this_case.environ[2] = headers;
	this_case.environ[3] = utf8;
	case_refuses(
	    "data: ${EMPTY}", "postern.yaml:1:7: data is empty; write a value or remove the key");
	case_refuses(
	    "data: /${BAD}", "postern.yaml:1:7: data is not UTF-8 text; write it in UTF-8");
	/* What came out of the environment is shown as it was written. */
	case_refuses("limits: {headers: \"${HEADERS}\"}",
	    "postern.yaml:1:19: limits.headers is '${HEADERS}'; write a whole number, without quotes");
	case_refuses("gateways: {gw: {cache: {mode: \"${HEADERS}\"}}}",
	    "postern.yaml:1:31: gateways.gw.cache.mode is '${HEADERS}'; write all, deterministic or off");
	case_refuses("listen: [\"${HEADERS}\"]",
	    "postern.yaml:1:10: the address '${HEADERS}' has no port; write host:port, "
	    ":port, [v6]:port or unix:/path");
}

static void
secrets_at_a_wrong_place_are_not_shown(void **state)
{
	static const struct refusal rows[] = {
	    {"data: [sk-secret]", "postern.yaml:1:7: data is a list; write one value"},
	    {"admin: sk-secret",
		"postern.yaml:1:8: admin is not a mapping; write its keys under it, or {KEY: VALUE}"},
	    {"providers: {x: {base_url: \"https://u:sk-secret@h/\"}}",
		"postern.yaml:1:27: providers.x.base_url has a user or a password; remove them: the caller's own key goes to "
		"the provider"},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
}

static void
other_sources_are_named_as_the_place(void **state)
{
	static char listen[] = "POSTERN_LISTEN=:1,x", token[] = "POSTERN_ADMIN_TOKEN=sk-secret",
		    data[] = "POSTERN_DATA=~/x";

	UNUSED(state);
	case_set_refuses(
	    "cach.max_size=1GB", "--set cach.max_size: unknown key 'cach'; did you mean 'cache'?");
	case_set_refuses("cache.max_size=1G",
	    "--set cache.max_size: cache.max_size is '1G'; write a size such as 64KB, 25MB or 10GB");
	case_set_refuses("gateways.gw.cache={tll: 1h}",
	    "--set gateways.gw.cache: unknown key 'tll'; did you mean 'ttl'?");
	case_set_refuses("default_provider=openai",
	    "--set default_provider: default_provider is not in this version; remove it");
	case_set_refuses("admin.token=sk-secret",
	    "--set admin.token: admin.token is not in this version; remove it");
	case_set_refuses("data=", "--set data: data has no value; write one or remove the key");
	case_set_refuses("data=\"\"", "--set data: data is empty; write a value or remove the key");
	case_set_refuses("limits.headers=[",
	    "--set limits.headers: not valid YAML: did not find expected node content while "
	    "parsing a flow node; check indentation, brackets and quotes");
	case_set_refuses("data=${NONE}",
	    "--set data: the environment variable NONE is not set; set it, or write ${NONE:-default}");
	case_set_refuses(
	    "listen.0=:1", "--set listen.0: listen is a mapping, not a list; write [a, b]");
	case_set_refuses("data", "--set: 'data' is not KEY=VALUE; write --set cache.max_size=1GB");
	case_set_refuses(
	    "=sk-secret", "--set: '' is not KEY=VALUE; write --set cache.max_size=1GB");
	case_set_refuses(
	    "a..b=sk-secret", "--set: 'a..b' is not KEY=VALUE; write --set cache.max_size=1GB");
	case_set_refuses("gateways.\"gw=x",
	    "--set: 'gateways.\"gw' is not KEY=VALUE; write --set cache.max_size=1GB");
	case_set_refuses("gateways.\"gw\"x=1",
	    "--set: 'gateways.\"gw\"x' is not KEY=VALUE; write --set cache.max_size=1GB");

	this_case.environ[1] = listen;
	case_refuses(NULL,
	    "POSTERN_LISTEN: the address 'x' has no port; write host:port, :port, [v6]:port or unix:/path");
	this_case.environ[1] = token;
	case_refuses(NULL, "POSTERN_ADMIN_TOKEN: admin.token is not in this version; remove it");
	this_case.environ[1] = data;
	case_refuses(NULL,
	    "POSTERN_DATA: data begins with '~', which only a shell expands; write ${HOME} instead");
	this_case.environ[1] = NULL;

	this_case.listen[0] = "nowhere";
	case_refuses(NULL,
	    "--listen: the address 'nowhere' has no port; write host:port, :port, [v6]:port or unix:/path");
	this_case.listen[0] = NULL;
	this_case.data = "";
	case_refuses(NULL, "--data: data is empty; write a value or remove the key");
}

static void
an_overridden_error_is_still_one(void **state)
{
	UNUSED(state);
	this_case.set[0] = "limits.headers=5";
	case_refuses("limits: {headers: x}",
	    "postern.yaml:1:19: limits.headers is 'x'; write a whole number, without quotes");
}

#define NEEDS                                                                                                               \
	" is open to the network, which needs authentication: true, and that is not in this version; write credential, or " \
	"listen on loopback or Unix addresses only"

static void
a_shared_cache_stays_off_the_network(void **state)
{
	static const struct refusal rows[] = {
	    {"listen: [\"127.0.0.1:1\", \":2\"]\ngateways:\n  default:\n    cache: {scope: shared}\n",
		"postern.yaml:4:20: gateways.default.cache.scope is shared while ':2'" NEEDS},
	    {"listen: [\"10.0.0.1:1\"]\ngateways: {gw: {cache: {scope: shared}}}\n",
		"postern.yaml:2:32: gateways.gw.cache.scope is shared while '10.0.0.1:1'" NEEDS},
	    {"listen: [\"[::]:1\"]\ngateways: {default: {cache: {scope: shared}}, gw: {cache: {ttl: 0}}}\n",
		"postern.yaml:2:37: gateways.default.cache.scope is shared while '[::]:1'" NEEDS},
	    /* Only the heir is left: the place is where it has it from. */
	    {"listen: [\":1\"]\ngateways: {gw: {cache: {scope: credential}}, z: {cache: {scope: shared}}}\n",
		"postern.yaml:2:65: gateways.z.cache.scope is shared while ':1'" NEEDS},
	};

	UNUSED(state);
	assert_refusals(rows, COUNT_OF(rows));
	config_unref(case_must_load(
	    "listen: [\"127.9.9.9:1\", \"[::1]:1\", \"localhost:2\", \"unix:/run/s\"]\n"
	    "gateways: {gw: {cache: {scope: shared}}}\n"));
	/* Whichever source opens the listener. */
	this_case.listen[0] = ":8787";
	case_refuses("gateways: {gw: {cache: {scope: shared}}}",
	    "postern.yaml:1:32: gateways.gw.cache.scope is shared while ':8787'" NEEDS);
	this_case.set[0] = "gateways.gw.cache.scope=shared";
	case_refuses(NULL,
	    "--set gateways.gw.cache.scope: gateways.gw.cache.scope is shared while ':8787'" NEEDS);
}

static void
a_sealed_cache_is_not_shared(void **state)
{
	static const char text[] = "gateways: {gw: {cache: {scope: shared, seal: true}}}";

	UNUSED(state);
	case_refuses(text,
	    "postern.yaml:1:46: gateways.gw.cache.seal is true while its scope is shared: a sealed answer opens for "
	    "its own caller only; write scope: credential, or seal: false");
	config_unref(case_must_load("gateways: {gw: {cache: {scope: credential, seal: true}}}"));
}

static void
a_provider_cannot_leave_the_common_trust_for_the_systems(void **state)
{
	UNUSED(state);
	case_refuses("providers: {x: {ca: system}}",
	    "postern.yaml:1:21: providers.x.ca is system, which only upstream.ca can be; "
	    "remove it, or name a PEM file");
}

static void
a_ceiling_for_memory_leaves_room_for_the_process(void **state)
{
	UNUSED(state);
	case_refuses("limits: {memory: 256}",
	    "postern.yaml:1:18: limits.memory is less than the process itself needs; write a size such as "
	    "256MB, or 0 for no ceiling");
	case_refuses("limits: {memory: 1048575}",
	    "postern.yaml:1:18: limits.memory is less than the process itself needs; write a size such as "
	    "256MB, or 0 for no ceiling");
	config_unref(case_must_load("limits: {memory: 1MB}"));
	config_unref(case_must_load("limits: {memory: 0}"));
}

static void
a_proxy_that_is_trusted_has_an_address(void **state)
{
	UNUSED(state);
	case_refuses("trusted_proxies: [10.0.0.0/8, proxy.example]",
	    "postern.yaml:1:31: trusted_proxies has an item that is no address; write addresses, blocks such "
	    "as 10.0.0.0/8, or unix");
	case_refuses("trusted_proxies: 10.0.0.0/8",
	    "postern.yaml:1:18: trusted_proxies is one value, not a list; write [a, b]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_ceiling_for_memory_leaves_room_for_the_process, reset),
	    cmocka_unit_test_setup(a_proxy_that_is_trusted_has_an_address, reset),
	    cmocka_unit_test_setup(unknown_keys_get_the_nearest_name, reset),
	    cmocka_unit_test_setup(keys_of_later_versions_are_named, reset),
	    cmocka_unit_test_setup(wrong_types_say_what_is_right, reset),
	    cmocka_unit_test_setup(addresses_are_checked, reset),
	    cmocka_unit_test_setup(names_are_checked, reset),
	    cmocka_unit_test_setup(yaml_errors_have_a_place, reset),
	    cmocka_unit_test_setup(variables_that_fail_are_named, reset),
	    cmocka_unit_test_setup(secrets_at_a_wrong_place_are_not_shown, reset),
	    cmocka_unit_test_setup(other_sources_are_named_as_the_place, reset),
	    cmocka_unit_test_setup(an_overridden_error_is_still_one, reset),
	    cmocka_unit_test_setup(a_shared_cache_stays_off_the_network, reset),
	    cmocka_unit_test_setup(a_sealed_cache_is_not_shared, reset),
	    cmocka_unit_test_setup(a_provider_cannot_leave_the_common_trust_for_the_systems, reset),
	};

	return cmocka_run_group_tests_name("config errors", tests, case_begin, case_end);
}
