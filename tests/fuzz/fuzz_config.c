/*
 * A configuration file of any bytes: it loads, and then what is printed of it loads to the same; or it is refused
 * with one line that begins with its place. The last line of the input behind a "#set " is a --set.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char home[] = "HOME=/h", word[] = "WORD=all", number[] = "N=7", bad[] = "BAD=\xff\n";
static char *const variables[] = {home, word, number, bad, NULL};

static struct config *
load(struct span text, const char *set)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	const char *const sets[] = {set, NULL};
	struct config_source src = {.set = sets, .environ = variables};
	struct config *c = NULL;
	char path[64];
	struct buf err;

	CHK(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	src.file = path;
	buf_init(&err, 4096);
	if (config_load(&src, &c, &err) != 0) {
		CHK(c == NULL && buf_len(&err) > 0);
		CHK(memchr(buf_view(&err).p, '\n', buf_len(&err)) == NULL);
		CHK(span_find_span(buf_view(&err), SPAN_LIT(": ")) < buf_len(&err));
	}
	buf_fini(&err);
	CHK(close(fd) == 0);
	return c;
}

static void
assert_prints_to_the_same(struct config *c)
{
	struct buf first, second;
	struct config *again;

	buf_init(&first, 16 << 20);
	buf_init(&second, 16 << 20);
	CHK(config_print(c, &first));
	/* A print may be larger than a file may be: gateways inherit lists. */
	again = buf_len(&first) > 1 << 20 ? config_ref(c) : load(buf_view(&first), NULL);
	CHK(again != NULL && config_print(again, &second));
	CHK(span_eq(buf_view(&first), buf_view(&second)));
	config_unref(again);
	buf_fini(&first);
	buf_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	size_t at = span_find_span(text, SPAN_LIT("#set "));
	char *set = at < text.n ? span_dup(span_skip(text, at + 5)) : NULL;
	struct config *c = load(text, set);

	if (c != NULL)
		assert_prints_to_the_same(c);
	config_unref(c);
	free(set);
	return 0;
}
