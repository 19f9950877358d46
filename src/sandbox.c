#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "obs/log.h"

/* Sanitizers attach to themselves, fork and map at the end; counters are written next to the objects. */
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif
#ifndef IS_COUNTED
#define IS_COUNTED 0
#endif

/* ---- files: Landlock, linux/landlock.h. Its constants are here as far as older headers lack them. ---- */

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule 445
#define __NR_landlock_restrict_self 446
#endif

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,     /* ABI 2 */
	FS_TRUNCATE = 1 << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	SCOPE_SIGNAL = 1 << 1,  /* ABI 6 */
	ASK_VERSION = 1 << 0,
	RULE_PATH_BENEATH = 1,
};

struct ruleset_attr {
	uint64_t handled_fs, handled_net, scoped;
};
struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static uint64_t
handled(int abi)
{
	uint64_t all = FS_EXECUTE | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_CHAR |
	    FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_BLOCK | FS_MAKE_SYM;

	if (abi >= 2)
		all |= FS_REFER;
	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static bool
allow(int ruleset, const char *dir, uint64_t what)
{
	struct path_attr p = {.allowed = what, .fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	bool ok =
	    p.fd >= 0 && syscall(__NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &p, 0) == 0;

	if (p.fd >= 0)
		(void)close(p.fd);
	return ok;
}

/* The attributes of an older kernel are shorter; what it does not know is zero, which it takes. */
static int
make_ruleset(int abi)
{
	const struct ruleset_attr a = {
	    .handled_fs = handled(abi), .scoped = abi >= 6 ? SCOPE_SIGNAL : 0};

	return (int)syscall(__NR_landlock_create_ruleset, &a, sizeof(a), 0);
}

static bool
fence_files(const struct sandbox *s)
{
	const uint64_t in_data = FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR |
	    FS_MAKE_REG | FS_MAKE_SOCK | FS_REFER | FS_TRUNCATE;
	int abi = (int)syscall(__NR_landlock_create_ruleset, NULL, 0, ASK_VERSION), fd;
	bool ok;

	if (abi < 1)
		return false;
	fd = make_ruleset(abi);
	if (fd < 0)
		return false;
	ok = allow(fd, s->data, in_data & handled(abi));
	for (size_t i = 0; ok && i < s->n_socket_dirs; i++)
		ok = allow(fd, s->socket_dirs[i], FS_MAKE_SOCK | FS_REMOVE_FILE);
	ok = ok && syscall(__NR_landlock_restrict_self, fd, 0) == 0;
	(void)close(fd);
	return ok;
}

/* ---- calls: seccomp ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
#define X32_BIT 0x40000000u    /* of x86-64: the same calls under other numbers */
#define NAMESPACES 0x7e020000u /* CLONE_NEW*, all of them */

#ifndef __NR_pidfd_getfd
#define __NR_pidfd_getfd 438
#endif
#ifndef __NR_clone3
#define __NR_clone3 435
#endif

/* Refused with EPERM, whatever their arguments. */
static const int denied[] = {
    __NR_execve,
    __NR_execveat,
    __NR_unshare,
    __NR_setns,
    __NR_chroot,
    __NR_pivot_root,
    /* mounts */
    __NR_mount,
    __NR_umount2,
    __NR_open_tree,
    __NR_move_mount,
    __NR_fsopen,
    __NR_fsconfig,
    __NR_fsmount,
    __NR_fspick,
    442 /* mount_setattr */,
    __NR_swapon,
    __NR_swapoff,
    __NR_quotactl,
    /* other processes */
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_kcmp,
    __NR_pidfd_getfd,
    /* the kernel */
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_kexec_load,
    __NR_kexec_file_load,
    __NR_reboot,
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_syslog,
    __NR_acct,
    __NR_lookup_dcookie,
    __NR_fanotify_init,
    __NR_open_by_handle_at,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_sethostname,
    __NR_setdomainname,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_adjtimex,
    __NR_clock_adjtime,
    __NR_vhangup,
    __NR_nfsservctl,
#ifdef __x86_64__
    __NR_iopl,
    __NR_ioperm,
    __NR_modify_ldt,
    __NR_uselib,
    __NR_ustat,
    __NR__sysctl,
    __NR_create_module,
    __NR_get_kernel_syms,
    __NR_query_module,
#endif
};
/* As if the kernel had never heard of them: their users have another way. (Of clone3 the arguments cannot be looked at.) */
static const int unknown[] = {
    __NR_io_uring_setup,
    __NR_io_uring_enter,
    __NR_io_uring_register,
#if !IS_SANITIZED
    __NR_clone3,
#endif
};
#if !IS_SANITIZED
static const int denied_unsanitized[] = {
    __NR_ptrace,
    __NR_pkey_mprotect,
    __NR_personality,
#ifdef __x86_64__
    __NR_fork,
    __NR_vfork,
#endif
};
#endif

#define FILTER_MAX 256

struct program {
	struct sock_filter code[FILTER_MAX];
	unsigned short n;
};

static void
put(struct program *p, struct sock_filter f)
{
	CHK(p->n < FILTER_MAX);
	p->code[p->n++] = f;
}

static void
put_return(struct program *p, uint32_t what)
{
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

static void
put_fail(struct program *p, int error)
{
	put_return(p, SECCOMP_RET_ERRNO | (uint32_t)error);
}

/* Argument i, its lower half: all that are looked at here are ints. */
static void
put_load(struct program *p, unsigned i)
{
	size_t at = offsetof(struct seccomp_data, args) + i * sizeof(uint64_t);

	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)at));
}

