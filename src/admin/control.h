/*
 * control: the socket DATA/control.sock, through which commands ask the running server.
 *
 * A request is the command's words, each with a NUL behind it, and one NUL more. The answer is frames: a letter ('o' standard
 * output, 'e' standard error, 'x' the end), 32-bit little-endian length, bytes; the end carries the exit code as one byte.
 * A command that follows goes on until the caller closes or control_close; then it gets the last records and its end.
 * "takeover" is another server's (takeover.h).
 * Whoever can open the socket (0600 in a 0700 directory) is the operator.
 */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/command.h"
#include "net/inherit.h"

struct control;
struct loop;

/* What is passed to a server that takes over: lines of text, one for each descriptor (borrowed). */
struct control_offer {
	struct buf text;
	int fds[PASS_MAX];
	size_t n;
};

struct control_options {
	const char *path;
	struct command_stores stores;
	int inherited_fd; /* the socket, from a server that was taken over; taken; -1: none */
	/* Another server asks. False: it cannot be. */
	bool (*offer)(void *ctx, struct control_offer *o);
	/* It is ready: control_leave is next. */
	void (*ready)(void *ctx);
	void *ctx;
};

/* NULL: one line in detail. */
struct control *control_new(
    struct loop *l, const struct control_options *o, char *detail, size_t detail_size);
int control_fd(const struct control *c); /* the socket; borrowed */
/* Leaves socket and file to who takes over, and ends all other callers as control_close does; then
 * `left` comes once, is_there: the other server still waits. Then control_close. */
void control_leave(struct control *c, void (*left)(void *ctx, bool is_there), void *ctx);
/* To the other server: the last thing that it waits for. False: it has gone. */
MUST_CHECK bool control_pass(struct control *c, int fd);
/* To the other server: it comes to nothing. */
void control_refuse(struct control *c, const char *why);
/* Stops listening and cuts who is still served, but who follows (within a second); `closed` comes once, when nothing of it is left. Frees itself. */
void control_close(struct control *c, void (*closed)(void *ctx), void *ctx);

/* DATA/control.sock, absolute: a socket's address must not depend on where somebody stands. */
void control_path(const char *data, char *out, size_t size);
/* The caller's side, blocking: runs args on the server behind the socket, copies its output to this process's, and
 * returns its exit code; -1: nobody listens there. */
int control_ask(const char *path, const char *const *args);

#endif
