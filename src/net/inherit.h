/*
 * inherit: listening sockets that somebody else opened: systemd, or the server that runs already and
 * is taken over; and descriptors on their way over a Unix socket.
 *
 * Ownership  the set owns its descriptors until inherited_take gives one away.
 * Limits     INHERITED_MAX sockets; one more is refused.
 */
#ifndef NET_INHERIT_H
#define NET_INHERIT_H

#include <stddef.h>
#include <sys/types.h>

#include "base/chk.h"
#include "net/address.h"

#define INHERITED_MAX 128
#define PASS_MAX (INHERITED_MAX + 2) /* descriptors in a message; the kernel takes 253 */

struct inherited_socket {
	int fd;                          /* -1: taken */
	bool keeps_file;                 /* its file, of a Unix socket, is not ours to remove */
	char written[ADDRESS_TEXT_SIZE]; /* how the settings name it; "": unknown */
	struct address address;          /* it is bound to */
};
struct inherited {
	struct inherited_socket v[INHERITED_MAX];
	size_t n;
};

/* Takes fd over, also on failure. NULL, or what is wrong (static text): not a listening stream socket
 * of a family of ours, or too many. written: NULL is unknown. */
MUST_CHECK const char *inherited_add(struct inherited *in, int fd, const char *written);
/* The socket for an item of `listen`: the one that was opened for these very words (so that a port 0
 * stays the port that it became), else one that is bound to this address. NULL: none is left. The
 * caller takes its fd and sets it to -1. */
struct inherited_socket *inherited_find(
    struct inherited *in, const char *written, const struct address *a);
/* One that nobody took; NULL: none. */
const struct inherited_socket *inherited_left(const struct inherited *in);
void inherited_close(struct inherited *in);

/* All of it in one message, or false; never waits on a socket that does not. n: at least 1. */
bool pass_send(int fd, struct span bytes, const int *fds, size_t n);
/* As recv, with the descriptors that came with the bytes (close-on-exec). *n: room, then how many. More
 * than that is an error. */
ssize_t pass_receive(int fd, void *out, size_t size, int *fds, size_t *n);

#endif
