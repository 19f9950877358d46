/*
 * The last session of each server name. In memory only: a session is a key.
 */
#include "tls/context_int.h"

#include <stdlib.h>
#include <string.h>

/* Names come from the configuration and, for a few providers, from labels in the path. */
#define SESSIONS_MAX 128

struct session {
	struct list link;
	mbedtls_ssl_session tls;
	char name[];
};

static struct session *
find(struct tls_ctx *c, const char *name)
{
	LIST_EACH(node, &c->sessions)
	{
		struct session *s = CONTAINER_OF(node, struct session, link);

		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static void
drop(struct tls_ctx *c, struct session *s)
{
	list_remove(&s->link);
	c->n_sessions--;
	mbedtls_ssl_session_free(&s->tls);
	free(s);
}

void
session_keep(struct tls_ctx *c, const char *name, mbedtls_ssl_context *ssl)
{
	size_t size = strlen(name) + 1;
	struct session *s = xmalloc(sizeof(*s) + size);

	memcpy(s->name, name, size);
	mbedtls_ssl_session_init(&s->tls);
	/* Fails when this session was handed out before: then the one we have is the same. */
	if (mbedtls_ssl_get_session(ssl, &s->tls) != 0) {
		mbedtls_ssl_session_free(&s->tls);
		free(s);
		return;
	}
	session_forget(c, name);
	if (c->n_sessions >= SESSIONS_MAX)
		drop(c, CONTAINER_OF(c->sessions.prev, struct session, link));
	list_push(&c->sessions, &s->link);
	c->n_sessions++;
}

bool
session_offer(struct tls_ctx *c, const char *name, mbedtls_ssl_context *ssl)
{
	struct session *s = find(c, name);

	if (s == NULL)
		return false;
	if (mbedtls_ssl_set_session(ssl, &s->tls) == 0)
		return true;
	drop(c, s);
	return false;
}

void
session_forget(struct tls_ctx *c, const char *name)
{
	struct session *s = find(c, name);

	if (s != NULL)
		drop(c, s);
}

void
session_forget_all(struct tls_ctx *c)
{
	while (!list_is_empty(&c->sessions))
		drop(c, CONTAINER_OF(c->sessions.next, struct session, link));
}
