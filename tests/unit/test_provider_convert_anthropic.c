#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "provider_convert.h"

#define HEAD "'id':'msg_1','type':'message','role':'assistant','model':'claude-sonnet-4-5'"
#define ANSWER(content)                                                                            \
	"{" HEAD ",'content':[" content "],'stop_reason':'end_turn','stop_sequence':null,"         \
	"'usage':{'input_tokens':25,'output_tokens':15}}"

#define EVENT(type, rest) "event: " type "\ndata: {'type':'" type "'" rest "}\n\n"
#define START                                                                                      \
	EVENT("message_start",                                                                     \
	    ",'message':{" HEAD ",'content':[],'stop_reason':null,'stop_sequence':null,"           \
	    "'usage':{'input_tokens':25,'output_tokens':1}}")
#define OPEN(index, block)                                                                         \
	EVENT("content_block_start", ",'index':" index ",'content_block':{" block "}")
#define DELTA(index, delta) EVENT("content_block_delta", ",'index':" index ",'delta':{" delta "}")
#define CLOSE(index) EVENT("content_block_stop", ",'index':" index)
#define STOP                                                                                       \
	EVENT("message_delta",                                                                     \
	    ",'delta':{'stop_reason':'end_turn','stop_sequence':null},"                            \
	    "'usage':{'output_tokens':15}")                                                        \
	EVENT("message_stop", "")
#define PING EVENT("ping", "")
#define HELLO                                                                                      \
	OPEN("0", "'type':'text','text':''")                                                       \
	PING DELTA("0", "'type':'text_delta','text':'Hel'")                                        \
	    DELTA("0", "'type':'text_delta','text':'lo'") CLOSE("0")

static void
text_is_joined_and_pings_are_dropped(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_stream_is(&e, START HELLO STOP, ANSWER("{'type':'text','text':'Hello'}"));
	assert_stream_is(&e, START STOP, ANSWER(""));
	assert_stream_is(&e, PING START PING HELLO STOP, ANSWER("{'type':'text','text':'Hello'}"));
}

static void
events_without_names_are_told_by_their_data(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_stream_is(&e,
	    START HELLO "data: {'type':'message_delta','delta':{'stop_reason':'end_turn',"
			"'stop_sequence':null},'usage':{'output_tokens':15}}\n\n"
			"data: {'type':'message_stop'}\n\n",
	    ANSWER("{'type':'text','text':'Hello'}"));
}

static void
the_pieces_of_a_tools_input_are_one_object(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_stream_is(&e,
	    START HELLO OPEN("1", "'type':'tool_use','id':'toolu_1','name':'w','input':{}")
		DELTA("1", "'type':'input_json_delta','partial_json':''")
		    DELTA("1", "'type':'input_json_delta','partial_json':'{\\'a\\': 1.'") DELTA(
			"1", "'type':'input_json_delta','partial_json':'50}'") CLOSE("1") OPEN("2",
			"'type':'tool_use','id':'toolu_2','name':'e','input':{},"
			"'caller':{'type':'direct'}") CLOSE("2") STOP,
	    ANSWER("{'type':'text','text':'Hello'},"
		   "{'type':'tool_use','id':'toolu_1','name':'w','input':{'a':1.5}},"
		   "{'type':'tool_use','id':'toolu_2','name':'e','input':{},"
		   "'caller':{'type':'direct'}}"));
}

static void
thinking_keeps_its_signature(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_stream_is(&e,
	    START OPEN("0", "'type':'thinking','thinking':'','signature':''")
		DELTA("0", "'type':'thinking_delta','thinking':'hm','estimated_tokens':4")
		    DELTA("0", "'type':'thinking_delta','thinking':'m'")
			DELTA("0", "'type':'signature_delta','signature':'EqQ='") CLOSE("0")
			    OPEN("1", "'type':'redacted_thinking','data':'x'") CLOSE("1") STOP,
	    ANSWER("{'type':'thinking','thinking':'hmm','signature':'EqQ='},"
		   "{'type':'redacted_thinking','data':'x'}"));
}

