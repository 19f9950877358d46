#include "journal/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/num.h"
#include "crypto/crypto.h"
#include "crypto/memo.h"
#include "crypto/seal.h"
#include "http/message.h"
#include "http/target.h"
#include "journal/payload.h"
#include "journal/record_int.h"
#include "journal/sealed.h"
#include "json/json.h"
#include "obs/metric.h"
#include "provider/redact.h"
#include "store/records.h"

#define TEXT_MAX 512 /* of a field that a peer chose */
#define PATH_MAX_BYTES 2048
#define METADATA_MAX 4096
#define METADATA_MEMBERS 16
#define SMALL_BUFFER (64 * 1024) /* larger ones are given back */

struct journal {
	struct records *records;
	uint8_t key[32];
	uint8_t seal_salt[32];
	struct journal_bodies *bodies; /* of small exchanges, reused */
	struct buf encoded;            /* reused */
	struct buf text;
	struct list watchers;
};

struct journal_bodies {
	const struct journal *journal; /* its seal_salt, which never changes */
	struct payload payloads[RECORD_PAYLOADS];
	struct buf sealed[RECORD_PAYLOADS];
};

struct journal *
journal_new(struct records *records, const uint8_t key[32], const uint8_t seal_salt[32])
{
	struct journal *j = xcalloc(1, sizeof(*j));
	j->records = records;
	memcpy(j->key, key, sizeof(j->key));
	memcpy(j->seal_salt, seal_salt, sizeof(j->seal_salt));
	buf_init(&j->encoded, 64 * 1024);
	buf_init(&j->text, 64 * 1024);
	list_init(&j->watchers);
	j->bodies = journal_bodies_new(j);
	return j;
}

void
journal_free(struct journal *j)
{
	if (j == NULL)
		return;
	buf_fini(&j->encoded);
	buf_fini(&j->text);
	journal_bodies_free(j->bodies);
	zeroize(j->key, sizeof(j->key));
	free(j);
}

/* A peer's text, cut and redacted, in the arena. Empty when there is no room for it. A word of ours hides nothing. */
static struct span
clean(struct journal *j, struct span text, size_t max, struct arena *a)
{
	int word;
	if (text.n == 0)
		return SPAN_NONE;
	if (record_word_find(text, &word) && record_word(word, &text))
		return text;
	buf_reset(&j->text);
	if (!text_redact(span_head(text, max), &j->text))
		return SPAN_NONE;
	return arena_dup(a, buf_view(&j->text));
}

static struct span
clean_path(struct journal *j, const struct target *t, struct arena *a)
{
	if (t->query.p == NULL)
		return clean(j, t->path, PATH_MAX_BYTES, a);
	buf_reset(&j->text);
	if (!text_redact(span_head(t->path, PATH_MAX_BYTES), &j->text) ||
	    !buf_putc(&j->text, '?') ||
	    !query_redact(span_head(t->query, PATH_MAX_BYTES), &j->text))
		return SPAN_NONE;
	return arena_dup(a, buf_view(&j->text));
}

static struct span
key_id_of(struct journal *j, const struct journal_entry *e, struct arena *a)
{
	struct span credential = credential_value(&e->head->headers, e->target->query);
	if (credential.n == 0)
		return SPAN_NONE;
	uint8_t mac[SHA256_BYTES];
	char text[9];
	memo_hmac(e->key_memo, j->key, credential, mac);
	num_hex(mac, 4, text);
	return arena_dup(a, span_of(text, 8));
}

