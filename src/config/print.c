#include "config/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "config/quote_int.h"
#include "config/value_int.h"

struct printer {
	const struct config *c;
	struct buf *out;
	void *base;
};

static bool print_section(const struct printer *p, const char *section, int depth);

static bool
indent(struct buf *out, int depth)
{
	return buf_printf(out, "%*s", 2 * depth, "");
}

static bool
print_strings(char *const *list, struct buf *out)
{
	bool ok = buf_putc(out, '[');

	for (size_t i = 0; ok && list[i] != NULL; i++)
		ok = (i == 0 || buf_put(out, ", ", 2)) && quote_value(out, list[i]);
	return ok && buf_putc(out, ']');
}

/* Without the closing brace. */
static bool
print_pair(const struct config_pair *pair, struct buf *out)
{
	return buf_printf(out, "{certificate: ") && quote_value(out, pair->certificate) &&
	    buf_printf(out, ", key: ") && quote_value(out, pair->key);
}

static bool
print_more_pairs(const struct config_listen *l, struct buf *out)
{
	bool ok = buf_printf(out, ", certificates: [");

	for (size_t i = 1; ok && i < l->n_tls; i++)
		ok = (i == 1 || buf_put(out, ", ", 2)) && print_pair(&l->tls[i], out) &&
		    buf_putc(out, '}');
	return ok && buf_putc(out, ']');
}

static bool
print_tls(const struct config_listen *l, struct buf *out)
{
	bool ok = buf_printf(out, ", tls: ") && print_pair(&l->tls[0], out);

	if (l->n_tls > 1)
		ok = ok && print_more_pairs(l, out);
	if (l->client_ca != NULL)
		ok = ok && buf_printf(out, ", client_ca: ") && quote_value(out, l->client_ca) &&
		    buf_printf(out, ", client_certificates: ") &&
		    quote_value(out, listen_client_words[l->client_certificates]);
	return ok && buf_putc(out, '}');
}

static bool
print_listen(const struct config *c, struct buf *out)
{
	bool ok = true;

	for (size_t i = 0; ok && i < c->n_listen; i++) {
		const struct config_listen *l = &c->listen[i];

		ok = buf_put(out, "\n  - ", 5);
		if (l->tls == NULL)
			ok = ok && quote_value(out, l->address);
		else
			ok = ok && buf_printf(out, "{address: ") && quote_value(out, l->address) &&
			    print_tls(l, out) && buf_putc(out, '}');
	}
	return ok;
}

/* "http://user:password@host" without what is secret in it. */
static bool
print_masked(const char *s, struct buf *out)
{
	const char *at = strrchr(s, '@'), *scheme = strstr(s, "://");
	int head = scheme == NULL ? 0 : (int)(scheme + 3 - s);
	size_t room = strlen(s) + sizeof("***");
	char *text;
	bool ok;

	if (at == NULL)
		return quote_value(out, s);
	text = xmalloc(room);
	(void)snprintf(text, room, "%.*s***%s", head, s, at);
	ok = quote_value(out, text);
	free(text);
	return ok;
}

static bool
print_string(const struct config_row *row, const char *s, struct buf *out)
{
	if (s == NULL)
		return buf_printf(out, "%s", row->null_word);
	return row->flags & CONFIG_USERINFO ? print_masked(s, out) : quote_value(out, s);
}

static bool
print_value(const struct printer *p, const struct config_row *row)
{
	char text[NUM_TEXT_SIZE];

	switch (row->type) {
	case CONFIG_BOOL:
		return buf_printf(p->out, "%s", *value_bool(row, p->base) ? "true" : "false");
	case CONFIG_INT:
		return buf_printf(p->out, "%" PRIu64, *value_u64(row, p->base));
	case CONFIG_DURATION:
		return buf_printf(p->out, "%s", num_duration_text(*value_u64(row, p->base), text));
	case CONFIG_SIZE:
		return buf_printf(p->out, "%s", num_size_text(*value_u64(row, p->base), text));
	case CONFIG_ENUM:
		return quote_value(p->out, value_enum_word(row, p->base));
	case CONFIG_STRING:
		return print_string(row, *value_string(row, p->base), p->out);
	case CONFIG_STRINGS:
		return print_strings(*value_strings(row, p->base), p->out);
	case CONFIG_LISTEN:
		return print_listen(p->c, p->out);
	}
	UNREACHED("unknown type of a configuration key");
}

/* Left out: what this version has no field for, and strings that are not set and have no word
 * for that. */
static bool
is_printed(const struct printer *p, const struct config_row *row)
{
	if (row->offset == CONFIG_NO_FIELD)
		return false;
	if (row->type != CONFIG_STRING || *value_string(row, p->base) != NULL)
		return true;
	return row->null_word != NULL;
}

static bool
print_row(const struct printer *p, const struct config_row *row, struct span name, int depth)
{
	if (!is_printed(p, row))
		return true;
	return indent(p->out, depth) &&
	    buf_printf(p->out, "%.*s:%s", SPAN_FMT(name), row->type == CONFIG_LISTEN ? "" : " ") &&
	    print_value(p, row) && buf_putc(p->out, '\n');
}

/* One gateway or provider: its name, then its settings from the struct at base. */
static bool
print_named(const struct printer *p, const char *section, const char *name, void *base)
{
	struct printer inner = *p;

	inner.base = base;
	return indent(p->out, 1) && quote_value(p->out, name) && buf_put(p->out, ":\n", 2) &&
	    print_section(&inner, section, 2);
}

static bool
print_all_named(const struct printer *p, const char *section)
{
	const struct config *c = p->c;
	bool ok = true;

	if (strcmp(section, "gateways") == 0) {
		for (size_t i = 0; ok && i < c->n_gateways; i++)
			ok = print_named(p, "gateways.*", c->gateways[i].name, &c->gateways[i]);
		return ok;
	}
	for (size_t i = 0; ok && i < c->n_providers; i++)
		ok = print_named(p, "providers.*", c->providers[i].slug, &c->providers[i]);
	return ok;
}

static bool
print_child(const struct printer *p, const struct table_iter *it, int depth)
{
	char path[CONFIG_PATH_SIZE];

	if (it->row != NULL)
		return print_row(p, it->row, it->name, depth);
	table_join(it->section, it->name, path);
	if (strcmp(path, "providers") == 0 && p->c->n_providers == 0)
		return true;
	if (!indent(p->out, depth) || !buf_printf(p->out, "%.*s:\n", SPAN_FMT(it->name)))
		return false;
	return table_section(path)->check_name != NULL ? print_all_named(p, path)
						       : print_section(p, path, depth + 1);
}

static bool
print_section(const struct printer *p, const char *section, int depth)
{
	struct table_iter it = {.section = section};
	bool ok = true;

	while (ok && table_next(&it))
		ok = print_child(p, &it, depth);
	return ok;
}

bool
config_print(const struct config *c, struct buf *out)
{
	struct printer p = {.c = c, .out = out};

	/* Nothing is written through base; the table's typed views just do not know const. */
	memcpy(&p.base, &c, sizeof(p.base));
	return print_section(&p, "", 0);
}