/* The next `n` instructions are for this call only; they end with a return. */
static void
put_call(struct program *p, int nr, uint8_t n)
{
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, n));
}

static void
put_list(struct program *p, const int *list, size_t n, int error)
{
	for (size_t i = 0; i < n; i++) {
		put_call(p, list[i], 1);
		put_fail(p, error);
	}
}

/* socket(family, type): three families, and no raw ones. */
static void
put_socket(struct program *p)
{
	put_call(p, __NR_socket, 9);
	put_load(p, 1);
	put(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_RAW, 5, 0));
	put_load(p, 0);
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 2, 0));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1));
	put_return(p, SECCOMP_RET_ALLOW);
	put_fail(p, EAFNOSUPPORT);
}

#if !IS_SANITIZED
/* Any of these bits in argument i. */
static void
put_refuse_bits(struct program *p, int nr, unsigned i, uint32_t bits)
{
	put_call(p, nr, 4);
	put_load(p, i);
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
	put_fail(p, EPERM);
	put_return(p, SECCOMP_RET_ALLOW);
}

/* A thread, yes; a process or a namespace, no. */
static void
put_clone(struct program *p)
{
	put_call(p, __NR_clone, 5);
	put_load(p, 0);
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 1, 0));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0));
	put_fail(p, EPERM);
	put_return(p, SECCOMP_RET_ALLOW);
}
#endif

static void
write_filter(struct program *p)
{
	put(p,
	    (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	put_return(p, SECCOMP_RET_KILL_PROCESS);
	put(p,
	    (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
#ifdef __x86_64__
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
	put_fail(p, ENOSYS);
#endif
	put_list(p, denied, COUNT_OF(denied), EPERM);
	put_list(p, unknown, COUNT_OF(unknown), ENOSYS);
	put_socket(p);
#if !IS_SANITIZED
	put_list(p, denied_unsanitized, COUNT_OF(denied_unsanitized), EPERM);
	put_clone(p);
	put_refuse_bits(p, __NR_mmap, 2, PROT_EXEC);
	put_refuse_bits(p, __NR_mprotect, 2, PROT_EXEC);
#endif
	put_return(p, SECCOMP_RET_ALLOW);
}

/* SPEC_ALLOW: older kernels would take it for a reason to slow down every branch and load of this process. */
static bool
fence_calls(void)
{
	struct program p = {.n = 0};
	struct sock_fprog f = {.filter = p.code};

	write_filter(&p);
	f.len = p.n;
	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
		   SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &f) == 0;
}
#else
static bool
fence_calls(void)
{
	errno = ENOSYS;
	return false;
}
#endif

static void
guard_memory(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	if (!IS_SANITIZED)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void
sandbox_begin(void)
{
	guard_memory();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !fence_calls())
		log_line(LOG_INFO, "sandbox: calls are not fenced: seccomp: %s", strerror(errno));
}

void
sandbox_enter(const struct sandbox *s)
{
	if (!IS_COUNTED && !fence_files(s))
		log_line(LOG_INFO, "sandbox: files are not fenced: Landlock: %s", strerror(errno));
}
