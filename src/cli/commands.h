/*
 * commands: those that end, and run no server: check, logs, cache, backup. Each returns the exit code.
 *
 * check reads the settings as a start would. The others ask the running server on its control socket; where none runs
 * they read the data directory themselves. What they then do is admin/command.h's.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

struct options;

int commands_check(const struct options *o);
int commands_run(const struct options *o);

#endif
