#include "gateway/refuse.h"

#include "base/clock.h"
#include "gateway/forward.h"
#include "obs/metric.h"

bool
refuse_bare(enum err why, struct buf *out)
{
	struct buf body;
	char date[DATE_LINE_SIZE];
	buf_init(&body, 4096);
	bool ok = refusal_body(REFUSAL_OPENAI, why, SPAN_NONE, &body);
	ok = ok &&
	    own_response(err_row(why)->status, date_line(clock_wall_ms(), date),
		SPAN_LIT("content-type: application/json\r\n"),
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
