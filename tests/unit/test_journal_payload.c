#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "journal/payload.h"

#define KEY "sk-proj-0123456789abcdefghij"

static struct payload made;

static int
teardown(void **state)
{
	(void)state;
	payload_fini(&made);
	return 0;
}

static void
make(struct span bytes, const char *type, const char *coding, uint64_t max)
{
	payload_make(&made,
	    &(struct payload_body){.bytes = bytes,
		.size = (int64_t)bytes.n,
		.content_type = span_str(type),
		.content_encoding = span_str(coding)},
	    max, true);
}

static void
assert_kept(const char *text, int64_t kept)
{
	assert_true(made.bytes.p != NULL);
	if (!span_eq(made.bytes, span_str(text)))
		fail_msg("%.*s", SPAN_FMT(made.bytes));
	assert_int_equal(made.kept, kept);
}

static void
keys_in_a_body_become_asterisks(void **state)
{
	(void)state;
	make(
	    SPAN_LIT("{\"content\":\"mine is " KEY ", keep it\"}"), "application/json", NULL, 1000);
	assert_kept("{\"content\":\"mine is ***, keep it\"}", 0);
	make(SPAN_LIT("data: {\"delta\":\"Bearer abcdef0123456789\"}\n\n"), "text/event-stream",
	    NULL, 1000);
	assert_kept("data: {\"delta\":\"Bearer ***\"}\n\n", 0);
	make(SPAN_LIT("a=" KEY), NULL, NULL, 1000);
	assert_kept("a=***", 0);
}

static void
what_holds_no_key_is_not_touched(void **state)
{
	static const char body[] = "{\"content\":\"the basic idea of sk-learn\"}";
	(void)state;
	make(SPAN_LIT("{\"content\":\"the basic idea of sk-learn\"}"), "application/json", NULL,
	    1000);
	assert_kept(body, 0);
	make(SPAN_LIT(""), "application/json", NULL, 1000);
	assert_kept("", 0);
	make(SPAN_NONE, "application/json", NULL, 1000);
	assert_null(made.bytes.p);
}

static void
scrubbing_can_be_off(void **state)
{
	struct payload_body b = {.bytes = SPAN_LIT(KEY), .size = sizeof(KEY) - 1};
	(void)state;
	payload_make(&made, &b, 1000, false);
	assert_kept(KEY, 0);
	b.content_encoding = SPAN_LIT("br");
	payload_make(&made, &b, 1000, false);
	assert_kept(KEY, 0);
}

static void
it_is_cut_to_what_is_allowed(void **state)
{
	(void)state;
	make(SPAN_LIT("0123456789"), NULL, NULL, 10);
	assert_kept("0123456789", 0);
	make(SPAN_LIT("0123456789a"), NULL, NULL, 10);
	assert_kept("0123456789", 10);
	make(SPAN_LIT("0123456789"), NULL, NULL, 0);
	assert_null(made.bytes.p);
}

/* Wherever the cut goes through a key, nothing of it stays that the whole would have lost. */
static void
a_key_at_the_edge_is_found(void **state)
{
	char text[400];
	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text + 150, "dapi0123456789abcdef0123456789abcdef", 36);
	for (size_t max = 100; max < 300; max++) {
		make(span_of(text, sizeof(text)), NULL, NULL, max);
		assert_true(made.bytes.n <= max);
		assert_int_equal(span_find(made.bytes, '1'), made.bytes.n);
	}
}

/* The same where the capture ended with it: then there is nothing behind the edge to look at. */
static void
without_a_margin_the_end_is_left_out(void **state)
{
	char text[200];
	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text + 190, "dapi012345", 10);
	struct payload_body b = {.bytes = span_of(text, 200), .size = 5000};
	payload_make(&made, &b, 200, true);
	assert_int_equal(made.bytes.n, 200 - PAYLOAD_MARGIN);
	assert_int_equal(made.kept, 200 - PAYLOAD_MARGIN);
	b.bytes.n = 10;
	payload_make(&made, &b, 200, true);
	assert_int_equal(made.bytes.n, 0);
}

