#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/redact.h"
#include "provider/registry.h"

static struct registry *r;

static int
setup(void **state)
{
	(void)state;
	r = registry_new();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	registry_free(r);
	return 0;
}

static const struct provider *
find(const char *slug)
{
	return registry_find(r, span_str(slug));
}

static void
assert_span(struct span got, const char *want)
{
	struct span wanted = span_str(want);

	assert_int_equal(got.n, wanted.n);
	assert_memory_equal(got.p, wanted.p, wanted.n);
}

static bool
is_slug(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i > 0 && c == '-')))
			return false;
	}
	return s.n >= 1 && s.n <= 63;
}

static void
assert_row_is_well_formed(const struct provider *p)
{
	assert_true(is_slug(p->slug));
	assert_true(p->name.n > 0);
	assert_true(p->is_builtin);
	assert_true(p->dialect < DIALECT_COUNT);
	assert_true(span_starts(p->base_url, SPAN_LIT("https://")) || p->is_off);
	assert_int_equal(p->is_tls, !p->is_off);
	assert_true(p->port == 443 || p->is_off);
	assert_true(p->host.n > 0);
	assert_false(span_ends(p->base_url, SPAN_LIT("/")));
	assert_true(p->path.n == 0 || p->path.p[0] == '/');
	for (size_t i = 0; i < p->host.n; i++) {
		char c = p->host.p[i];
		assert_true((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		    c == '.' || c == '{' || c == '}');
	}
	for (const char *const *root = p->roots; root != NULL && *root != NULL; root++) {
		assert_true((*root)[0] == '/');
		assert_false(span_ends(span_str(*root), SPAN_LIT("/")));
	}
}

static void
every_row_is_well_formed(void **state)
{
	(void)state;
	assert_true(registry_count(r) > 120);
	for (size_t i = 0; i < registry_count(r); i++) {
		const struct provider *p = registry_at(r, i);
		assert_row_is_well_formed(p);
		assert_int_equal(p->index, i);
	}
}

static void
every_row_names_headers_that_redaction_knows(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_count(r); i++) {
		struct span names = span_str(registry_at(r, i)->credentials), name;
		assert_true(names.n > 0);
		while (span_next(&names, ',', &name)) {
			struct header h = {.name = name, .id = header_id_of(name)};
			assert_true(is_credential_header(&h));
		}
	}
}

static void
slugs_are_unique_and_resolve_to_their_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_count(r); i++) {
		const struct provider *p = registry_at(r, i);
		if (!p->is_off)
			assert_ptr_equal(registry_find(r, p->slug), p);
		for (size_t j = 0; j < i; j++)
			assert_false(span_eq(registry_at(r, j)->slug, p->slug));
	}
}

