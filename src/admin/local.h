/*
 * local: the paths that are the gateway's own: health and readiness on every listener, metrics on admin listeners.
 */
#ifndef ADMIN_LOCAL_H
#define ADMIN_LOCAL_H

#include "gateway/gateway.h"

struct records;

struct local {
	struct gateway *gateway; /* set once it exists */
	struct records *records;
	struct entries *entries;
};

/* A local_fn; ctx is a struct local. */
void local_answer(void *ctx, const struct local_request *rq, struct local_reply *out);

#endif
