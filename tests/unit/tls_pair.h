/*
 * Two engines face to face, without a network between them.
 */
#ifndef TESTS_UNIT_TLS_PAIR_H
#define TESTS_UNIT_TLS_PAIR_H

#include "base/chk.h"
#include "pki.h"
#include "tls/engine.h"
#include "tls/server.h"

/* A server context from PEM texts; the files are gone again when it returns. */
static inline struct tls_ctx *
pki_server(const char *chain, const char *key)
{
	char detail[256];
	struct pki_pair pair;
	struct tls_ctx *c;

	pki_pair_put(&pair, chain, key);
	c = tls_server_new(
	    &(struct config_listen){.tls = &pair.config, .n_tls = 1}, NULL, detail, sizeof(detail));
	pki_pair_drop(&pair);
	CHK(c != NULL);
	return c;
}

static inline struct tls_ctx *
pki_client(const char *root)
{
	char file[PKI_PATH], detail[256];
	struct tls_ctx *c;

	pki_file(file, root);
	c = tls_client_new(file, detail, sizeof(detail));
	unlink(file);
	CHK(c != NULL);
	return c;
}

/* Moves what `from` has to send, at most `chunk` bytes at a time and `most` in all. */
static inline size_t
tls_move(struct tls *from, struct tls *to, size_t chunk, size_t most)
{
	struct span out = span_head(tls_output(from), most);
	size_t moved = 0, n = 1;

	while (moved < out.n && n > 0) {
		n = tls_feed(to, span_head(span_skip(out, moved), chunk));
		moved += n;
	}
	tls_output_drop(from, moved);
	return moved;
}

#endif
