#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "store/entries_int.h"

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};
/* A signal has nothing else to go by. */
static char mark[FILE_PATH_SIZE];
static struct sigaction before[COUNT_OF(signals)];

static void
restore(int number)
{
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		if (signals[i] == number)
			(void)sigaction(number, &before[i], NULL);
}

/* Back where it happened it happens again, to whoever had the signal before. */
static void
on_crash(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	(void)unlink(mark);
	restore(number);
	if (info->si_code <= 0) /* somebody sent it */
		(void)raise(number);
	errno = saved;
}

void
entries_guard_start(const struct entries *e)
{
	struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO};

	file_path(mark, e->dir, "format");
	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		CHK(sigaction(signals[i], &action, &before[i]) == 0);
}

void
entries_guard_stop(void)
{
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		restore(signals[i]);
}
