#include "http/gunzip.h"

#include <stdlib.h>
#include <zlib.h>

#define PIECE 16384
#define FREE_RATIO_BYTES 65536 /* below this much output no ratio is asked */
#define RATIO_MAX 200
#define WINDOW_GZIP_ONLY (MAX_WBITS + 16)

struct gunzip {
	z_stream z;
	uint64_t in, out; /* bytes so far, over all members */
	size_t out_max;
	bool has_failed;
	bool is_between; /* a member has ended and no other was begun */
	unsigned char piece[PIECE];
};

struct gunzip *
gunzip_new(size_t out_max)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->out_max = out_max;
	g->has_failed = inflateInit2(&g->z, WINDOW_GZIP_ONLY) != Z_OK;
	return g;
}

void
gunzip_free(struct gunzip *g)
{
	if (g == NULL)
		return;
	inflateEnd(&g->z);
	free(g);
}

static bool
is_over_limit(const struct gunzip *g)
{
	return g->out > g->out_max || (g->out > FREE_RATIO_BYTES && g->out > g->in * RATIO_MAX);
}

/* One piece out of what z has as input. False: damaged, or over a limit. */
static bool
inflate_piece(struct gunzip *g, gunzip_fn fn, void *ctx)
{
	uInt before = g->z.avail_in;
	size_t n;
	int e;

	g->z.next_out = g->piece;
	g->z.avail_out = PIECE;
	e = inflate(&g->z, Z_NO_FLUSH);
	n = PIECE - g->z.avail_out;
	g->in += before - g->z.avail_in;
	g->out += n;
	if (e != Z_OK && e != Z_STREAM_END && e != Z_BUF_ERROR)
		return false;
	if (is_over_limit(g))
		return false;
	if (n > 0)
		fn(ctx, span_of(g->piece, n));
	g->is_between = e == Z_STREAM_END;
	return e != Z_STREAM_END ||
	    inflateReset(&g->z) == Z_OK; /* RFC 1952 2.2: members may follow */
}

bool
gunzip_feed(struct gunzip *g, struct span in, gunzip_fn fn, void *ctx)
{
	bool has_more_out = false;

	while (!g->has_failed && (in.n > 0 || has_more_out)) {
		struct span part = span_head(in, 1u << 30); /* uInt */

		g->z.next_in = (z_const Bytef *)(uintptr_t)part.p;
		g->z.avail_in = (uInt)part.n;
		g->has_failed = !inflate_piece(g, fn, ctx);
		in = span_skip(in, part.n - g->z.avail_in);
		has_more_out = g->z.avail_out == 0 && !g->is_between;
	}
	return !g->has_failed;
}

bool
gunzip_is_complete(const struct gunzip *g)
{
	return !g->has_failed && g->is_between;
}

struct whole {
	struct buf *out;
	bool is_full;
};

static void
put_whole(void *ctx, struct span plain)
{
	struct whole *w = ctx;
	w->is_full = w->is_full || !buf_put_span(w->out, plain);
}

bool
gunzip_whole(struct span packed, struct buf *out)
{
	struct whole w = {.out = out};
	struct gunzip *g = gunzip_new(out->max);
	bool ok = g != NULL && gunzip_feed(g, packed, put_whole, &w) && gunzip_is_complete(g) &&
	    !w.is_full;
	gunzip_free(g);
	return ok;
}
