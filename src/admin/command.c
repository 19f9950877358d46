#include "admin/command.h"

#include <stdlib.h>
#include <string.h>

#include "admin/command_int.h"
#include "base/clock.h"
#include "base/num.h"
#include "store/backup.h"
#include "store/entries.h"

#define DEFAULT_LIMIT 50

/* ---- arguments ---- */

struct option {
	const char *name;
	bool takes_value;
	bool (*apply)(struct command *c, struct span value);
	const char *wants;
};

static bool
set_gateway(struct command *c, struct span v)
{
	c->query.gateway = v;
	return v.n > 0;
}
static bool
set_provider(struct command *c, struct span v)
{
	c->query.provider = v;
	return v.n > 0;
}
static bool
set_model(struct command *c, struct span v)
{
	c->query.model = v;
	return v.n > 0;
}
static bool
set_since(struct command *c, struct span v)
{
	return query_parse_time(v, clock_wall_ms(), &c->query.since_ms);
}
static bool
set_until(struct command *c, struct span v)
{
	c->has_until = true;
	return query_parse_time(v, clock_wall_ms(), &c->query.until_ms);
}
static bool
set_status(struct command *c, struct span v)
{
	return query_parse_status(v, &c->query);
}
/* From the command line it comes as --unseal-env, so that no key stands in a list of processes. */
static bool
set_unseal(struct command *c, struct span v)
{
	c->unseal = v;
	return v.n > 0;
}
static bool
set_cached(struct command *c, struct span v)
{
	UNUSED(v);
	c->query.cached = 1;
	return true;
}
static bool
set_uncached(struct command *c, struct span v)
{
	UNUSED(v);
	c->query.cached = 0;
	return true;
}
static bool
set_min_duration(struct command *c, struct span v)
{
	return query_parse_duration(v, &c->query.duration_min_us);
}
static bool
set_max_duration(struct command *c, struct span v)
{
	return query_parse_duration(v, &c->query.duration_max_us);
}
static bool
set_min_tokens(struct command *c, struct span v)
{
	return v.n > 0 && v.p[0] != '-' && num_i64(v, &c->query.tokens_min);
}
static bool
set_max_tokens(struct command *c, struct span v)
{
	return v.n > 0 && v.p[0] != '-' && num_i64(v, &c->query.tokens_max);
}
static bool
set_metadata(struct command *c, struct span v)
{
	return query_add_metadata(v, &c->query);
}
static bool
set_follow(struct command *c, struct span v)
{
	UNUSED(v);
	if (c->follow == NULL)
		c->follow = follow_new();
	return true;
}
static bool
set_format(struct command *c, struct span v)
{
	c->has_format = true;
	c->form = span_eq(v, SPAN_LIT("csv")) ? FORM_CSV : FORM_JSON;
	return c->form == FORM_CSV || span_eq(v, SPAN_LIT("ndjson"));
}
static bool
set_json(struct command *c, struct span v)
{
	UNUSED(v);
	c->is_json = true;
	return true;
}
static bool
set_limit(struct command *c, struct span v)
{
	c->has_limit = true;
	return num_u64(v, &c->left) && (c->left > 0 || c->follow != NULL);
}

static const struct option logs_options[] = {
    {"--gateway", true, set_gateway, "a gateway's name"},
    {"--provider", true, set_provider, "a provider's slug"},
    {"--model", true, set_model, "a model's name"},
    {"--since", true, set_since,
	"a duration (30m, 1h, 7d) or a time (2026-11-22, 2026-11-22T20:00:00Z)"},
    {"--until", true, set_until,
	"a duration (30m, 1h, 7d) or a time (2026-11-22, 2026-11-22T20:00:00Z)"},
    {"--status", true, set_status, "a status, a class or a range (429, 5xx, 400-499)"},
    {"--cached", false, set_cached, NULL},
    {"--uncached", false, set_uncached, NULL},
    {"--min-duration", true, set_min_duration, "a duration (500ms, 2s, 1m)"},
    {"--max-duration", true, set_max_duration, "a duration (500ms, 2s, 1m)"},
    {"--min-tokens", true, set_min_tokens, "a number of tokens, in and out together"},
    {"--max-tokens", true, set_max_tokens, "a number of tokens, in and out together"},
    {"--metadata", true, set_metadata, "KEY=VALUE, at most four times"},
    {"--unseal", true, set_unseal, "the caller's key"},
    {"-f", false, set_follow, NULL},
    {"--follow", false, set_follow, NULL},
    {"--format", true, set_format, "ndjson or csv"},
    {"--json", false, set_json, NULL},
    {"--limit", true, set_limit, "a number from 1"},
    {NULL, false, NULL, NULL},
};
static const struct option purge_options[] = {
    {"--gateway", true, set_gateway, "a gateway's name"},
    {"--provider", true, set_provider, "a provider's slug"},
    {"--model", true, set_model, "a model's name"},
    {NULL, false, NULL, NULL},
};
static const struct option stats_options[] = {
    {"--json", false, set_json, NULL},
    {NULL, false, NULL, NULL},
};
static const struct option no_options[] = {{NULL, false, NULL, NULL}};
static const struct {
	const char *word;
	enum verb verb;
	const struct option *options;
} cache_words[] = {
    {"stats", VERB_CACHE_STATS, stats_options},
    {"purge", VERB_CACHE_PURGE, purge_options},
    {"compact", VERB_CACHE_COMPACT, no_options},
};

