#include "obs/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define TEXT_SIZE 2048                 /* longer ones are cut and end in "..." */
#define LINE_SIZE (TEXT_SIZE * 4 + 64) /* every byte may become \xHH */

static _Atomic int least_level = LOG_INFO;

void
log_level_set(enum log_level least)
{
	atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
}

/* Length of the control character at p, 0 when it is none: C0, DEL, and C1 as UTF-8 spells it. Any of
 * them can drive a terminal. */
static int
control_length(const unsigned char *p)
{
	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
		return 2;
	return p[0] < 0x20 || p[0] == 0x7f;
}

static char *
put_hex(char *to, unsigned char c)
{
	*to++ = '\\';
	*to++ = 'x';
	*to++ = "0123456789abcdef"[c >> 4];
	*to++ = "0123456789abcdef"[c & 15];
	return to;
}

static char *
put_escaped(char *to, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p != '\0') {
		int n = control_length(p);

		if (n == 0)
			*to++ = (char)*p++;
		for (; n > 0; n--)
			to = put_hex(to, *p++);
	}
	return to;
}

/* One write a line, so that lines of several threads do not mix; a lost line stops nobody. */
void
log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"debug", "info ", "warn ", "error"};
	int saved = errno;
	char text[TEXT_SIZE], line[LINE_SIZE];
	char *p = line + CLOCK_RFC3339_SIZE - 1;
	va_list ap;
	int n;

	if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		text[0] = '\0';
	else if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	clock_rfc3339(clock_wall_ms(), line);
	*p++ = ' ';
	memcpy(p, names[level], 5);
	p += 5;
	*p++ = ' ';
	p = put_escaped(p, text);
	*p++ = '\n';
	if (write(STDERR_FILENO, line, (size_t)(p - line)) < 0) {
		/* nowhere to say so */
	}
	errno = saved;
}
