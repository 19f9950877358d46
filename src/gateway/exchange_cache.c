#include "gateway/exchange_int.h"

#include "cache/answer_head.h"
#include "config/config.h"
#include "gateway/client.h"
#include "gateway/forward.h"
#include "gateway/gateway_int.h"

#define HEAD_BYTES                                                                                 \
	1024 /* what a preimage mostly has besides the body, which is seldom longer in canonical form */

static struct memo *
scope_memo_of(const struct exchange *x)
{
	return x->client == NULL ? NULL : &client_memos(x->client)->scope;
}

static struct cache_request
cache_request_of(const struct exchange *x)
{
	const struct config_gateway *cg = x->route.gateway;
	return (struct cache_request){.gateway = span_str(cg->name),
	    .provider = x->route.provider->slug,
	    .method = x->head.method_text,
	    .to = &x->to,
	    .query = x->to.query,
	    .headers = &x->head.headers,
	    .coding = accepted_coding(&x->head),
	    .is_shared = cg->cache.scope == SCOPE_SHARED,
	    .is_stream = x->facts.is_stream,
	    .custom_key = x->wishes.key,
	    .body = buf_view(&x->body),
	    .doc = x->doc,
	    /* Not from a worker: the client may go meanwhile. */
	    .scope_memo = x->is_working ? NULL : scope_memo_of(x),
	    .ignore = cg->cache.ignore};
}

enum preimage_result
exchange_preimage(const struct exchange *x, struct span form, struct buf *out)
{
	struct cache_request rq = cache_request_of(x);
	rq.form = form;
	out->max = buf_len(&x->body) * 6 + KEEP_BYTES;
	if (buf_reserve(out, buf_len(&x->body) + HEAD_BYTES) == NULL)
		return PREIMAGE_FULL;
	return preimage_write(x->g->parts.cache_keys, &rq, out);
}

enum preimage_result
exchange_item_base(const struct exchange *x, struct buf *out)
{
	struct cache_request rq = cache_request_of(x);
	rq.is_item = true;
	rq.coding = SPAN_LIT("identity"); /* what is kept of an item is never compressed */
	return preimage_write(x->g->parts.cache_keys, &rq, out);
}

uint64_t
exchange_caller_hash(const struct exchange *x)
{
	return cache_caller_hash(x->g->parts.cache_keys,
	    &(struct cache_request){.provider = x->route.provider->slug,
		.query = x->to.query,
		.headers = &x->head.headers,
		.scope_memo = scope_memo_of(x)});
}

uint64_t
exchange_body_hash(struct exchange *x)
{
	if (!x->has_body_hash)
		x->body_hash = cache_hash(x->g->parts.cache_keys, buf_view(&x->body));
	x->has_body_hash = true;
	return x->body_hash;
}

bool
exchange_stored_head(struct exchange *x, struct buf *out)
{
	return answer_head_write(&x->answer.headers, x->response_size, exchange_body_hash(x), out);
}
