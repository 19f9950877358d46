/*
 * gunzip: a compressed answer made readable, for the meters for one. The client gets the provider's bytes.
 *
 * Limits: out_max bytes in all and 200 times the input after the first 64 KB; past either it fails
 * for good.
 */
#ifndef HTTP_GUNZIP_H
#define HTTP_GUNZIP_H

#include "base/buf.h"
#include "base/chk.h"
#include "base/span.h"

struct gunzip;
typedef void (*gunzip_fn)(void *ctx, struct span plain);

struct gunzip *gunzip_new(size_t out_max);
void gunzip_free(struct gunzip *g);
/* False: not gzip, or over a limit; later calls are false too. Calls fn for each piece. */
bool gunzip_feed(struct gunzip *g, struct span in, gunzip_fn fn, void *ctx);
bool gunzip_is_complete(const struct gunzip *g); /* the trailer was seen and is right */
/* All of it at once, behind what is in out; out->max is the limit. False: not gzip, damaged, cut, or over a limit. */
MUST_CHECK bool gunzip_whole(struct span packed, struct buf *out);

#endif
