/*
 * command: what `postern logs` and `postern cache` do, whoever runs them: the server for a caller on its control
 * socket, or the command line itself when no server runs.
 *
 * A command works in steps, so that a long list neither fills memory nor holds anybody up. Steps run off the loop.
 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include <stdbool.h>

#include "base/buf.h"

struct command;
struct entries;
struct records;

struct command_stores {
	struct records *records;
	struct entries *entries; /* NULL: the cache is not open (no server runs) */
};

/* args: "logs" or "cache" and what follows, NULL-terminated; copied. NULL, and one line in err, when they are wrong. */
struct command *command_new(
    const struct command_stores *stores, const char *const *args, struct buf *err);
void command_free(struct command *c);

enum command_result { COMMAND_MORE, COMMAND_DONE, COMMAND_FAILED };
/* Appends up to about 256 KB (one record with its payloads may be more) to out; COMMAND_FAILED: out holds one line for
 * standard error. */
enum command_result command_step(struct command *c, struct buf *out);

#endif
