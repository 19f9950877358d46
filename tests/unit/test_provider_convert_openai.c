#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "provider_convert.h"

#define HEAD "'id':'chatcmpl-1','object':'chat.completion','created':17,'model':'gpt-4.1'"
#define USAGE "'usage':{'prompt_tokens':19,'completion_tokens':10,'total_tokens':29}"
#define TAIL USAGE ",'service_tier':'default','system_fingerprint':'fp_1'"
/* An answer with one choice; what it says but for role and content. */
#define ANSWER(message, finish)                                                                    \
	"{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant'," message                   \
	"},'logprobs':null,'finish_reason':'" finish "'}]," TAIL "}"

#define CHUNK_HEAD                                                                                 \
	"'object':'chat.completion.chunk','id':'chatcmpl-1','created':17,'model':'gpt-4.1',"       \
	"'service_tier':'default','system_fingerprint':'fp_1'"
#define CHUNK(choices) "data: {" CHUNK_HEAD ",'choices':[" choices "],'usage':null}\n\n"
#define DELTA(delta) CHUNK("{'index':0,'delta':{" delta "},'logprobs':null,'finish_reason':null}")
#define FINISH(reason) CHUNK("{'index':0,'delta':{},'logprobs':null,'finish_reason':'" reason "'}")
#define DONE "data: [DONE]\n\n"
#define END "data: {" CHUNK_HEAD ",'choices':[]," USAGE "}\n\n" DONE
#define ROLE DELTA("'role':'assistant','content':'','refusal':null")
#define HELLO ROLE DELTA("'content':'Hel'") DELTA("'content':'lo'") FINISH("stop")

static void
text_is_joined(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e, HELLO END, ANSWER("'content':'Hello','refusal':null", "stop"));
	assert_stream_is(
	    &e, ": a comment\n\n" HELLO END, ANSWER("'content':'Hello','refusal':null", "stop"));
}

static void
nothing_said_is_an_empty_text(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(
	    &e, ROLE FINISH("stop") END, ANSWER("'content':'','refusal':null", "stop"));
	assert_stream_is(
	    &e, DELTA("'role':'assistant'") FINISH("stop") END, ANSWER("'content':null", "stop"));
}

static void
tool_calls_are_joined_by_their_index(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    ROLE DELTA("'tool_calls':[{'index':0,'id':'call_a','type':'function',"
		       "'function':{'name':'f','arguments':''}}]")
		DELTA("'tool_calls':[{'index':0,'function':{'arguments':'{\\'x\\''}}]")
		    DELTA("'tool_calls':[{'index':1,'id':'call_b','type':'custom',"
			  "'custom':{'name':'g','input':'pri'}}]")
			DELTA("'tool_calls':[{'index':0,'function':{'arguments':':1}'}},"
			      "{'index':1,'custom':{'input':'nt'}}]") FINISH("tool_calls") END,
	    ANSWER("'content':null,'refusal':null,'tool_calls':["
		   "{'id':'call_a','type':'function','function':{'name':'f',"
		   "'arguments':'{\\'x\\':1}'}},"
		   "{'id':'call_b','type':'custom','custom':{'name':'g','input':'print'}}]",
		"tool_calls"));
}

static void
tool_calls_that_are_not_clear_are_unknown(void **state)
{
	static const char *const calls[] = {
	    "{'index':1,'id':'a','type':'function','function':{'name':'f'}}",
	    "{'id':'a','type':'function','function':{'name':'f'}}",
	    "{'index':0,'id':'a','function':{'name':'f','arguments':''}}",
	    "{'index':0,'type':'function','function':{'name':'f','arguments':''}}",
	    "{'index':0,'id':'a','type':'function','function':{'arguments':''}}",
	    "{'index':0,'id':'a','type':'other','function':{'name':'f'}}",
	    "{'index':0,'id':'a','type':'custom','function':{'name':'f'}}",
	    ("{'index':0,'id':'a','type':'function','function':{'name':'f'}},"
	     "{'index':0,'id':'b','type':'function','function':{'name':'f'}}"),
	    "{'index':0,'id':'a','type':'function','function':{'name':'f'},'extra_content':{}}",
	};
	struct endpoint e = chat();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		struct buf stream = {.max = OUT_MAX};
		add(&stream, ROLE "data: {" CHUNK_HEAD ",'choices':[{'index':0,'delta':{");
		add(&stream, "'tool_calls':[");
		add(&stream, calls[i]);
		add(&stream, "]}}]}\n\n" FINISH("tool_calls") END);
		assert_true(buf_putc(&stream, '\0'));
		assert_stream_unknown(&e, buf_view(&stream).p);
		buf_fini(&stream);
	}
}

