/*
 * start: how long a server takes from exec to its first answer.
 *
 *   start COMMAND [ARGUMENT ...]
 *
 * Takes a free port, runs the command with "--listen 127.0.0.1:PORT" behind its arguments, and tries
 * until GET /-/healthz is answered by 200: a connection that is refused is tried again 100 us later.
 * Prints the microseconds from just before the fork to the last byte of that answer, then ends the
 * server by SIGTERM and waits for it. Exit 1 if it did not answer in time or did not exit with 0.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_US_MAX 10000000
#define STOP_US_MAX 60000000
#define TRY_US 100

static long
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct sockaddr_in
loopback(in_port_t port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A port that was free a moment ago, in network order; 0: none. */
static in_port_t
free_port(void)
{
	struct sockaddr_in at = loopback(0);
	socklen_t size = sizeof(at);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	bool ok = s >= 0 && bind(s, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    getsockname(s, (struct sockaddr *)&at, &size) == 0;

	close(s);
	return ok ? at.sin_port : 0;
}

static bool
is_answered(in_port_t port)
{
	static const char request[] =
	    "GET /-/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct sockaddr_in to = loopback(port);
	char answer[1024];
	size_t n = 0;
	ssize_t got = -1;
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s >= 0 && connect(s, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    write(s, request, sizeof(request) - 1) == (ssize_t)sizeof(request) - 1)
		while (n < sizeof(answer) && (got = read(s, answer + n, sizeof(answer) - n)) > 0)
			n += (size_t)got;
	close(s);
	return got == 0 && n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
}

static pid_t
run(int argc, char **argv, in_port_t port)
{
	char **args = calloc((size_t)argc + 2, sizeof(*args)), address[32];
	pid_t pid;

	for (int i = 1; i < argc; i++)
		args[i - 1] = argv[i];
	snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(port));
	args[argc - 1] = strdup("--listen");
	args[argc] = address;
	pid = fork();
	if (pid != 0) {
		free(args[argc - 1]);
		free(args);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (freopen("/dev/null", "w", stdout) != NULL)
		execvp(args[0], args);
	perror(args[0]);
	_exit(127);
}

/* Looks without reaping, so that the id stays the child's. */
static bool
is_running(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid == 0;
}

/* The exit status, or -1: a signal ended it. */
static int
stop(pid_t pid)
{
	int status = 0;

	kill(pid, SIGTERM);
	for (long end = now_us() + STOP_US_MAX; is_running(pid) && now_us() < end;)
		usleep(TRY_US);
	if (is_running(pid))
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int
main(int argc, char **argv)
{
	in_port_t port = free_port();
	bool answered = false;
	long begin, us = 0;

	if (argc < 2 || port == 0) {
		fprintf(stderr, "usage: start COMMAND [ARGUMENT ...]\n");
		return 1;
	}
	begin = now_us();
	pid_t pid = run(argc, argv, port);
	while (!answered && us < ANSWER_US_MAX && is_running(pid)) {
		answered = is_answered(port);
		us = now_us() - begin;
		if (!answered)
			usleep(TRY_US);
	}
	int status = stop(pid);
	if (!answered || status != 0) {
		fprintf(stderr, "start: %s; exit status %d\n", answered ? "answered" : "no answer",
		    status);
		return 1;
	}
	printf("%ld\n", us);
	return 0;
}
