/*
 * command: what `postern logs`, `postern cache` and `postern backup` do, whoever runs them: the server for a caller on its control
 * socket, or the command line itself when no server runs.
 *
 * A command works in steps, so that a long list neither fills memory nor holds anybody up. Steps run off the loop.
 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct command;
struct entries;
struct journal;
struct records;

struct command_stores {
	struct records *records;
	struct entries *entries;  /* NULL: the cache is not open (no server runs) */
	const uint8_t *seal_salt; /* 32 bytes; NULL: sealed payloads stay closed */
	struct journal *journal;  /* NULL: nothing is being written (no server runs) */
};

/* args: "logs", "cache" or "backup" and what follows, NULL-terminated; copied. NULL, and one line in err, when they are wrong. */
struct command *command_new(
    const struct command_stores *stores, const char *const *args, struct buf *err);
void command_free(struct command *c);

enum command_result { COMMAND_MORE, COMMAND_WAIT, COMMAND_DONE, COMMAND_FAILED };
/* Appends up to about 256 KB (one record with its payloads may be more; or nothing, after a while of looking) to out;
 * COMMAND_FAILED: out holds one line for standard error. COMMAND_WAIT: there is no more now. */
enum command_result command_step(struct command *c, struct buf *out);

/*
 * A command that follows (logs -f), on the loop and while no step runs, but for command_has_news:
 *   command_watch once, before the first step; `woken` comes for each record that is written, at any time;
 *   command_collect before each step: hands it what came since. Returns how many records had no room. is_last: the step that has
 *   shown all of it ends the command.
 * All of them do nothing with a command that does not follow.
 */
void command_watch(struct command *c, void (*woken)(void *ctx), void *ctx);
bool command_is_endless(const struct command *c);
bool command_has_news(const struct command *c);
uint64_t command_collect(struct command *c, bool is_last);

#endif
