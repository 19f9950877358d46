/* What can still be done in the sandbox, and what cannot: tried in a child, which says what was not as it should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/inherit.h"
#include "sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

static char base[64], data[96], sockets[96], other[96];
static int complaints = -1; /* in the child */

static const char *
in(const char *dir, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* The call worked, or (error not 0) failed with this. */
static void
expect(const char *what, long result, int error)
{
	int got = result < 0 ? errno : 0;

	if (got != error)
		dprintf(complaints, "%s: %s, not %s\n", what, strerror(got), strerror(error));
}
#define WORKS(call) expect(#call, (call), 0)
#define FAILS(error, call) expect(#call, (call), (error))

/* Runs fn in a child, in the sandbox; fails with what it complained of. */
static void
in_child(void (*fn)(void))
{
	const struct sandbox s = {.data = data, .socket_dirs = {sockets}, .n_socket_dirs = 1};
	char text[8192];
	ssize_t n, all = 0;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		complaints = ends[1];
		sandbox_begin();
		sandbox_enter(&s);
		fn();
		_exit(0);
	}
	(void)close(ends[1]);
	while ((n = read(ends[0], text + all, sizeof(text) - 1 - (size_t)all)) > 0)
		all += n;
	text[all] = '\0';
	(void)close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (all > 0 || status != 0)
		fail_msg("status %d\n%s", status, text);
}

static int
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	(void)close(fd);
	return 0;
}

static int
bind_socket(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	r = bind(fd, (struct sockaddr *)&at, sizeof(at));
	(void)close(fd);
	return r;
}

static bool
has_landlock(void)
{
	return syscall(444, NULL, 0, 1) >= 1;
}

/* ---- files ---- */

static void
write_about(void)
{
	char text[8];
	int fd;

	WORKS(make_file(in(data, "new")));
	WORKS(mkdir(in(data, "room"), 0700));
	WORKS(rename(in(data, "new"), in(data, "newer")));
	WORKS(rename(in(data, "newer"), in(data, "room/newest")));
	WORKS(truncate(in(data, "room/newest"), 10));
	WORKS(unlink(in(data, "room/newest")));
	WORKS(rmdir(in(data, "room")));
	WORKS(bind_socket(in(data, "control.sock")));
	WORKS(bind_socket(in(sockets, "s")));
	WORKS(unlink(in(sockets, "s")));
	WORKS(fd = open(in(other, "there"), O_RDONLY | O_CLOEXEC));
	WORKS(read(fd, text, sizeof(text)));
	FAILS(EACCES, make_file(in(sockets, "file")));
	FAILS(EACCES, make_file(in(other, "new")));
	FAILS(EACCES, open(in(other, "there"), O_WRONLY | O_CLOEXEC));
	FAILS(EACCES, open(in(other, "there"), O_RDONLY | O_TRUNC | O_CLOEXEC));
	FAILS(EACCES, truncate(in(other, "there"), 0));
	FAILS(EACCES, unlink(in(other, "there")));
	FAILS(EACCES, mkdir(in(other, "room"), 0700));
	FAILS(EACCES, symlink("/", in(other, "link")));
	FAILS(EACCES, symlink("/", in(data, "link")));
	FAILS(EACCES, mkfifo(in(data, "fifo"), 0600));
	FAILS(EACCES, bind_socket(in(other, "s")));
	FAILS(EXDEV, link(in(other, "there"), in(data, "there")));
	/* what was there before the sandbox is no way out of it */
	FAILS(EACCES, make_file(in(data, "../other/new")));
	FAILS(EACCES, make_file(in(data, "way/out")));
}

static void
only_the_data_directory_is_written(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	assert_int_equal(symlink(other, in(data, "way")), 0);
	in_child(write_about);
	assert_int_equal(access(in(other, "there"), F_OK), 0);
}

/* ---- calls ---- */

