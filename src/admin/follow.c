#include "admin/command_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/chk.h"

#define PENDING_MAX (4 * 1024 * 1024)
#define ROWS_MAX (16 * 1024 * 1024)
#define STEP_BYTES (512 * 1024)

struct follow *
follow_new(void)
{
	struct follow *f = xcalloc(1, sizeof(*f));
	buf_init(&f->pending, PENDING_MAX);
	buf_init(&f->taken, PENDING_MAX);
	buf_init(&f->rows, ROWS_MAX);
	return f;
}

void
follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	if (f->is_watching)
		journal_watch_stop(&f->watch);
	buf_fini(&f->pending);
	buf_fini(&f->taken);
	buf_fini(&f->rows);
	free(f);
}

/* ---- on the loop ---- */

static void
on_record(void *ctx, struct span record)
{
	struct follow *f = ctx;
	uint32_t n = (uint32_t)record.n;
	if (buf_len(&f->pending) + sizeof(n) + n > f->pending.max ||
	    !buf_put(&f->pending, &n, sizeof(n)) || !buf_put_span(&f->pending, record))
		f->lost++;
	f->woken(f->ctx);
}

void
command_watch(struct command *c, void (*woken)(void *ctx), void *ctx)
{
	struct follow *f = c->follow;
	if (f == NULL)
		return;
	f->woken = woken;
	f->ctx = ctx;
	f->is_watching = true;
	journal_watch_start(c->stores.journal, &f->watch, on_record, f);
}

bool
command_is_endless(const struct command *c)
{
	return c->follow != NULL;
}

bool
command_has_news(const struct command *c)
{
	return c->follow != NULL && (buf_len(&c->follow->pending) > 0 || c->follow->lost > 0);
}

uint64_t
command_collect(struct command *c, bool is_last)
{
	struct follow *f = c->follow;
	if (f == NULL || buf_len(&f->taken) > 0)
		return 0;
	uint64_t lost = f->lost;
	struct buf empty = f->taken;
	buf_reset(&empty);
	f->taken = f->pending;
	f->pending = empty;
	f->lost = 0;
	f->is_last = is_last;
	return lost;
}

/* ---- steps ---- */

static bool
keep_row(void *ctx, const struct record *r)
{
	struct command *c = ctx;
	struct follow *f = c->follow;
	if (!command_put(c, r, &f->rows))
		return false;
	f->ids[f->n] = r->id;
	f->ends[f->n++] = buf_len(&f->rows);
	return true;
}

/* The last of before: found newest first, shown oldest first. */
static enum command_result
put_past(struct command *c, struct buf *out)
{
	struct follow *f = c->follow;
	size_t before = f->n;
	c->query.limit = c->left;
	bool is_more = c->left > 0 && query_run(c->stores.records, &c->query, keep_row, c);
	c->left -= f->n - before;
	if (is_more && c->left > 0 && buf_len(&f->rows) < ROWS_MAX / 2)
		return COMMAND_MORE;
	bool ok = command_put_heading(c, out);
	for (size_t i = f->n; ok && i > 0; i--) {
		size_t from = i > 1 ? f->ends[i - 2] : 0;
		ok = buf_put(out, buf_view(&f->rows).p + from, f->ends[i - 1] - from);
	}
	f->is_past_done = true;
	buf_fini(&f->rows);
	return ok ? COMMAND_WAIT : COMMAND_FAILED;
}

/* A record that was written while the past was read may be in both. */
static bool
was_shown(const struct follow *f, const struct id *id)
{
	for (size_t i = 0; i < f->n; i++)
		if (memcmp(&f->ids[i], id, sizeof(*id)) == 0)
			return true;
	return false;
}

static bool
put_new(struct command *c, struct span bytes, struct buf *out)
{
	struct record r;
	if (!record_decode(bytes, &r) || !query_matches(&c->query, &r) ||
	    was_shown(c->follow, &r.id))
		return true;
	return command_put(c, &r, out);
}

enum command_result
command_follow(struct command *c, struct buf *out)
{
	struct follow *f = c->follow;
	if (!f->is_past_done)
		return put_past(c, out);
	while (buf_len(&f->taken) > 0) {
		struct span rest = buf_view(&f->taken);
		uint32_t n;
		memcpy(&n, rest.p, sizeof(n));
		struct span record = span_head(span_skip(rest, sizeof(n)), n);
		if (buf_len(out) >= STEP_BYTES || !put_new(c, record, out))
			return COMMAND_MORE;
		buf_drop(&f->taken, sizeof(n) + n);
	}
	f->n = 0; /* what comes from now on was not there then */
	return f->is_last ? COMMAND_DONE : COMMAND_WAIT;
}
