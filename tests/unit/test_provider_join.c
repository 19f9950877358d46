#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/registry.h"

#define ACCOUNT "0123456789abcdef0123456789abcdef"
#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"

/* slug, what stands behind it in our path, where it goes; NULL: E_BAD_UPSTREAM_HOST. */
static const char *const joins[][3] = {
    /* design.md 3.3: rest begins with P; with a version segment; with neither */
    {"openai", "/v1/chat/completions", "https://api.openai.com/v1/chat/completions"},
    {"openai", "/chat/completions", "https://api.openai.com/v1/chat/completions"},
    {"openai", "/v1", "https://api.openai.com/v1"},
    {"openai", "", "https://api.openai.com/v1"},
    {"openai", "/", "https://api.openai.com/v1/"},
    {"openai", "/v2/new", "https://api.openai.com/v2/new"},
    {"openai", "/v1beta/x", "https://api.openai.com/v1beta/x"},
    {"openai", "/v1x/y", "https://api.openai.com/v1/v1x/y"},
    {"openai", "/version/y", "https://api.openai.com/v1/version/y"},
    {"openai", "/v/y", "https://api.openai.com/v1/v/y"},
    {"openai", "/files/a%2Fb%3Ac", "https://api.openai.com/v1/files/a%2Fb%3Ac"},
    {"openai", "/v1/models/ft:gpt", "https://api.openai.com/v1/models/ft:gpt"},
    {"openai", "//v1/x", "https://api.openai.com/v1//v1/x"},
    {"groq", "/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"},
    {"groq", "/openai/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"},
    {"groq", "/chat/completions", "https://api.groq.com/openai/v1/chat/completions"},
    {"groq", "/openai/v1x", "https://api.groq.com/openai/v1/openai/v1x"},
    {"openrouter", "/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"},
    {"openrouter", "/api/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"},
    {"openrouter", "/v1/messages", "https://openrouter.ai/api/v1/messages"},
    {"anthropic", "/v1/messages", "https://api.anthropic.com/v1/messages"},
    {"anthropic", "", "https://api.anthropic.com/"},
    {"mistral", "/v1/chat/completions", "https://api.mistral.ai/v1/chat/completions"},
    {"mistral", "/chat/completions", "https://api.mistral.ai/v1/chat/completions"},
    {"grok", "/v1/responses", "https://api.x.ai/v1/responses"},
    {"xai", "/chat/completions", "https://api.x.ai/v1/chat/completions"},
    {"deepseek", "/chat/completions", "https://api.deepseek.com/chat/completions"},
    {"deepseek", "/v1/chat/completions", "https://api.deepseek.com/v1/chat/completions"},
    {"deepseek", "/anthropic/v1/messages", "https://api.deepseek.com/anthropic/v1/messages"},
    {"perplexity-ai", "/chat/completions", "https://api.perplexity.ai/chat/completions"},
    {"cohere", "/v2/chat", "https://api.cohere.com/v2/chat"},
    {"cohere", "/v1/chat", "https://api.cohere.com/v1/chat"},
    {"cohere", "/chat", "https://api.cohere.com/v1/chat"},
    {"cohere", "/compatibility/v1/chat/completions",
	"https://api.cohere.com/compatibility/v1/chat/completions"},
    {"replicate", "/predictions", "https://api.replicate.com/v1/predictions"},
    {"fireworks", "/chat/completions", "https://api.fireworks.ai/inference/v1/chat/completions"},
    {"fireworks", "/v1/messages", "https://api.fireworks.ai/inference/v1/messages"},
    {"fireworks", "/v1/accounts/me/models", "https://api.fireworks.ai/v1/accounts/me/models"},
    {"cerebras", "/v1/chat/completions", "https://api.cerebras.ai/v1/chat/completions"},
    {"elevenlabs", "/v1/text-to-speech/v", "https://api.elevenlabs.io/v1/text-to-speech/v"},
    {"zai", "/chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"},
    {"zai", "/v4/chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"},
    {"zai", "/api/anthropic/v1/messages", "https://api.z.ai/api/anthropic/v1/messages"},
    {"deepinfra", "/v1/openai/chat/completions",
	"https://api.deepinfra.com/v1/openai/chat/completions"},
    {"deepinfra", "/v1/inference/m/n", "https://api.deepinfra.com/v1/inference/m/n"},
    {"alibaba", "/chat/completions",
	"https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"},
    {"alibaba", "/api/v1/services/aigc/x",
	"https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/x"},
    {"minimax", "/anthropic/v1/messages", "https://api.minimax.io/anthropic/v1/messages"},
    {"meshy", "/v2/text-to-3d", "https://api.meshy.ai/openapi/v2/text-to-3d"},
    {"cometapi", "/mj/submit/imagine", "https://api.cometapi.com/mj/submit/imagine"},
    {"cloudflare-ai-gateway", "/acc/gw/openai/responses",
	"https://gateway.ai.cloudflare.com/v1/acc/gw/openai/responses"},
    {"huggingface", "/v1/chat/completions", "https://router.huggingface.co/v1/chat/completions"},
    {"huggingface", "/chat/completions", "https://router.huggingface.co/v1/chat/completions"},
    {"huggingface", "/models", "https://router.huggingface.co/v1/models"},
    {"huggingface", "/bigcode/starcoder",
	"https://router.huggingface.co/hf-inference/models/bigcode/starcoder"},
    {"huggingface", "/together/v1/images/generations",
	"https://router.huggingface.co/together/v1/images/generations"},
    /* Gemini */
    {"google-ai-studio", "/v1beta/models/gemini-3:generateContent",
	"https://generativelanguage.googleapis.com/v1beta/models/gemini-3:generateContent"},
    {"google-ai-studio", "/v1/models/gemini-3:generateContent",
	"https://generativelanguage.googleapis.com/v1/models/gemini-3:generateContent"},
    {"gemini", "/v1alpha/models/g%3AgenerateContent",
	"https://generativelanguage.googleapis.com/v1alpha/models/g%3AgenerateContent"},
    {"google", "/models/g:countTokens",
	"https://generativelanguage.googleapis.com/v1beta/models/g:countTokens"},
    {"google-ai-studio", "/v1beta/openai/chat/completions",
	"https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"},
    {"google-ai-studio", "/upload/v1beta/files",
	"https://generativelanguage.googleapis.com/upload/v1beta/files"},
    /* Vertex: the host by the path's location */
    {"google-vertex-ai",
	"/v1/projects/p/locations/us-central1/publishers/google/models/g:generateContent",
	"https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/"
	"google/models/g:generateContent"},
    {"vertex", "/v1beta1/projects/p/locations/global/publishers/google/models/g:generateContent",
	"https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/publishers/google/models/"
	"g:generateContent"},
    {"vertex", "/v1/projects/p/locations/eu/publishers/anthropic/models/c:rawPredict",
	"https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/"
	"models/c:rawPredict"},
    {"google-vertex-ai", "/v1/publishers/google/models/g:streamGenerateContent",
	"https://aiplatform.googleapis.com/v1/publishers/google/models/g:streamGenerateContent"},
    {"google-vertex-ai", "/projects/p/locations/europe-west4/endpoints/1:predict",
	"https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/endpoints/"
	"1:predict"},
    {"google-vertex-ai", "/v1/projects/p/locations/evil.example%2F/x", NULL},
    {"google-vertex-ai", "/v1/projects/p/locations/evil.com/x", NULL},
    {"google-vertex-ai", "/v1/projects/p/locations/US/x", NULL},
    /* Azure: resource, then deployment or the API's own path */
    {"azure-openai", "/res/dep/chat/completions",
	"https://res.openai.azure.com/openai/deployments/dep/chat/completions"},
    {"azure", "/res-1/gpt-4o/embeddings",
	"https://res-1.openai.azure.com/openai/deployments/gpt-4o/embeddings"},
    {"azure-openai", "/res/openai/deployments/dep/chat/completions",
	"https://res.openai.azure.com/openai/deployments/dep/chat/completions"},
    {"azure-openai", "/res/deployments/dep/chat/completions",
	"https://res.openai.azure.com/openai/deployments/dep/chat/completions"},
    {"azure-openai", "/res/openai/v1/responses",
	"https://res.openai.azure.com/openai/v1/responses"},
    {"azure-openai", "/res/v1/responses", "https://res.openai.azure.com/openai/v1/responses"},
    {"azure-openai", "/res/openai/responses", "https://res.openai.azure.com/openai/responses"},
    {"azure-openai", "/res/openai/chat/completions",
	"https://res.openai.azure.com/openai/deployments/openai/chat/completions"},
    {"azure-openai", "/" LABEL_63 "/d/x",
	"https://" LABEL_63 ".openai.azure.com/openai/deployments/d/x"},
    {"azure-openai", "/" LABEL_63 "4/d/x", NULL},
    {"azure-openai", "", NULL},
    {"azure-openai", "/", NULL},
    {"azure-openai", "/evil.example/dep/chat/completions", NULL},
    {"azure-openai", "/evil.example%23/dep/chat/completions", NULL},
    {"azure-openai", "/a@b/dep/x", NULL},
    {"azure-openai", "/a:80/dep/x", NULL},
    {"azure-openai", "/RES/dep/x", NULL},
    {"azure-ai-foundry", "/res/chat/completions",
	"https://res.services.ai.azure.com/models/chat/completions"},
    {"azure-ai-foundry", "/res/anthropic/v1/messages",
	"https://res.services.ai.azure.com/anthropic/v1/messages"},
    {"azure-ai-foundry", "/res.x/chat/completions", NULL},
    /* Bedrock: service and region */
    {"aws-bedrock", "/bedrock-runtime/us-east-1/model/a.b%3A0/converse",
	"https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0/converse"},
    {"bedrock", "/bedrock-runtime/eu-west-1/model/arn%3Aaws%2Fx/invoke",
	"https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%2Fx/invoke"},
    {"aws-bedrock", "/bedrock-mantle/us-east-1/anthropic/v1/messages",
	"https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages"},
    {"aws-bedrock", "/bedrock-mantle/us-east-1/v1/responses",
	"https://bedrock-mantle.us-east-1.api.aws/openai/v1/responses"},
    {"aws-bedrock", "/bedrock-mantle/us-east-1/chat/completions",
	"https://bedrock-mantle.us-east-1.api.aws/openai/v1/chat/completions"},
    {"aws-bedrock", "/model/x/converse", NULL},
    {"aws-bedrock", "/s3/us-east-1/bucket", NULL},
    {"aws-bedrock", "/bedrock-runtime/evil.example/model/x/converse", NULL},
    {"aws-bedrock", "/bedrock-runtime", NULL},
    {"aws-bedrock-mantle", "/us-west-2/chat/completions",
	"https://bedrock-mantle.us-west-2.api.aws/openai/v1/chat/completions"},
    {"aws-bedrock-mantle", "/us-west-2/anthropic/v1/messages",
	"https://bedrock-mantle.us-west-2.api.aws/anthropic/v1/messages"},
    {"ibm-watsonx", "/eu-de/ml/v1/text/chat", "https://eu-de.ml.cloud.ibm.com/ml/v1/text/chat"},
    /* Workers AI: the account is in the path */
    {"workers-ai", "/" ACCOUNT "/@cf/meta/llama-3.1-8b-instruct",
	"https://api.cloudflare.com/client/v4/accounts/" ACCOUNT
	"/ai/run/@cf/meta/llama-3.1-8b-instruct"},
    {"workers-ai", "/" ACCOUNT "/run/@cf/meta/llama-3.1-8b-instruct",
	"https://api.cloudflare.com/client/v4/accounts/" ACCOUNT
	"/ai/run/@cf/meta/llama-3.1-8b-instruct"},
    {"workers-ai", "/" ACCOUNT "/v1/chat/completions",
	"https://api.cloudflare.com/client/v4/accounts/" ACCOUNT "/ai/v1/chat/completions"},
    {"workers-ai", "/" ACCOUNT "/chat/completions",
	"https://api.cloudflare.com/client/v4/accounts/" ACCOUNT "/ai/v1/chat/completions"},
    {"workers-ai", "/client/v4/accounts/" ACCOUNT "/ai/run/@cf/x",
	"https://api.cloudflare.com/client/v4/accounts/" ACCOUNT "/ai/run/@cf/x"},
    {"workers-ai", "/v1/chat/completions", NULL},
    {"workers-ai", "/@cf/meta/x", NULL},
    /* Baseten: a model has a host of its own */
    {"baseten", "/v1/chat/completions", "https://inference.baseten.co/v1/chat/completions"},
    {"baseten", "/model/abc123", "https://model-abc123.api.baseten.co/production/predict"},
    {"baseten", "/model/abc123/production/async_predict",
	"https://model-abc123.api.baseten.co/production/async_predict"},
    {"baseten", "/model/a.b", NULL},
    {"baseten", "/model", NULL},
    {"fal", "/fal-ai/fast-sdxl", "https://fal.run/fal-ai/fast-sdxl"},
    {"fal-queue", "/fal-ai/fast-sdxl", "https://queue.fal.run/fal-ai/fast-sdxl"},
};

