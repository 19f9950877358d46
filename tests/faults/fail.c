/*
 * Failing allocations and system calls at random, in the program itself: linked with --wrap for each call below, so that it works
 * under AddressSanitizer, and in the libraries that are linked in as well.
 *
 * FAIL_STATE names a file of struct control. A test maps nothing: it writes one_in and seed with pwrite, and reads the counts;
 * the program sees them at once. one_in 0 (and no file): nothing fails. A memory call fails when its number in the process, with the seed,
 * hashes to 0 of one_in; the same for a system call on a socket or a regular file. Other descriptors are left alone: libuv ends the
 * process when its own eventfd or epoll fails, and no kernel does that.
 *
 * The reserve (base/reserve.h) is memory that is there when it has been given back: until it is whole again, allocations succeed as long as
 * they fit in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/chk.h"
#include "base/reserve.h"

enum call { MEMORY, READ, WRITE, SYNC, OPEN, SOCKET, CONNECT, ACCEPT, GROW, MAP, CALLS };

struct control {
	_Atomic uint32_t memory_one_in, calls_one_in, seed, unused;
	_Atomic uint64_t tried[CALLS], failed[CALLS];
};

static struct control nothing, *control = &nothing;
static _Atomic uint64_t number;
static _Atomic int64_t left; /* of the reserve that was given back */

