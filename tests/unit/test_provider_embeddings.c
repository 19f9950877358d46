#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "provider/embeddings.h"

/* JSON is written here with ' for ". Freed by the next call. */
static struct json_doc *doc;
static char text[1 << 16];

static struct span
quoted(const char *with_apostrophes)
{
	size_t n = strlen(with_apostrophes);

	assert_true(n < sizeof(text));
	for (size_t i = 0; i <= n; i++)
		text[i] = with_apostrophes[i];
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\'')
			text[i] = '"';
	return span_of(text, n);
}

static struct json_val
parsed(const char *with_apostrophes)
{
	json_free(doc);
	doc = json_parse(quoted(with_apostrophes));
	assert_non_null(doc);
	return json_root(doc);
}

static int
forget(void **state)
{
	UNUSED(state);
	json_free(doc);
	doc = NULL;
	return 0;
}

static size_t
count(const char *request)
{
	return embeddings_count(parsed(request), NULL);
}

static void
assert_text(struct buf *got, const char *with_apostrophes)
{
	struct span want = quoted(with_apostrophes), have = buf_view(got);

	if (!span_eq(have, want))
		fail_msg("\ngot  %.*s\nwant %.*s", SPAN_FMT(have), SPAN_FMT(want));
	buf_fini(got);
}

static void
a_batch_is_an_array_of_texts_or_of_token_arrays(void **state)
{
	UNUSED(state);
	assert_int_equal(count("{'model':'m','input':['a','b','']}"), 3);
	assert_int_equal(count("{'model':'m','input':[[1,2],[3]]}"), 2);
	assert_int_equal(count("{'model':'m','input':'a'}"), 0);
	assert_int_equal(count("{'model':'m','input':['a']}"), 0);
	assert_int_equal(count("{'model':'m','input':[[1]]}"), 0);
	assert_int_equal(count("{'model':'m','input':[1,2]}"), 0); /* one input of two tokens */
	assert_int_equal(count("{'model':'m','input':['a',[1]]}"), 0);
	assert_int_equal(count("{'model':'m','input':[[1],'a']}"), 0);
	assert_int_equal(count("{'model':'m','input':[[1],[]]}"), 0);
	assert_int_equal(count("{'model':'m','input':[[1],['a']]}"), 0);
	assert_int_equal(count("{'model':'m','input':[{'text':'a'},{'text':'b'}]}"), 0);
	assert_int_equal(count("{'model':'m','input':[]}"), 0);
	assert_int_equal(count("{'model':'m'}"), 0);
	assert_int_equal(count("['a','b']"), 0);
}

static void
a_batch_has_at_most_2048_inputs(void **state)
{
	static char request[8 * EMBEDDINGS_ITEMS_MAX];

	UNUSED(state);
	for (size_t n = EMBEDDINGS_ITEMS_MAX; n <= EMBEDDINGS_ITEMS_MAX + 1; n++) {
		size_t at = (size_t)snprintf(request, sizeof(request), "{'input':['x'");

		for (size_t i = 1; i < n; i++)
			at += (size_t)snprintf(request + at, sizeof(request) - at, ",'x'");
		(void)snprintf(request + at, sizeof(request) - at, "]}");
		assert_int_equal(count(request), n == EMBEDDINGS_ITEMS_MAX ? n : 0);
	}
}

static void
a_member_that_is_not_known_keeps_it_whole_unless_it_does_not_count(void **state)
{
	char *ignore[] = {(char[]){"trace"}, NULL};

	UNUSED(state);
	assert_int_equal(
	    count(
		"{'input':['a','b'],'model':'m','user':'u','dimensions':3,'encoding_format':'float'}"),
	    2);
	assert_int_equal(count("{'input':['a','b'],'late_chunking':true}"), 0);
	assert_int_equal(count("{'input':['a','b'],'trace':1}"), 0);
	assert_int_equal(embeddings_count(parsed("{'input':['a','b'],'trace':1}"), ignore), 2);
	assert_int_equal(embeddings_count(parsed("{'input':['a','b'],'other':1}"), ignore), 0);
}

