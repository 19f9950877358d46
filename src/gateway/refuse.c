#include "gateway/refuse.h"

#include <stdio.h>

#include "base/clock.h"
#include "gateway/forward.h"
#include "obs/metric.h"

const char *
refusal_advice(enum err why, bool is_local)
{
	switch (err_row(why)->status) {
	case 405:
		return is_local ? "allow: GET, HEAD\r\n"
				: "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
	case 503:
		return "retry-after: 5\r\n";
	default:
		return "";
	}
}

bool
refuse_bare(enum err why, struct buf *out)
{
	struct buf body;
	char date[DATE_LINE_SIZE], fields[160];
	int n = snprintf(fields, sizeof(fields), "content-type: application/json\r\n%s",
	    refusal_advice(why, false));
	buf_init(&body, 4096);
	bool ok = refusal_body(REFUSAL_OPENAI, why, SPAN_NONE, &body);
	ok = ok &&
	    own_response(err_row(why)->status, date_line(clock_wall_ms(), date),
		span_of(fields, (size_t)n),
		&(struct gateway_fields){.age_s = -1,
		    .overhead_us = -1,
		    .error_word = err_row(why)->word,
		    .framing = BODY_LENGTH,
		    .length = buf_len(&body)},
		out);
	ok = ok && buf_put_span(out, buf_view(&body));
	buf_fini(&body);
	return ok;
}

/* Those of connections and memory share a word: they are counted where they are found. */
static const struct {
	enum err why;
	enum metric limit;
} limits[] = {
    {E_URI_TOO_LONG, M_LIMIT_HEAD},
    {E_HEADERS_TOO_LARGE, M_LIMIT_HEAD},
    {E_REQUEST_TIMEOUT, M_LIMIT_HEADER_TIMEOUT},
    {E_BODY_STALL, M_LIMIT_BODY_RATE},
    {E_UPSTREAM_CONNECT_TIMEOUT, M_LIMIT_UPSTREAM_CONNECT},
    {E_UPSTREAM_TIMEOUT, M_LIMIT_UPSTREAM_TIMEOUT},
};

void
refusal_count_limit(enum err why)
{
	for (size_t i = 0; i < COUNT_OF(limits); i++)
		if (limits[i].why == why)
			metric_add(limits[i].limit, 1);
}
