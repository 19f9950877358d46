/*
 * sandbox: what a server that has started can no longer do, whatever becomes of it. By hand, without a
 * library and without root; where the kernel lacks a part that part is left out.
 *
 * Files      (Landlock) written, made, removed or renamed only in the data directory; sockets also in the
 *            directories of Unix listeners. Nothing is executed. Reading is as ever: a reload may name
 *            other certificates. Signals go to itself only.
 * Calls      (seccomp) no execve, fork, ptrace, namespaces, mounts, modules, keys, bpf, io_uring, perf; no
 *            memory that becomes code; sockets only of Unix, IPv4 and IPv6, none raw. They fail, and
 *            nobody is killed, so that a library which only tries goes on.
 * Memory     no core dump, nobody of the same user attaches (PR_SET_DUMPABLE); no new privileges.
 *
 * Why a list of what is denied and not of what is allowed: a C library or a libuv of next year makes
 * calls that no list of today knows, and a server that dies of an update is worse than one that could
 * call getcpu. What an intruder needs to go further is a short list, and it stands still.
 *
 * Nothing here is in the way of a reload (files are only read, providers only connected to), of a takeover
 * (who leaves sends descriptors, who comes is a process of its own, and enters after it has bound its
 * addresses) or of threads. Threads made before sandbox_enter are outside of the part for files: it is
 * called before there are any.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>

#include "base/chk.h"

/* Memory and calls, for good: the first thing of a server, before it reads a key and before libuv makes
 * itself an io_uring (it does with epoll what it would have done with that). */
void sandbox_begin(void);

struct sandbox {
	const char *data;
	const char
	    *socket_dirs[64]; /* further ones are left out: their files stay behind at the end */
	size_t n_socket_dirs;
};
/* Files, for good; after sandbox_begin. What the kernel lacks is logged, in one line, by either. */
void sandbox_enter(const struct sandbox *s);

#endif
