#include "admin/local.h"

#include "config/config.h"
#include "gateway/setup.h"
#include "net/address.h"
#include "obs/metric.h"
#include "store/entries.h"
#include "store/records.h"

/* "host", "host:8080", "[::1]:8080" -> host without brackets */
static struct span
host_only(struct span value)
{
	if (value.n > 0 && value.p[0] == '[')
		return span_head(span_skip(value, 1), span_find(value, ']') - 1);
	return span_head(value, span_find(value, ':'));
}

/* A page in a browser must not reach us under a name of its own choosing (DNS rebinding). */
static bool
is_our_host(const struct local *l, const struct local_request *rq)
{
	struct span host = host_only(headers_value(&rq->head->headers, H_HOST));
	char own[ADDRESS_TEXT_SIZE];
	if (address_kind(rq->local) == ADDRESS_UNIX || span_eq_nocase(host, SPAN_LIT("localhost")))
		return true;
	address_ip_text(rq->local, own);
	if (span_eq(host, span_str(own)))
		return true;
	char **names = gateway_setup(l->gateway)->config->admin_hosts;
	for (; names != NULL && *names != NULL; names++)
		if (span_eq_nocase(host, span_str(*names)))
			return true;
	return false;
}

static void
answer_ready(const struct local *l, struct local_reply *out)
{
	bool is_draining = gateway_is_draining(l->gateway);
	const char *word = is_draining                                         ? "draining"
	    : records_is_failing(l->records) || gateway_is_pressed(l->gateway) ? "degraded"
									       : "ready";
	out->status = is_draining ? 503 : 200;
	if (!buf_printf(&out->body, "%s\n", word))
		out->refused = E_NOMEM;
}

static void
answer_metrics(const struct local *l, struct local_reply *out)
{
	struct entries_stats s;
	(void)gateway_is_pressed(l->gateway);
	entries_stats(l->entries, &s);
	metric_set(M_CACHE_BYTES, s.bytes);
	metric_set(M_CACHE_ENTRIES, s.entries + s.pending);
	out->content_type = "text/plain; version=0.0.4; charset=utf-8";
	if (!metric_render(&out->body))
		out->refused = E_NOMEM;
}

void
local_answer(void *ctx, const struct local_request *rq, struct local_reply *out)
{
	const struct local *l = ctx;
	struct span path = rq->target.path;
	bool is_read = rq->head->method == METHOD_GET || rq->head->method == METHOD_HEAD;
	bool is_health = span_eq(path, SPAN_LIT("/-/healthz")),
	     is_ready = span_eq(path, SPAN_LIT("/-/readyz"));
	bool is_metrics = span_eq(path, SPAN_LIT("/-/metrics"));
	out->status = 200;
	out->content_type = "text/plain; charset=utf-8";
	out->refused = E_OK;
	if (!(is_health || is_ready || (is_metrics && rq->is_admin_listener)))
		out->refused = E_NOT_FOUND;
	else if (is_metrics && !is_our_host(l, rq))
		out->refused = E_MISDIRECTED;
	else if (!is_read)
		out->refused = E_METHOD_NOT_ALLOWED;
	else if (is_ready)
		answer_ready(l, out);
	else if (is_metrics)
		answer_metrics(l, out);
	else if (!buf_put(&out->body, "ok\n", 3))
		out->refused = E_NOMEM;
}
