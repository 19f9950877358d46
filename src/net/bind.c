#include "net/bind_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "net/address_int.h"

#define KEEPALIVE_IDLE                                                                             \
	30 /* then 3 probes, 10 s apart: a peer that vanished is noticed in a minute */
#define KEEPALIVE_INTERVAL 10
#define KEEPALIVE_PROBES 3

/* ---- TCP ---- */

/* Accepted sockets inherit these on Linux: no system calls for each connection. */
static int
set_tcp_options(uv_os_fd_t fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
	    {IPPROTO_TCP, TCP_NODELAY, 1},
	    {SOL_SOCKET, SO_KEEPALIVE, 1},
	    {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE},
	    {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL},
	    {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
	};

	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			sizeof(options[i].value)) != 0)
			return uv_translate_sys_error(errno);
	}
	return 0;
}

static int
bind_tcp(union listening *uv, const struct address *a)
{
	uv_os_fd_t fd;
	int r = uv_tcp_bind(&uv->tcp, address_sockaddr(a), 0); /* has SO_REUSEADDR */

	if (r != 0)
		return r;
	r = uv_fileno(&uv->handle, &fd);
	return r == 0 ? set_tcp_options(fd) : r;
}

/* ---- Unix ---- */

/* Somebody listens on that file, or it is no socket. */
static bool
is_taken(const struct address *a)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(address_path(a), &st) != 0)
		return false;
	if (!S_ISSOCK(st.st_mode))
		return true;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	refused = connect(fd, address_sockaddr(a), a->len) != 0 && errno == ECONNREFUSED;
	close(fd);
	return !refused;
}

/* The mode is set on the socket before it has a name: there is no moment with another one, but for
 * what the umask takes away, which the chmod gives back. */
static int
bind_unix(union listening *uv, const struct address *a, unsigned mode, struct bound_file *file)
{
	const char *path = address_path(a);
	int fd, r;

	if (is_taken(a))
		return UV_EADDRINUSE;
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return uv_translate_sys_error(errno);
	if (fchmod(fd, mode) != 0 || bind(fd, address_sockaddr(a), a->len) != 0)
		goto close_fd;
	if (chmod(path, mode) != 0 || lstat(path, &file->made) != 0)
		goto remove_file;
	r = uv_pipe_open(&uv->pipe, fd);
	file->is_there = r == 0;
	if (r == 0)
		return 0;
	errno = -r;
remove_file:
	r = uv_translate_sys_error(errno);
	unlink(path);
	close(fd);
	return r;
close_fd:
	r = uv_translate_sys_error(errno);
	close(fd);
	return r;
}

/* ---- both ---- */

/* Its options are set again: who opened it may have had other ideas. */
static int
take_socket(union listening *uv, const struct address *a, int fd, struct bound_file *file)
{
	int r;

	if (address_kind(a) != ADDRESS_UNIX) {
		r = uv_tcp_open(&uv->tcp, fd);
		if (r == 0)
			return set_tcp_options(fd);
	} else {
		r = uv_pipe_open(&uv->pipe, fd);
		file->is_there = r == 0 && lstat(address_path(a), &file->made) == 0;
		if (r == 0)
			return 0;
	}
	close(fd);
	return r;
}

int
bind_listening(union listening *uv, const struct address *a, const struct listener_options *o,
    struct bound_file *file)
{
	if (o->is_inherited)
		return take_socket(uv, a, o->fd, file);
	return address_kind(a) == ADDRESS_UNIX ? bind_unix(uv, a, o->unix_mode, file)
					       : bind_tcp(uv, a);
}

void
bind_read_back(const union listening *uv, struct address *a)
{
	struct sockaddr_storage sa;
	int n = sizeof(sa);

	if (address_kind(a) != ADDRESS_UNIX &&
	    uv_tcp_getsockname(&uv->tcp, (struct sockaddr *)(void *)&sa, &n) == 0)
		address_from_sockaddr(a, (struct sockaddr *)(void *)&sa, (socklen_t)n);
}

void
bound_file_remove(const struct bound_file *file, const struct address *a)
{
	struct stat now;

	if (file->is_there && lstat(address_path(a), &now) == 0 &&
	    now.st_ino == file->made.st_ino && now.st_dev == file->made.st_dev)
		unlink(address_path(a));
}
