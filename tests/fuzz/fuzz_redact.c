/*
 * No planted key survives, whatever stands around it: in a text, in a query, in subprotocols. And
 * nothing is left that a second look at a text or a query would find.
 */
#include <stddef.h>
#include <stdint.h>

#include "json/json.h"
#include "provider/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "Qz7Kx2Wv9Lp4Tn8R"
#define MAX (1 << 20)

/* A key as it stands in a text, in a query, and in subprotocols. */
static const char *const in_text[] = {"sk-" SECRET, "AIza" SECRET, "Bearer " SECRET, "?key=" SECRET,
    "&X-Amz-Signature=" SECRET, "eyJ" SECRET ".x", "gsk_" SECRET, "bAsIc\t" SECRET, "hf_" SECRET};
static const char *const in_query[] = {"key=" SECRET, "%6bEy=" SECRET, "api_key=" SECRET,
    "X-Goog-Signature=" SECRET, "access_token=" SECRET};
static const char *const in_subprotocols[] = {"xi-api-key." SECRET, "token, " SECRET,
    "openai-insecure-api-key." SECRET, "cf-aig-authorization." SECRET, "realtime,sk-" SECRET};

typedef bool (*redact_fn)(struct span in, struct buf *out);

static void
check(redact_fn redact, const char *secret, char separator, struct span around, size_t at)
{
	struct buf text, once;

	buf_init(&text, MAX);
	buf_init(&once, MAX);
	CHK(buf_put_span(&text, span_head(around, at)) && buf_putc(&text, separator));
	CHK(buf_put_span(&text, span_str(secret)) && buf_putc(&text, separator));
	CHK(buf_put_span(&text, span_skip(around, at)));
	CHK(redact(buf_view(&text), &once));
	CHK(span_find_span(buf_view(&once), SPAN_LIT(SECRET)) >= buf_len(&once));
	buf_fini(&text);
	buf_fini(&once);
}

static void
check_twice(redact_fn redact, struct span text)
{
	struct buf once, twice;

	buf_init(&once, MAX);
	buf_init(&twice, MAX);
	CHK(redact(text, &once) && redact(buf_view(&once), &twice));
	CHK(span_eq(buf_view(&once), buf_view(&twice)));
	buf_fini(&once);
	buf_fini(&twice);
}

/* A body loses every planted key too, what was JSON stays JSON, and a part shown is the beginning of the whole. */
static void
check_body(const char *secret, char separator, struct span around, size_t at)
{
	struct buf text, clean;

	buf_init(&text, MAX);
	buf_init(&clean, MAX);
	CHK(buf_put_span(&text, span_head(around, at)) && buf_putc(&text, separator));
	CHK(buf_put_span(&text, span_str(secret)) && buf_putc(&text, separator));
	CHK(buf_put_span(&text, span_skip(around, at)));
	struct span body = buf_view(&text);
	CHK(body_has_credential(body) && body_redact(body, body.n, &clean));
	CHK(span_find_span(buf_view(&clean), SPAN_LIT(SECRET)) >= buf_len(&clean));
	buf_reset(&clean);
	CHK(body_redact(body, at, &clean) && buf_len(&clean) <= at + 3);
	buf_fini(&text);
	buf_fini(&clean);
}

static void
check_json(struct span text)
{
	struct json_doc *before = json_parse(text), *after;
	struct buf clean;

	buf_init(&clean, MAX);
	CHK(body_redact(text, text.n, &clean));
	CHK(body_has_credential(text) != span_eq(buf_view(&clean), text) ||
	    span_find_span(text, SPAN_LIT("***")) < text.n);
	after = before == NULL ? NULL : json_parse(buf_view(&clean));
	CHK((before == NULL) == (after == NULL));
	json_free(before);
	json_free(after);
	buf_fini(&clean);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char separators[] = {' ', '"', '(', '\n', ','};

	if (size < 3)
		return 0;
	struct span around = span_of(data + 3, size - 3);
	size_t at = around.n == 0 ? 0 : data[2] % (around.n + 1);
	if (span_find_span(around, SPAN_LIT(SECRET)) < around.n)
		return 0;
	check(text_redact, in_text[data[0] % COUNT_OF(in_text)],
	    separators[data[1] % COUNT_OF(separators)], around, at);
	check(query_redact, in_query[data[0] % COUNT_OF(in_query)], '&', around, at);
	check(query_without_credentials, in_query[data[0] % COUNT_OF(in_query)], '&', around, at);
	check(subprotocols_redact, in_subprotocols[data[0] % COUNT_OF(in_subprotocols)], ',',
	    around, at);
	check_body(in_text[data[0] % COUNT_OF(in_text)], separators[data[1] % COUNT_OF(separators)],
	    around, at);
	check_json(around);
	check_twice(text_redact, around);
	check_twice(query_redact, around);
	return 0;
}
