#include "admin/command_int.h"

#include <string.h>

#include "journal/sealed.h"
#include "store/records.h"

#define STEP_RECORDS 500

bool
command_put(const struct command *c, const struct record *r, struct buf *out)
{
	size_t before = buf_len(out);
	bool ok = false;
	switch (c->form) {
	case FORM_ROW:
		ok = query_row(r, out);
		break;
	case FORM_JSON:
		ok = record_json(r, out) && buf_putc(out, '\n');
		break;
	case FORM_CSV:
		ok = record_csv(r, out);
		break;
	}
	if (!ok)
		buf_cut(out, before);
	return ok;
}

/* Once. */
bool
command_put_heading(struct command *c, struct buf *out)
{
	if (c->has_begun || c->form == FORM_JSON)
		return true;
	c->has_begun = true;
	return c->form == FORM_CSV ? record_csv_heading(out) : query_heading(out);
}

struct page {
	const struct command *c;
	struct buf *out;
	uint64_t n;
};

static bool
put_record(void *ctx, const struct record *r)
{
	struct page *p = ctx;
	if (!command_put(p->c, r, p->out))
		return false;
	p->n++;
	return true;
}

/* A page of what matches, or nothing after many that do not. */
enum command_result
command_list(struct command *c, struct buf *out)
{
	if (!command_put_heading(c, out))
		return COMMAND_FAILED;
	struct page p = {.c = c, .out = out};
	bool has_limit = c->left > 0;
	c->query.limit = has_limit && c->left < STEP_RECORDS ? c->left : STEP_RECORDS;
	bool is_more = query_run(c->stores.records, &c->query, put_record, &p);
	c->left -= has_limit ? p.n : 0;
	return is_more && !(has_limit && c->left == 0) ? COMMAND_MORE : COMMAND_DONE;
}

static const struct sealer *
sealer_of(const struct command *c, struct sealer *out)
{
	if (c->unseal.n == 0 || c->stores.seal_salt == NULL)
		return NULL;
	memcpy(out->salt, c->stores.seal_salt, sizeof(out->salt));
	out->credential = c->unseal;
	return out;
}

enum command_result
command_show(struct command *c, struct buf *out)
{
	struct buf bytes;
	struct record r;
	struct sealer sealer;
	buf_init(&bytes, 64 * 1024);
	enum command_result result = COMMAND_FAILED;
	if (!record_read(c->stores.records, &c->id, &bytes) ||
	    !record_decode(buf_view(&bytes), &r)) {
		bool ok = buf_printf(out, "no record has this id");
		UNUSED(ok);
	} else if (c->is_json
		? query_show_json(c->stores.records, &r, sealer_of(c, &sealer), out) &&
		    buf_putc(out, '\n')
		: query_show(c->stores.records, &r, sealer_of(c, &sealer), out)) {
		result = COMMAND_DONE;
	} else {
		buf_reset(out);
		bool ok = buf_printf(out, "the record is too large to show");
		UNUSED(ok);
	}
	buf_fini(&bytes);
	return result;
}
