#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/dialect.h"

static struct buf out;

static int
setup(void **state)
{
	(void)state;
	buf_init(&out, 4096);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static void
assert_body(enum refusal_shape shape, enum err why, const char *message, const char *want)
{
	buf_reset(&out);
	assert_true(refusal_body(shape, why, span_str(message), &out));
	if (!span_eq(buf_view(&out), span_str(want)))
		fail_msg("%.*s", SPAN_FMT(buf_view(&out)));
}

static void
each_dialect_has_its_shape(void **state)
{
	(void)state;
	assert_int_equal(refusal_shape_of(DIALECT_OPENAI), REFUSAL_OPENAI);
	assert_int_equal(refusal_shape_of(DIALECT_ANTHROPIC), REFUSAL_ANTHROPIC);
	assert_int_equal(refusal_shape_of(DIALECT_GEMINI), REFUSAL_GEMINI);
	assert_int_equal(refusal_shape_of(DIALECT_BEDROCK), REFUSAL_MESSAGE);
	assert_int_equal(refusal_shape_of(DIALECT_COHERE), REFUSAL_MESSAGE);
	assert_int_equal(refusal_shape_of(DIALECT_OLLAMA), REFUSAL_ERROR);
	assert_int_equal(refusal_shape_of(DIALECT_OTHER), REFUSAL_OPENAI);
}

static void
openai(void **state)
{
	(void)state;
	assert_body(REFUSAL_OPENAI, E_UNKNOWN_PROVIDER, "no \"opnai\"",
	    "{\"error\":{\"message\":\"no \\\"opnai\\\"\",\"type\":\"invalid_request_error\","
	    "\"param\":null,\"code\":\"unknown-provider\"}}");
	assert_body(REFUSAL_OPENAI, E_UPSTREAM_TIMEOUT, "late",
	    "{\"error\":{\"message\":\"late\",\"type\":\"server_error\",\"param\":null,"
	    "\"code\":\"upstream-timeout\"}}");
}

static void
anthropic(void **state)
{
	(void)state;
	assert_body(REFUSAL_ANTHROPIC, E_UNAUTHORIZED, "no",
	    "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"no\"}}");
	assert_body(REFUSAL_ANTHROPIC, E_BODY_TOO_LARGE, "no",
	    "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\",\"message\":\"no\"}}");
	assert_body(REFUSAL_ANTHROPIC, E_OVERLOADED, "no",
	    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}");
}

static void
gemini(void **state)
{
	(void)state;
	assert_body(REFUSAL_GEMINI, E_FORBIDDEN, "no",
	    "{\"error\":{\"code\":403,\"message\":\"no\",\"status\":\"PERMISSION_DENIED\"}}");
	assert_body(REFUSAL_GEMINI, E_UPSTREAM_TIMEOUT, "no",
	    "{\"error\":{\"code\":504,\"message\":\"no\",\"status\":\"DEADLINE_EXCEEDED\"}}");
}

static void
cloudflare(void **state)
{
	(void)state;
	assert_body(REFUSAL_CLOUDFLARE, E_UNAUTHORIZED, "Unauthorized",
	    "{\"success\":false,\"result\":[],\"messages\":[],"
	    "\"error\":[{\"code\":2009,\"message\":\"Unauthorized\"}],\"name\":\"AiGatewayError\","
	    "\"httpCode\":401,\"internalCode\":2009,\"message\":\"Unauthorized\","
	    "\"description\":\"Unauthorized\"}");
}

static void
bedrock_cohere_and_ollama(void **state)
{
	(void)state;
	assert_body(REFUSAL_MESSAGE, E_NOT_FOUND, "no", "{\"message\":\"no\"}");
	assert_body(REFUSAL_ERROR, E_NOT_FOUND, "no", "{\"error\":\"no\"}");
}

static void
every_error_gives_json_with_its_own_text_in_every_shape(void **state)
{
	(void)state;
	for (int why = 0; why < ERR_COUNT; why++) {
		for (int shape = REFUSAL_OPENAI; shape <= REFUSAL_ERROR; shape++) {
			buf_reset(&out);
			assert_true(refusal_body(
			    (enum refusal_shape)shape, (enum err)why, SPAN_NONE, &out));
			struct json_doc *d = json_parse(buf_view(&out));
			assert_non_null(d);
			json_free(d);
			struct span text = span_str(err_row((enum err)why)->text);
			assert_true(
			    span_find_span(buf_view(&out), span_head(text, 10)) < buf_len(&out));
		}
	}
}

static void
a_message_is_only_ever_text(void **state)
{
	struct json_doc *d;
	struct span s, text = SPAN_LIT("\"}],\\ \n\x01 \xff \xc3\xa4");

	(void)state;
	assert_true(refusal_body(REFUSAL_CLOUDFLARE, E_INTERNAL, text, &out));
	d = json_parse(buf_view(&out));
	assert_non_null(d);
	assert_true(json_str(json_get(json_root(d), "message"), &s));
	assert_true(span_eq(s, SPAN_LIT("\"}],\\ \n\x01 \xef\xbf\xbd \xc3\xa4")));
	json_free(d);
}

static void
a_full_buffer_is_said(void **state)
{
	struct buf tiny;

	(void)state;
	buf_init(&tiny, 20);
	for (int shape = REFUSAL_OPENAI; shape <= REFUSAL_ERROR; shape++)
		assert_false(refusal_body((enum refusal_shape)shape, E_INTERNAL,
		    SPAN_LIT("twenty bytes and more"), &tiny));
	buf_fini(&tiny);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_dialect_has_its_shape),
	    TEST(openai),
	    TEST(anthropic),
	    TEST(gemini),
	    TEST(cloudflare),
	    TEST(bedrock_cohere_and_ollama),
	    TEST(every_error_gives_json_with_its_own_text_in_every_shape),
	    TEST(a_message_is_only_ever_text),
	    TEST(a_full_buffer_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
