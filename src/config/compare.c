#include <string.h>

#include "config/config.h"

static bool
is_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Certificates are not looked at: a reload changes them. */
static bool
is_same_listen(const struct config *a, const struct config *b)
{
	bool is_same = a->n_listen == b->n_listen;

	for (size_t i = 0; is_same && i < a->n_listen; i++) {
		const struct config_listen *x = &a->listen[i], *y = &b->listen[i];

		is_same =
		    is_same_text(x->address, y->address) && (x->tls == NULL) == (y->tls == NULL);
	}
	return is_same;
}

static bool
is_same_list(char *const *a, char *const *b)
{
	static char *const none[] = {NULL};

	a = a == NULL ? none : a;
	b = b == NULL ? none : b;
	while (*a != NULL && is_same_text(*a, *b)) {
		a++;
		b++;
	}
	return *a == NULL && *b == NULL;
}

bool
config_name_fixed(const struct config *a, const struct config *b, struct buf *out)
{
	const struct {
		const char *key;
		bool is_same;
	} keys[] = {
	    {"listen", is_same_listen(a, b)},
	    {"data", is_same_text(a->data, b->data)},
	    {"sandbox", a->sandbox == b->sandbox},
	    {"admin.listen", is_same_list(a->admin_listen, b->admin_listen)},
	    {"limits.tls_timeout", a->limits.tls_timeout_ms == b->limits.tls_timeout_ms},
	    {"cache.max_size", a->cache_max_size == b->cache_max_size},
	    {"log.max_size", a->log_max_size == b->log_max_size},
	    {"log.payload_max_size", a->log_payload_max_size == b->log_payload_max_size},
	    {"log.retention", a->log_retention_ms == b->log_retention_ms},
	    {"log.payload_retention", a->log_payload_retention_ms == b->log_payload_retention_ms},
	};
	size_t before = buf_len(out);

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (!keys[i].is_same &&
		    !buf_printf(out, "%s%s", buf_len(out) > before ? ", " : "", keys[i].key))
			return false;
	return true;
}