__attribute__((constructor)) static void
begin(void)
{
	const char *file = getenv("FAIL_STATE");
	int fd = file == NULL ? -1 : open(file, O_RDWR | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED
			 : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		control = p;
	if (fd >= 0)
		close(fd);
}

static uint64_t
mixed(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* 0: it shall not fail; else a number to choose by. */
static uint64_t
drawn(enum call call)
{
	uint32_t one_in = call == MEMORY ? control->memory_one_in : control->calls_one_in;
	uint64_t r;

	atomic_fetch_add_explicit(&control->tried[call], 1, memory_order_relaxed);
	if (one_in == 0)
		return 0;
	r = mixed(atomic_fetch_add(&number, 1) + ((uint64_t)control->seed << 32));
	return r % one_in == 0 ? mixed(r) | 1 : 0;
}

static void
note(enum call call)
{
	atomic_fetch_add_explicit(&control->failed[call], 1, memory_order_relaxed);
}

/* ---- memory ---- */

void __real_reserve_open(void);
void __wrap_reserve_open(void);
void
__wrap_reserve_open(void)
{
	if (!reserve_is_spent())
		left = RESERVE_BYTES;
	__real_reserve_open();
}

static bool
no_memory(size_t n)
{
	if (reserve_is_spent() && left > 0 && n < RESERVE_BYTES &&
	    atomic_fetch_sub(&left, (int64_t)n) >= (int64_t)n)
		return false;
	if (drawn(MEMORY) == 0)
		return false;
	note(MEMORY);
	errno = ENOMEM;
	return true;
}

#define WRAPPED(type, name, ...)                                                                   \
	type __real_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)

WRAPPED(void *, malloc, size_t n)
{
	return no_memory(n) ? NULL : __real_malloc(n);
}

WRAPPED(void *, calloc, size_t count, size_t size)
{
	return no_memory(count * size) ? NULL : __real_calloc(count, size);
}

WRAPPED(void *, aligned_alloc, size_t line, size_t n)
{
	return no_memory(n) ? NULL : __real_aligned_alloc(line, n);
}

WRAPPED(void *, realloc, void *p, size_t n)
{
	return n > 0 && no_memory(n) ? NULL : __real_realloc(p, n);
}

WRAPPED(char *, strdup, const char *s)
{
	return no_memory(strlen(s)) ? NULL : __real_strdup(s);
}

/* ---- system calls ---- */

enum kind { OTHER, SOCK, FILE_ };

static enum kind
kind_of(int fd)
{
	struct stat st;

	if (control->calls_one_in == 0 || fstat(fd, &st) != 0)
		return OTHER;
	return S_ISSOCK(st.st_mode) ? SOCK : S_ISREG(st.st_mode) ? FILE_ : OTHER;
}

/* True: the call fails with errno set. *part: it shall do only so much of n. */
static bool
fails(enum call call, int fd, size_t n, size_t *part)
{
	static const int on_read[] = {ECONNRESET, EINTR, EAGAIN, ETIMEDOUT, 0, 0, 0, 0};
	static const int on_write[] = {EPIPE, ECONNRESET, EAGAIN, EINTR, 0, 0, 0, 0};
	static const int on_file_read[] = {EIO, EINTR, 0, 0, 0, 0, 0, 0};
	static const int on_file_write[] = {ENOSPC, EIO, ENOSPC, EDQUOT, EINTR, 0, 0, 0};
	enum kind kind = kind_of(fd);
	uint64_t r = kind == OTHER ? 0 : drawn(call);
	const int *of = call == READ ? (kind == SOCK ? on_read : on_file_read)
	    : kind == SOCK           ? on_write
				     : on_file_write;

	*part = n;
	if (r == 0)
		return false;
	note(call);
	errno = of[r / 2 % 8];
	if (errno != 0)
		return true;
	*part = n > 1 ? r / 16 % n : n;
	if (*part == 0)
		*part = n > 0;
	return false;
}

WRAPPED(ssize_t, read, int fd, void *p, size_t n)
{
	return fails(READ, fd, n, &n) ? -1 : __real_read(fd, p, n);
}

WRAPPED(ssize_t, recv, int fd, void *p, size_t n, int flags)
{
	return fails(READ, fd, n, &n) ? -1 : __real_recv(fd, p, n, flags);
}

WRAPPED(ssize_t, pread, int fd, void *p, size_t n, off_t at)
{
	return fails(READ, fd, n, &n) ? -1 : __real_pread(fd, p, n, at);
}

WRAPPED(ssize_t, recvmsg, int fd, struct msghdr *m, int flags)
{
	size_t n;

	return fails(READ, fd, 0, &n) ? -1 : __real_recvmsg(fd, m, flags);
}

WRAPPED(ssize_t, write, int fd, const void *p, size_t n)
{
	return fails(WRITE, fd, n, &n) ? -1 : __real_write(fd, p, n);
}

WRAPPED(ssize_t, pwrite, int fd, const void *p, size_t n, off_t at)
{
	return fails(WRITE, fd, n, &n) ? -1 : __real_pwrite(fd, p, n, at);
}

/* Part of a vector is part of its first piece. */
WRAPPED(ssize_t, writev, int fd, const struct iovec *v, int count)
{
	size_t n;
	bool is_bad = fails(WRITE, fd, count > 0 ? v[0].iov_len : 0, &n);

	if (is_bad)
		return -1;
	if (count > 0 && n < v[0].iov_len)
		return __real_write(fd, v[0].iov_base, n);
	return __real_writev(fd, v, count);
}

WRAPPED(ssize_t, pwritev, int fd, const struct iovec *v, int count, off_t at)
{
	size_t n;
	bool is_bad = fails(WRITE, fd, count > 0 ? v[0].iov_len : 0, &n);

	if (is_bad)
		return -1;
	if (count > 0 && n < v[0].iov_len)
		return __real_pwrite(fd, v[0].iov_base, n, at);
	return __real_pwritev(fd, v, count, at);
}

WRAPPED(ssize_t, sendmsg, int fd, const struct msghdr *m, int flags)
{
	size_t n;

	return fails(WRITE, fd, 0, &n) ? -1 : __real_sendmsg(fd, m, flags);
}

/* One of these errors, for a call that makes or changes a descriptor. */
static bool
refused(enum call call, const int *errors, size_t count)
{
	uint64_t r = drawn(call);

	if (r == 0)
		return false;
	note(call);
	errno = errors[r / 2 % count];
	return true;
}
#define REFUSED(call, ...)                                                                         \
	refused(call, (const int[]){__VA_ARGS__}, COUNT_OF(((const int[]){__VA_ARGS__})))

WRAPPED(int, fsync, int fd)
{
	return REFUSED(SYNC, EIO, ENOSPC) ? -1 : __real_fsync(fd);
}

WRAPPED(int, fdatasync, int fd)
{
	return REFUSED(SYNC, EIO, ENOSPC) ? -1 : __real_fdatasync(fd);
}

WRAPPED(int, ftruncate, int fd, off_t n)
{
	return REFUSED(GROW, ENOSPC, EIO) ? -1 : __real_ftruncate(fd, n);
}

WRAPPED(int, posix_fallocate, int fd, off_t at, off_t n)
{
	return REFUSED(GROW, ENOSPC) ? ENOSPC : __real_posix_fallocate(fd, at, n);
}

WRAPPED(int, fallocate, int fd, int mode, off_t at, off_t n)
{
	return REFUSED(GROW, ENOSPC) ? -1 : __real_fallocate(fd, mode, at, n);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int
__wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(ap, int) : 0;
	va_end(ap);
	return REFUSED(OPEN, EMFILE, ENFILE, EIO) ? -1 : __real_open(path, flags, mode);
}

WRAPPED(int, socket, int domain, int type, int protocol)
{
	return REFUSED(SOCKET, EMFILE, ENFILE, ENOBUFS, ENOMEM)
	    ? -1
	    : __real_socket(domain, type, protocol);
}

WRAPPED(int, connect, int fd, const struct sockaddr *a, socklen_t n)
{
	return REFUSED(CONNECT, ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, ETIMEDOUT)
	    ? -1
	    : __real_connect(fd, a, n);
}

WRAPPED(int, accept4, int fd, struct sockaddr *a, socklen_t *n, int flags)
{
	return REFUSED(ACCEPT, ECONNABORTED, EMFILE, ENFILE, EINTR)
	    ? -1
	    : __real_accept4(fd, a, n, flags);
}

WRAPPED(void *, mmap, void *at, size_t n, int protection, int flags, int fd, off_t from)
{
	return REFUSED(MAP, ENOMEM) ? MAP_FAILED : __real_mmap(at, n, protection, flags, fd, from);
}
