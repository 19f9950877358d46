#include "admin/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/takeover.h"
#include "base/list.h"
#include "net/listener.h"
#include "net/loop.h"
#include "store/datadir.h"

#define REQUEST_MAX (16 * 1024)
#define WORDS_MAX 60
#define OUTPUT_MAX (256 * 1024 * 1024)
#define GATHER_MS 50   /* of a follower: what is written meanwhile goes out together */
#define OFFER_MS 60000 /* for a server that takes over to get ready */
#define CLOSE_MS 1000  /* for a follower to read the last of it */

struct control {
	struct loop *loop;
	struct listener *listener;
	struct control_options o;
	struct list callers;
	struct caller *newcomer; /* a server that takes over */
	bool is_closing, is_leaving, has_left;
	void (*left)(void *ctx, bool is_there);
	void *left_ctx;
	struct defer alone;
	void (*closed)(void *ctx);
	void *closed_ctx;
	struct defer reap;
	struct timer deadline; /* while closing */
};

/* One command being run. */
struct caller {
	struct list link;
	struct control *control;
	struct stream *stream; /* NULL once closed */
	struct buf request, output;
	struct command *command;
	enum command_result result;
	struct timer gather;
	bool is_working, is_ended, is_closing;
};

static bool
ends_callers(const struct control *c)
{
	return c->is_closing || c->is_leaving;
}

static void
report_closed(void *ctx)
{
	struct control *c = ctx;
	void (*closed)(void *) = c->closed;
	void *closed_ctx = c->closed_ctx;
	free(c);
	closed(closed_ctx);
}

static bool
is_alone(const struct control *c)
{
	return list_is_empty(&c->callers) ||
	    (c->newcomer != NULL && c->callers.next == &c->newcomer->link &&
		c->callers.prev == &c->newcomer->link);
}

static void
report_left(void *ctx)
{
	struct control *c = ctx;
	if (c->has_left || c->is_closing)
		return;
	c->has_left = true;
	timer_stop(c->loop, &c->deadline);
	c->left(c->left_ctx, c->newcomer != NULL);
}

static void
free_if_done(struct caller *a)
{
	struct control *c = a->control;
	if (a->stream != NULL || a->is_working)
		return;
	list_remove(&a->link);
	if (c->newcomer == a)
		c->newcomer = NULL;
	if (c->is_leaving && !c->is_closing && is_alone(c))
		defer_start(c->loop, &c->alone, report_left, c);
	command_free(a->command);
	buf_fini(&a->request);
	buf_fini(&a->output);
	free(a);
	if (!c->is_closing || !list_is_empty(&c->callers))
		return;
	timer_stop(c->loop, &c->deadline);
	defer_start(c->loop, &c->reap, report_closed, c);
}

static void
close_caller(struct caller *a)
{
	timer_stop(a->control->loop, &a->gather);
	if (!a->is_closing)
		stream_close(a->stream);
	a->is_closing = true;
}

