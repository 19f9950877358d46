/* The table as JSON Schema, for editors and for whoever generates configurations. */
#include "config/config.h"

#include <inttypes.h>

#include "base/num.h"
#include "config/quote_int.h"
#include "config/table.h"

#define DURATION_PATTERN "^(0|[0-9]+(ms|s|m|h|d))$"
#define SIZE_PATTERN "^[0-9]+(B|KB|MB|GB)?$"
/* Any value may come out of the environment instead. */
#define ENV_REF "{\"$ref\":\"#/$defs/environment\"}"

static bool put_section(const char *section, struct buf *out);

static bool
put_member(struct buf *out, const char *name, struct span value)
{
	return buf_printf(out, "\"%s\":", name) && quote_text(out, value);
}

static bool
put_choices(const struct config_row *row, struct buf *out)
{
	bool ok = buf_printf(out, "{\"enum\":[");

	for (const struct config_choice *c = row->choices; ok && c->word != NULL; c++)
		if (!c->is_not_yet)
			ok = (c == row->choices || buf_putc(out, ',')) &&
			    quote_text(out, span_str(c->word));
	return ok && buf_printf(out, "]}");
}

static bool
put_text_type(const struct config_row *row, struct buf *out)
{
	if (row->choices != NULL)
		return put_choices(row, out);
	return buf_printf(out, "{\"type\":\"string\",") &&
	    put_member(out, "pattern", span_str(row->pattern)) && buf_putc(out, '}');
}

/* An array whose items are of the row's text type, the environment, or what `more` says. */
static bool
put_list_type(const struct config_row *row, const char *more, struct buf *out)
{
	return buf_printf(out, "\"type\":\"array\",\"items\":{\"anyOf\":[") &&
	    put_text_type(row, out) && buf_printf(out, ",%s%s]}", ENV_REF, more);
}

/* clang-format off */
#define CLOSED_OBJECT "{\"type\":\"object\",\"additionalProperties\":false,"
#define FILE_TYPE "{\"type\":\"string\",\"description\":\"PEM file of the "
#define PAIR_MEMBERS                                                                               \
	"\"certificate\":" FILE_TYPE "certificate and its chain.\"},"                             \
	"\"key\":" FILE_TYPE "private key.\"}"
#define LISTEN_OBJECT                                                                              \
	"," CLOSED_OBJECT "\"required\":[\"address\"],\"properties\":{"                            \
	"\"address\":{\"type\":\"string\"},"                                                       \
	"\"tls\":" CLOSED_OBJECT "\"required\":[\"certificate\",\"key\"],\"properties\":{"         \
	PAIR_MEMBERS ",\"certificates\":{\"type\":\"array\",\"items\":" CLOSED_OBJECT            \
	"\"required\":[\"certificate\",\"key\"],\"properties\":{" PAIR_MEMBERS "}}},"              \
	"\"client_ca\":" FILE_TYPE "authorities of the clients' certificates.\"},"                 \
	"\"client_certificates\":{\"enum\":[\"off\",\"request\",\"require\"]}}}}}"
/* clang-format on */

static bool
put_type(const struct config_row *row, struct buf *out)
{
	switch (row->type) {
	case CONFIG_BOOL:
		if (row->flags & CONFIG_NOT_TRUE)
			return buf_printf(out, "\"const\":false");
		return buf_printf(out, "\"anyOf\":[{\"type\":\"boolean\"},%s]", ENV_REF);
	case CONFIG_INT:
		return buf_printf(out,
		    "\"anyOf\":[{\"type\":\"integer\",\"minimum\":%" PRIu64 ",\"maximum\":%" PRIu64
		    "},%s]",
		    row->min, row->max, ENV_REF);
	case CONFIG_DURATION:
		return buf_printf(out, "\"anyOf\":[{\"type\":\"string\",\"pattern\":\"%s\"}%s,%s]",
		    DURATION_PATTERN, row->min == 0 ? ",{\"const\":0}" : "", ENV_REF);
	case CONFIG_SIZE:
		return buf_printf(out,
		    "\"anyOf\":[{\"type\":\"string\",\"pattern\":\"%s\"},"
		    "{\"type\":\"integer\",\"minimum\":%" PRIu64 ",\"maximum\":%" PRIu64 "},%s]",
		    SIZE_PATTERN, row->min, row->max, ENV_REF);
	case CONFIG_ENUM:
	case CONFIG_STRING:
		return buf_printf(out, "\"anyOf\":[") && put_text_type(row, out) &&
		    buf_printf(out, ",%s]", ENV_REF);
	case CONFIG_STRINGS:
		return put_list_type(row, "", out);
	case CONFIG_LISTEN:
		return put_list_type(row, LISTEN_OBJECT, out) && buf_printf(out, ",\"minItems\":1");
	}
	UNREACHED("unknown type of a configuration key");
}