static bool
complain(struct buf *err, const char *what, const char *arg, const char *mend)
{
	bool ok = buf_printf(err, "%s '%s'; %s", what, arg, mend);
	UNUSED(ok);
	return false;
}

/* One option at args[*i], "--name value" or "--name=value". */
static bool
take_option(
    struct command *c, const struct option *options, char **args, size_t *i, struct buf *err)
{
	const char *arg = args[*i];
	size_t n = strcspn(arg, "=");
	const struct option *o = options;
	while (o->name != NULL && (strlen(o->name) != n || strncmp(o->name, arg, n) != 0))
		o++;
	if (o->name == NULL)
		return complain(err, "unknown option", arg, "see 'postern help'");
	struct span value = SPAN_NONE;
	if (o->takes_value && arg[n] == '=')
		value = span_str(arg + n + 1);
	else if (o->takes_value && args[*i + 1] != NULL)
		value = span_str(args[++*i]);
	else if (o->takes_value || arg[n] == '=')
		return complain(
		    err, "wrong use of", arg, o->takes_value ? o->wants : "it takes no value");
	if (!o->apply(c, value))
		return complain(err, "not understood:", args[*i], o->wants);
	return true;
}

static bool
fail(struct buf *err, const char *text)
{
	bool ok = buf_printf(err, "%s", text);
	UNUSED(ok);
	return false;
}

static bool
check_follow(struct command *c, struct buf *err)
{
	if (c->verb != VERB_LOGS)
		return fail(err, "-f goes neither with an id nor with export");
	if (c->has_until)
		return fail(err, "--until does not go with -f, which has no end");
	if (c->has_limit && c->left > FOLLOW_LIMIT_MAX)
		return fail(err, "--limit is at most 1000 with -f");
	if (c->stores.journal == NULL)
		return fail(err,
		    "no server runs on this data directory, so there is nothing to follow; start it, or leave out -f");
	c->verb = VERB_FOLLOW;
	if (!c->has_limit)
		c->left = FOLLOW_LIMIT;
	return true;
}

/* What goes together. */
static bool
check_logs(struct command *c, struct buf *err)
{
	if (c->verb == VERB_EXPORT && c->is_json)
		return fail(err, "--json does not go with export; use --format ndjson");
	if (c->verb != VERB_EXPORT && c->has_format)
		return fail(err, "--format is for 'logs export'");
	if (c->verb == VERB_EXPORT && !c->has_format)
		c->form = FORM_JSON;
	if (c->is_json)
		c->form = FORM_JSON;
	if (c->follow != NULL)
		return check_follow(c, err);
	if (!c->has_limit && c->verb == VERB_LOGS)
		c->left = DEFAULT_LIMIT;
	return true;
}

static bool
parse_logs(struct command *c, char **args, struct buf *err)
{
	size_t first = args[0] != NULL && strcmp(args[0], "export") == 0;
	if (first == 1)
		c->verb = VERB_EXPORT;
	/* -f first: it says what --limit 0 means. */
	for (size_t i = first; args[i] != NULL; i++)
		if (strcmp(args[i], "-f") == 0 || strcmp(args[i], "--follow") == 0)
			set_follow(c, SPAN_NONE);
	for (size_t i = first; args[i] != NULL; i++) {
		if (args[i][0] == '-') {
			if (!take_option(c, logs_options, args, &i, err))
				return false;
			continue;
		}
		if (c->verb != VERB_LOGS || !id_parse(span_str(args[i]), &c->id))
			return complain(err, "not a record's id:", args[i],
			    "ids are the UUIDs that 'postern logs' shows");
		c->verb = VERB_LOG;
	}
	return check_logs(c, err);
}

static bool
parse_cache(struct command *c, char **args, struct buf *err)
{
	size_t w = 0;
	while (w < COUNT_OF(cache_words) &&
	    (args[0] == NULL || strcmp(args[0], cache_words[w].word) != 0))
		w++;
	if (w == COUNT_OF(cache_words))
		return complain(err, "unknown cache command", args[0] == NULL ? "" : args[0],
		    "use 'cache stats', 'cache purge' or 'cache compact'");
	c->verb = cache_words[w].verb;
	for (size_t i = 1; args[i] != NULL; i++)
		if (!take_option(c, cache_words[w].options, args, &i, err))
			return false;
	if (c->stores.entries == NULL) {
		bool ok = buf_printf(err,
		    "no server runs on this data directory, and the cache is a running server's; start it first");
		UNUSED(ok);
		return false;
	}
	return true;
}

