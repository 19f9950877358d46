/* The caller's side of the control socket: plain blocking calls, for the command line. */
#include "admin/ask_int.h"
#include "admin/control.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
ask_connect(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(at.sun_path))
		return -1;
	memcpy(at.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

bool
ask_read(int fd, void *out, size_t n)
{
	char *p = out;
	while (n > 0) {
		ssize_t done = read(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

bool
ask_send(int fd, const char *const *words)
{
	bool ok = true;
	for (; ok && *words != NULL; words++)
		ok = write_all(fd, *words, strlen(*words) + 1);
	return ok && write_all(fd, "", 1);
}

void
ask_frame_head(unsigned char head[FRAME_HEAD], char kind, size_t n)
{
	head[0] = (unsigned char)kind;
	for (size_t i = 1; i < FRAME_HEAD; i++, n >>= 8)
		head[i] = (unsigned char)n;
}

size_t
ask_frame_size(const unsigned char head[FRAME_HEAD])
{
	return head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 | (size_t)head[4] << 24;
}

static bool
copy(int fd, size_t n, FILE *to)
{
	char piece[16 * 1024];
	while (n > 0) {
		size_t part = n < sizeof(piece) ? n : sizeof(piece);
		if (!ask_read(fd, piece, part) || fwrite(piece, 1, part, to) != part)
			return false;
		n -= part;
	}
	return true;
}

/* False: nobody reads our output any more ("logs -f | head"), though there may be nothing to write for long. */
static bool
wait_for_frame(int fd)
{
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDOUT_FILENO}};
	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		continue;
	return (fds[1].revents & (POLLERR | POLLHUP)) == 0;
}

/* Frames until the end; -2: cut. */
static int
copy_frames(int fd)
{
	unsigned char head[FRAME_HEAD];
	while (wait_for_frame(fd) && ask_read(fd, head, sizeof(head))) {
		size_t n = ask_frame_size(head);
		unsigned char code;
		if (head[0] == 'x' && n == 1 && ask_read(fd, &code, 1))
			return code;
		if (head[0] == 'e')
			fputs("postern: ", stderr);
		if (!copy(fd, n, head[0] == 'e' ? stderr : stdout))
			return -2;
		if (head[0] == 'o' && fflush(stdout) != 0)
			return 2;
		if (head[0] == 'e')
			fputc('\n', stderr);
	}
	return wait_for_frame(fd) ? -2 : 0;
}

int
control_ask(const char *path, const char *const *args)
{
	int fd = ask_connect(path);
	if (fd < 0)
		return -1;
	int code = ask_send(fd, args) ? copy_frames(fd) : -2;
	close(fd);
	if (code == -2) {
		fprintf(stderr, "postern: the server went away before its answer was complete\n");
		code = 2;
	}
	return code;
}

void
control_path(const char *data, char *out, size_t size)
{
	char *whole = realpath(data, NULL);
	snprintf(out, size, "%s/control.sock", whole != NULL ? whole : data);
	free(whole);
}
