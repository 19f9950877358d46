#include "net/inherit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/address_int.h"

/* ---- sockets ---- */

static bool
has_option(int fd, int name, int wanted)
{
	int value = 0;
	socklen_t n = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &n) == 0 && value == wanted;
}

/* A Unix socket's with its path; one of the abstract space has none. */
static bool
note_address(struct address *a, const struct sockaddr *sa, socklen_t n)
{
	const struct sockaddr_un *un = (const void *)sa;
	char text[ADDRESS_TEXT_SIZE];
	size_t room = n - offsetof(struct sockaddr_un, sun_path);

	if (sa->sa_family != AF_UNIX || n <= offsetof(struct sockaddr_un, sun_path))
		return address_from_sockaddr(a, sa, n);
	(void)snprintf(text, sizeof(text), "unix:%.*s", (int)room, un->sun_path);
	return address_parse_listen(span_str(text), a);
}

static const char *
examine(int fd, struct address *a)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	struct sockaddr *any = (struct sockaddr *)(void *)&sa;
	socklen_t n = sizeof(sa);

	if (!has_option(fd, SO_TYPE, SOCK_STREAM) || !has_option(fd, SO_ACCEPTCONN, 1))
		return "not a listening stream socket";
	if (getsockname(fd, any, &n) != 0 || !note_address(a, any, n))
		return "a socket of a family that is not served";
	return NULL;
}

const char *
inherited_add(struct inherited *in, int fd, const char *written)
{
	struct inherited_socket *s = &in->v[in->n];
	const char *wrong = in->n == INHERITED_MAX ? "too many sockets" : NULL;

	if (wrong == NULL)
		wrong = examine(fd, &s->address);
	if (wrong != NULL) {
		(void)close(fd);
		return wrong;
	}
	s->fd = fd;
	s->keeps_file = false;
	(void)snprintf(s->written, sizeof(s->written), "%s", written == NULL ? "" : written);
	in->n++;
	return NULL;
}

static bool
is_bound_to(const struct inherited_socket *s, const struct address *a)
{
	char ours[ADDRESS_TEXT_SIZE], theirs[ADDRESS_TEXT_SIZE];

	address_text(&s->address, ours);
	address_text(a, theirs);
	return strcmp(ours, theirs) == 0;
}

struct inherited_socket *
inherited_find(struct inherited *in, const char *written, const struct address *a)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].fd >= 0 && strcmp(in->v[i].written, written) == 0)
			return &in->v[i];
	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].fd >= 0 && is_bound_to(&in->v[i], a))
			return &in->v[i];
	return NULL;
}

const struct inherited_socket *
inherited_left(const struct inherited *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].fd >= 0)
			return &in->v[i];
	return NULL;
}

void
inherited_close(struct inherited *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].fd >= 0)
			(void)close(in->v[i].fd);
	in->n = 0;
}

/* ---- descriptors on their way ---- */

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(PASS_MAX * sizeof(int))];
};

bool
pass_send(int fd, struct span bytes, const int *fds, size_t n)
{
	union {
		const char *in;
		char *out;
	} u = {.in = bytes.p};
	struct iovec iov = {.iov_base = u.out, .iov_len = bytes.n};
	union control c = {.bytes = {0}};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = c.bytes,
	    .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	ssize_t done;

	CHK(n > 0 && n <= PASS_MAX);
	c.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
	    .cmsg_type = SCM_RIGHTS,
	    .cmsg_len = CMSG_LEN(n * sizeof(int))};
	memcpy(CMSG_DATA(&c.head), fds, n * sizeof(int));
	do
		done = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	return done == (ssize_t)bytes.n;
}

/* False: there was no room for them; they are closed. */
static bool
keep_descriptors(const struct cmsghdr *h, int *fds, size_t room, size_t *n)
{
	size_t came = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < came; i++) {
		memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
		if (*n < room)
			fds[(*n)++] = fd;
		else
			(void)close(fd);
	}
	return came <= room;
}

ssize_t
pass_receive(int fd, void *out, size_t size, int *fds, size_t *n)
{
	struct iovec iov = {.iov_base = out, .iov_len = size};
	union control c;
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = c.bytes,
	    .msg_controllen = sizeof(c.bytes)};
	size_t room = *n;
	bool is_whole = true;
	ssize_t done;

	*n = 0;
	do
		done = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return done;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
			is_whole = keep_descriptors(h, fds, room, n) && is_whole;
	if (is_whole && (m.msg_flags & MSG_CTRUNC) == 0)
		return done;
	while (*n > 0)
		(void)close(fds[--*n]);
	errno = EMFILE;
	return -1;
}
