/*
 * Small writes are held until the turn ends, or until LOOP_HELD streams have some, and then go out one behind the other.
 *
 * Each write wakes who waits for it, if he sleeps: with a pause between two writes, in which the next message is read and
 * decided, the peer answers the first, sleeps, and has to be woken again. Back to back one waking serves several (a quarter
 * of the processor time of a hit or a pass, bench/README.md). Pieces of one stream become one system call besides.
 *
 *   stream_write -> stream_hold -> held_room -> stream_flush, loop_flush -> kernel -> (what it did not take) queue
 *
 * Who passes on an event of a stream hurries: what he wrote goes out before anybody looks at it, so that it is not later by
 * what that takes. That is for the first of a turn; where many come together, holding serves them better.
 *
 * Only a stream that is not behind holds: then the kernel has room, or says at the flush that it has not ("clogged").
 */
#include <string.h>

#include "net/stream_int.h"

/* Bytes of one stream stand together: behind those of another it begins anew. */
static struct held *
held_of(struct stream *s)
{
	struct loop *l = s->loop;
	if (s->held != NULL && s->held->at + s->held->n == l->held_bytes)
		return s->held;
	stream_flush(s);
	if (s->tx == TX_FAILED || s->batch != NULL)
		return NULL;
	if (l->n_held == LOOP_HELD)
		loop_flush(l);
	s->held = &l->held[l->n_held++];
	*s->held = (struct held){.owner = s, .at = l->held_bytes};
	return s->held;
}

bool
stream_hold(struct stream *s, const struct span *parts, size_t n)
{
	struct loop *l = s->loop;
	size_t total = 0;
	for (size_t i = 0; i < n; i++)
		total += parts[i].n;
	if (total > HELD_WRITE_MAX)
		return false;
	if (total > LOOP_HELD_BYTES - l->held_bytes)
		loop_flush(l);
	if (s->tx == TX_FAILED || s->batch != NULL)
		return false;
	struct held *h = held_of(s);
	if (h == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n > 0)
			memcpy(l->held_room + l->held_bytes, parts[i].p, parts[i].n);
		l->held_bytes += (uint32_t)parts[i].n;
	}
	h->n += (uint32_t)total;
	return true;
}

bool
stream_forget(struct stream *s)
{
	if (s->held == NULL)
		return false;
	s->held->owner = NULL;
	s->held = NULL;
	return true;
}

void
stream_flush(struct stream *s)
{
	struct held *h = s->held;
	if (h == NULL)
		return;
	struct span bytes = span_of(s->loop->held_room + h->at, h->n);
	stream_forget(s);
	if (s->tx == TX_FAILED)
		return;
	stream_write_now(s, &bytes, 1);
	if (s->batch == NULL)
		return;
	s->is_clogged = true;
	stream_schedule(s);
}

void
stream_hurry(struct stream *s)
{
	if (s->loop->has_hurried)
		return;
	s->loop->has_hurried = true;
	stream_flush(s);
}

void
loop_flush(struct loop *l)
{
	for (uint32_t i = 0; i < l->n_held; i++)
		if (l->held[i].owner != NULL)
			stream_flush(l->held[i].owner);
	l->n_held = l->held_bytes = 0;
}