static struct registry *r;
static struct arena arena;

static int
setup(void **state)
{
	(void)state;
	r = registry_new();
	arena_init(&arena, 1 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	registry_free(r);
	arena_fini(&arena);
	return 0;
}

static struct span
url_of(const struct upstream_target *t)
{
	return arena_printf(&arena, "%s://%.*s%.*s", t->is_tls ? "https" : "http",
	    SPAN_FMT(t->host_header), SPAN_FMT(t->path));
}

static void
assert_join(const char *slug, const char *rest, const char *want)
{
	const struct provider *p = registry_find(r, span_str(slug));
	struct upstream_target t;

	assert_non_null(p);
	enum err e = provider_join(p, span_str(rest), SPAN_NONE, &arena, &t);
	struct span got = e == E_OK ? url_of(&t) : SPAN_LIT("(refused)");
	if (!span_eq(got, span_str(want == NULL ? "(refused)" : want)))
		fail_msg("/%s%s gives %.*s, not %s", slug, rest, SPAN_FMT(got),
		    want == NULL ? "(refused)" : want);
	assert_int_equal(e, want == NULL ? E_BAD_UPSTREAM_HOST : E_OK);
	if (e == E_OK)
		assert_null(t.query.p);
}

static void
every_row_of_the_table_joins_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(joins); i++)
		assert_join(joins[i][0], joins[i][1], joins[i][2]);
}