static bool
put_default(const struct config_row *row, struct buf *out)
{
	bool is_json = row->type == CONFIG_BOOL || row->type == CONFIG_INT ||
	    row->type == CONFIG_STRINGS || row->type == CONFIG_LISTEN;

	if (row->def == NULL)
		return true;
	return is_json ? buf_printf(out, ",\"default\":%s", row->def)
		       : buf_putc(out, ',') && put_member(out, "default", span_str(row->def));
}

/* The doc, and the range where the type alone does not say it. */
static bool
put_doc(const struct config_row *row, struct buf *out)
{
	char low[NUM_TEXT_SIZE], high[NUM_TEXT_SIZE];

	if (row->type != CONFIG_DURATION && row->type != CONFIG_SIZE)
		return put_member(out, "description", span_str(row->doc));
	if (row->type == CONFIG_DURATION) {
		num_duration_text(row->min, low);
		num_duration_text(row->max, high);
	} else {
		num_size_text(row->min, low);
		num_size_text(row->max, high);
	}
	return buf_printf(out, "\"description\":\"%s From %s to %s.\"", row->doc, low, high);
}

static bool
put_row(const struct config_row *row, struct buf *out)
{
	return buf_putc(out, '{') && put_doc(row, out) && buf_putc(out, ',') &&
	    put_type(row, out) && put_default(row, out) && buf_putc(out, '}');
}

/* Children whose names are the operator's: each is a PATH.* */
static bool
put_named(const struct config_section *s, const char *path, struct buf *out)
{
	char each[CONFIG_PATH_SIZE];

	table_join(path, SPAN_LIT("*"), each);
	return buf_printf(out, "\"propertyNames\":{") &&
	    put_member(out, "pattern", span_str(s->name_pattern)) &&
	    buf_printf(out, "},\"additionalProperties\":{") && put_section(each, out) &&
	    buf_putc(out, '}');
}

static bool
put_properties(const char *section, struct buf *out)
{
	struct table_iter it = {.section = section};
	bool ok = buf_printf(out, "\"additionalProperties\":false,\"properties\":{"),
	     is_first = true;
	char path[CONFIG_PATH_SIZE];

	while (ok && table_next(&it)) {
		if (it.row != NULL && !table_is_available(it.row))
			continue;
		table_join(section, it.name, path);
		ok = (is_first || buf_putc(out, ',')) && quote_text(out, it.name) &&
		    buf_putc(out, ':');
		is_first = false;
		if (it.row != NULL)
			ok = ok && put_row(it.row, out);
		else
			ok = ok && buf_putc(out, '{') && put_section(path, out) &&
			    buf_putc(out, '}');
	}
	return ok && buf_putc(out, '}');
}

static bool
put_section(const char *section, struct buf *out)
{
	const struct config_section *s = table_section(section);

	return put_member(out, "description", span_str(s->doc)) &&
	    buf_printf(out, ",\"type\":[\"object\",\"null\"],") &&
	    (s->check_name != NULL ? put_named(s, section, out) : put_properties(section, out));
}

bool
config_schema(struct buf *out)
{
	return buf_printf(out,
		   "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"postern.yaml\","
		   "\"$defs\":{\"environment\":{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\","
		   "\"description\":\"${NAME} or ${NAME:-default}, out of the environment.\"}},") &&
	    put_section("", out) && buf_printf(out, "}\n");
}