static void
the_old_function_call_is_kept(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    DELTA("'role':'assistant','content':null,'function_call':{'name':'f',"
		  "'arguments':''}") DELTA("'function_call':{'arguments':'{}'}")
		FINISH("function_call") END,
	    ANSWER(
		"'content':null,'function_call':{'name':'f','arguments':'{}'}", "function_call"));
	assert_goes_round(&e,
	    ANSWER(
		"'content':null,'function_call':{'name':'f','arguments':'{}'}", "function_call"));
}

static void
a_refusal_has_no_content(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    ROLE DELTA("'refusal':'I can'") DELTA("'refusal':'not.'") FINISH("stop") END,
	    ANSWER("'content':null,'refusal':'I cannot.'", "stop"));
}

static void
reasoning_and_annotations_are_kept(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    DELTA("'role':'assistant','content':null,'reasoning_content':''")
		DELTA("'content':null,'reasoning_content':'a'")
		    DELTA("'content':null,'reasoning_content':'b'")
			DELTA("'content':'c','reasoning_content':null")
			    DELTA("'annotations':[{'type':'url_citation'}]") FINISH("stop") END,
	    ANSWER("'content':'c','reasoning_content':'ab',"
		   "'annotations':[{'type':'url_citation'}]",
		"stop"));
	assert_stream_unknown(
	    &e, ROLE DELTA("'annotations':[1]") DELTA("'annotations':[2]") FINISH("stop") END);
}

static void
choices_may_be_interleaved(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    CHUNK("{'index':1,'delta':{'role':'assistant','content':'b'},'finish_reason':null}")
		CHUNK("{'index':0,'delta':{'role':'assistant','content':'a'}},"
		      "{'index':1,'delta':{'content':'B'}}")
		    CHUNK("{'index':1,'delta':{},'finish_reason':'length'}")
			CHUNK("{'index':0,'delta':{'content':'A'},'finish_reason':'stop'}") END,
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'aA'},"
	    "'finish_reason':'stop'},{'index':1,'message':{'role':'assistant',"
	    "'content':'bB'},'finish_reason':'length'}]," TAIL "}");
	/* choice 0 never came; choice 0 never ended; one too many */
	assert_stream_unknown(&e,
	    CHUNK("{'index':1,'delta':{'role':'assistant','content':'b'},"
		  "'finish_reason':'stop'}") END);
	assert_stream_unknown(&e, ROLE END);
	assert_stream_unknown(&e,
	    HELLO CHUNK("{'index':128,'delta':{'role':'assistant'},'finish_reason':'stop'}") END);
}

static void
log_probabilities_are_joined(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    CHUNK("{'index':0,'delta':{'role':'assistant','content':''},"
		  "'logprobs':{'content':[],'refusal':null}}")
		CHUNK("{'index':0,'delta':{'content':'a'},"
		      "'logprobs':{'content':[{'token':'a','logprob':-0.50}],'refusal':null}}")
		    CHUNK("{'index':0,'delta':{'content':'b'},"
			  "'logprobs':{'content':[{'token':'b','logprob':-1}],'refusal':null}}")
			FINISH("stop") END,
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'ab'},"
	    "'logprobs':{'content':[{'token':'a','logprob':-0.5},{'token':'b','logprob':-1}],"
	    "'refusal':null},'finish_reason':'stop'}]," TAIL "}");
}

#define LOGPROBS(content, tokens)                                                                  \
	"{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':" content         \
	"},'logprobs':{'content':" tokens ",'refusal':null},'finish_reason':'stop'}]," TAIL "}"

static void
log_probabilities_stay_beside_their_text(void **state)
{
	struct endpoint e = chat();
	struct buf out =
	    stream_of(&e, LOGPROBS("'ab c'", "[{'token':'ab'},{'token':' '},{'token':'c'}]"));

	UNUSED(state);
	assert_int_equal(count_of(buf_view(&out),
			     "\"content\":\"ab\"},\"logprobs\":{\"content\":[{\"token\":\"ab\"}]"),
	    1);
	assert_int_equal(count_of(buf_view(&out), "{\"token\":\"c\"}],\"refusal\":null}"), 1);
	buf_fini(&out);
	/* a character in two tokens, tokens without text, text without tokens */
	assert_goes_round(&e,
	    LOGPROBS("'a\xf0\x9f\x91\x8b!'",
		"[{'token':'a'},{'token':'\\\\xf0'},"
		"{'token':'\\\\x9f'},{'token':'!'}]"));
	assert_goes_round(&e, LOGPROBS("null", "[{'token':'a'},{'token':'b'}]"));
	assert_goes_round(&e, LOGPROBS("'ab'", "[{'token':'a'}]"));
	assert_goes_round(&e, LOGPROBS("'ab'", "[]"));
	assert_goes_round(&e, LOGPROBS("'ab'", "[{},{'token':''},{'token':7}]"));
}