static void
aliases_resolve_to_the_canonical_slug(void **state)
{
	static const char *const aliases[][2] = {{"google", "google-ai-studio"},
	    {"gemini", "google-ai-studio"}, {"google-gemini", "google-ai-studio"}, {"xai", "grok"},
	    {"x-ai", "grok"}, {"perplexity", "perplexity-ai"}, {"azure", "azure-openai"},
	    {"bedrock", "aws-bedrock"}, {"google-vertex", "google-vertex-ai"},
	    {"vertex", "google-vertex-ai"}, {"vertex-anthropic", "google-vertex-ai"},
	    {"cloudflare-workers-ai", "workers-ai"}, {"dashscope", "alibaba"},
	    {"openai", "openai"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(aliases); i++) {
		const struct provider *p = find(aliases[i][0]);
		assert_non_null(p);
		assert_span(p->slug, aliases[i][1]);
	}
}

/* registry_new holds the table against itself: no slug or alias stands in two rows. */
static void
every_alias_finds_a_row_and_is_no_slug(void **state)
{
	static const char *const others[] = {"claude", "hf", "fal-ai", "fireworks-ai",
	    "together-ai", "moonshotai", "kimi", "nim", "hunyuan", "doubao", "ark", "qianfan",
	    "ovh", "mimo", "gmi", "novita-ai", "stability-ai", "black-forest-labs", "runwayml",
	    "vercel", "opencode", "tripo", "watsonx", "snowflake", "bedrock-mantle", "azure-ai",
	    "01-ai", "z-ai", "bigmodel"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		assert_non_null(find(others[i]));
		for (size_t j = 0; j < registry_count(r); j++)
			assert_false(span_eq(registry_at(r, j)->slug, span_str(others[i])));
	}
}

static void
an_unknown_slug_is_not_found(void **state)
{
	(void)state;
	assert_null(find(""));
	assert_null(find("nope"));
	assert_null(find("OpenAI"));
	assert_null(find("openai "));
	assert_null(find("custom-openai"));
}

static void
loopback_rows_are_off_until_the_configuration_names_them(void **state)
{
	static const char *const local[] = {
	    "ollama", "lmstudio", "vllm", "llamacpp", "xinference", "midjourney-proxy"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(local); i++) {
		assert_null(find(local[i]));
		assert_null(registry_define(r, local[i], NULL, NULL, false, NULL));
		const struct provider *p = find(local[i]);
		assert_non_null(p);
		assert_true(p->allow_private);
		assert_false(p->is_off);
	}
	assert_int_equal(find("ollama")->dialect, DIALECT_OLLAMA);
	assert_int_equal(find("ollama")->port, 11434);
}

static void
the_operator_defines_providers_of_their_own(void **state)
{
	(void)state;
	assert_null(registry_define(
	    r, "corp", "https://LLM.corp.example:8443/v1/", "anthropic", true, "/etc/corp.pem"));
	const struct provider *p = find("corp");
	assert_non_null(p);
	assert_span(p->host, "llm.corp.example");
	assert_span(p->path, "/v1");
	assert_span(p->base_url, "https://LLM.corp.example:8443/v1/");
	assert_span(p->ca, "/etc/corp.pem");
	assert_int_equal(p->port, 8443);
	assert_int_equal(p->dialect, DIALECT_ANTHROPIC);
	assert_true(p->is_tls && p->allow_private && !p->is_builtin);
	assert_int_equal(p->index, registry_count(r) - 1);
	assert_ptr_equal(find("custom-corp"), p);
}

static void
a_provider_without_dialect_is_openai_and_named_by_its_slug(void **state)
{
	(void)state;
	assert_null(registry_define(r, "my_box", "http://box.example", NULL, false, NULL));
	assert_int_equal(find("my_box")->dialect, DIALECT_OPENAI);
	assert_int_equal(find("my_box")->port, 80);
	assert_span(find("my_box")->path, "");
	assert_span(find("my_box")->name, "my_box");
	assert_false(find("my_box")->allow_private);
}

static void
a_built_in_one_keeps_what_is_not_said(void **state)
{
	const struct provider *p = find("openai");

	(void)state;
	assert_null(registry_define(r, "openai", "http://127.0.0.1:9000/v1", NULL, false, NULL));
	assert_ptr_equal(find("openai"), p);
	assert_span(p->host, "127.0.0.1");
	assert_span(p->name, "OpenAI");
	assert_int_equal(p->dialect, DIALECT_OPENAI);
	assert_true(p->allow_private);
	assert_null(registry_define(r, "openai", NULL, "gemini", false, NULL));
	assert_span(p->host, "127.0.0.1");
	assert_int_equal(p->dialect, DIALECT_GEMINI);
	assert_true(p->allow_private);
}

static void
an_alias_names_the_built_in_one(void **state)
{
	size_t before = registry_count(r);

	(void)state;
	assert_null(
	    registry_define(r, "azure", "https://mine.openai.azure.com/openai", NULL, false, NULL));
	assert_int_equal(registry_count(r), before);
	assert_span(find("azure-openai")->host, "mine.openai.azure.com");
	assert_int_equal(find("azure-openai")->join, JOIN_PLAIN);
}

static void
a_literal_address_is_consent_a_name_is_not(void **state)
{
	static const struct {
		const char *url;
		bool allowed;
	} cases[] = {{"http://127.0.0.1:1/v1", true}, {"http://10.1.2.3", true},
	    {"http://[::1]:8000/v1", true}, {"http://localhost:8000", true},
	    {"http://LOCALHOST", true}, {"http://box.lan", false},
	    {"http://localhost.evil.example", false}, {"https://10.0.0.1.nip.example", false}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_null(registry_define(r, "x", cases[i].url, NULL, false, NULL));
		assert_int_equal(find("x")->allow_private, cases[i].allowed);
	}
	assert_null(registry_define(r, "x", "http://[::1]:8000/v1", NULL, false, NULL));
	assert_span(find("x")->host, "::1");
}

static void
a_base_url_that_cannot_be_right_is_refused(void **state)
{
	static const char *const urls[] = {"", "openai.com", "ftp://x", "https://", "https:///v1",
	    "https://user:pw@host", "https://host:0", "https://host:65536",
	    "https://host:", "https://host:x", "https://[::1", "https://[nonsense]",
	    "https://[::1]x", "https://host/a?b=c", "https://host/#a", "https://host?key=x",
	    "https://ho st", "https://h\xc3\xb6st", "https://a..b", "https://.a", "https://a.",
	    "https://a%2eb", "https://fe80::1%25lo", "https://[fe80::1%25lo]", "https://127.0.0.1.",
	    "https://127.1", "https://0x7f.1", "https://2130706433", "https://0177.0.0.1.5",
	    "https://host/../x", "https://host/a/%2e%2e/b", "https://{1}.example",
	    "https://host/a b"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		const char *why = registry_define(r, "x", urls[i], NULL, false, NULL);
		if (why == NULL)
			print_error("accepted: %s\n", urls[i]);
		assert_non_null(why);
	}
	assert_null(find("x"));
}

static void
a_port_at_its_bounds_is_fine(void **state)
{
	(void)state;
	assert_null(registry_define(r, "x", "https://host:1", NULL, false, NULL));
	assert_null(registry_define(r, "x", "https://host:65535", NULL, false, NULL));
	assert_int_equal(find("x")->port, 65535);
}

static void
a_slug_is_short_plain_and_free(void **state)
{
	char longest[65];
	static const char *const bad[] = {
	    "", "-x", "_x", "X", "a b", "a/b", "a.b", "v1", "client", "compat", "universal"};

	(void)state;
	memset(longest, 'a', 64);
	longest[64] = '\0';
	assert_non_null(registry_define(r, longest, "https://h", NULL, false, NULL));
	longest[63] = '\0';
	assert_null(registry_define(r, longest, "https://h", NULL, false, NULL));
	assert_null(registry_define(r, "0_a-b", "https://h", NULL, false, NULL));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_non_null(registry_define(r, bad[i], "https://h", NULL, false, NULL));
}

static void
what_is_missing_or_unknown_is_said(void **state)
{
	(void)state;
	assert_non_null(registry_define(r, "corp", NULL, "openai", false, NULL));
	assert_non_null(registry_define(r, "corp", "https://h", "klingon", false, NULL));
	assert_null(find("corp"));
	assert_null(registry_define(r, "corp", "https://h", "replicate", false, NULL));
	assert_int_equal(find("corp")->dialect, DIALECT_OTHER);
}

static void
a_misspelt_slug_has_a_nearest_one(void **state)
{
	static const char *const cases[][2] = {{"opnai", "openai"}, {"openia", "openai"},
	    {"antropic", "anthropic"}, {"mistrall", "mistral"}, {"openai-", "openai"},
	    {"google-aistudio", "google-ai-studio"}, {"gemeni", "gemini"}, {"OpenAI", "openai"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_span(registry_nearest(r, span_str(cases[i][0])), cases[i][1]);
	assert_span(registry_nearest(r, SPAN_LIT("completely-different")), "");
	assert_span(registry_nearest(r, SPAN_LIT("")), "");
	assert_span(registry_nearest(r, SPAN_LIT("x")), "");
	assert_span(registry_nearest(r, SPAN_LIT("ollamaa")), ""); /* off */
	assert_null(registry_define(r, "ollama", NULL, NULL, false, NULL));
	assert_span(registry_nearest(r, SPAN_LIT("ollamaa")), "ollama");
}

static void
dialects_have_names(void **state)
{
	enum dialect d;

	(void)state;
	for (size_t i = 0; i < DIALECT_COUNT; i++) {
		assert_true(dialect_parse(span_str(dialect_name((enum dialect)i)), &d));
		assert_int_equal(d, i);
	}
	assert_true(dialect_parse(SPAN_LIT("replicate"), &d));
	assert_int_equal(d, DIALECT_OTHER);
	assert_true(dialect_parse(SPAN_LIT("fal"), &d));
	assert_int_equal(d, DIALECT_OTHER);
	assert_false(dialect_parse(SPAN_LIT(""), &d));
	assert_false(dialect_parse(SPAN_LIT("OpenAI"), &d));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_row_is_well_formed),
	    TEST(every_row_names_headers_that_redaction_knows),
	    TEST(slugs_are_unique_and_resolve_to_their_row),
	    TEST(aliases_resolve_to_the_canonical_slug),
	    TEST(every_alias_finds_a_row_and_is_no_slug),
	    TEST(an_unknown_slug_is_not_found),
	    TEST(loopback_rows_are_off_until_the_configuration_names_them),
	    TEST(the_operator_defines_providers_of_their_own),
	    TEST(a_provider_without_dialect_is_openai_and_named_by_its_slug),
	    TEST(a_built_in_one_keeps_what_is_not_said),
	    TEST(an_alias_names_the_built_in_one),
	    TEST(a_literal_address_is_consent_a_name_is_not),
	    TEST(a_base_url_that_cannot_be_right_is_refused),
	    TEST(a_port_at_its_bounds_is_fine),
	    TEST(a_slug_is_short_plain_and_free),
	    TEST(what_is_missing_or_unknown_is_said),
	    TEST(a_misspelt_slug_has_a_nearest_one),
	    TEST(dialects_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
