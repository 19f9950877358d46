/*
 * control: the socket DATA/control.sock, through which commands ask the running server.
 *
 * A request is the command's words, each with a NUL behind it, and one NUL more. The answer is frames: a letter ('o' standard
 * output, 'e' standard error, 'x' the end), 32-bit little-endian length, bytes; the end carries the exit code as one byte.
 * A command that follows goes on until the caller closes or control_close; then it gets the last records and its end.
 * Whoever can open the socket (0600 in a 0700 directory) is the operator.
 */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include <stdbool.h>

#include "admin/command.h"

struct control;
struct loop;

/* NULL: one line in detail. */
struct control *control_new(struct loop *l, const char *path, const struct command_stores *stores,
    char *detail, size_t detail_size);
/* Stops listening and cuts who is still served, but who follows (within a second); `closed` comes once, when nothing of it is left. Frees itself. */
void control_close(struct control *c, void (*closed)(void *ctx), void *ctx);

/* The caller's side, blocking: runs args on the server behind the socket, copies its output to this process's, and
 * returns its exit code; -1: nobody listens there. */
int control_ask(const char *path, const char *const *args);

#endif
