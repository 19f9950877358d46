/*
 * route: from the path of a request to who answers it (design.md 3.3). Pure.
 *
 *   /{provider}/{rest}                          native, gateway "default"
 *   /v1/{account}/{gateway}/{provider}/{rest}   the same, Cloudflare's form
 *   /-/...  /client/...                         local: the admin room
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include <stdbool.h>

#include "base/chk.h"
#include "base/err.h"
#include "base/span.h"

struct config_gateway;
struct provider;
struct setup;

struct route {
	const struct config_gateway
	    *gateway; /* never NULL: the default one where the path names none that is known */
	struct span gateway_name;        /* as it was asked for */
	const struct provider *provider; /* NULL: local, or unknown */
	struct span account;
	struct span slug; /* as it was asked for */
	struct span rest; /* behind the slug: empty or from its '/' on */
	bool is_local;
	bool is_cloudflare_form;
	const char *hint; /* with an error: what to do; static text or NULL */
};

/* E_OK, E_UNKNOWN_GATEWAY, E_UNKNOWN_PROVIDER or E_NOT_FOUND; what is known is filled in all cases. */
MUST_CHECK enum err route_find(const struct setup *s, struct span path, struct route *out);

#endif