/* Whatever the row: a version and the vendor's own base give the same address. */
static void
every_provider_takes_its_own_base_path(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_count(r); i++) {
		const struct provider *p = registry_at(r, i);
		struct upstream_target t;
		if (span_find(p->base_url, '{') < p->base_url.n || p->join == JOIN_VERTEX)
			continue;
		struct span rest = arena_printf(&arena, "%.*s/x/y", SPAN_FMT(p->path));
		assert_int_equal(provider_join(p, rest, SPAN_NONE, &arena, &t), E_OK);
		assert_true(p->join == JOIN_HUGGINGFACE || span_eq(t.path, rest));
		assert_true(span_eq(t.host, p->host));
	}
}

static void
the_operators_base_url_is_joined_alike(void **state)
{
	(void)state;
	assert_null(registry_define(r, "box", "http://127.0.0.1:9000/api/v1", NULL, false, NULL));
	assert_null(registry_define(r, "six", "http://[::1]:9000", NULL, false, NULL));
	assert_null(registry_define(r, "plain6", "http://[2001:db8::1]/v1", NULL, false, NULL));
	assert_null(registry_define(r, "std", "http://h.example:80", NULL, false, NULL));
	assert_null(registry_define(r, "odd", "https://h.example:80/v1", NULL, false, NULL));
	assert_join("box", "/v1/chat/completions", "http://127.0.0.1:9000/api/v1/chat/completions");
	assert_join("box", "/chat/completions", "http://127.0.0.1:9000/api/v1/chat/completions");
	assert_join("box", "/api/v1/models", "http://127.0.0.1:9000/api/v1/models");
	assert_join("custom-box", "/models", "http://127.0.0.1:9000/api/v1/models");
	assert_join("six", "/v1/x", "http://[::1]:9000/v1/x");
	assert_join("plain6", "/x", "http://[2001:db8::1]/v1/x");
	assert_join("std", "/x", "http://h.example/x");
	assert_join("odd", "/x", "https://h.example:80/v1/x");
}

