#include "config/problem_int.h"

#include <stdio.h>

#define QUOTED_MOST 60

bool
problem(struct buf *err, const struct place *at, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A caller's buf that is too small for the line still gets the failure itself. */
	if (at->line == 0)
		(void)!buf_printf(err, "%s: %s", at->source, text);
	else
		(void)!buf_printf(err, "%s:%u:%u: %s", at->source, at->line, at->column, text);
	return false;
}

char *
quoted(struct span s, char out[QUOTED_SIZE])
{
	struct span head = span_head(s, QUOTED_MOST);
	char *o = out;

	*o++ = '\'';
	for (size_t i = 0; i < head.n; i++) {
		unsigned char c = (unsigned char)head.p[i];

		if (c >= 0x20 && c < 0x7f)
			*o++ = (char)c;
		else
			o += snprintf(o, 5, "\\x%02x", c);
	}
	(void)snprintf(o, 5, "%s'", s.n > head.n ? "..." : "");
	return out;
}
