#include "config/quote_int.h"

static bool
put_bytes(struct buf *out, struct span s)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = ((s.p[i] != '"' && s.p[i] != '\\') || buf_putc(out, '\\')) &&
		    buf_putc(out, s.p[i]);
	return ok;
}

bool
quote_text(struct buf *out, struct span s)
{
	return buf_putc(out, '"') && put_bytes(out, s) && buf_putc(out, '"');
}

bool
quote_value(struct buf *out, const char *s)
{
	struct span rest = span_str(s);
	bool ok = buf_putc(out, '"');

	while (ok && rest.n > 0) {
		size_t n = span_find_span(rest, SPAN_LIT("${"));

		ok = put_bytes(out, span_head(rest, n));
		rest = span_skip(rest, n);
		if (ok && rest.n > 0) {
			ok = buf_put(out, "$${", 3);
			rest = span_skip(rest, 2);
		}
	}
	return ok && buf_putc(out, '"');
}