static bool
parse_backup(struct command *c, char **args, struct buf *err)
{
	/* The command line's own words, "--stage DIR TARGET": it moves the copy itself (store/backup.h). */
	bool is_staged = args[0] != NULL && strcmp(args[0], "--stage") == 0 && args[1] != NULL;
	char **target = is_staged ? args + 2 : args;
	if (target[0] == NULL || target[0][0] == '-' || target[1] != NULL)
		return complain(
		    err, "wrong use of", "backup", "it takes one directory: postern backup DIR");
	c->verb = VERB_BACKUP;
	c->backup = backup_new(c->stores.records, is_staged ? args[1] : target[0]);
	c->backup_shown = target[0];
	return true;
}

struct command *
command_new(const struct command_stores *stores, const char *const *args, struct buf *err)
{
	struct command *c = xcalloc(1, sizeof(*c));
	c->stores = *stores;
	query_init(&c->query);
	size_t n = 0;
	while (args[n] != NULL && n < COUNT_OF(c->copies) - 1) {
		c->copies[n] = xstrdup(args[n]);
		n++;
	}
	bool ok = false;
	if (n > 0 && strcmp(c->copies[0], "logs") == 0)
		ok = parse_logs(c, c->copies + 1, err);
	else if (n > 0 && strcmp(c->copies[0], "cache") == 0)
		ok = parse_cache(c, c->copies + 1, err);
	else if (n > 0 && strcmp(c->copies[0], "backup") == 0)
		ok = parse_backup(c, c->copies + 1, err);
	else
		ok = complain(
		    err, "unknown command", n > 0 ? c->copies[0] : "", "see 'postern help'");
	if (ok)
		return c;
	command_free(c);
	return NULL;
}

void
command_free(struct command *c)
{
	if (c == NULL)
		return;
	follow_free(c->follow);
	backup_free(c->backup);
	for (size_t i = 0; i < COUNT_OF(c->copies); i++)
		free(c->copies[i]);
	free(c);
}

/* ---- work ---- */

static enum command_result
show_stats(struct command *c, struct buf *out)
{
	struct entries_stats s;
	char size[NUM_TEXT_SIZE], most[NUM_TEXT_SIZE];
	entries_stats(c->stores.entries, &s);
	bool ok = c->is_json
	    ? buf_printf(out,
		  "{\"entries\":%llu,\"bytes\":%llu,\"max_bytes\":%llu,\"pending\":%llu}\n",
		  (unsigned long long)s.entries, (unsigned long long)s.bytes,
		  (unsigned long long)s.max_bytes, (unsigned long long)s.pending)
	    : buf_printf(out, "entries  %llu\nsize     %s of %s\n",
		  (unsigned long long)(s.entries + s.pending), num_size_text(s.bytes, size),
		  num_size_text(s.max_bytes, most));
	return ok ? COMMAND_DONE : COMMAND_FAILED;
}

static enum command_result
compact(struct command *c, struct buf *out)
{
	uint64_t freed;
	char size[NUM_TEXT_SIZE];
	bool ok = entries_compact(c->stores.entries, &freed) == E_OK;
	if (!ok)
		fail(out,
		    "the cache's file system cannot give back space within a file; see the server's messages");
	return ok && buf_printf(out, "%s given back\n", num_size_text(freed, size))
	    ? COMMAND_DONE
	    : COMMAND_FAILED;
}

static enum command_result
back_up(struct command *c, struct buf *out)
{
	struct backup_figures f;
	char detail[1024], size[NUM_TEXT_SIZE];
	enum backup_result r = backup_step(c->backup, detail, sizeof(detail));
	if (r == BACKUP_MORE)
		return COMMAND_MORE;
	if (r == BACKUP_FAILED) {
		fail(out, detail);
		return COMMAND_FAILED;
	}
	backup_figures(c->backup, &f);
	return buf_printf(out, "copied %llu records (%llu segments, %s) and the secret to %s\n",
		   (unsigned long long)f.records, (unsigned long long)f.segments,
		   num_size_text(f.bytes, size), c->backup_shown)
	    ? COMMAND_DONE
	    : COMMAND_FAILED;
}

enum command_result
command_step(struct command *c, struct buf *out)
{
	switch (c->verb) {
	case VERB_LOGS:
	case VERB_EXPORT:
		return command_list(c, out);
	case VERB_LOG:
		return command_show(c, out);
	case VERB_FOLLOW:
		return command_follow(c, out);
	case VERB_CACHE_STATS:
		return show_stats(c, out);
	case VERB_CACHE_PURGE: {
		uint64_t n = entries_purge(
		    c->stores.entries, c->query.gateway, c->query.provider, c->query.model);
		return buf_printf(out, "%llu entries removed\n", (unsigned long long)n)
		    ? COMMAND_DONE
		    : COMMAND_FAILED;
	}
	case VERB_CACHE_COMPACT:
		return compact(c, out);
	case VERB_BACKUP:
		return back_up(c, out);
	}
	return COMMAND_FAILED;
}
