#include "gateway/exchange_int.h"

#include <stdlib.h>

#include "gateway/gateway_int.h"
#include "http/writer.h"

#define SPARES_MAX 64

static struct outbox *
lease(struct exchange *x)
{
	struct gateway *g = x->g;

	if (x->box != NULL)
		return x->box;
	x->box = g->boxes;
	if (x->box == NULL)
		x->box = xcalloc(1, sizeof(*x->box));
	else
		g->n_boxes--;
	g->boxes = x->box->next;
	x->box->n = x->box->chunked = 0;
	return x->box;
}

void
box_empty(struct exchange *x)
{
	struct outbox *b = x->box;
	struct gateway *g = x->g;

	x->box = NULL;
	if (b == NULL)
		return;
	if (g->n_boxes == SPARES_MAX) {
		free(b);
		return;
	}
	b->next = g->boxes;
	g->boxes = b;
	g->n_boxes++;
}

void
outbox_free_spares(struct gateway *g)
{
	while (g->boxes != NULL) {
		struct outbox *b = g->boxes;

		g->boxes = b->next;
		free(b);
	}
	g->n_boxes = 0;
}

size_t
box_parts(const struct exchange *x)
{
	return x->box == NULL ? 0 : x->box->n;
}

size_t
box_bytes(const struct exchange *x)
{
	size_t n = 0;

	for (size_t i = 0; i < box_parts(x); i++)
		n += x->box->parts[i].n;
	return n;
}

bool
box_put(struct exchange *x, struct span part, bool is_body)
{
	struct outbox *b = lease(x);

	if (b->n == PIECES)
		return false;
	b->parts[b->n] = part;
	b->is_body[b->n] = is_body;
	b->n++;
	return true;
}

/* The CRLF behind the chunk goes behind the new piece. */
static void
lengthen_chunk(struct outbox *b, struct span bytes)
{
	b->chunked += bytes.n;
	b->parts[b->line_at].n = chunk_line(b->chunked, b->line);
	b->parts[b->n] = b->parts[b->n - 1];
	b->is_body[b->n] = false;
	b->parts[b->n - 1] = bytes;
	b->is_body[b->n - 1] = true;
	b->n++;
}

/* A chunk for each piece would be three parts each, and more bytes: several events come in one read. */
bool
box_put_chunk(struct exchange *x, struct span bytes)
{
	struct outbox *b = lease(x);

	if (b->n + 3 > PIECES)
		return false;
	if (b->chunked > 0) {
		lengthen_chunk(b, bytes);
		return true;
	}
	b->line_at = b->n;
	b->chunked = bytes.n;
	return box_put(x, span_of(b->line, chunk_line(bytes.n, b->line)), false) &&
	    box_put(x, bytes, true) && box_put(x, SPAN_LIT("\r\n"), false);
}