static void
a_base_url_of_the_operators_takes_no_labels_from_the_path(void **state)
{
	(void)state;
	assert_null(registry_define(r, "azure-openai", "http://127.0.0.1:9", NULL, false, NULL));
	assert_null(registry_define(r, "aws-bedrock", "http://127.0.0.1:9", NULL, false, NULL));
	assert_null(registry_define(r, "workers-ai", "http://127.0.0.1:9/ai", NULL, false, NULL));
	assert_null(
	    registry_define(r, "google-vertex-ai", "http://127.0.0.1:9", NULL, false, NULL));
	assert_join("azure-openai", "/res/openai/v1/x", "http://127.0.0.1:9/res/openai/v1/x");
	assert_join("aws-bedrock", "/model/m/converse", "http://127.0.0.1:9/model/m/converse");
	assert_join("aws-bedrock", "/bedrock-runtime/us-east-1/model/m/converse",
	    "http://127.0.0.1:9/model/m/converse");
	assert_join("workers-ai", "/run/@cf/x", "http://127.0.0.1:9/ai/run/@cf/x");
	assert_join("google-vertex-ai", "/v1/projects/p/locations/us-east1/x",
	    "http://127.0.0.1:9/v1/projects/p/locations/us-east1/x");
}

static void
local_rows_have_both_of_their_apis(void **state)
{
	(void)state;
	assert_null(registry_define(r, "ollama", NULL, NULL, false, NULL));
	assert_join("ollama", "/api/chat", "http://localhost:11434/api/chat");
	assert_join("ollama", "/v1/chat/completions", "http://localhost:11434/v1/chat/completions");
	assert_join("ollama", "/chat/completions", "http://localhost:11434/v1/chat/completions");
}

