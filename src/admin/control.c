#include "admin/control_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/listener.h"

#define REQUEST_MAX (16 * 1024)
#define WORDS_MAX 130 /* more than a command line can have (cli/options.h) */
#define OUTPUT_MAX (256 * 1024 * 1024)
#define GATHER_MS 50  /* of a follower: what is written meanwhile goes out together */
#define CLOSE_MS 1000 /* for a follower to read the last of it */

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

void
caller_close(struct caller *a)
{
	timer_stop(a->control->loop, &a->gather);
	if (!a->is_closing)
		stream_close(a->stream);
	a->is_closing = true;
}

static void
put_frame(struct caller *a, char kind, struct span bytes)
{
	unsigned char head[FRAME_HEAD];
	ask_frame_head(head, kind, bytes.n);
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

void
caller_refuse(struct caller *a, const char *why)
{
	put_frame(a, 'e', span_str(why));
	finish(a, 1);
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
	uint64_t lost = command_collect(a->command, control_ends_callers(a->control));
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
	if (a->result == COMMAND_MORE || control_ends_callers(a->control))
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

static void
begin(struct caller *a)
{
	const char *words[WORDS_MAX + 1];
	size_t n = 0;
	struct span rest = span_head(buf_view(&a->request), buf_len(&a->request) - 1), word;
	while (n < WORDS_MAX && rest.n > 0 && span_next(&rest, '\0', &word))
		words[n++] = word.p;
	words[n] = NULL;
	if (rest.n > 0) { /* the last ones may be what narrows a purge */
		caller_refuse(a, "the command has too many words");
		return;
	}
	if (n > 0 && strcmp(words[0], "takeover") == 0) {
		caller_begins_takeover(a, words);
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
		caller_is_ready(a);
	if (a->command != NULL || a->is_ended || a == a->control->newcomer)
		return bytes.n;
	if (!buf_put_span(&a->request, bytes)) {
		caller_refuse(a, "the command is too long");
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
	caller_close(a);
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
			caller_close(a);
	}
}

/* Who follows gets the last records and a proper end; who waits for something else is cut. */
static void
let_go(struct caller *a)
{
	bool is_following = a->command != NULL && command_is_endless(a->command);
	if (!is_following && !a->is_ended)
		caller_close(a);
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
	CHK(!control_ends_callers(c));
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
