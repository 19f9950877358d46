#include "cache/policy.h"

#include "base/num.h"
#include "config/config.h"
#include "http/message.h"
#include "provider/dialect.h"

#define TTL_MAX_S 31536000
#define KEY_MAX 1024
#define KEY_TTL_S 300 /* Cloudflare's, for a key where nothing names a time to live */

static enum err
read_ttl(const struct headers *h, struct cache_wishes *out, const char **hint)
{
	struct span text = headers_value(h, H_CF_AIG_CACHE_TTL);
	if (text.p == NULL)
		text = headers_value(h, H_CF_CACHE_TTL);
	if (text.p == NULL)
		return E_OK;
	if (!num_u64(text, &out->ttl_s) || out->ttl_s > TTL_MAX_S) {
		*hint = "cf-aig-cache-ttl is a number of seconds from 0 to 31536000";
		return E_BAD_HEADER;
	}
	out->has_ttl = true;
	return E_OK;
}

static enum err
read_skip(const struct headers *h, struct cache_wishes *out, const char **hint)
{
	struct span text = headers_value(h, H_CF_AIG_SKIP_CACHE);
	if (text.p == NULL)
		text = headers_value(h, H_CF_SKIP_CACHE);
	if (text.p == NULL)
		return E_OK;
	if (span_eq_nocase(text, SPAN_LIT("true"))) {
		out->skip = true;
	} else if (!span_eq_nocase(text, SPAN_LIT("false"))) {
		*hint = "cf-aig-skip-cache is true or false";
		return E_BAD_HEADER;
	}
	return E_OK;
}

enum err
cache_wishes_read(const struct headers *h, struct cache_wishes *out, const char **hint)
{
	*out = (struct cache_wishes){0};
	enum err e = read_ttl(h, out, hint);
	if (e == E_OK)
		e = read_skip(h, out, hint);
	if (e != E_OK)
		return e;
	struct span key = headers_value(h, H_CF_AIG_CACHE_KEY);
	if (key.p != NULL && (key.n == 0 || key.n > KEY_MAX)) {
		*hint = "cf-aig-cache-key is 1 to 1024 bytes long";
		return E_BAD_HEADER;
	}
	out->key = key;
	out->no_store = headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("no-store"));
	if (headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("no-cache")))
		out->skip = true;
	return E_OK;
}

/* By the request itself, whatever the mode. */
static bool
is_asked_for(const struct cache_wishes *w)
{
	return w->key.n > 0 || (w->has_ttl && w->ttl_s > 0);
}

bool
cache_may_plan(
    const struct config_gateway *g, const struct cache_wishes *w, const struct endpoint *e)
{
	return !w->no_store && e->is_cacheable && (g->cache.mode != CACHE_OFF || is_asked_for(w));
}

static bool
mode_admits(
    const struct config_gateway *g, const struct cache_wishes *w, const struct request_facts *facts)
{
	if (is_asked_for(w))
		return true;
	switch (g->cache.mode) {
	case CACHE_ALL:
		return true;
	case CACHE_DETERMINISTIC:
		return facts->is_deterministic;
	case CACHE_OFF:
		return false;
	}
	return false;
}

struct cache_plan
cache_plan_make(const struct config_gateway *g, const struct cache_wishes *w,
    const struct endpoint *e, const struct request_facts *facts, bool has_body_key)
{
	struct cache_plan plan = {0};
	if (!cache_may_plan(g, w, e) || facts->is_stateful || (!has_body_key && w->key.n == 0) ||
	    !mode_admits(g, w, facts))
		return plan;
	plan.ttl_ms = w->has_ttl ? w->ttl_s * 1000 : g->cache.ttl_ms;
	if (!w->has_ttl && plan.ttl_ms == 0 && w->key.n > 0)
		plan.ttl_ms = KEY_TTL_S * 1000;
	plan.may_store = plan.ttl_ms > 0;
	plan.may_read = plan.may_store && !w->skip;
	return plan;
}

/* With respect_upstream: what the provider's cache-control leaves of the time to live. */
static uint64_t
upstream_ttl_ms(const struct headers *h, uint64_t ttl_ms)
{
	if (headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("no-store")) ||
	    headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("no-cache")) ||
	    headers_has_token(h, H_CACHE_CONTROL, SPAN_LIT("private")))
		return 0;
	struct span rest = headers_value(h, H_CACHE_CONTROL), item;
	while (span_next(&rest, ',', &item)) {
		struct span directive = span_trim(item);
		uint64_t seconds;
		if (span_starts_nocase(directive, SPAN_LIT("max-age=")) &&
		    num_u64(span_skip(directive, 8), &seconds) && seconds < ttl_ms / 1000)
			ttl_ms = seconds * 1000;
	}
	return ttl_ms;
}

uint64_t
cache_answer_ttl_ms(
    const struct config_gateway *g, const struct cache_plan *p, const struct cache_answer *a)
{
	if (!p->may_store || a->head->status / 100 != 2 || !a->is_complete || a->has_error ||
	    a->size > g->cache.max_entry)
		return 0;
	return g->cache.respect_upstream ? upstream_ttl_ms(&a->head->headers, p->ttl_ms)
					 : p->ttl_ms;
}