static void
citations_and_server_tools_are_kept(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_stream_is(&e,
	    START OPEN("0", "'type':'server_tool_use','id':'s','name':'web_search','input':{}")
		DELTA("0", "'type':'input_json_delta','partial_json':'{\\'query\\':\\'q\\'}'")
		    CLOSE("0") OPEN("1",
			"'type':'web_search_tool_result','tool_use_id':'s','content':["
			"{'type':'web_search_result','url':'u','page_age':null}]") CLOSE("1")
			OPEN("2", "'type':'text','text':'','citations':[]")
			    DELTA("2", "'type':'citations_delta','citation':{'url':'u'}")
				DELTA("2", "'type':'text_delta','text':'a'")
				    DELTA("2", "'type':'citations_delta','citation':{'url':'v'}")
					CLOSE("2") STOP,
	    ANSWER("{'type':'server_tool_use','id':'s','name':'web_search',"
		   "'input':{'query':'q'}},"
		   "{'type':'web_search_tool_result','tool_use_id':'s','content':["
		   "{'type':'web_search_result','url':'u','page_age':null}]},"
		   "{'type':'text','text':'a','citations':[{'url':'u'},{'url':'v'}]}"));
}

static void
the_last_usage_and_the_last_reason_stay(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_stream_is(&e,
	    EVENT("message_start",
		",'message':{" HEAD ",'content':[],'stop_reason':null,'stop_sequence':null,"
		"'usage':{'input_tokens':3,'cache_read_input_tokens':7,"
		"'cache_creation':{'ephemeral_5m_input_tokens':0},'server_tool_use':null,"
		"'output_tokens':1,'service_tier':'standard'}}") EVENT("message_delta",
		",'delta':{'stop_reason':'stop_sequence','stop_sequence':'END',"
		"'container':{'id':'c'},'stop_details':null},'usage':{'input_tokens':30,"
		"'cache_read_input_tokens':null,'server_tool_use':{'web_search_requests':1},"
		"'output_tokens':9},'context_management':{'applied_edits':[]}")
		EVENT("message_stop", ""),
	    "{" HEAD ",'content':[],'stop_reason':'stop_sequence','stop_sequence':'END',"
	    "'stop_details':null,'container':{'id':'c'},"
	    "'context_management':{'applied_edits':[]},'usage':{'input_tokens':30,"
	    "'cache_read_input_tokens':7,'cache_creation':{'ephemeral_5m_input_tokens':0},"
	    "'server_tool_use':{'web_search_requests':1},'output_tokens':9,"
	    "'service_tier':'standard'}}");
}

#define TOOL "'type':'tool_use','id':'t','name':'f','input':{}"
#define TEXT "'type':'text','text':''"

static void
a_stream_that_is_not_known_whole_is_unknown(void **state)
{
	static const char *const streams[] = {
	    "",
	    START,
	    START HELLO, /* no end */
	    START HELLO EVENT("message_stop", ""),
	    START HELLO EVENT("message_delta", ",'delta':{'stop_reason':'end_turn'}")
		EVENT("message_stop", ""), /* the output was not counted */
	    START HELLO EVENT(
		"message_delta", ",'delta':{'stop_reason':null},'usage':{'output_tokens':1}")
		EVENT("message_stop", ""),
	    HELLO STOP,
	    START START STOP,
	    START HELLO STOP PING,
	    START HELLO STOP HELLO,
	    START HELLO EVENT("error", ",'error':{'type':'overloaded_error','message':'x'}") STOP,
	    START HELLO EVENT("new_event", "") STOP,
	    START HELLO "event: ping\ndata: {'type':'message_stop'}\n\n" STOP,
	    START HELLO "data: [DONE]\n\n" STOP,
	    START HELLO STOP "data: [DONE]\n\n",
	    START HELLO "data: {'type':'ping','x':1}\n\n" STOP,
	    START OPEN("1", TEXT) CLOSE("1") STOP,
	    START OPEN("0", TEXT) STOP,
	    START OPEN("0", TEXT) CLOSE("1") STOP,
	    START OPEN("0", TEXT) OPEN("1", TEXT) CLOSE("1") CLOSE("0") STOP,
	    START OPEN("0", TEXT) DELTA("1", "'type':'text_delta','text':'a'") CLOSE("0") STOP,
	    START OPEN("0", TEXT) DELTA("0", "'type':'new_delta','text':'a'") CLOSE("0") STOP,
	    START OPEN("0", TEXT) DELTA("0", "'type':'text_delta','text':'a','b':1") CLOSE("0")
		STOP,
	    START OPEN("0", TEXT) DELTA("0", "'type':'text_delta','text':null") CLOSE("0") STOP,
	    START OPEN("0", TEXT) DELTA("0", "'type':'thinking_delta','thinking':'a'") CLOSE("0")
		STOP,
	    START OPEN("0", TEXT ",'new_member':1") CLOSE("0") STOP,
	    START OPEN("0", "'type':'new_block'") CLOSE("0") STOP,
	    START OPEN("0", "'type':'compaction','content':null") CLOSE("0") STOP,
	    START OPEN("0", "'type':'tool_use','id':'t','name':'f','input':'x'") CLOSE("0") STOP,
	    START OPEN("0", TOOL) DELTA("0", "'type':'input_json_delta','partial_json':'{'")
		CLOSE("0") STOP,
	    START OPEN("0", TOOL) DELTA("0", "'type':'input_json_delta','partial_json':'[]'")
		CLOSE("0") STOP,
	    START OPEN("0", "'type':'tool_use','id':'t','name':'f','input':{'a':1}")
		DELTA("0", "'type':'input_json_delta','partial_json':'{}'") CLOSE("0") STOP,
	    START OPEN("0", "'type':'thinking','thinking':'','signature':''")
		DELTA("0", "'type':'signature_delta','signature':'a'")
		    DELTA("0", "'type':'signature_delta','signature':'b'") CLOSE("0") STOP,
	};
	struct endpoint e = messages();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(streams); i++)
		assert_stream_unknown(&e, streams[i]);
}

