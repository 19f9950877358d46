#include "gateway/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/span.h"
#include "config/config.h"
#include "gateway/proxy.h"
#include "gateway/trust.h"
#include "obs/log.h"
#include "provider/registry.h"
#include "tls/context.h"

static bool
define_providers(struct setup *s, char *detail, size_t detail_size)
{
	for (size_t i = 0; i < s->config->n_providers; i++) {
		const struct config_provider *p = &s->config->providers[i];
		const char *wrong = registry_define(
		    s->registry, p->slug, p->base_url, p->dialect, p->allow_private, p->ca);
		if (wrong != NULL) {
			snprintf(detail, detail_size, "providers.%s: %s", p->slug, wrong);
			return false;
		}
	}
	return true;
}

/* CA files are read at start, so that a bad one is an error then and not with the first request. The
 * system's roots are read at first use: that takes longer than the start may. */
static bool
load_own_roots(struct setup *s, char *detail, size_t detail_size)
{
	const char *general = s->config->upstream.ca;
	struct tls_ctx *shared = NULL;
	for (size_t i = 0; i < registry_count(s->registry); i++) {
		const struct provider *p = registry_at(s->registry, i);
		if (!p->is_tls || (p->ca.n == 0 && general == NULL))
			continue;
		if (p->ca.n == 0 && shared != NULL) {
			s->tls[i] = tls_ctx_ref(shared);
			continue;
		}
		char *file = span_dup(p->ca.n != 0 ? p->ca : span_str(general));
		s->tls[i] = tls_client_new(file, detail, detail_size);
		free(file);
		if (s->tls[i] == NULL)
			return false;
		if (p->ca.n == 0)
			shared = s->tls[i];
	}
	return true;
}

struct setup *
setup_new(struct config *config, const char *via, char *detail, size_t detail_size)
{
	struct setup *s = xcalloc(1, sizeof(*s));
	s->refs = 1;
	s->config = config;
	s->proxy = proxy_way_new(config);
	s->registry = registry_new();
	snprintf(s->via, sizeof(s->via), "%s", via);
	const char *wrong = NULL;
	s->trust = trust_new(config->trusted_proxies, &wrong);
	if (s->trust == NULL) {
		snprintf(
		    detail, detail_size, "trusted_proxies: '%s' is no address or block", wrong);
		goto free_setup;
	}
	if (!define_providers(s, detail, detail_size))
		goto free_setup;
	s->tls = xcalloc(registry_count(s->registry), sizeof(*s->tls));
	if (!load_own_roots(s, detail, detail_size))
		goto free_setup;
	return s;
free_setup:
	setup_unref(s);
	return NULL;
}

struct setup *
setup_ref(struct setup *s)
{
	s->refs++;
	return s;
}

void
setup_unref(struct setup *s)
{
	if (s == NULL || --s->refs != 0)
		return;
	for (size_t i = 0; s->tls != NULL && i < registry_count(s->registry); i++)
		tls_ctx_unref(s->tls[i]);
	free(s->tls);
	registry_free(s->registry);
	proxy_way_free(s->proxy);
	trust_free(s->trust);
	config_unref(s->config);
	free(s);
}

struct tls_ctx *
setup_tls(struct setup *s, const struct provider *p)
{
	if (s->tls[p->index] != NULL)
		return s->tls[p->index];
	/* One context for all providers with the system's roots: the first that was made. */
	for (size_t i = 0; i < registry_count(s->registry); i++) {
		if (s->tls[i] != NULL && registry_at(s->registry, i)->ca.n == 0) {
			s->tls[p->index] = tls_ctx_ref(s->tls[i]);
			return s->tls[p->index];
		}
	}
	char detail[256];
	s->tls[p->index] = tls_client_new(NULL, detail, sizeof(detail));
	if (s->tls[p->index] == NULL)
		log_line(LOG_ERROR, "upstream TLS: %s", detail);
	return s->tls[p->index];
}
