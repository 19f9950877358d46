/* The first look for credentials: nothing that may be one is passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/chk.h"
#include "provider/redact_int.h"
#include "wide_registers.h"

#define SIZE 200

/* How every form, scheme and parameter begins (redact_text.c), in each spelling of the case that counts as one. */
static const char *const beginnings[] = {"sk-", "sk_", "AIz", "AQ.", "ya2", "AKI", "ASI", "ABS",
    "bed", "ghp", "gho", "ghu", "ghs", "ghr", "git", "xox", "xap", "gsk", "xai", "hf_", "r8_",
    "ppl", "nva", "csk", "fw_", "tgp", "dap", "eyJ", "bea", "Bea", "bEa", "beA", "BEa", "BeA",
    "bEA", "BEA", "bas", "Bas", "bAs", "baS", "BAs", "BaS", "bAS", "BAS"};

static bool
begins_one(struct span s)
{
	for (size_t i = 0; i < COUNT_OF(beginnings); i++)
		if (span_starts(s, span_str(beginnings[i])))
			return true;
	return false;
}

static void
every_beginning_is_found_at_every_place(void **state)
{
	char text[SIZE];

	(void)state;
	for (size_t k = 0; k < COUNT_OF(beginnings); k++)
		for (size_t at = 0; at + 3 <= SIZE; at++)
			for (size_t n = at + 3; n <= SIZE; n += n < at + 40 ? 1 : 29) {
				memset(text, '.', sizeof(text));
				memcpy(text + at, beginnings[k], 3);
				assert_int_equal(redact_candidate(span_of(text, n), 0), at);
				assert_int_equal(redact_candidate(span_of(text, n), at), at);
			}
}

/* What stands behind a mark of parameters may be one's name. */
static void
every_parameter_is_found_at_every_place(void **state)
{
	char text[SIZE];

	(void)state;
	for (size_t at = 0; at + 3 <= SIZE; at++)
		for (int mark = 0; mark < 2; mark++) {
			memset(text, '.', sizeof(text));
			text[at] = mark == 0 ? '&' : '?';
			assert_int_equal(redact_candidate(span_of(text, SIZE), 0), at + 1);
			assert_int_equal(redact_candidate(span_of(text, SIZE), at + 1), at + 1);
		}
}

/* Texts of letters that beginnings are made of. Both looks pass over nothing that begins a form; what one finds and the other does
 * not is none. */
static void
both_looks_find_the_same_forms(void **state)
{
	static const char letters[] = "sk-_AIzQ.KSBya29bedrghpousitxcfwnvlJEmT&? \xc3";
	char text[SIZE];
	uint32_t random = 3;
	size_t forms = 0;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		for (size_t i = 0; i < SIZE; i++) {
			random = random * 1664525 + 1013904223;
			text[i] = letters[(random >> 16) % (sizeof(letters) - 1)];
		}
		struct span all = span_of(text, SIZE - (size_t)round % 40);
		for (size_t i = 0, wide = 0, narrow = 0; i + 2 < all.n; i++) {
			wide = wide > i ? wide : redact_candidate(all, i);
			narrow = narrow > i ? narrow : redact_candidate_narrow(all, i);
			if (begins_one(span_skip(all, i))) {
				forms++;
				assert_int_equal(wide, i);
				assert_int_equal(narrow, i);
			}
			wide += wide == i;
			narrow += narrow == i;
		}
	}
	assert_true(forms > 500);
}

static void
it_leaves_the_wide_registers_clear(void **state)
{
	static const char text[SIZE] = "no credential in it";

	(void)state;
	if (!wide_registers_can_be_told())
		skip();
	for (size_t n = 0; n <= SIZE; n++) {
		(void)redact_candidate(span_of(text, n), 0);
		assert_true(wide_registers_are_clear());
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_beginning_is_found_at_every_place),
	    cmocka_unit_test(every_parameter_is_found_at_every_place),
	    cmocka_unit_test(both_looks_find_the_same_forms),
	    cmocka_unit_test(it_leaves_the_wide_registers_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
