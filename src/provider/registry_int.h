/*
 * registry_int: what the registry's files share: the shape of a row, and base URLs taken apart.
 */
#ifndef PROVIDER_REGISTRY_INT_H
#define PROVIDER_REGISTRY_INT_H

#include "provider/registry.h"

struct provider_row {
	const char *slug;
	const char *aliases; /* comma-separated */
	const char *name;
	const char *base_url;
	enum dialect dialect;
	const char *credentials;
	enum provider_join join;
	const char *const *roots; /* NULL, or NULL-terminated */
	bool is_local;            /* off until the configuration names it */
};

#define ROW(slug_, aliases_, name_, url_, dialect_, credentials_, join_, roots_)                   \
	{slug_, aliases_, name_, url_, DIALECT_##dialect_, credentials_, JOIN_##join_, roots_,     \
	    false}
#define LOCAL_ROW(slug_, aliases_, name_, url_, dialect_, credentials_, join_, roots_)             \
	{slug_, aliases_, name_, url_, DIALECT_##dialect_, credentials_, JOIN_##join_, roots_, true}

struct base_url {
	bool is_tls;
	struct span host; /* as written, without the brackets of an IPv6 literal */
	uint16_t port;
	struct span path; /* without trailing '/' */
	bool is_literal;  /* an address, or "localhost" */
	bool has_labels;  /* "{1}" in it */
};
/* Views into text. Returns NULL, or a static text that says what is wrong. */
const char *base_url_parse(struct span text, bool may_have_labels, struct base_url *out);

#endif
