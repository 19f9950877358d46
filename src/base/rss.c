#include "base/rss.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int
rss_open(void)
{
	return open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void
rss_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* "size resident shared ...", in pages (proc(5)). What is mapped of files, LMDB's too, is shared. */
uint64_t
rss_bytes(int fd)
{
	char text[128];
	char *at;
	uint64_t resident, shared;
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	(void)strtoull(text, &at, 10);
	resident = strtoull(at, &at, 10);
	shared = strtoull(at, &at, 10);
	return resident < shared ? 0 : (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}
