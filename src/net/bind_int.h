/*
 * bind: a listening socket's way to its address, before anybody is accepted.
 *
 * TCP, or a Unix socket, whose file has its mode before it has its name and goes with who made it; or one that another
 * process opened (systemd, takeover).
 */
#ifndef NET_BIND_INT_H
#define NET_BIND_INT_H

#include <sys/stat.h>
#include <uv.h>

#include "net/listener.h"

union listening {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_tcp_t tcp;
	uv_pipe_t pipe;
};

/* The file of a Unix socket, as it was made. */
struct bound_file {
	struct stat made;
	bool is_there;
};

/* uv is initialised. 0, or an error of libuv's; o->fd of an inherited one is uv's then, or closed. */
int bind_listening(union listening *uv, const struct address *a, const struct listener_options *o,
    struct bound_file *file);
/* The address with the port that the kernel chose. */
void bind_read_back(const union listening *uv, struct address *a);
/* While it is ours: another server may have put its own there in the meantime (takeover). */
void bound_file_remove(const struct bound_file *file, const struct address *a);

#endif
