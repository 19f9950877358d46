/*
 * log: the program's own log lines, one a line on standard error. Never a body, a credential or
 * a header of an exchange: those belong to the journal.
 *
 * Control bytes in arguments are escaped. Safe to call from any thread.
 */
#ifndef OBS_LOG_H
#define OBS_LOG_H

#include "base/chk.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_level_set(enum log_level least);
/* "2026-11-22T20:43:14.123Z warn  text" */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