static void
padding_and_groq_are_known(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_stream_is(&e,
	    "data: {'id':'c','object':'chat.completion.chunk','created':1,'model':'m',"
	    "'choices':[{'index':0,'delta':{'role':'assistant','content':'a'},"
	    "'logprobs':null,'finish_reason':null}],'obfuscation':'xyz',"
	    "'x_groq':{'id':'req_1','seed':7}}\n\n"
	    "data: {'id':'c','object':'chat.completion.chunk','created':2,'model':'m',"
	    "'choices':[{'index':0,'delta':{},'logprobs':null,'finish_reason':'stop'}],"
	    "'x_groq':{'id':'req_1'," USAGE "}}\n\n" DONE,
	    "{'id':'c','object':'chat.completion','created':1,'model':'m','choices':["
	    "{'index':0,'message':{'role':'assistant','content':'a'},'logprobs':null,"
	    "'finish_reason':'stop'}]," USAGE ",'x_groq':{'id':'req_1','seed':7}}");
	assert_goes_round(&e,
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','tool_calls':["
	    "{'id':'a','type':'function','function':{'name':'f','arguments':'{}'}}]},"
	    "'logprobs':null,'finish_reason':'tool_calls'}]," USAGE ",'usage_breakdown':null,"
	    "'system_fingerprint':'fp','x_groq':{'id':'req_1'},'service_tier':'on_demand'}");
}

static void
a_stream_that_is_not_known_whole_is_unknown(void **state)
{
	static const char *const streams[] = {
	    "",
	    DONE,
	    END,
	    HELLO DONE, /* no usage */
	    HELLO "data: {" CHUNK_HEAD ",'choices':[],'usage':{}}\n\n" DONE,
	    HELLO "data: {" CHUNK_HEAD ",'choices':[],'usage':{'prompt_tokens':1}}\n\n" DONE,
	    HELLO "data: {" CHUNK_HEAD ",'choices':[]," USAGE "}\n\n", /* no end */
	    HELLO END DONE,
	    HELLO END HELLO,
	    HELLO "data: {'error':{'message':'no'}}\n\n" END,
	    HELLO "event: error\ndata: {" CHUNK_HEAD ",'choices':[]}\n\n" END,
	    HELLO "data: not json\n\n" END,
	    HELLO "data: [1]\n\n" END,
	    HELLO "data: {" CHUNK_HEAD ",'choices':[],'new_member':1}\n\n" END,
	    HELLO "data: {" CHUNK_HEAD ",'choices':[],'id':'chatcmpl-1'}\n\n" END, /* twice */
	    HELLO "data: {'id':'other','choices':[]}\n\n" END,
	    HELLO "data: {'object':'chat.completion','choices':[]}\n\n" END,
	    HELLO "data: {'choices':{}}\n\n" END,
	    HELLO DELTA("'content':'more'") END,
	    HELLO FINISH("length") END,
	    ROLE DELTA("'content':['a']") FINISH("stop") END,
	    ROLE DELTA("'audio':{'id':'a'}") FINISH("stop") END,
	    ROLE DELTA("'reasoning_details':[]") FINISH("stop") END,
	    DELTA("'content':'no role'") FINISH("stop") END,
	    DELTA("'role':'user','content':'a'") FINISH("stop") END,
	    CHUNK("{'index':0,'message':{'role':'assistant','content':'a'},"
		  "'finish_reason':'stop'}") END,
	    ROLE CHUNK("{'index':0,'delta':{},'content_filter_results':{},"
		       "'finish_reason':'stop'}") END,
	};
	struct endpoint e = chat();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(streams); i++)
		assert_stream_unknown(&e, streams[i]);
}

