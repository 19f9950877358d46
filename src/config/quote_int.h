/*
 * quote: strings as JSON and YAML both read them.
 */
#ifndef CONFIG_QUOTE_INT_H
#define CONFIG_QUOTE_INT_H

#include "base/buf.h"

/* "s" in quotes, as it is. s is UTF-8 without control characters (syntax_text). */
MUST_CHECK bool quote_text(struct buf *out, struct span s);
/* The same, with ${ written as $${ so that loading it gives s again. */
MUST_CHECK bool quote_value(struct buf *out, const char *s);

#endif
