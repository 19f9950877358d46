#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "journal/sealed.h"

static const struct id record = {{1, 2, 3}}, another = {{9}};

static bool
opens(const struct sealer *s, const struct id *id, int which, struct span stored)
{
	struct buf out;
	buf_init(&out, 4096);
	bool ok = sealed_open(s, id, which, stored, &out) &&
	    span_eq(buf_view(&out), SPAN_LIT("the body"));
	buf_fini(&out);
	return ok;
}

static void
a_body_opens_for_its_caller_in_its_place_only(void **state)
{
	struct sealer one = {.salt = {1}, .credential = SPAN_LIT("sk-one")}, two = one,
		      elsewhere = one;
	struct buf stored;
	(void)state;
	two.credential = SPAN_LIT("sk-two");
	elsewhere.salt[0] = 2;
	buf_init(&stored, 4096);
	assert_true(sealed_put(&one, &record, 0, SPAN_LIT("the body"), &stored));
	struct span bytes = buf_view(&stored);
	assert_true(sealed_is(bytes));
	assert_int_equal(span_find_span(bytes, SPAN_LIT("the body")), bytes.n);
	assert_true(opens(&one, &record, 0, bytes));
	assert_false(opens(&two, &record, 0, bytes));
	assert_false(opens(&elsewhere, &record, 0, bytes));
	assert_false(opens(&one, &another, 0, bytes));
	assert_false(opens(&one, &record, 1, bytes));
	assert_false(opens(&one, &record, 0, span_head(bytes, bytes.n - 1)));
	buf_fini(&stored);
}

static void
what_is_not_sealed_is_not_taken_for_it(void **state)
{
	struct sealer one = {.salt = {1}, .credential = SPAN_LIT("sk-one")};
	(void)state;
	assert_false(sealed_is(SPAN_LIT("{\"model\":1}")));
	assert_false(sealed_is(SPAN_LIT("")));
	assert_false(opens(&one, &record, 0, SPAN_LIT("the body")));
}

static int
setup(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	crypto_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_body_opens_for_its_caller_in_its_place_only),
	    cmocka_unit_test(what_is_not_sealed_is_not_taken_for_it),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
