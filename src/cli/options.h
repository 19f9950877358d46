/*
 * options: the words of the command line: what they ask for, what is said about them.
 *
 * Nothing is copied: a struct options borrows argv. What the command itself understands stays in `rest`, unread (commands.c).
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/chk.h"

#define EXIT_USE 1         /* the caller's mistake: arguments, settings */
#define EXIT_ENVIRONMENT 2 /* what the machine refused */
#define LIST_MAX 64

/* Lists end with NULL. */
struct options {
	const char *command;
	const char *config_file;
	const char *data;
	const char *set[LIST_MAX + 1];
	const char *listen[LIST_MAX + 1];
	const char *rest[LIST_MAX + 1]; /* of the command */
	size_t n_set, n_listen, n_rest;
	bool wants_schema, wants_help, wants_takeover;
};

/* Not 0: the exit code; what is wrong has been said. */
MUST_CHECK int options_parse(struct options *o, int argc, char **argv);
/* Prints the help that is asked for; the exit code. */
int options_help(const struct options *o);
/* One line on standard error. Returns code. */
int complain(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