static void
put_frame(struct caller *a, char kind, struct span bytes)
{
	uint32_t n = (uint32_t)bytes.n;
	unsigned char head[5] = {(unsigned char)kind, (unsigned char)n, (unsigned char)(n >> 8),
	    (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
	struct span parts[2] = {span_of(head, sizeof(head)), bytes};
	stream_write(a->stream, parts, 2);
}

static void
finish(struct caller *a, int code)
{
	char byte = (char)code;
	a->is_ended = true;
	put_frame(a, 'x', span_of(&byte, 1));
	stream_shutdown(a->stream);
}

static void
work(void *ctx)
{
	struct caller *a = ctx;
	a->result = command_step(a->command, &a->output);
}

static void worked(void *ctx);

static void
put_lost(struct caller *a, uint64_t n)
{
	char text[128];
	int len = snprintf(text, sizeof(text),
	    "%llu records left out: this reader is slower than they come", (unsigned long long)n);
	put_frame(a, 'e', span_of(text, (size_t)len));
}

static void
start_step(struct caller *a)
{
	uint64_t lost = command_collect(a->command, ends_callers(a->control));
	if (lost > 0)
		put_lost(a, lost);
	a->is_working = true;
	work_start(a->control->loop, work, worked, a);
}

static void
on_gathered(void *ctx)
{
	struct caller *a = ctx;
	if (!a->is_working && !a->is_ended && !a->is_closing && stream_backlog(a->stream) == 0)
		start_step(a);
}

static void
on_caller_woken(void *ctx)
{
	struct caller *a = ctx;
	if (!a->is_working && !a->is_ended && !a->is_closing && a->gather.slot == 0)
		timer_start(a->control->loop, &a->gather, GATHER_MS, on_gathered, a);
}

/* Goes on when there is something to go on with and the last of it is out. */
static void
go_on(struct caller *a)
{
	if (stream_backlog(a->stream) > 0)
		return;
	if (a->result == COMMAND_MORE || ends_callers(a->control))
		start_step(a);
	else if (command_has_news(a->command))
		on_caller_woken(a);
}

static void
worked(void *ctx)
{
	struct caller *a = ctx;
	a->is_working = false;
	if (a->is_closing) {
		free_if_done(a);
		return;
	}
	if (buf_len(&a->output) > 0)
		put_frame(a, a->result == COMMAND_FAILED ? 'e' : 'o', buf_view(&a->output));
	buf_reset(&a->output);
	if (a->result == COMMAND_DONE || a->result == COMMAND_FAILED)
		finish(a, a->result == COMMAND_DONE ? 0 : 1);
	else
		go_on(a);
}

/* ---- takeover ---- */

static void
refuse(struct caller *a, const char *why)
{
	put_frame(a, 'e', span_str(why));
	finish(a, 1);
}

static void
on_offer_over(void *ctx)
{
	close_caller(ctx);
}

static bool
is_same_form(const char *const *words)
{
	return words[1] != NULL && strcmp(words[1], TAKEOVER_PROTOCOL) == 0 && words[2] != NULL &&
	    strcmp(words[2], datadir_forms()) == 0;
}

static const char *
refusal_of(const struct control *c)
{
	if (c->o.offer == NULL || ends_callers(c))
		return "this server is stopping";
	if (c->newcomer != NULL)
		return "another server is taking over already";
	return NULL;
}

static bool
pass_frame(struct caller *a, char kind, const struct control_offer *o)
{
	struct buf out;
	uint32_t n = (uint32_t)buf_len(&o->text);
	unsigned char head[5] = {(unsigned char)kind, (unsigned char)n, (unsigned char)(n >> 8),
	    (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
	buf_init(&out, sizeof(head) + n);
	bool ok = buf_put(&out, head, sizeof(head)) && buf_put_span(&out, buf_view(&o->text)) &&
	    stream_backlog(a->stream) == 0 && stream_pass(a->stream, buf_view(&out), o->fds, o->n);
	buf_fini(&out);
	return ok;
}

static void
make_offer(struct caller *a)
{
	struct control *c = a->control;
	struct control_offer offer = {.n = 0};
	buf_init(&offer.text, INHERITED_MAX * (ADDRESS_TEXT_SIZE + 8));
	if (!c->o.offer(c->o.ctx, &offer)) {
		refuse(a, "this server is stopping, or has too many listeners to pass on");
	} else if (!pass_frame(a, 't', &offer)) {
		refuse(a, "the sockets cannot be passed");
	} else {
		c->newcomer = a;
		timer_start(c->loop, &a->gather, OFFER_MS, on_offer_over, a);
	}
	buf_fini(&offer.text);
}

static void
begin_takeover(struct caller *a, const char *const *words)
{
	const char *why = refusal_of(a->control);
	char text[256];
	if (why == NULL && !is_same_form(words)) {
		(void)snprintf(text, sizeof(text),
		    "the running server keeps its data in another form (%s); stop it, then start this one",
		    datadir_forms());
		why = text;
	}
	if (why != NULL)
		refuse(a, why);
	else
		make_offer(a);
}

/* Its only word is "ready". */
static void
hear_newcomer(struct caller *a)
{
	struct control *c = a->control;
	timer_stop(c->loop, &a->gather);
	if (!ends_callers(c))
		c->o.ready(c->o.ctx);
}

bool
control_pass(struct control *c, int fd)
{
	struct control_offer last = {.fds = {fd}, .n = 1};
	bool ok =
	    c->newcomer != NULL && !c->newcomer->is_closing && pass_frame(c->newcomer, 'y', &last);
	buf_fini(&last.text);
	return ok;
}

void
control_refuse(struct control *c, const char *why)
{
	if (c->newcomer != NULL && !c->newcomer->is_closing)
		refuse(c->newcomer, why);
}

/* ---- commands ---- */

static void
begin(struct caller *a)
{
	const char *words[WORDS_MAX + 1];
	size_t n = 0;
	struct span rest = span_head(buf_view(&a->request), buf_len(&a->request) - 1), word;
	while (n < WORDS_MAX && rest.n > 0 && span_next(&rest, '\0', &word))
		words[n++] = word.p;
	words[n] = NULL;
	if (n > 0 && strcmp(words[0], "takeover") == 0) {
		begin_takeover(a, words);
		return;
	}
	a->command = command_new(&a->control->o.stores, words, &a->output);
	if (a->command == NULL) {
		put_frame(a, 'e', buf_view(&a->output));
		finish(a, 1);
		return;
	}
	command_watch(a->command, on_caller_woken, a);
	start_step(a);
}

static size_t
on_caller_read(void *ctx, struct span bytes)
{
	struct caller *a = ctx;
	if (a == a->control->newcomer)
		hear_newcomer(a);
	if (a->command != NULL || a->is_ended || a == a->control->newcomer)
		return bytes.n;
	if (!buf_put_span(&a->request, bytes)) {
		finish(a, 1);
		return bytes.n;
	}
	if (span_ends(buf_view(&a->request), span_of("\0\0", 2)))
		begin(a);
	return bytes.n;
}

static void
on_caller_ended(void *ctx, enum err why)
{
	struct caller *a = ctx;
	UNUSED(why);
	close_caller(a);
}

static void
on_caller_drained(void *ctx)
{
	struct caller *a = ctx;
	if (a->command != NULL && !a->is_working && !a->is_ended)
		go_on(a);
}

static void
on_caller_closed(void *ctx)
{
	struct caller *a = ctx;
	a->stream = NULL;
	free_if_done(a);
}

static const struct stream_events caller_events = {
    .read = on_caller_read,
    .ended = on_caller_ended,
    .drained = on_caller_drained,
    .closed = on_caller_closed,
};

static void
on_accepted(void *ctx, struct stream *s)
{
	struct control *c = ctx;
	struct caller *a = xcalloc(1, sizeof(*a));
	a->control = c;
	a->stream = s;
	buf_init(&a->request, REQUEST_MAX);
	buf_init(&a->output, OUTPUT_MAX);
	list_append(&c->callers, &a->link);
	stream_adopt(s, &caller_events, a);
	stream_set_low_water(s, 0);
	stream_read_start(s);
}

struct control *
control_new(struct loop *l, const struct control_options *o, char *detail, size_t detail_size)
{
	struct control *c = xcalloc(1, sizeof(*c));
	struct address at;
	char text[ADDRESS_TEXT_SIZE + 16];
	const char *why = "the path is too long for a socket; choose a shorter data directory";
	c->loop = l;
	c->o = *o;
	c->o.path = NULL; /* was borrowed */
	list_init(&c->callers);
	int n = snprintf(text, sizeof(text), "unix:%s", o->path);
	if (n > 0 && (size_t)n < sizeof(text) && address_parse_listen(span_str(text), &at))
		c->listener = listener_open(l, &at,
		    &(struct listener_options){.unix_mode = 0600,
			.is_inherited = o->inherited_fd >= 0,
			.fd = o->inherited_fd},
		    on_accepted, c, &why);
	if (c->listener != NULL)
		return c;
	snprintf(detail, detail_size, "cannot listen on %s: %s", o->path, why);
	free(c);
	return NULL;
}

static void
on_deadline(void *ctx)
{
	struct control *c = ctx;
	LIST_EACH(node, &c->callers)
	{
		struct caller *a = CONTAINER_OF(node, struct caller, link);
		if (a->stream != NULL && (c->is_closing || a != c->newcomer))
			close_caller(a);
	}
}

/* Who follows gets the last records and a proper end; who waits for something else is cut. */
static void
let_go(struct caller *a)
{
	bool is_following = a->command != NULL && command_is_endless(a->command);
	if (!is_following && !a->is_ended)
		close_caller(a);
	else if (!a->is_working && !a->is_ended && a->gather.slot == 0)
		go_on(a);
}

int
control_fd(const struct control *c)
{
	return listener_fd(c->listener);
}

void
control_leave(struct control *c, void (*left)(void *ctx, bool is_there), void *ctx)
{
	CHK(!ends_callers(c));
	c->is_leaving = true;
	c->left = left;
	c->left_ctx = ctx;
	listener_release(c->listener);
	LIST_EACH(node, &c->callers)
	{
		struct caller *a = CONTAINER_OF(node, struct caller, link);
		if (a->stream != NULL && a != c->newcomer)
			let_go(a);
	}
	timer_start(c->loop, &c->deadline, CLOSE_MS, on_deadline, c);
	if (is_alone(c))
		defer_start(c->loop, &c->alone, report_left, c);
}

void
control_close(struct control *c, void (*closed)(void *ctx), void *ctx)
{
	c->is_closing = true;
	defer_stop(&c->alone);
	c->closed = closed;
	c->closed_ctx = ctx;
	listener_close(c->listener);
	LIST_EACH(node, &c->callers)
	{
		struct caller *a = CONTAINER_OF(node, struct caller, link);
		if (a->stream != NULL)
			let_go(a);
	}
	if (list_is_empty(&c->callers))
		defer_start(c->loop, &c->reap, report_closed, c);
	else
		timer_start(c->loop, &c->deadline, CLOSE_MS, on_deadline, c);
}