static void
a_plain_answer_streams_as_the_vendor_does(void **state)
{
	struct endpoint e = messages();

	UNUSED(state);
	assert_streams_as(&e,
	    ANSWER("{'type':'text','text':'Hello'},"
		   "{'type':'tool_use','id':'t','name':'f','input':{'a':[1,2.0]}},"
		   "{'type':'thinking','thinking':'hm','signature':'Eq'}"),
	    START OPEN("0", TEXT) DELTA("0", "'type':'text_delta','text':'Hello'") CLOSE("0")
		OPEN("1", TOOL) DELTA("1", "'type':'input_json_delta','partial_json':''")
		    DELTA("1", "'type':'input_json_delta','partial_json':'{\\'a\\':[1,2.0]}'")
			CLOSE("1") OPEN("2", "'type':'thinking','thinking':'','signature':''")
			    DELTA("2", "'type':'thinking_delta','thinking':'hm'")
				DELTA("2", "'type':'signature_delta','signature':'Eq'") CLOSE("2")
				    EVENT("message_delta",
					",'delta':{'stop_reason':'end_turn',"
					"'stop_sequence':null},'usage':{'input_tokens':25,"
					"'output_tokens':15}") EVENT("message_stop", ""));
}

static void
every_known_answer_goes_round(void **state)
{
	static const char *const answers[] = {
	    ANSWER(""),
	    ANSWER(
		"{'type':'text','text':''},{'type':'text','text':'\\n\\u0000','citations':null}"),
	    ANSWER("{'text':'a','citations':[],'type':'text'}"),
	    ANSWER("{'type':'text','text':'a','citations':[{'cited_text':'\\n'},{}]}"),
	    ANSWER("{'type':'thinking','thinking':''},"
		   "{'type':'thinking','thinking':'','signature':''},"
		   "{'type':'thinking','thinking':'a','signature':'b'}"),
	    ANSWER("{'type':'tool_use','id':'a','name':'b','input':{},'caller':null,"
		   "'toolset_name':null}"),
	    ANSWER("{'type':'mcp_tool_use','id':'a','name':'b','input':{'x':{}},"
		   "'server_name':'s'},{'type':'mcp_tool_result','content':[],'is_error':false}"),
	    "{" HEAD ",'content':[],'stop_reason':'refusal','stop_details':{'type':'refusal'},"
	    "'container':null,'context_management':null,'diagnostics':{'a':1},"
	    "'usage':{'input_tokens':0,'output_tokens':0,'cache_creation_input_tokens':null,"
	    "'cache_read_input_tokens':1,'server_tool_use':null,'output_tokens_details':{},"
	    "'iterations':[],'cache_creation':{},'service_tier':'batch','inference_geo':'us',"
	    "'speed':null}}",
	};
	struct endpoint e = messages();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(answers); i++)
		assert_goes_round(&e, answers[i]);
}