static void
call_about(void)
{
	static char *const args[] = {NULL};

	FAILS(EPERM, execve("/bin/true", args, args));
	FAILS(EPERM, syscall(SYS_execveat, AT_FDCWD, "/bin/true", args, args, 0));
	FAILS(EPERM, unshare(0x10000000));
	FAILS(EPERM, setns(0, 0));
	FAILS(EPERM, chroot("/"));
	FAILS(EPERM, syscall(SYS_mount, "x", "/", "tmpfs", 0, NULL));
	FAILS(EPERM, syscall(SYS_umount2, "/", 0));
	FAILS(EPERM, syscall(SYS_fsopen, "tmpfs", 0));
	FAILS(EPERM, syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
	FAILS(EPERM, syscall(438, 0, 0, 0)); /* pidfd_getfd */
	FAILS(EPERM, syscall(SYS_init_module, NULL, 0, ""));
	FAILS(EPERM, syscall(SYS_kexec_load, 0, 0, NULL, 0));
	FAILS(EPERM, syscall(SYS_bpf, 0, NULL, 0));
	FAILS(EPERM, syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
	FAILS(EPERM, syscall(SYS_userfaultfd, 0));
	FAILS(EPERM, syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	FAILS(EPERM, syscall(SYS_add_key, "user", "x", "y", 1, 0));
	FAILS(EPERM, syscall(SYS_reboot, 0, 0, 0, NULL));
	FAILS(EPERM, syscall(SYS_sethostname, "x", 1));
	FAILS(ENOSYS, syscall(SYS_io_uring_setup, 1, NULL));
	FAILS(ENOSYS, syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0));
	FAILS(ENOSYS, syscall(SYS_io_uring_register, 0, 0, NULL, 0));
#ifdef __x86_64__
	FAILS(ENOSYS, syscall(0x40000000 | SYS_getpid)); /* the same calls by their x32 numbers */
#endif
	if (IS_SANITIZED)
		return; /* it does these itself */
	FAILS(EPERM, fork());
	FAILS(EPERM, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	FAILS(ENOSYS, syscall(SYS_clone3, NULL, 0));
}

static void
nothing_is_executed_traced_or_mounted(void **state)
{
	(void)state;
	in_child(call_about);
}

static void
open_sockets(void)
{
	static const int refused[] = {AF_NETLINK, AF_PACKET, 38 /* AF_ALG */, 40 /* AF_VSOCK */};
	int pair[2];

	for (size_t i = 0; i < COUNT_OF(refused); i++)
		FAILS(EAFNOSUPPORT, socket(refused[i], SOCK_STREAM, 0));
	FAILS(EAFNOSUPPORT, socket(AF_INET, SOCK_RAW, 1));
	FAILS(EAFNOSUPPORT, socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 1));
	WORKS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	WORKS(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	expect("pass_send", pass_send(pair[0], SPAN_LIT("x"), pair, 2) ? 0 : -1, 0);
}

static void
sockets_are_of_three_families_and_never_raw(void **state)
{
	(void)state;
	in_child(open_sockets);
}

/* ---- memory, threads, signals ---- */

static void *
do_nothing(void *arg)
{
	return arg;
}

static void
look_around(void)
{
	struct rlimit core;
	pthread_t thread;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	WORKS(getrlimit(RLIMIT_CORE, &core));
	expect("no core dump", core.rlim_cur == 0 && core.rlim_max == 0 ? 0 : -1, 0);
	expect("no new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1, 0);
	expect("a thread", pthread_create(&thread, NULL, do_nothing, NULL) == 0 ? 0 : -1, 0);
	expect("its end", pthread_join(thread, NULL) == 0 ? 0 : -1, 0);
	WORKS(mprotect(page, 4096, PROT_READ));
	if (syscall(444, NULL, 0, 1) >= 6)
		FAILS(EPERM, kill(getppid(), 0));
	WORKS(kill(getpid(), 0));
	if (IS_SANITIZED)
		return;
	expect("not dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -1, 0);
	FAILS(EPERM, mprotect(page, 4096, PROT_READ | PROT_EXEC));
	expect("no memory that is code",
	    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		    MAP_FAILED
		? 0
		: -1,
	    0);
}

static void
threads_work_and_memory_is_guarded(void **state)
{
	(void)state;
	in_child(look_around);
}

static int
set_up(void **state)
{
	FILE *f;

	(void)state;
	(void)snprintf(base, sizeof(base), "/tmp/sandbox-test-XXXXXX");
	assert_non_null(mkdtemp(base));
	(void)snprintf(data, sizeof(data), "%s/data", base);
	(void)snprintf(sockets, sizeof(sockets), "%s/sockets", base);
	(void)snprintf(other, sizeof(other), "%s/other", base);
	assert_int_equal(mkdir(data, 0700) + mkdir(sockets, 0700) + mkdir(other, 0700), 0);
	f = fopen(in(other, "there"), "we");
	assert_non_null(f);
	assert_true(fputs("text", f) >= 0);
	return fclose(f);
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlink(in(other, "there"));
	(void)unlink(in(data, "control.sock"));
	(void)unlink(in(data, "way"));
	assert_int_equal(rmdir(data) + rmdir(sockets) + rmdir(other), 0);
	return rmdir(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(only_the_data_directory_is_written, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		nothing_is_executed_traced_or_mounted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		sockets_are_of_three_families_and_never_raw, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(threads_work_and_memory_is_guarded, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