void
journal_count(const struct record *r)
{
	static const enum metric verdicts[] = {M_REQ_HIT, M_REQ_STALE, M_REQ_MISS, M_REQ_BYPASS};
	metric_add(verdicts[r->cache], 1);
	if (r->status >= 100 && r->status < 600)
		metric_add((enum metric)(M_RESP_1XX + r->status / 100 - 1), 1);
	if (r->cache == RECORD_MISS || r->cache == RECORD_BYPASS) {
		if (r->tokens_in > 0)
			metric_add(M_TOKENS_IN, (uint64_t)r->tokens_in);
		if (r->tokens_out > 0)
			metric_add(M_TOKENS_OUT, (uint64_t)r->tokens_out);
	}
	metric_add(M_BYTES_IN, (uint64_t)r->request_size);
	metric_add(M_BYTES_OUT, (uint64_t)r->response_size);
	if (r->duration_us >= 0)
		metric_observe_us(M_DURATION, (uint64_t)r->duration_us);
	if (r->overhead_us >= 0)
		metric_observe_us(M_OVERHEAD, (uint64_t)r->overhead_us);
	if (r->ttfb_us >= 0 && r->attempts > 0)
		metric_observe_us(M_TTFB, (uint64_t)r->ttfb_us);
}

/* ---- the bodies ---- */

struct journal_bodies *
journal_bodies_new(const struct journal *j)
{
	struct journal_bodies *b = xcalloc(1, sizeof(*b));
	b->journal = j;
	return b;
}

void
journal_bodies_free(struct journal_bodies *b)
{
	if (b == NULL)
		return;
	for (int i = 0; i < RECORD_PAYLOADS; i++) {
		payload_fini(&b->payloads[i]);
		buf_fini(&b->sealed[i]);
	}
	free(b);
}

/* What is kept of a body, under the caller's key; nothing where there is none. */
static void
seal_payload(struct journal_bodies *b, const struct journal_entry *e, int which)
{
	struct payload *p = &b->payloads[which];
	struct buf *out = &b->sealed[which];
	struct sealer s = {.credential = credential_value(&e->head->headers, e->target->query)};
	memcpy(s.salt, b->journal->seal_salt, sizeof(s.salt));
	if (out->cap > SMALL_BUFFER)
		buf_fini(out);
	out->max = seal_size(SEALED_BODY_MAX) + 64;
	buf_reset(out);
	if (p->bytes.n > SEALED_BODY_MAX) {
		p->bytes = span_head(p->bytes, SEALED_BODY_MAX);
		p->kept = SEALED_BODY_MAX;
	}
	bool ok = p->bytes.p != NULL && s.credential.n > 0 &&
	    sealed_put(&s, &e->record.id, which, p->bytes, out);
	p->bytes = ok ? buf_view(out) : SPAN_NONE;
}

void
journal_bodies_make(struct journal_bodies *b, const struct journal_entry *e)
{
	const struct headers *h = &e->head->headers;
	struct payload_body request = {.bytes = e->request,
	    .size = e->record.request_size,
	    .content_type = headers_value(h, H_CONTENT_TYPE),
	    .content_encoding = headers_value(h, H_CONTENT_ENCODING)};
	struct payload_body reply = {.bytes = e->reply, .size = e->record.response_size};
	if (e->response != NULL) {
		reply.content_type = headers_value(e->response, H_CONTENT_TYPE);
		reply.content_encoding = headers_value(e->response, H_CONTENT_ENCODING);
	}
	payload_make(&b->payloads[RECORD_REQUEST], &request, e->max_payload, e->scrub);
	payload_make(&b->payloads[RECORD_RESPONSE], &reply, e->max_payload, e->scrub);
	for (int i = 0; e->seal && i < RECORD_PAYLOADS; i++)
		seal_payload(b, e, i);
}

static const struct payload *
payloads_of(struct journal *j, const struct journal_entry *e)
{
	if (e->prepared != NULL)
		return e->prepared->payloads;
	journal_bodies_make(j->bodies, e);
	return j->bodies->payloads;
}

static void
tell_watchers(struct journal *j)
{
	LIST_EACH(node, &j->watchers)
	{
		struct journal_watch *w = CONTAINER_OF(node, struct journal_watch, link);
		w->fn(w->ctx, buf_view(&j->encoded));
	}
}

void
journal_watch_start(struct journal *j, struct journal_watch *w,
    void (*fn)(void *ctx, struct span record), void *ctx)
{
	w->fn = fn;
	w->ctx = ctx;
	list_append(&j->watchers, &w->link);
}

