#include "admin/takeover.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "admin/ask_int.h"
#include "store/datadir.h"

#define OFFER_S 10
#define READY_S 90 /* it lets its callers' steps come to their end */
#define TEXT_MAX (INHERITED_MAX * (ADDRESS_TEXT_SIZE + 8))

static void
set_patience(int fd, time_t seconds)
{
	struct timeval t = {.tv_sec = seconds};
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static void
close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}

/* ---- a frame ---- */

struct frame {
	char kind;
	char text[TEXT_MAX];
	size_t n;
	int fds[PASS_MAX];
	size_t n_fds;
};

/* The descriptors come with the first byte. */
static bool
read_frame(int fd, struct frame *f)
{
	unsigned char head[FRAME_HEAD];
	f->n_fds = COUNT_OF(f->fds);
	ssize_t got = pass_receive(fd, head, sizeof(head), f->fds, &f->n_fds);
	if (got <= 0) {
		f->n_fds = 0;
		return false;
	}
	bool ok = ask_read(fd, head + got, sizeof(head) - (size_t)got);
	f->kind = (char)head[0];
	f->n = ask_frame_size(head);
	if (ok && f->n < sizeof(f->text) && ask_read(fd, f->text, f->n))
		return true;
	close_all(f->fds, f->n_fds);
	f->n_fds = 0;
	return false;
}

/* What else came than was asked for. */
static void
explain(const struct frame *f, bool has_come, char *detail, size_t size)
{
	if (has_come && f->kind == 'e')
		(void)snprintf(detail, size, "takeover: %.*s", (int)f->n, f->text);
	else
		(void)snprintf(
		    detail, size, "takeover: the running server does not answer, or went away");
}

/* ---- the offer ---- */

/* "listen ADDRESS", "lent ADDRESS" (its file is somebody else's) or "control", each for a descriptor. */
static const char *
take_line(struct takeover *t, struct span line, int fd)
{
	char address[ADDRESS_TEXT_SIZE];
	struct span word;
	if (span_eq(line, SPAN_LIT("control"))) {
		t->control_fd = fd;
		return NULL;
	}
	span_next(&line, ' ', &word);
	(void)snprintf(address, sizeof(address), "%.*s", SPAN_FMT(line));
	const char *wrong = inherited_add(&t->listeners, fd, address);
	if (wrong == NULL)
		t->listeners.v[t->listeners.n - 1].keeps_file = span_eq(word, SPAN_LIT("lent"));
	return wrong;
}

static const char *
take_offer(struct takeover *t, const struct frame *f)
{
	struct span rest = span_of(f->text, f->n), line;
	const char *wrong = NULL;
	size_t i = 0;
	for (; wrong == NULL && i < f->n_fds && rest.n > 0 && span_next(&rest, '\n', &line); i++)
		wrong = take_line(t, line, f->fds[i]);
	if (wrong == NULL && (i != f->n_fds || rest.n > 0))
		wrong = "names and sockets do not match";
	close_all(f->fds + i, f->n_fds - i);
	return wrong;
}

enum takeover_result
takeover_ask(const char *path, struct takeover *t, char *detail, size_t detail_size)
{
	const char *const words[] = {"takeover", TAKEOVER_PROTOCOL, datadir_forms(), NULL};
	struct frame f;
	*t = (struct takeover){.fd = ask_connect(path), .control_fd = -1};
	if (t->fd < 0)
		return TAKEOVER_NOBODY;
	set_patience(t->fd, OFFER_S);
	bool has_come = ask_send(t->fd, words) && read_frame(t->fd, &f);
	if (has_come && f.kind == 't') {
		const char *wrong = take_offer(t, &f);
		if (wrong == NULL)
			return TAKEOVER_OFFERED;
		(void)snprintf(detail, detail_size, "takeover: %s", wrong);
	} else {
		explain(&f, has_come, detail, detail_size);
		close_all(f.fds, has_come ? f.n_fds : 0);
	}
	takeover_close(t);
	return TAKEOVER_REFUSED;
}

int
takeover_finish(struct takeover *t, char *detail, size_t detail_size)
{
	struct frame f;
	set_patience(t->fd, READY_S);
	bool has_come = send(t->fd, "r", 1, MSG_NOSIGNAL) == 1 && read_frame(t->fd, &f);
	if (has_come && f.kind == 'y' && f.n_fds == 1)
		return f.fds[0];
	explain(&f, has_come, detail, detail_size);
	close_all(f.fds, has_come ? f.n_fds : 0);
	return -1;
}

void
takeover_close(struct takeover *t)
{
	if (t->fd >= 0)
		(void)close(t->fd);
	if (t->control_fd >= 0)
		(void)close(t->control_fd);
	inherited_close(&t->listeners);
	t->fd = t->control_fd = -1;
}