static void
a_plain_answer_streams_as_the_vendor_does(void **state)
{
	struct endpoint e = chat();

	UNUSED(state);
	assert_streams_as(&e, ANSWER("'content':'Hello','refusal':null", "stop"),
	    ROLE DELTA("'content':'Hello'") FINISH("stop") END);
	assert_streams_as(&e,
	    ANSWER("'content':null,'tool_calls':[{'id':'a','type':'function','function':"
		   "{'name':'f','arguments':'{}'}}]",
		"tool_calls"),
	    DELTA("'role':'assistant','content':null")
		DELTA("'tool_calls':[{'index':0,'id':'a','type':'function','function':"
		      "{'name':'f','arguments':''}}]")
		    DELTA("'tool_calls':[{'index':0,'function':{'arguments':'{}'}}]")
			FINISH("tool_calls") END);
}

static void
usage_is_streamed_only_when_asked_for(void **state)
{
	struct endpoint e = chat();
	struct buf in = {.max = OUT_MAX}, out = {.max = OUT_MAX};

	UNUSED(state);
	add(&in, ANSWER("'content':'Hello'", "stop"));
	assert_int_equal(convert_json_to_stream(&e, buf_view(&in), false, &out), CONVERT_OK);
	assert_int_equal(count_of(buf_view(&out), "usage"), 0);
	assert_int_equal(count_of(buf_view(&out), "\"choices\":[]"), 0);
	assert_true(span_ends(buf_view(&out), SPAN_LIT("\n\ndata: [DONE]\n\n")));
	buf_fini(&in);
	buf_fini(&out);
}

static void
every_known_answer_goes_round(void **state)
{
	static const char *const messages_of[] = {
	    "'content':'','refusal':null,'annotations':[]",
	    "'content':null,'refusal':''",
	    "'content':null,'refusal':'No.'",
	    "'content':'','refusal':'No.'",
	    "'content':'quote \\' slash \\\\ \\u0000 \\u2028 \\n'",
	    "'content':'a','reasoning_content':'b','reasoning':'','annotations':[{'type':'x'}]",
	    "'content':'a','reasoning_content':null,'annotations':null,'audio':null,"
	    "'function_call':null,'tool_calls':[],'refusal':null",
	    "'content':null,'tool_calls':null",
	    "'content':'','tool_calls':[{'id':'a','type':'function','function':{'name':'f',"
	    "'arguments':''}},{'id':'b','type':'custom','custom':{'name':'g','input':'x'}}]",
	};
	struct endpoint e = chat();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(messages_of); i++) {
		struct buf json = {.max = OUT_MAX};
		add(&json, "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant',");
		add(&json, messages_of[i]);
		add(&json,
		    "},'finish_reason':'stop','stop_reason':null,'token_ids':null,"
		    "'native_finish_reason':'STOP'}],'provider':'X'," TAIL "}");
		assert_true(buf_putc(&json, '\0'));
		assert_goes_round(&e, buf_view(&json).p);
		buf_fini(&json);
	}
}

static void
an_answer_that_is_not_known_whole_is_unknown(void **state)
{
	static const char *const answers[] = {
	    "",
	    "[]",
	    "{}",
	    "{'error':{'message':'no'}}",
	    "{" HEAD ",'choices':[]," USAGE "}",
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'a'},"
	    "'finish_reason':'stop'}]}",
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'a'},"
	    "'finish_reason':'stop'}],'usage':null}",
	    "{" HEAD ",'choices':[{'index':1,'message':{'role':'assistant','content':'a'},"
	    "'finish_reason':'stop'}]," USAGE "}",
	    "{" HEAD ",'choices':[{'index':0,'delta':{'role':'assistant','content':'a'},"
	    "'finish_reason':'stop'}]," USAGE "}",
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'a'},"
	    "'finish_reason':null}]," USAGE "}",
	    "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'a'},"
	    "'finish_reason':'stop'}]," USAGE ",'prompt_filter_results':[]}",
	    ANSWER("'refusal':null", "stop"),
	    ANSWER("'content':[{'type':'text'}]", "stop"),
	    ANSWER("'content':'a','audio':{'id':'x'}", "stop"),
	    ANSWER("'content':'a','parsed':1", "stop"),
	    ANSWER("'content':null,'tool_calls':[{'index':0,'id':'a','type':'function',"
		   "'function':{'name':'f','arguments':''}}]",
		"stop"),
	    ANSWER("'content':null,'tool_calls':[{'id':'a','type':'function',"
		   "'function':{'name':'f'}}]",
		"stop"),
	};
	struct endpoint e = chat();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(answers); i++)
		assert_json_unknown(&e, answers[i]);
}