void
journal_watch_stop(struct journal_watch *w)
{
	list_remove(&w->link);
}

void
journal_write(struct journal *j, const struct journal_entry *e, struct arena *a)
{
	struct record r = e->record;
	const struct headers *h = &e->head->headers;
	r.method = e->head->method_text;
	r.path = clean_path(j, e->target, a);
	r.model = clean(j, e->model, TEXT_MAX, a);
	r.account = clean(j, r.account, TEXT_MAX, a);
	/* These too may be words of a path that names none: a key in the wrong place. */
	r.gateway = clean(j, r.gateway, TEXT_MAX, a);
	r.provider = clean(j, r.provider, TEXT_MAX, a);
	r.event_id = clean(j, headers_value(h, H_CF_AIG_EVENT_ID), TEXT_MAX, a);
	r.user_agent = clean(j, headers_value(h, H_USER_AGENT), TEXT_MAX, a);
	r.metadata = clean(j, headers_value(h, H_CF_AIG_METADATA), METADATA_MAX, a);
	r.request_content_type = clean(j, headers_value(h, H_CONTENT_TYPE), TEXT_MAX, a);
	if (e->response != NULL)
		r.response_content_type =
		    clean(j, headers_value(e->response, H_CONTENT_TYPE), TEXT_MAX, a);
	r.key_id = key_id_of(j, e, a);
	const struct payload *kept = payloads_of(j, e);
	r.has_payload_request = kept[RECORD_REQUEST].bytes.p != NULL;
	r.has_payload_response = kept[RECORD_RESPONSE].bytes.p != NULL;
	r.request_kept = kept[RECORD_REQUEST].kept;
	r.response_kept = kept[RECORD_RESPONSE].kept;
	journal_count(&r);
	buf_reset(&j->encoded);
	if (!record_encode(&r, &j->encoded)) {
		metric_add(M_LOG_LOST, 1);
		return;
	}
	struct span payloads[RECORD_PAYLOADS] = {
	    kept[RECORD_REQUEST].bytes, kept[RECORD_RESPONSE].bytes};
	record_append(j->records, &r.id, buf_view(&j->encoded), payloads);
	tell_watchers(j);
}

static enum err
read_flag(const struct headers *h, enum header_id id, bool *flag)
{
	struct span text = headers_value(h, id);
	if (text.p == NULL)
		return E_OK;
	bool is_true = span_eq_nocase(text, SPAN_LIT("true"));
	if (!is_true && !span_eq_nocase(text, SPAN_LIT("false")))
		return E_BAD_HEADER;
	*flag = is_true;
	return E_OK;
}

static bool
is_flat_object(struct span text)
{
	struct json_doc *doc = json_parse(text);
	bool ok = doc != NULL && json_type(json_root(doc)) == JSON_OBJECT &&
	    json_size(json_root(doc)) <= METADATA_MEMBERS;
	if (ok) {
		struct json_iter it = json_iter(json_root(doc));
		struct span key;
		struct json_val v;
		while (json_next(&it, &key, &v))
			ok = ok && json_type(v) != JSON_ARRAY && json_type(v) != JSON_OBJECT;
	}
	json_free(doc);
	return ok;
}

enum err
journal_wishes_read(const struct headers *h, struct journal_wishes *w, const char **hint)
{
	if (read_flag(h, H_CF_AIG_COLLECT_LOG, &w->collect) != E_OK ||
	    read_flag(h, H_CF_AIG_COLLECT_LOG_PAYLOAD, &w->payload) != E_OK) {
		*hint = "cf-aig-collect-log and cf-aig-collect-log-payload are true or false";
		return E_BAD_HEADER;
	}
	struct span metadata = headers_value(h, H_CF_AIG_METADATA);
	if (metadata.p != NULL && (metadata.n > METADATA_MAX || !is_flat_object(metadata))) {
		*hint =
		    "cf-aig-metadata is a flat JSON object: at most 16 members, strings, numbers, booleans or null, 4 KB";
		return E_BAD_HEADER;
	}
	return E_OK;
}
