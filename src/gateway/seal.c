#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "gateway/exchange_int.h"
#include "gateway/gateway_int.h"
#include "gateway/reader.h"
#include "provider/redact.h"

/* Answers above are sealed by a worker: at some 400 MB/s the loop would stand. */
#define OFF_LOOP_BYTES (256 * 1024)
#define COMMIT_PURPOSE "cache/v1"

bool
seal_begin(struct exchange *x)
{
	struct span credential = credential_value(&x->head.headers, x->to.query);
	if (credential.n == 0)
		return false;
	seal_key_derive(x->g->parts.seal_salt, credential, SPAN_LIT(COMMIT_PURPOSE), &x->seal_key);
	x->is_sealed = true;
	return true;
}

/* What stands in the store for a preimage that must not be read there. */
static void
commit(const struct exchange *x, struct span preimage, uint8_t out[SHA256_BYTES])
{
	hmac_sha256(x->seal_key.bytes, &preimage, 1, out);
}

struct entry *
find_entry(struct exchange *x, const struct entry_key *key, struct span preimage, int64_t now_ms)
{
	uint8_t mac[SHA256_BYTES];
	if (!x->is_sealed)
		return entry_find(x->g->parts.entries, key, preimage, now_ms);
	commit(x, preimage, mac);
	return entry_find(x->g->parts.entries, key, span_of(mac, sizeof(mac)), now_ms);
}

/* One large answer on its way through a worker into the store. Owns all that it points at. */
struct seal_job {
	struct entries *entries;
	struct seal_key key;
	struct entry_new entry;
	struct buf preimage, answer, names, sealed;
	bool is_sealed;
};

static void
put(struct entries *entries, const struct entry_new *n)
{
	/* No room is no fault of the exchange; the store counts it. */
	enum err e = entries_put(entries, n);
	UNUSED(e);
}

static void
put_sealed(struct entries *entries, struct entry_new *n, struct buf *sealed)
{
	n->body = buf_view(sealed);
	n->body_buf = sealed;
	put(entries, n);
}

static void
seal_work(void *ctx)
{
	struct seal_job *j = ctx;
	j->is_sealed = reader_seal(
	    &j->key, &j->entry.key, buf_view(&j->preimage), buf_view(&j->answer), &j->sealed);
}

static void
seal_done(void *ctx)
{
	struct seal_job *j = ctx;
	if (j->is_sealed)
		put_sealed(j->entries, &j->entry, &j->sealed);
	buf_fini(&j->preimage);
	buf_fini(&j->answer);
	buf_fini(&j->names);
	buf_fini(&j->sealed);
	zeroize(&j->key, sizeof(j->key));
	free(j);
}

/* Copies the small parts behind each other and points the entry at the copies. */
static bool
own_names(struct seal_job *j)
{
	struct span *parts[] = {&j->entry.preimage, &j->entry.gateway, &j->entry.provider,
	    &j->entry.model, &j->entry.headers};
	size_t at = 0;
	buf_init(&j->names, 64 * 1024);
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		if (!buf_put_span(&j->names, *parts[i]))
			return false;
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		*parts[i] = span_of(buf_view(&j->names).p + at, parts[i]->n);
		at += parts[i]->n;
	}
	return true;
}

static void
seal_later(struct exchange *x, const struct entry_new *n)
{
	struct seal_job *j = xcalloc(1, sizeof(*j));
	j->entries = x->g->parts.entries;
	j->key = x->seal_key;
	j->entry = *n;
	buf_init(&j->preimage, buf_len(&x->preimage));
	buf_init(&j->sealed, seal_size(buf_len(&x->preimage) + n->body.n + 64));
	/* The exchange has no more use for the captured answer. */
	j->answer = x->capture.body;
	buf_init(&x->capture.body, 0);
	if (buf_put_span(&j->preimage, buf_view(&x->preimage)) && own_names(j))
		work_start(x->g->loop, seal_work, seal_done, j);
	else
		seal_done(j);
}

void
put_entry(struct exchange *x, struct entry_new *n)
{
	uint8_t mac[SHA256_BYTES];
	struct buf sealed;
	if (!x->is_sealed) {
		put(x->g->parts.entries, n);
		return;
	}
	struct span preimage = n->preimage;
	commit(x, preimage, mac);
	n->preimage = span_of(mac, sizeof(mac));
	n->preimage_buf = NULL;
	if (n->body.n > OFF_LOOP_BYTES) {
		seal_later(x, n);
		return;
	}
	buf_init(&sealed, seal_size(preimage.n + n->body.n + 64));
	if (reader_seal(&x->seal_key, &n->key, preimage, n->body, &sealed))
		put_sealed(x->g->parts.entries, n, &sealed);
	buf_fini(&sealed);
}