static void
pictures_stay_as_they_are(void **state)
{
	static const char png[] = "\x89PNG\r\n\x1a\n\0\0 " KEY;
	struct span bytes = span_of(png, sizeof(png) - 1);
	(void)state;
	make(bytes, "image/png", NULL, 1000);
	assert_true(span_eq(made.bytes, bytes));
	/* It says so, but it is text; or it is not text, but does not say so. */
	make(SPAN_LIT("{\"k\":\"" KEY "\"}"), "image/png", NULL, 1000);
	assert_kept("{\"k\":\"***\"}", 0);
	make(bytes, "application/json", NULL, 1000);
	assert_int_equal(span_find_span(made.bytes, SPAN_LIT(KEY)), made.bytes.n);
	make(SPAN_LIT("{\"k\":\"" KEY "\"}"), "application/octet-stream", NULL, 1000);
	assert_kept("{\"k\":\"***\"}", 0);
}

/* gzip of {"content":"my key is sk-proj-0123456789abcdefghij"} */
static const unsigned char packed[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff,
    0xab, 0x56, 0x4a, 0xce, 0xcf, 0x2b, 0x49, 0xcd, 0x2b, 0x51, 0xb2, 0x52, 0xca, 0xad, 0x54, 0xc8,
    0x4e, 0xad, 0x54, 0xc8, 0x2c, 0x56, 0x28, 0xce, 0xd6, 0x2d, 0x28, 0xca, 0xcf, 0xd2, 0x35, 0x30,
    0x34, 0x32, 0x36, 0x31, 0x35, 0x33, 0xb7, 0xb0, 0x4c, 0x4c, 0x4a, 0x4e, 0x49, 0x4d, 0x4b, 0xcf,
    0xc8, 0xcc, 0x52, 0xaa, 0x05, 0x00, 0xc9, 0x5c, 0x85, 0x21, 0x34, 0x00, 0x00, 0x00};

static void
gzip_is_undone_and_scrubbed(void **state)
{
	struct span bytes = span_of(packed, sizeof(packed));
	(void)state;
	make(bytes, "application/json", "gzip", 1000);
	assert_kept("{\"content\":\"my key is ***\"}", 0);
	make(bytes, "application/json", "x-gzip", 1000);
	assert_kept("{\"content\":\"my key is ***\"}", 0);
	make(bytes, "application/json", NULL, 1000); /* nobody says so, but it is */
	assert_kept("{\"content\":\"my key is ***\"}", 0);
	make(bytes, "application/json", "gzip", 8);
	assert_kept("{\"conten", 8);
}

static void
what_cannot_be_looked_through_is_not_kept(void **state)
{
	struct span bytes = span_of(packed, sizeof(packed));
	(void)state;
	make(SPAN_LIT("no gzip at all"), "application/json", "gzip", 1000);
	assert_null(made.bytes.p);
	make(SPAN_LIT(KEY), "application/json", "br", 1000);
	assert_null(made.bytes.p);
	make(SPAN_LIT(KEY), "application/json", "identity", 1000);
	assert_kept("***", 0);
	/* Cut gzip: what can be read of it, and never the end. */
	make(span_head(bytes, bytes.n - 20), "application/json", "gzip", 1000);
	if (made.bytes.p != NULL)
		assert_int_equal(span_find_span(made.bytes, SPAN_LIT("proj")), made.bytes.n);
}

static void
a_gateway_says_how_much(void **state)
{
	struct config_gateway g = {.log = {.payload = PAYLOAD_FULL, .max_payload = 10000}};
	(void)state;
	assert_int_equal(payload_max(&g), 10000);
	assert_int_equal(payload_capture_max(&g), 10000 + PAYLOAD_MARGIN);
	g.log.payload = PAYLOAD_HEAD;
	assert_int_equal(payload_max(&g), 4096);
	g.log.max_payload = 100;
	assert_int_equal(payload_max(&g), 100);
	g.log.payload = PAYLOAD_NONE;
	assert_int_equal(payload_max(&g), 0);
	assert_int_equal(payload_capture_max(&g), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_in_a_body_become_asterisks),
	    cmocka_unit_test(what_holds_no_key_is_not_touched),
	    cmocka_unit_test(scrubbing_can_be_off),
	    cmocka_unit_test(it_is_cut_to_what_is_allowed),
	    cmocka_unit_test(a_key_at_the_edge_is_found),
	    cmocka_unit_test(without_a_margin_the_end_is_left_out),
	    cmocka_unit_test(pictures_stay_as_they_are),
	    cmocka_unit_test(gzip_is_undone_and_scrubbed),
	    cmocka_unit_test(what_cannot_be_looked_through_is_not_kept),
	    cmocka_unit_test(a_gateway_says_how_much),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
