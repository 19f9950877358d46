/*
 * problem: one line that says what is wrong with a configuration, where, and the mend:
 *     postern.yaml:3:9: unknown key 'cach'; did you mean 'cache'?
 *
 * Every function here returns false, so that a caller can return what it returns.
 */
#ifndef CONFIG_PROBLEM_INT_H
#define CONFIG_PROBLEM_INT_H

#include "base/buf.h"

/* Where something was written. line 0: the source itself is the place ("--set cache.ttl",
 * "POSTERN_LISTEN"). */
struct place {
	const char *source;
	unsigned line, column; /* from 1 */
};

bool problem(struct buf *err, const struct place *at, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define QUOTED_SIZE 260
/* 's' for a message: in quotes, cut after 60 bytes, everything but printable ASCII as \xNN.
 * Returns out. */
char *quoted(struct span s, char out[QUOTED_SIZE]);

#endif
