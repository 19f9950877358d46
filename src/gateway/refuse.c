#include "gateway/refuse.h"

#include "base/clock.h"
#include "gateway/forward.h"

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
