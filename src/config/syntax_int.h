/*
 * syntax: what the strings of the configuration may look like. Syntax only: nothing is resolved,
 * opened or looked up.
 *
 * The syntax_* checks are config_check_fn (config/table.h): NULL when fine, else the rest of a
 * sentence that begins with the key's name, with the mend behind a semicolon. They never repeat
 * the value, which may be a secret.
 */
#ifndef CONFIG_SYNTAX_INT_H
#define CONFIG_SYNTAX_INT_H

#include "base/span.h"

/* Any string: not empty, UTF-8, and nothing in it that a YAML file could not say back in quotes. */
const char *syntax_text(struct span s);

const char *syntax_address(struct span s); /* host:port, :port, [v6]:port, unix:/path */
const char *syntax_base_url(struct span s);
const char *syntax_authority(struct span s); /* HOST[:PORT] of a URL */
const char *syntax_proxy(struct span s);
const char *syntax_path(struct span s);
const char *syntax_host(struct span s);
const char *syntax_network(struct span s); /* an IP address, ADDRESS/BITS or "unix" */
const char *syntax_gateway_name(struct span s);
const char *syntax_provider_slug(struct span s);

/* Of addresses that syntax_address passed. */
bool syntax_address_is_local(struct span s); /* loopback or Unix */
bool syntax_address_is_same(
    struct span a, struct span b); /* whatever the spelling; not for port 0 */

#endif
