#include "admin/control_int.h"

#include <stdio.h>
#include <string.h>

#include "admin/takeover.h"
#include "net/listener.h"
#include "store/datadir.h"

#define OFFER_MS 60000 /* for a server that takes over to get ready */

static void
on_offer_over(void *ctx)
{
	caller_close(ctx);
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
	if (c->o.offer == NULL || control_ends_callers(c))
		return "this server is stopping";
	if (c->newcomer != NULL)
		return "another server is taking over already";
	return NULL;
}

static bool
pass_frame(struct caller *a, char kind, const struct control_offer *o)
{
	struct buf out;
	unsigned char head[FRAME_HEAD];
	ask_frame_head(head, kind, buf_len(&o->text));
	buf_init(&out, sizeof(head) + buf_len(&o->text));
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
		caller_refuse(a, "this server is stopping, or has too many listeners to pass on");
	} else if (!pass_frame(a, 't', &offer)) {
		caller_refuse(a, "the sockets cannot be passed");
	} else {
		c->newcomer = a;
		timer_start(c->loop, &a->gather, OFFER_MS, on_offer_over, a);
	}
	buf_fini(&offer.text);
}

void
caller_begins_takeover(struct caller *a, const char *const *words)
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
		caller_refuse(a, why);
	else
		make_offer(a);
}

void
caller_is_ready(struct caller *a)
{
	struct control *c = a->control;
	timer_stop(c->loop, &a->gather);
	if (!control_ends_callers(c))
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
		caller_refuse(c->newcomer, why);
}