static void
the_reduced_request_has_the_wanted_inputs_and_the_rest_as_it_was(void **state)
{
	static const bool first[] = {true, false, false}, outer[] = {true, false, true}, none[3];
	struct buf out = {.max = 1000};
	struct json_val rq;

	UNUSED(state);
	rq = parsed(
	    "{'user' : 'u\\u00e4', 'input':['a', 'b', '\\u00e4\\n'], 'dimensions': 256.0, 'model':'m'}");
	assert_true(embeddings_reduce(rq, outer, &out));
	assert_text(&out,
	    "{'user':'u\xc3\xa4','input':['a','\xc3\xa4\\n'],'dimensions':256.0,'model':'m'}");
	rq = parsed("{'input':[[1, 2],[3],[4]]}");
	assert_true(embeddings_reduce(rq, first, &out));
	assert_text(&out, "{'input':[[1,2]]}");
	assert_true(embeddings_reduce(rq, none, &out));
	assert_text(&out, "{'input':[]}");
	out.max = 16;
	assert_false(embeddings_reduce(rq, first, &out));
	buf_fini(&out);
}

#define ITEM(index, value) "{'object':'embedding','index':" index ",'embedding':" value "}"
#define LIST(data)                                                                                 \
	"{'object':'list','data':[" data                                                           \
	"],'model':'m-1','usage':{'prompt_tokens':8,'total_tokens':8}}"

static bool
reads(const char *answer, size_t n)
{
	struct embeddings e;
	bool ok = embeddings_read(quoted(answer), n, &e);

	if (ok)
		embeddings_free(&e);
	return ok;
}

static void
values_are_read_in_the_order_of_their_index(void **state)
{
	struct buf out = {.max = 1000};
	struct embeddings e;

	UNUSED(state);
	assert_true(embeddings_read(
	    quoted(LIST(ITEM("1", "[-0.10, 2e-05]") "," ITEM("0", "'AAA='"))), 2, &e));
	assert_true(json_write(e.values[0], &out) && json_write(e.values[1], &out));
	assert_text(&out, "'AAA='[-0.10,2e-05]");
	assert_true(span_eq(e.model, SPAN_LIT("m-1")));
	assert_int_equal(e.tokens, 8);
	assert_int_equal(e.usage.tokens[USAGE_INPUT], 8);
	assert_int_equal(e.usage.tokens[USAGE_OUTPUT], -1);
	assert_true(json_write(e.usage_said, &out));
	assert_text(&out, "{'prompt_tokens':8,'total_tokens':8}");
	embeddings_free(&e);
}

static void
model_and_usage_may_be_missing_or_said_as_a_total(void **state)
{
	struct embeddings e;

	UNUSED(state);
	assert_true(
	    embeddings_read(quoted("{'object':'list','data':[" ITEM("0", "[1]") "]}"), 1, &e));
	assert_int_equal(e.model.n, 0);
	assert_int_equal(e.tokens, -1);
	assert_null(e.usage_said.v);
	embeddings_free(&e);
	assert_true(embeddings_read(
	    quoted("{'object':'list','data':[" ITEM("0", "[1]") "],'usage':{'total_tokens':5}}"), 1,
	    &e));
	assert_int_equal(e.tokens, 5);
	embeddings_free(&e);
}

static void
what_is_not_exactly_an_answer_to_so_many_inputs_is_refused(void **state)
{
	static const char *const odd[] = {LIST(ITEM("0", "[1]")),             /* too few */
	    LIST(ITEM("0", "[1]") "," ITEM("1", "[1]") "," ITEM("2", "[1]")), /* too many */
	    LIST(ITEM("0", "[1]") "," ITEM("0", "[1]")),                      /* twice */
	    LIST(ITEM("0", "[1]") "," ITEM("2", "[1]")),                      /* not asked for */
	    LIST(ITEM("0", "[1]") "," ITEM("-1", "[1]")),                     /* likewise */
	    LIST(ITEM("0", "[1]") "," ITEM("0.5", "[1]")),
	    LIST(ITEM("0", "[1]") "," ITEM("'1'", "[1]")),
	    LIST(ITEM("0", "[1]") "," ITEM("1", "[]")), LIST(ITEM("0", "[1]") "," ITEM("1", "''")),
	    LIST(ITEM("0", "[1]") "," ITEM("1", "[[1]]")),
	    LIST(ITEM("0", "[1]") "," ITEM("1", "[null]")),
	    LIST(ITEM("0", "[1]") "," ITEM("1", "{'float':[1]}")), LIST(ITEM("0", "[1]") ",null"),
	    LIST(ITEM("0", "[1]") ",{'index':1,'embedding':[1]}"), /* no object */
	    LIST(ITEM("0", "[1]") ",{'object':'other','index':1,'embedding':[1]}"),
	    LIST(ITEM("0", "[1]") ",{'object':'embedding','index':1,'embedding':[1],'sparse':[]}"),
	    "{'object':'other','data':[" ITEM("0", "[1]") "," ITEM("1", "[1]") "]}",
	    "{'data':[" ITEM("0", "[1]") "," ITEM("1", "[1]") "]}",
	    "{'object':'list','data':[" ITEM("0", "[1]") "," ITEM(
		"1", "[1]") "],'error':{'message':'x'}}",
	    "{'object':'list','data':{'0':" ITEM("0", "[1]") ",'1':" ITEM("1", "[1]") "}}",
	    "{'error':{'message':'x'}}", "[]", "", "{"};

	UNUSED(state);
	assert_true(reads(LIST(ITEM("0", "[1]") "," ITEM("1", "[1]")), 2));
	for (size_t i = 0; i < COUNT_OF(odd); i++)
		if (reads(odd[i], 2))
			fail_msg("%s", odd[i]);
}