static void
a_fal_target_goes_to_fals_hosts_and_nowhere_else(void **state)
{
	static const char *const good[][3] = {
	    {"https://fal.run/fal-ai/x", "https://fal.run/fal-ai/x", ""},
	    {"https://queue.fal.run/fal-ai/x/requests/1/status?logs=1",
		"https://queue.fal.run/fal-ai/x/requests/1/status", "logs=1"},
	    {"https://rest.alpha.fal.ai/storage/upload/initiate?storage_type=a",
		"https://rest.alpha.fal.ai/storage/upload/initiate", "storage_type=a"},
	    {"https://gateway.fal.run:443/x", "https://gateway.fal.run/x", ""},
	    {"https://fal.ai", "https://fal.ai/", ""}};
	static const char *const bad[] = {"", "fal.run/x", "http://fal.run/x",
	    "https://evil.example/fal.run", "https://fal.run.evil.example/x",
	    "https://evilfal.run/x", "https://fal.run:8443/x", "https://user@fal.run/x",
	    "https://fal.run@evil.example/x", "https://evil.example#.fal.run/",
	    "https://a_b.fal.run/x", "https://.fal.run/x", "https://FAL.run/x",
	    "https://fal.run/../x", "https://127.0.0.1/x", "https://fal.run\\@evil.example/",
	    "//fal.run/x"};
	const struct provider *fal = registry_find(r, SPAN_LIT("fal"));
	struct upstream_target t;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		assert_int_equal(
		    provider_join(fal, SPAN_LIT("/x"), span_str(good[i][0]), &arena, &t), E_OK);
		assert_true(span_eq(url_of(&t), span_str(good[i][1])));
		assert_non_null(t.query.p);
		assert_true(span_eq(t.query, span_str(good[i][2])));
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		if (provider_join(fal, SPAN_LIT("/x"), span_str(bad[i]), &arena, &t) !=
		    E_BAD_UPSTREAM_HOST)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void
a_fal_target_means_nothing_to_other_providers(void **state)
{
	struct upstream_target t;

	(void)state;
	assert_int_equal(provider_join(registry_find(r, SPAN_LIT("openai")), SPAN_LIT("/v1/x"),
			     SPAN_LIT("https://fal.run/y"), &arena, &t),
	    E_OK);
	assert_true(span_eq(t.host, SPAN_LIT("api.openai.com")));
	assert_true(span_eq(t.path, SPAN_LIT("/v1/x")));
}

static void
an_account_of_a_cloudflare_form_url_can_be_put_in(void **state)
{
	const struct provider *workers = registry_find(r, SPAN_LIT("workers-ai"));
	const struct provider *openai = registry_find(r, SPAN_LIT("openai"));
	struct span account = SPAN_LIT(ACCOUNT), run = SPAN_LIT("/@cf/x");

	(void)state;
	assert_true(span_eq(provider_rest_with_account(workers, account, run, &arena),
	    SPAN_LIT("/" ACCOUNT "/@cf/x")));
	assert_true(span_eq(
	    provider_rest_with_account(workers, account, SPAN_LIT("/" ACCOUNT "/@cf/x"), &arena),
	    SPAN_LIT("/" ACCOUNT "/@cf/x")));
	assert_true(
	    span_eq(provider_rest_with_account(workers, SPAN_LIT("acme"), run, &arena), run));
	assert_true(span_eq(provider_rest_with_account(openai, account, run, &arena), run));
}

static void
a_websocket_to_a_provider_without_a_path_means_its_realtime_endpoint(void **state)
{
	static const char *const endpoints[][3] = {
	    {"openai", "", "/v1/realtime"},
	    {"openai", "/", "/v1/realtime"},
	    {"openai", "/v1", "/v1"},
	    {"openai", "/v1/realtime", "/v1/realtime"},
	    {"google", "",
		"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"},
	    {"cartesia", "", "/tts/websocket"},
	    {"elevenlabs", "", "/v1/convai/conversation"},
	    {"deepgram", "/", "/v1/listen"},
	    {"anthropic", "", "/"},
	};
	struct upstream_target t;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
		const struct provider *p = registry_find(r, span_str(endpoints[i][0]));
		assert_non_null(p);
		struct span rest = provider_realtime_rest(p, span_str(endpoints[i][1]));
		assert_int_equal(provider_join(p, rest, SPAN_NONE, &arena, &t), E_OK);
		if (!span_eq(t.path, span_str(endpoints[i][2])))
			fail_msg("%s%s: %.*s", endpoints[i][0], endpoints[i][1], SPAN_FMT(t.path));
	}
}