static void
an_answer_that_is_not_known_whole_is_unknown(void **state)
{
	static const char *const answers[] = {
	    "",
	    "[]",
	    "{'type':'error','error':{'type':'api_error','message':'x'}}",
	    "{" HEAD ",'content':[],'stop_reason':'end_turn','stop_sequence':null}",
	    "{" HEAD ",'content':[],'stop_reason':null,'usage':{'input_tokens':1,"
	    "'output_tokens':1}}",
	    "{" HEAD ",'stop_reason':'end_turn','usage':{'input_tokens':1,'output_tokens':1}}",
	    "{" HEAD ",'content':'a','stop_reason':'end_turn','usage':{'input_tokens':1,"
	    "'output_tokens':1}}",
	    "{" HEAD ",'content':[],'stop_reason':'end_turn','usage':{'input_tokens':null,"
	    "'output_tokens':1}}",
	    "{" HEAD ",'content':[],'stop_reason':'end_turn','usage':{'input_tokens':1,"
	    "'output_tokens':-1}}",
	    "{" HEAD ",'content':[],'stop_reason':'end_turn','usage':{'input_tokens':1,"
	    "'output_tokens':1,'new_tokens':1}}",
	    "{" HEAD ",'content':[],'stop_reason':'end_turn','new_member':null,"
	    "'usage':{'input_tokens':1,'output_tokens':1}}",
	    ANSWER("{'type':'new_block'}"),
	    ANSWER("{'type':'text','text':null}"),
	    ANSWER("{'type':'text','text':'a','new_member':1}"),
	    ANSWER("{'type':'text','text':'a','citations':[1]}"),
	    ANSWER("{'type':'tool_use','id':'a','name':'b'}"),
	    ANSWER("{'type':'tool_use','id':'a','name':'b','input':[]}"),
	    ANSWER("'a'"),
	};
	struct endpoint e = messages();

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(answers); i++)
		assert_json_unknown(&e, answers[i]);
}

/* An answer with a tool whose input nests n deep. */
static struct buf
nested(size_t n)
{
	struct buf json = {.max = OUT_MAX};

	add(&json, "{" HEAD ",'content':[{'type':'tool_use','id':'a','name':'b','input':{'x':");
	for (size_t i = 1; i < n; i++)
		add(&json, "[");
	add(&json, "1");
	for (size_t i = 1; i < n; i++)
		add(&json, "]");
	add(&json, "}}],'stop_reason':'tool_use','usage':{'input_tokens':1,'output_tokens':1}}");
	assert_true(buf_putc(&json, '\0'));
	return json;
}

static void
a_value_may_nest_a_hundred_deep(void **state)
{
	struct endpoint e = messages();
	struct buf under = nested(100), over = nested(101);

	UNUSED(state);
	assert_goes_round(&e, buf_view(&under).p);
	assert_json_unknown(&e, buf_view(&over).p);
	buf_fini(&under);
	buf_fini(&over);
}

static void
a_long_text_is_cut_between_characters(void **state)
{
	struct endpoint e = messages();
	struct buf json = {.max = OUT_MAX}, out;

	UNUSED(state);
	/* 4-byte characters one byte off: pieces of 253 and 252 bytes */
	add(&json, "{" HEAD ",'content':[{'type':'text','text':'a");
	for (size_t i = 0; i < 1000; i++)
		add(&json, "\xf0\x9f\x91\x8b");
	add(&json,
	    "'}],'stop_reason':'end_turn','stop_sequence':null,"
	    "'usage':{'input_tokens':25,'output_tokens':15}}");
	assert_true(buf_putc(&json, '\0'));
	out = stream_of(&e, buf_view(&json).p);
	assert_int_equal(count_of(buf_view(&out), "\"text_delta\""), 16);
	buf_fini(&json);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_joined_and_pings_are_dropped),
	    cmocka_unit_test(events_without_names_are_told_by_their_data),
	    cmocka_unit_test(the_pieces_of_a_tools_input_are_one_object),
	    cmocka_unit_test(thinking_keeps_its_signature),
	    cmocka_unit_test(citations_and_server_tools_are_kept),
	    cmocka_unit_test(the_last_usage_and_the_last_reason_stay),
	    cmocka_unit_test(a_stream_that_is_not_known_whole_is_unknown),
	    cmocka_unit_test(a_plain_answer_streams_as_the_vendor_does),
	    cmocka_unit_test(every_known_answer_goes_round),
	    cmocka_unit_test(an_answer_that_is_not_known_whole_is_unknown),
	    cmocka_unit_test(a_value_may_nest_a_hundred_deep),
	    cmocka_unit_test(a_long_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
