/*
 * takeover: a new server takes the place of the one that runs on the same data directory (`postern serve
 * --takeover`), over its control socket. Nobody is refused a connection, nothing that runs is cut, and
 * each record is written once.
 *
 *   newcomer                                  the one that runs
 *   reads its settings
 *   "takeover", protocol, forms  -------->    compares them
 *            <-------- 't': the listening sockets (SCM_RIGHTS) and what they are called
 *   makes its listeners of them; binds what is new. Until here anything may fail, and nothing was.
 *   'r', ready                   -------->    ends who is served on the control socket
 *                                             stops its writers, leaves the log's queue shared,
 *                                             accepts no more (who connects now waits in the kernel)
 *            <-------- 'y': the lock of the data directory
 *   opens the store, accepts                  finishes its exchanges: their records go into the queue
 *                                             (store/records.h); its clients' connections end
 *
 * The gap in which nobody accepts is the opening of the store: some milliseconds. There is no channel
 * between the two afterwards: the queue, a mapped file, is all that they share, so neither has to wait for
 * the other, and a kill -9 of one loses nothing of the other.
 * What the old one forgets: answers that it would have put into the cache from then on; credentials that
 * their providers refused; its counters, as at any start.
 *
 * This is the newcomer's side: plain blocking calls, before its loop runs. The other is control.h's.
 */
#ifndef ADMIN_TAKEOVER_H
#define ADMIN_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/chk.h"
#include "net/inherit.h"

#define TAKEOVER_PROTOCOL "1"

struct takeover {
	int fd; /* the conversation; -1: none */
	struct inherited listeners;
	int control_fd; /* the control socket itself; -1: none, or taken */
};

enum takeover_result { TAKEOVER_NOBODY, TAKEOVER_OFFERED, TAKEOVER_REFUSED };
/* NOBODY: no server listens there. REFUSED: one line in detail. But for OFFERED there is nothing to
 * close. */
enum takeover_result takeover_ask(
    const char *path, struct takeover *t, char *detail, size_t detail_size);
/* Says that this one is ready. Returns the lock of the data directory, or -1 and one line in detail. */
MUST_CHECK int takeover_finish(struct takeover *t, char *detail, size_t detail_size);
/* What is left of it. Without takeover_finish: the other server goes on as if nothing had been. */
void takeover_close(struct takeover *t);

#endif
