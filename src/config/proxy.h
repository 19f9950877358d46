/*
 * proxy: what upstream.proxy and upstream.no_proxy say, taken apart.
 *
 * The forms are those of HTTPS_PROXY and NO_PROXY as other programs read them:
 * [http://][USER[:PASSWORD]@]HOST[:PORT][/], user and password percent-encoded, port 80 if none is
 * given; and a list of "*", "HOST[:PORT]", ".DOMAIN" and addresses.
 */
#ifndef CONFIG_PROXY_H
#define CONFIG_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* Views into the text that was read. */
struct proxy {
	struct span host; /* IPv6 without brackets */
	struct span user; /* "USER[:PASSWORD]" as written; n == 0: none */
	uint16_t port;
};

/* NULL: fine. Else what is wrong and the mend, to stand behind the key's name; never the text itself. */
const char *proxy_read(struct span text, struct proxy *out);

/* Whether a list (NULL-terminated; an item may itself be comma-separated) names the host: as it is, as
 * a domain above it, or by "*"; with a port only on that port. */
bool no_proxy_has(char *const *list, struct span host, uint16_t port);

#endif