static void
assert_shares(const char *request, int64_t tokens, const int64_t *want)
{
	struct json_val inputs[4], rq = parsed(request);
	size_t n = embeddings_count(rq, NULL);
	int64_t shares[4];

	assert_true(n > 0 && n <= COUNT_OF(inputs));
	embeddings_inputs(rq, inputs);
	embeddings_shares(tokens, inputs, n, shares);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(shares[i], want[i]);
}

static void
tokens_are_shared_by_length_and_none_is_lost(void **state)
{
	UNUSED(state);
	assert_shares("{'input':['aaaa','bb','cc']}", 8, (const int64_t[]){4, 2, 2});
	assert_shares("{'input':['aaa','bbb','ccc']}", 10, (const int64_t[]){3, 3, 4});
	assert_shares("{'input':[[1,2,3],[4]]}", 4, (const int64_t[]){3, 1}); /* exact */
	assert_shares("{'input':['','']}", 3, (const int64_t[]){1, 2});
	assert_shares("{'input':['a','b']}", 0, (const int64_t[]){0, 0});
	assert_shares("{'input':['a','b']}", -1, (const int64_t[]){-1, -1});
	assert_shares("{'input':['a','b']}", 1000000000, (const int64_t[]){500000000, 500000000});
	assert_shares("{'input':['a','b']}", 1000000001, (const int64_t[]){-1, -1});
}

static void
an_answer_is_put_together(void **state)
{
	const struct span values[] = {SPAN_LIT("[1.50,-2]"), SPAN_LIT("\"AA==\"")};
	struct buf out = {.max = 1000};

	UNUSED(state);
	assert_true(embeddings_write(&(struct embeddings_parts){values, 2, SPAN_LIT("m\"1"),
					 SPAN_LIT("{\"total_tokens\":3}")},
	    &out));
	assert_text(&out,
	    "{'object':'list','data':[{'object':'embedding','index':0,'embedding':[1.50,-2]},"
	    "{'object':'embedding','index':1,'embedding':'AA=='}],'model':'m\\'1','usage':{'total_tokens':3}}");
	assert_true(
	    embeddings_write(&(struct embeddings_parts){values, 1, SPAN_NONE, SPAN_NONE}, &out));
	assert_text(&out,
	    "{'object':'list','data':[{'object':'embedding','index':0,'embedding':[1.50,-2]}]}");
	for (size_t most = 0; most < 83; most++) {
		out.max = most;
		assert_false(embeddings_write(
		    &(struct embeddings_parts){values, 1, SPAN_LIT("m"), SPAN_NONE}, &out));
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_batch_is_an_array_of_texts_or_of_token_arrays),
	    cmocka_unit_test(a_batch_has_at_most_2048_inputs),
	    cmocka_unit_test(a_member_that_is_not_known_keeps_it_whole_unless_it_does_not_count),
	    cmocka_unit_test(the_reduced_request_has_the_wanted_inputs_and_the_rest_as_it_was),
	    cmocka_unit_test(values_are_read_in_the_order_of_their_index),
	    cmocka_unit_test(model_and_usage_may_be_missing_or_said_as_a_total),
	    cmocka_unit_test(what_is_not_exactly_an_answer_to_so_many_inputs_is_refused),
	    cmocka_unit_test(tokens_are_shared_by_length_and_none_is_lost),
	    cmocka_unit_test(an_answer_is_put_together),
	};
	return cmocka_run_group_tests(tests, NULL, forget);
}