static void
no_memory_is_an_error_and_no_half_address(void **state)
{
	struct arena tiny;
	struct upstream_target t;

	(void)state;
	arena_init(&tiny, 1);
	assert_int_equal(provider_join(registry_find(r, SPAN_LIT("openai")), SPAN_LIT("/x"),
			     SPAN_NONE, &tiny, &t),
	    E_NOMEM);
	assert_int_equal(provider_join(registry_find(r, SPAN_LIT("azure")), SPAN_LIT("/r/d/x"),
			     SPAN_NONE, &tiny, &t),
	    E_NOMEM);
	arena_fini(&tiny);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_row_of_the_table_joins_as_written),
	    TEST(every_provider_takes_its_own_base_path),
	    TEST(the_operators_base_url_is_joined_alike),
	    TEST(a_base_url_of_the_operators_takes_no_labels_from_the_path),
	    TEST(local_rows_have_both_of_their_apis),
	    TEST(a_fal_target_goes_to_fals_hosts_and_nowhere_else),
	    TEST(a_fal_target_means_nothing_to_other_providers),
	    TEST(an_account_of_a_cloudflare_form_url_can_be_put_in),
	    TEST(a_websocket_to_a_provider_without_a_path_means_its_realtime_endpoint),
	    TEST(no_memory_is_an_error_and_no_half_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
