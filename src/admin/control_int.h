/*
 * control_int: what the two files of the control socket share: its state and that of who calls.
 *
 *   control.c         callers, their commands and frames, the end     control_takeover.c  a caller that is another server
 */
#ifndef ADMIN_CONTROL_INT_H
#define ADMIN_CONTROL_INT_H

#include "admin/ask_int.h"
#include "admin/control.h"
#include "base/list.h"
#include "net/loop.h"

struct stream;

struct control {
	struct loop *loop;
	struct listener *listener;
	struct control_options o;
	struct list callers;
	struct caller *newcomer; /* a server that takes over */
	bool is_closing, is_leaving, has_left;
	void (*left)(void *ctx, bool is_there);
	void *left_ctx;
	struct defer alone;
	void (*closed)(void *ctx);
	void *closed_ctx;
	struct defer reap;
	struct timer deadline; /* while closing */
};

/* One command being run. */
struct caller {
	struct list link;
	struct control *control;
	struct stream *stream; /* NULL once closed */
	struct buf request, output;
	struct command *command;
	enum command_result result;
	struct timer gather;
	bool is_working, is_ended, is_closing;
};

static inline bool
control_ends_callers(const struct control *c)
{
	return c->is_closing || c->is_leaving;
}

/* control.c */
/* One line, and the end of its conversation. */
void caller_refuse(struct caller *a, const char *why);
void caller_close(struct caller *a);
/* control_takeover.c */
/* words: "takeover" and what follows. The caller is c->newcomer then, or has been refused. */
void caller_begins_takeover(struct caller *a, const char *const *words);
void caller_is_ready(struct caller *a); /* the newcomer has said its only word, "ready" */

#endif