/* Content of n bytes, made of 3-byte characters after `ascii` letters. */
static struct buf
answer_of(size_t ascii, size_t n)
{
	struct buf json = {.max = OUT_MAX};

	add(&json, "{" HEAD ",'choices':[{'index':0,'message':{'role':'assistant','content':'");
	for (size_t i = 0; i < n; i += i < ascii ? 1 : 3)
		add(&json, i < ascii ? "a" : "\xe2\x82\xac");
	add(&json, "'},'finish_reason':'stop'}]," TAIL "}");
	assert_true(buf_putc(&json, '\0'));
	return json;
}

static void
a_long_text_is_cut_between_characters(void **state)
{
	/* A piece has up to 256 bytes: role, finish and usage are the other three chunks. */
	static const struct {
		size_t ascii, n, chunks;
	} texts[] = {{256, 256, 4}, {257, 257, 5}, {1, 256, 4}, {2, 257, 5}, {0, 2700, 14}};
	struct endpoint e = chat();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct buf json = answer_of(texts[i].ascii, texts[i].n);
		struct buf out = stream_of(&e, buf_view(&json).p);
		assert_int_equal(
		    count_of(buf_view(&out), "chat.completion.chunk"), texts[i].chunks);
		buf_fini(&json);
		buf_fini(&out);
	}
}

static void
a_full_buffer_is_told_apart_and_left_as_it_was(void **state)
{
	struct endpoint e = chat();
	struct buf in = {.max = OUT_MAX}, stream = {.max = OUT_MAX}, out = {.max = 0};

	UNUSED(state);
	add(&in, ANSWER("'content':'Hello'", "stop"));
	assert_int_equal(convert_json_to_stream(&e, buf_view(&in), true, &stream), CONVERT_OK);
	for (out.max = 0; out.max < buf_len(&stream); out.max++) {
		assert_int_equal(
		    convert_json_to_stream(&e, buf_view(&in), true, &out), CONVERT_FULL);
		assert_int_equal(buf_len(&out), 0);
	}
	assert_int_equal(convert_json_to_stream(&e, buf_view(&in), true, &out), CONVERT_OK);
	buf_reset(&out);
	out.max = 10;
	assert_int_equal(convert_stream_to_json(&e, buf_view(&stream), &out), CONVERT_FULL);
	assert_int_equal(buf_len(&out), 0);
	buf_fini(&in);
	buf_fini(&stream);
	buf_fini(&out);
}

static void
only_chat_and_messages_are_known(void **state)
{
	struct endpoint c = chat(), m = messages(),
			r = endpoint_classify(DIALECT_OPENAI, true, SPAN_LIT("/v1/responses")),
			g = endpoint_classify(DIALECT_COHERE, true, SPAN_LIT("/v2/chat"));

	UNUSED(state);
	assert_true(convert_knows(&c));
	assert_true(convert_knows(&m));
	assert_false(convert_knows(&r));
	assert_false(convert_knows(&g));
	assert_json_unknown(&r, ANSWER("'content':'a'", "stop"));
	assert_stream_unknown(&g, HELLO END);
	assert_stream_unknown(&m, HELLO END);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_joined),
	    cmocka_unit_test(nothing_said_is_an_empty_text),
	    cmocka_unit_test(tool_calls_are_joined_by_their_index),
	    cmocka_unit_test(tool_calls_that_are_not_clear_are_unknown),
	    cmocka_unit_test(the_old_function_call_is_kept),
	    cmocka_unit_test(a_refusal_has_no_content),
	    cmocka_unit_test(reasoning_and_annotations_are_kept),
	    cmocka_unit_test(choices_may_be_interleaved),
	    cmocka_unit_test(log_probabilities_are_joined),
	    cmocka_unit_test(log_probabilities_stay_beside_their_text),
	    cmocka_unit_test(padding_and_groq_are_known),
	    cmocka_unit_test(a_stream_that_is_not_known_whole_is_unknown),
	    cmocka_unit_test(a_plain_answer_streams_as_the_vendor_does),
	    cmocka_unit_test(usage_is_streamed_only_when_asked_for),
	    cmocka_unit_test(every_known_answer_goes_round),
	    cmocka_unit_test(an_answer_that_is_not_known_whole_is_unknown),
	    cmocka_unit_test(a_long_text_is_cut_between_characters),
	    cmocka_unit_test(a_full_buffer_is_told_apart_and_left_as_it_was),
	    cmocka_unit_test(only_chat_and_messages_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
